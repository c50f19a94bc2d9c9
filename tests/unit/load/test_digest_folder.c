/* SPDX-License-Identifier: Apache-2.0 */
#include "load/digest.h"
#include "support/failing_alloc.h"
#include "support/plain_digest.h"
#include "support/scratch_folder.h"
#include "support/unit.h"

static scratch_folder scratch;

static int set_up(void **state) {
    (void)state;
    scratch_folder_make(&scratch);
    scratch_file(&scratch, "b.so", "hello world");
    scratch_file(&scratch, "sub/__init__.py", "");
    scratch_file(&scratch, "metadata.json", "{}");
    scratch_file(&scratch, "metadata.json.sigstore", "signature");
    scratch_file(&scratch, "cache.pyc", "code");
    scratch_file(&scratch, "sub/__pycache__/a.so", "code");
    scratch_link(&scratch, "a_link", "b.so");
    scratch_link(&scratch, "nothing", "gone");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    scratch_folder_remove(&scratch);
    return 0;
}

#define HELLO "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek="
#define EMPTY "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

static kn_status digest(const kn_alloc *alloc, void *folder, kn_error *err) {
    kn_file_digests *digests;
    kn_status status =
        kni_digest_folder(alloc, folder, KN_DIGEST_SHA256, plain_digests(), &digests, err);
    assert_int_equal(digests == NULL, status != KN_OK);
    kn_file_digests_free(digests);
    return status;
}

static void test_what_a_digest_covers_is_hashed(void **state) {
    (void)state;
    kn_file_digests *digests;
    kn_error err = KN_ERROR_INIT;
    if (kni_digest_folder(kni_alloc_or_default(NULL), scratch.path, KN_DIGEST_SHA256,
                          plain_digests(), &digests, &err))
        fail_msg("%s", err.message);
    static const char *const expected[][2] = {
        {"a_link", HELLO}, {"b.so", HELLO}, {"sub/__init__.py", EMPTY}};
    assert_int_equal(kn_file_digests_count(digests), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(kn_file_digests_path(digests, i), expected[i][0]);
        assert_string_equal(kn_file_digests_base64(digests, i), expected[i][1]);
    }
    kn_file_digests_free(digests);
}

static void test_a_folder_that_is_not_there_is_told(void **state) {
    (void)state;
    kn_file_digests *digests;
    kn_error err = KN_ERROR_INIT;
    assert_int_not_equal(kni_digest_folder(kni_alloc_or_default(NULL),
                                           scratch_path(&scratch, "none"), KN_DIGEST_SHA256,
                                           plain_digests(), &digests, &err),
                         KN_OK);
    assert_null(digests);
    assert_contains(err.message, "/none");
}

static void test_memory_that_runs_out_leaves_nothing_behind(void **state) {
    (void)state;
    assert_true(fault_sweep(digest, scratch.path) > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_digest_covers_is_hashed),
        cmocka_unit_test(test_a_folder_that_is_not_there_is_told),
        cmocka_unit_test(test_memory_that_runs_out_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
