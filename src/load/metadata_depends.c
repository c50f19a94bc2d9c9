/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "codec/depend_json.h"
#include "load/metadata_fields.h"

#define DEPENDS_MAX 1000

static kn_status add_entry(kn_metadata *metadata, const kni_json *entry, size_t number,
                           const char *origin, kn_error *err) {
    kni_depend_list *list = &metadata->kernel_depends;
    const char *unknown = kni_depend_json_unknown(entry);
    kni_depend_json depend;
    char shown[KNI_METADATA_SHOWN];
    if (unknown) {
        return kni_fail(
            err, KN_ERR_VALUE,
            "%s: 'kernel-depends': entry %zu has a field '%s' that this version does not know; upgrade "
            "the package kernels, or build the kernel again",
            origin, number, kni_text_shown(unknown, shown, sizeof shown));
    }
    const char *wrong = kni_depend_json_read(entry, &depend);
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
    *item = (struct kni_depend){.version = depend.version};
    item->repo_id = kni_text_copy(metadata->alloc, depend.repo_id);
    item->revision = kni_text_copy(metadata->alloc, depend.revision);
    if (!item->repo_id || (depend.revision && !item->revision))
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
