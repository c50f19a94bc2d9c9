/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/lockfile_hash.h"

#include <stdio.h>

#include "support/plain_digest.h"
#include "support/unit.h"

#define COMMIT "94986c119039ea0cb65592c210c57255de1089eb"
#define BLOB "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CONTENT \
    "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b" /* of a large file */
#define METADATA "1212121212121212121212121212121212121212"
/* Of the three files below, as kernels 0.12 computes it. */
#define HASH "sha256-6b962e41661c2fb052c664322dcdc6baacf468df435c4a99bb5604fdaa047f56"

static kn_lockfile *lock_with(const char *variants) {
    char text[500];
    snprintf(text, sizeof text,
             "[{\"repo_id\": \"o/n\", \"sha\": \"" COMMIT "\", \"variants\": {%s}}]", variants);
    kn_lockfile *file;
    kn_error err = KN_ERROR_INIT;
    if (kn_lockfile_parse(NULL, text, strlen(text), "l", &file, &err)) fail_msg("%s", err.message);
    return file;
}

static kn_status check(const char *variants, const char *content, kn_error *err) {
    kn_lockfile *file = lock_with(variants);
    kni_locked_file files[] = {
        {"sub/x.so", content}, {"__init__.py", BLOB}, {"metadata.json", METADATA}};
    kn_status status = kni_lockfile_check(kni_alloc_or_default(NULL), file, 0, "torch-cpu", files,
                                          3, plain_digests(), err);
    kn_lockfile_free(file);
    return status;
}

static void test_files_that_were_locked_pass_in_any_order(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(check("\"torch-cpu\": {\"hash\": \"" HASH "\"}", CONTENT, &err), KN_OK);
    assert_int_equal(check("\"torch-cuda\": {\"hash\": \"sha256-" CONTENT "\"}, \"torch-cpu\": "
                           "{\"hash\": \"" HASH "\", \"hash_type\": \"git_lfs_concat\"}",
                           CONTENT, &err),
                     KN_OK);
}

static void test_another_content_is_refused_with_both_hashes(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(check("\"torch-cpu\": {\"hash\": \"" HASH "\"}", METADATA, &err),
                     KN_ERR_INTEGRITY);
    assert_contains(err.message,
                    "Kernel `o/n`: the lock file specifies the build variant 'torch-cpu'");
    assert_contains(err.message, "with hash " HASH ", but the kernel has hash sha256-");
}

static void test_a_variant_that_is_not_locked_is_refused(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(check("\"torch-cuda\": {\"hash\": \"" HASH "\"}", CONTENT, &err),
                     KN_ERR_VALUE);
    assert_contains(err.message, "its build variant 'torch-cpu' is not in the lock file");
}

static void test_a_hash_of_an_unknown_type_is_refused(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(
        check("\"torch-cpu\": {\"hash\": \"" HASH "\", \"hash_type\": \"tree\"}", CONTENT, &err),
        KN_ERR_VALUE);
    assert_contains(err.message, "a hash of type 'tree'");
}

static void test_an_entry_without_hashes_allows_any_content(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(check("", METADATA, &err), KN_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_that_were_locked_pass_in_any_order),
        cmocka_unit_test(test_another_content_is_refused_with_both_hashes),
        cmocka_unit_test(test_a_variant_that_is_not_locked_is_refused),
        cmocka_unit_test(test_a_hash_of_an_unknown_type_is_refused),
        cmocka_unit_test(test_an_entry_without_hashes_allows_any_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
