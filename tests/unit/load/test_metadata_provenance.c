/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/alloc.h"
#include "load/provenance.h"
#include "support/failing_alloc.h"
#include "support/unit.h"

#define SHA "0123456789abcdef0123456789abcdef01234567"
#define BUILDER "\"kernel-builder\": {\"version\": \"0.17.0\"}"
#define DIRTY_BUILDER \
    "\"kernel-builder\": {\"version\": \"0.17.0\", \"sha\": \"" SHA "\", \"dirty\": true}"
#define DIRTY_KERNEL "\"kernel\": {\"sha\": \"" SHA "\", \"dirty\": true}"

static kn_metadata *with_provenance(const char *provenance) {
    char text[1000];
    int length = snprintf(text, sizeof text,
                          "{\"id\": \"x\", \"name\": \"a-b\", \"provenance\": %s}", provenance);
    assert_true(length > 0 && (size_t)length < sizeof text);
    kn_metadata *metadata;
    kn_error err = KN_ERROR_INIT;
    if (kn_metadata_parse(NULL, text, (size_t)length, "m", &metadata, &err))
        fail_msg("%s", err.message);
    return metadata;
}

static void assert_warning(const char *provenance, const char *expected) {
    kn_metadata *metadata = with_provenance(provenance);
    char *warning = NULL;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_provenance_warning(NULL, metadata, "torch-cpu", &warning, &err), KN_OK);
    if (expected)
        assert_string_equal(warning, expected);
    else
        assert_null(warning);
    kni_free(kni_alloc_or_default(NULL), warning);
    kn_metadata_free(metadata);
}

#define WARNING(what)                                                                   \
    "Kernel 'a-b' variant 'torch-cpu' was built from a dirty git tree (" what           \
    " had uncommitted changes). Its recorded git revision does not fully identify the " \
    "sources it was built from, so the build may not be reproducible."

static void test_the_warning_names_what_was_dirty(void **state) {
    (void)state;
    assert_warning("{" BUILDER ", " DIRTY_KERNEL "}", WARNING("kernel source"));
    assert_warning("{" DIRTY_BUILDER "}", WARNING("kernel-builder"));
    assert_warning("{" DIRTY_BUILDER ", " DIRTY_KERNEL "}",
                   WARNING("kernel source, kernel-builder"));
}

static void test_a_clean_or_unknown_tree_gives_no_warning(void **state) {
    (void)state;
    assert_warning("{" BUILDER "}", NULL);
    assert_warning("{" BUILDER ", \"kernel\": {\"sha\": \"" SHA "\", \"dirty\": false}}", NULL);
    assert_warning("null", NULL);
}

static kn_metadata_info info_of(const kn_metadata *metadata) {
    kn_metadata_info info = {.size = sizeof info};
    kn_metadata_get(metadata, &info);
    return info;
}

static void assert_no_kernel_commit(const char *kernel) {
    char text[500];
    snprintf(text, sizeof text, "{" BUILDER ", \"kernel\": %s}", kernel);
    kn_metadata *metadata = with_provenance(text);
    kn_metadata_info info = info_of(metadata);
    assert_string_equal(info.builder_version, "0.17.0");
    assert_null(info.kernel_commit);
    assert_false(info.kernel_dirty);
    kn_metadata_free(metadata);
}

static void test_a_malformed_state_counts_as_absent(void **state) {
    (void)state;
    assert_no_kernel_commit("5");
    assert_no_kernel_commit("null");
    assert_no_kernel_commit("{\"dirty\": true}");
    assert_no_kernel_commit("{\"sha\": \"" SHA "\"}");
    assert_no_kernel_commit("{\"sha\": \"" SHA "\", \"dirty\": 1}");
    assert_no_kernel_commit("{\"sha\": \"abc\", \"dirty\": true}");
    assert_no_kernel_commit("{\"sha\": \"" SHA "0\", \"dirty\": true}");
    assert_no_kernel_commit("{\"sha\": \"z123456789abcdef0123456789abcdef01234567\", "
                            "\"dirty\": true}");
}

static void test_without_a_builder_there_is_no_provenance(void **state) {
    (void)state;
    const char *const none[] = {"{}", "5", "null", "{" DIRTY_KERNEL "}",
                                "{\"kernel-builder\": {\"version\": 5}, " DIRTY_KERNEL "}"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        kn_metadata *metadata = with_provenance(none[i]);
        kn_metadata_info info = info_of(metadata);
        assert_null(info.builder_version);
        assert_null(info.kernel_commit);
        assert_false(info.kernel_dirty);
        kn_metadata_free(metadata);
    }
}

static void test_a_commit_has_two_names_and_two_lengths(void **state) {
    (void)state;
    kn_metadata *metadata = with_provenance(
        "{" BUILDER ", \"kernel\": {\"commit\": \"ABCDEF6789abcdef0123456789abcdef0123456789abcdef"
        "0123456789abcdef\", \"dirty\": false, \"branch\": \"main\"}}");
    assert_string_equal(info_of(metadata).kernel_commit,
                        "abcdef6789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    kn_metadata_free(metadata);
}

static kn_status warn(const kn_alloc *alloc, void *metadata, kn_error *err) {
    char *warning;
    kn_status status = kni_provenance_warning(alloc, metadata, "torch-cpu", &warning, err);
    kni_free(alloc, warning);
    return status;
}

static void test_warning_without_memory_fails_cleanly(void **state) {
    (void)state;
    kn_metadata *metadata = with_provenance("{" DIRTY_BUILDER "}");
    assert_true(fault_sweep(warn, metadata) >= 1);
    kn_metadata_free(metadata);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_warning_names_what_was_dirty),
        cmocka_unit_test(test_a_clean_or_unknown_tree_gives_no_warning),
        cmocka_unit_test(test_a_malformed_state_counts_as_absent),
        cmocka_unit_test(test_without_a_builder_there_is_no_provenance),
        cmocka_unit_test(test_a_commit_has_two_names_and_two_lengths),
        cmocka_unit_test(test_warning_without_memory_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
