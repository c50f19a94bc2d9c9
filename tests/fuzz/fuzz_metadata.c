/* SPDX-License-Identifier: Apache-2.0 */
/* Input: the content of a metadata.json. */
#include <kernels/metadata.h>

#include "fuzz_target.h"

static void check_message(const kn_error *err) {
    FUZZ_CHECK(strncmp(err->message, "metadata.json: ", 15) == 0);
    for (const char *at = err->message; *at; at++)
        FUZZ_CHECK((unsigned char)*at >= 0x20 && *at != 0x7F);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    kn_metadata *metadata;
    kn_error err = KN_ERROR_INIT;
    char *bytes = fuzz_text(data, size);
    kn_status status = kn_metadata_parse(NULL, bytes, size, "metadata.json", &metadata, &err);
    free(bytes); /* all that is kept has been copied */
    if (status) {
        FUZZ_CHECK(status == KN_ERR_VALUE && !metadata);
        check_message(&err);
        return 0;
    }
    kn_metadata_info info = {.size = sizeof info};
    kn_metadata_get(metadata, &info);
    FUZZ_CHECK(info.id && *info.id && !strchr(info.id, '/'));
    FUZZ_CHECK(info.name && strlen(info.name) >= 2 &&
               strlen(info.module_name) == strlen(info.name));
    FUZZ_CHECK(!strchr(info.module_name, '-'));
    FUZZ_CHECK(info.version >= -1);
    for (size_t i = 0; i < kn_metadata_python_depends_count(metadata); i++) {
        FUZZ_CHECK(strlen(kn_metadata_python_depends(metadata, i)) < size);
    }
    for (size_t i = 0; i < kn_metadata_archs_count(metadata); i++) {
        FUZZ_CHECK(strlen(kn_metadata_archs(metadata, i)) < size);
    }
    kn_metadata_free(metadata);
    return 0;
}
