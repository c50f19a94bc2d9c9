/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel against the lock file that it is wanted by. */
#include <string.h>

#include "base/error.h"
#include "engine/fetch.h"
#include "os/files.h"
#include "os/tree.h"
#include "trust/lockfile_digests.h"
#include "trust/lockfile_hash.h"

#define FOLDER_FILES_MAX 200000

const char *kni_want_locked_oid(const kni_want *w, const char *path) {
    return w->lock ? kni_lockfile_digest_find(w->lock, w->id, w->commit, path) : NULL;
}

/* "build/<variant>/"; the caller frees. NULL: no memory. */
static char *variant_folder(const kni_want *w) {
    char *inside = kni_want_inside(w);
    char *folder = inside ? kni_path_join(w->alloc, inside, "") : NULL;
    kni_free(w->alloc, inside);
    return folder;
}

static kn_status check_files(kni_batch *batch, const kni_want *w, const char *folder,
                             kni_locked_file *files, kn_error *err) {
    for (size_t i = 0; i < w->file_count; i++)
        files[i] = (kni_locked_file){w->files[i].path + strlen(folder), w->files[i].content.oid};
    kn_locked locked = {.size = sizeof locked};
    kn_lockfile_get(w->lock, w->lock_index, &locked);
    kn_status status = kni_lockfile_check_digests(w->alloc, w->lock, w->id, w->commit, folder,
                                                  files, w->file_count, err);
    if (status || !locked.variant_count) return status;
    const kni_net *net;
    status = kni_batch_net(batch, &net, err);
    if (status) return status;
    return kni_lockfile_check(w->alloc, w->lock, w->lock_index, w->variant, files, w->file_count,
                              net, err);
}

kn_status kni_want_check_lock(kni_batch *batch, const kni_want *w, kn_error *err) {
    if (!w->lock || w->depth < KNI_DEPTH_FILES || w->part) return KN_OK;
    char *folder = variant_folder(w);
    kni_locked_file *files = kni_new(w->alloc, (w->file_count + 1) * sizeof *files);
    kn_status status = folder && files ? check_files(batch, w, folder, files, err)
                                       : kni_no_memory(err, "checking a lock");
    kni_free(w->alloc, folder);
    kni_free(w->alloc, files);
    return status;
}

/* `path` is below `folder`, that of the variant in the repository. */
static kn_status check_listed(const kni_want *w, const char *folder, const char *path,
                              kn_error *err) {
    kni_text text;
    kni_text_init(&text, w->alloc);
    kni_text_addf(&text, "%s%s", folder, path);
    char *whole = kni_text_take(&text);
    if (!whole) return kni_no_memory(err, "checking a lock");
    kn_status status = KN_OK;
    if (!kni_is_bytecode(whole) && !kni_want_locked_oid(w, whole))
        status = kni_fail(err, KN_ERR_INTEGRITY,
                          "Kernel `%s`: its folder '%s' has a file '%s' that is not in the lock "
                          "file; remove it, or find out who put it there",
                          w->id, w->folder, path);
    kni_free(w->alloc, whole);
    return status;
}

kn_status kni_want_check_locked_folder(const kni_want *w, kn_error *err) {
    if (!w->lock || !kn_lockfile_has_digests(w->lock)) return KN_OK;
    kni_names names;
    kn_status status = kni_tree_files(w->alloc, w->folder, FOLDER_FILES_MAX, &names, err);
    if (status) return status;
    char *folder = variant_folder(w);
    if (!folder) status = kni_no_memory(err, "checking a lock");
    for (size_t i = 0; i < names.count && !status; i++)
        status = check_listed(w, folder, names.items[i], err);
    kni_free(w->alloc, folder);
    kni_names_clear(&names);
    return status;
}
