/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/error.h"
#include "load/source.h"

#define EXPECTED "expected LOCAL_KERNELS=org/name=path[:org/name=path...]"

/* The whole value is checked, also behind what is found, so that a mistake is told wherever it
 * stands. Of several entries for one repository the last counts, as upstream has it. */
kn_status kni_local_kernels_find(const kn_alloc *alloc, const char *value, const char *repo_id,
                                 char **out, kn_error *err) {
    *out = NULL;
    if (!value || !*value) return KN_OK;

    const char *found = NULL;
    size_t found_length = 0, id_length = strlen(repo_id);
    for (const char *entry = value; entry;) {
        const char *colon = strchr(entry, ':');
        size_t length = colon ? (size_t)(colon - entry) : strlen(entry);
        const char *equals = length ? memchr(entry, '=', length) : NULL;
        int shown = length < 200 ? (int)length : 200;
        if (!equals) {
            return kni_fail(err, KN_ERR_VALUE,
                            "Invalid LOCAL_KERNELS entry: %.*s. It has no '='; " EXPECTED, shown,
                            entry);
        }
        const char *path = equals + 1;
        size_t path_length = length - (size_t)(path - entry);
        if (equals == entry || path_length == 0) {
            return kni_fail(err, KN_ERR_VALUE,
                            "Invalid LOCAL_KERNELS entry: %.*s. It has no %s; " EXPECTED, shown,
                            entry, path_length ? "repository" : "path");
        }
        if ((size_t)(equals - entry) == id_length && memcmp(entry, repo_id, id_length) == 0) {
            found = path;
            found_length = path_length;
        }
        entry = colon ? colon + 1 : NULL;
    }
    if (!found) return KN_OK;
    *out = kni_text_copy_n(kni_alloc_or_default(alloc), found, found_length);
    return *out ? KN_OK : kni_no_memory(err, "reading LOCAL_KERNELS");
}
