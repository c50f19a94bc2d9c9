/* SPDX-License-Identifier: Apache-2.0 */
#include "load/native_library.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "os/tree.h"

#define FILES_MAX 100000

/* A shared object right in the folder, not below it. */
static bool is_library(const char *path) {
    size_t length = strlen(path);
    return !strchr(path, '/') && length > 3 && strcmp(path + length - 3, ".so") == 0;
}

/* Names the library in *found; NULL: none. */
static kn_status choose(const kni_names *files, const char *id, const char *folder,
                        const char **found, kn_error *err) {
    size_t length = strlen(id), count = 0;
    *found = NULL;
    for (size_t i = 0; i < files->count; i++) {
        const char *name = files->items[i];
        if (!is_library(name)) continue;
        *found = name;
        count++;
        if (strncmp(name, id, length) == 0 && strcmp(name + length, ".so") == 0) return KN_OK;
    }
    if (count <= 1) return KN_OK;
    return kni_fail(err, KN_ERR_VALUE,
                    "'%s' has %zu shared objects, and none is '%s.so': which of them is the kernel "
                    "cannot be told; build it again with a current kernel-builder",
                    folder, count, id);
}

static kn_status find_in(const kn_alloc *alloc, const char *folder, const char *id, char **out,
                         kn_error *err) {
    kni_names files;
    const char *found;
    kn_status status = kni_tree_files(alloc, folder, FILES_MAX, &files, err);
    if (status) return status;
    status = choose(&files, id, folder, &found, err);
    if (!status && !found) {
        status = kni_fail(err, KN_ERR_NOT_FOUND,
                          "'%s' has no shared object ('*.so'), as a native build must; build it "
                          "again with a current kernel-builder, or download it again",
                          folder);
    }
    if (!status) *out = kni_path_join(alloc, folder, found);
    if (!status && !*out) status = kni_no_memory(err, "looking for a native library");
    kni_names_clear(&files);
    return status;
}

kn_status kni_native_library_find(const kn_alloc *alloc, const kni_kernel_source *source,
                                  char **out, kn_error *err) {
    *out = NULL;
    alloc = kni_alloc_or_default(alloc);
    kn_metadata_info info = {.size = sizeof info};
    kn_metadata_get(source->metadata, &info);
    size_t length = (size_t)(strrchr(source->entry, '/') - source->entry);
    char *folder = kni_text_copy_n(alloc, source->entry, length);
    kn_status status = folder ? find_in(alloc, folder, info.id, out, err)
                              : kni_no_memory(err, "looking for a native library");
    kni_free(alloc, folder);
    return status;
}
