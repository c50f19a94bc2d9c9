/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "load/metadata_fields.h"
#include "load/provenance.h"

/* 40 or 64 hexadecimal digits. */
static bool is_commit(const char *text) {
    size_t length = strlen(text);
    return (length == 40 || length == 64) && strspn(text, "0123456789abcdefABCDEF") == length;
}

/* The state of a git tree in `object`: {"sha": ..., "dirty": ...}, or with "commit" in the place of
 * "sha". Absent where one of the two is missing or malformed. */
static bool read_git(const kn_alloc *alloc, const kni_json *object, char **commit, bool *dirty) {
    const char *text = kni_json_text(kni_json_member(object, "sha"));
    if (!text) text = kni_json_text(kni_json_member(object, "commit"));
    bool is_dirty;
    if (!text || !is_commit(text) || !kni_json_boolean(kni_json_member(object, "dirty"), &is_dirty))
        return true;
    *commit = kni_text_copy(alloc, text);
    if (!*commit) return false;
    for (char *at = *commit; *at; at++) {
        if (*at >= 'A' && *at <= 'F') *at = (char)(*at - 'A' + 'a');
    }
    *dirty = is_dirty;
    return true;
}

bool kni_metadata_read_provenance(kn_metadata *metadata, const kni_json *document) {
    const kni_json *provenance = kni_json_member(document, "provenance");
    const kni_json *builder = kni_json_member(provenance, "kernel-builder");
    const kn_alloc *alloc = metadata->alloc;
    if (!kni_metadata_copy_text(alloc, kni_json_member(builder, "version"),
                                &metadata->builder_version)) {
        return false;
    }
    if (!metadata->builder_version) return true;
    return read_git(alloc, builder, &metadata->builder_commit, &metadata->builder_dirty) &&
           read_git(alloc, kni_json_member(provenance, "kernel"), &metadata->kernel_commit,
                    &metadata->kernel_dirty);
}

kn_status kni_provenance_warning(const kn_alloc *alloc, const kn_metadata *metadata,
                                 const char *variant, char **out, kn_error *err) {
    *out = NULL;
    kn_metadata_info info = {.size = sizeof info};
    kn_metadata_get(metadata, &info);
    if (!info.kernel_dirty && !info.builder_dirty) return KN_OK;

    kni_text text;
    kni_text_init(&text, kni_alloc_or_default(alloc));
    kni_text_addf(
        &text,
        "Kernel '%s' variant '%s' was built from a dirty git tree (%s%s%s had uncommitted changes). "
        "Its recorded git revision does not fully identify the sources it was built from, so the "
        "build may not be reproducible.",
        info.name, variant, info.kernel_dirty ? "kernel source" : "",
        info.kernel_dirty && info.builder_dirty ? ", " : "",
        info.builder_dirty ? "kernel-builder" : "");
    *out = kni_text_take(&text);
    return *out ? KN_OK : kni_no_memory(err, "checking a kernel's provenance");
}
