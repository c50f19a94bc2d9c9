/* SPDX-License-Identifier: Apache-2.0 */
/* Input: the content of a metadata.json. */
#include "fuzz_target.h"
#include "load/digest.h"

static void check_message(const kn_error *err) {
    FUZZ_CHECK(strncmp(err->message, "metadata.json: ", 15) == 0);
    for (const char *at = err->message; *at; at++)
        FUZZ_CHECK((unsigned char)*at >= 0x20 && *at != 0x7F);
}

/* Dependencies, digest and provenance. */
static void check_records(const kn_metadata *metadata, size_t size) {
    for (size_t i = 0; i < kn_metadata_kernel_depends_count(metadata); i++) {
        kn_kernel_depend depend = {.size = sizeof depend};
        kn_metadata_kernel_depends(metadata, i, &depend);
        FUZZ_CHECK(depend.repo_id && *depend.repo_id && strlen(depend.repo_id) < size);
        FUZZ_CHECK((depend.version >= 0) == (depend.revision == NULL));
    }
    kn_metadata_info info = {.size = sizeof info};
    kn_metadata_get(metadata, &info);
    size_t files = kn_metadata_digest_count(metadata);
    FUZZ_CHECK(files == 0 || info.digest != KN_DIGEST_NONE);
    for (size_t i = 0; i < files; i++) {
        const char *path = kn_metadata_digest_path(metadata, i);
        unsigned char bytes[KNI_DIGEST_MAX];
        FUZZ_CHECK(i == 0 || strcmp(kn_metadata_digest_path(metadata, i - 1), path) < 0);
        FUZZ_CHECK(kni_metadata_digest_find(metadata, path) == i);
        FUZZ_CHECK(path[0] != '/' && strncmp(path, "../", 3) != 0 && !strstr(path, "/../"));
        FUZZ_CHECK(kni_metadata_digest_bytes(metadata, i, bytes) ==
                   (info.digest == KN_DIGEST_SHA256 ? 32 : 64));
    }
    FUZZ_CHECK(info.builder_version || (!info.builder_commit && !info.kernel_commit));
    FUZZ_CHECK(info.builder_commit || !info.builder_dirty);
    FUZZ_CHECK(info.kernel_commit || !info.kernel_dirty);
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
    check_records(metadata, size);
    kn_metadata_free(metadata);
    return 0;
}
