/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a repository id, a line break, the value of LOCAL_KERNELS. */
#include "fuzz_target.h"
#include "load/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *repo_id = fuzz_text(data, size), *value = fuzz_second_part(repo_id), *path;
    kn_error err = KN_ERROR_INIT;
    kn_status status = kni_local_kernels_find(NULL, value, repo_id, &path, &err);
    FUZZ_CHECK(status == KN_OK || status == KN_ERR_VALUE);
    FUZZ_CHECK((status == KN_OK) == (err.message[0] == '\0'));
    if (status) FUZZ_CHECK(!path);
    if (path)
        FUZZ_CHECK(*path && strstr(value, path) && strstr(value, repo_id) && !strchr(path, ':'));
    kni_free(kni_alloc_or_default(NULL), path);
    free(repo_id);
    return 0;
}
