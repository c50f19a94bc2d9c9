/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a pyproject.toml, as the reader of TOML gives it: JSON. */
#include "base/alloc.h"
#include "fuzz_target.h"
#include "trust/project.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    kni_project project;
    kn_error err = KN_ERROR_INIT;
    kn_status status = kni_project_parse(kni_alloc_or_default(NULL), (const char *)data, size,
                                         "pyproject.toml", &project, &err);
    FUZZ_CHECK(status == KN_OK || status == KN_ERR_VALUE);
    FUZZ_CHECK((status == KN_OK) == (err.message[0] == '\0'));
    FUZZ_CHECK(status || project.count);
    for (size_t i = 0; i < project.count; i++)
        FUZZ_CHECK(project.kernels[i].repo_id && project.kernels[i].version >= 0);
    for (const char *at = err.message; *at; at++)
        FUZZ_CHECK((unsigned char)*at >= 0x20 && *at != 0x7F);
    kni_project_clear(&project);
    return 0;
}
