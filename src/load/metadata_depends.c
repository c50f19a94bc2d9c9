/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "load/metadata_fields.h"

#define DEPENDS_MAX 1000

/* A field of an entry that nobody here knows may say what to load: an entry is understood whole or
 * not at all. NULL when all are known. */
static const char *unknown_member(const kni_json *entry) {
    const kni_json *value;
    for (const char *name = kni_json_next(entry, NULL, &value); name;
         name = kni_json_next(entry, name, &value)) {
        if (strcmp(name, "repo-id") != 0 && strcmp(name, "version") != 0 &&
            strcmp(name, "revision") != 0) {
            return name;
        }
    }
    return NULL;
}

static const kni_json *given_member(const kni_json *entry, const char *name) {
    const kni_json *value = kni_json_member(entry, name);
    return kni_json_is_null(value) ? NULL : value;
}

/* What is wrong with an entry; NULL: nothing, and `repo_id`, `version`, `revision` are set. */
static const char *read_entry(const kni_json *entry, const char **repo_id, int64_t *version,
                              const char **revision) {
    *repo_id = kni_json_text(kni_json_member(entry, "repo-id"));
    const kni_json *number = given_member(entry, "version");
    const kni_json *name = given_member(entry, "revision");
    *version = -1;
    *revision = kni_json_text(name);
    if (!*repo_id || !**repo_id) return "has no text 'repo-id'";
    if (number && name) return "has both 'version' and 'revision', which are mutually exclusive";
    if (!number && !name) return "needs either a 'version' or a 'revision'";
    if (number && (!kni_json_integer(number, version) || *version < 0))
        return "has a 'version' that is no whole number";
    if (name && (!*revision || !**revision)) return "has a 'revision' that is no text";
    return NULL;
}

static kn_status add_entry(kn_metadata *metadata, const kni_json *entry, size_t number,
                           const char *origin, kn_error *err) {
    kni_depend_list *list = &metadata->kernel_depends;
    const char *repo_id, *revision, *unknown = unknown_member(entry);
    int64_t version;
    char shown[KNI_METADATA_SHOWN];
    if (unknown) {
        return kni_fail(
            err, KN_ERR_VALUE,
            "%s: 'kernel-depends': entry %zu has a field '%s' that this version does not know; upgrade "
            "the package kernels, or build the kernel again",
            origin, number, kni_text_shown(unknown, shown, sizeof shown));
    }
    const char *wrong = read_entry(entry, &repo_id, &version, &revision);
    if (wrong) {
        return kni_fail(err, KN_ERR_VALUE,
                        "%s: 'kernel-depends': entry %zu %s; expected {\"repo-id\": "
                        "\"org/name\", \"version\": 1}; " KNI_METADATA_REBUILD,
                        origin, number, wrong);
    }
    if (!kni_reserve(metadata->alloc, &list->items, &list->capacity, list->count + 1,
                     sizeof *list->items)) {
        return kni_no_memory(err, "reading a kernel's dependencies");
    }
    struct kni_depend *item = &list->items[list->count++];
    *item = (struct kni_depend){.version = version};
    item->repo_id = kni_text_copy(metadata->alloc, repo_id);
    item->revision = kni_text_copy(metadata->alloc, revision);
    if (!item->repo_id || (revision && !item->revision))
        return kni_no_memory(err, "reading a kernel's dependencies");
    return KN_OK;
}

kn_status kni_metadata_read_kernel_depends(kn_metadata *metadata, const kni_json *document,
                                           const char *origin, kn_error *err) {
    const kni_json *depends = kni_json_member(document, "kernel-depends");
    if (!depends) return KN_OK;
    if (!kni_json_is_array(depends)) {
        return kni_fail(err, KN_ERR_VALUE, "%s: 'kernel-depends' is no list; " KNI_METADATA_REBUILD,
                        origin);
    }
    size_t count = kni_json_length(depends);
    if (count > DEPENDS_MAX) {
        return kni_fail(err, KN_ERR_VALUE,
                        "%s: 'kernel-depends' has %zu entries, at most %d are read; split the "
                        "kernel into fewer parts",
                        origin, count, DEPENDS_MAX);
    }
    kn_status status = KN_OK;
    for (size_t i = 0; i < count && !status; i++)
        status = add_entry(metadata, kni_json_item(depends, i), i + 1, origin, err);
    return status;
}
