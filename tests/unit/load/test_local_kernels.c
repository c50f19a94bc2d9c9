/* SPDX-License-Identifier: Apache-2.0 */
#include "load/source.h"
#include "support/failing_alloc.h"
#include "support/unit.h"

static void assert_found(const char *value, const char *repo_id, const char *expected) {
    kn_error err = KN_ERROR_INIT;
    char *path = (char *)1;
    if (kni_local_kernels_find(NULL, value, repo_id, &path, &err)) fail_msg("%s", err.message);
    if (expected) {
        assert_non_null(path);
        assert_string_equal(path, expected);
    } else {
        assert_null(path);
    }
    kni_free(kni_alloc_or_default(NULL), path);
}

static void assert_refused(const char *value, const char *part) {
    kn_error err = KN_ERROR_INIT;
    char *path = (char *)1;
    assert_int_equal(kni_local_kernels_find(NULL, value, "org/a", &path, &err), KN_ERR_VALUE);
    assert_null(path);
    assert_contains(err.message, part);
    assert_contains(err.message, "expected LOCAL_KERNELS=org/name=path[:org/name=path...]");
}

static void test_a_repository_is_found_by_its_whole_id(void **state) {
    (void)state;
    assert_found("org/a=/k/a", "org/a", "/k/a");
    assert_found("org/a=/k/a:org/b=rel/b", "org/b", "rel/b");
    assert_found("org/a=/k/a:org/b=/k/b", "org/c", NULL);
    assert_found("org/a=/k/a", "org/", NULL);
    assert_found("org/a=/k/a", "org/ab", NULL);
    assert_found("org/a=/k/a", "Org/a", NULL);
    assert_found("org/a=/k/a", "", NULL);
}

static void test_a_path_may_hold_an_equals_sign(void **state) {
    (void)state;
    assert_found("org/a=/k/x=1/a", "org/a", "/k/x=1/a");
}

static void test_the_last_entry_wins(void **state) {
    (void)state;
    assert_found("org/a=/one:org/b=/b:org/a=/two", "org/a", "/two");
}

static void test_without_a_value_nothing_is_local(void **state) {
    (void)state;
    assert_found(NULL, "org/a", NULL);
    assert_found("", "org/a", NULL);
}

static void test_an_entry_without_equals_sign_is_refused_wherever_it_stands(void **state) {
    (void)state;
    assert_refused("org/a", "Invalid LOCAL_KERNELS entry: org/a.");
    assert_refused("org/a=/k/a:oops", "Invalid LOCAL_KERNELS entry: oops.");
    assert_refused("oops:org/a=/k/a", "Invalid LOCAL_KERNELS entry: oops.");
    assert_refused("org/a=/k/a:", "It has no '='");
    assert_refused(":", "It has no '='");
}

static void test_an_entry_without_repository_or_path_is_refused(void **state) {
    (void)state;
    assert_refused("=/k/a", "It has no repository");
    assert_refused("org/a=", "It has no path");
    assert_refused("org/b=:org/a=/k/a", "Invalid LOCAL_KERNELS entry: org/b=. It has no path");
}

static kn_status find_one(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    char *path;
    kn_status status = kni_local_kernels_find(alloc, "org/a=/k/a", "org/a", &path, err);
    kni_free(alloc, path);
    return status;
}

static void test_finding_without_memory_fails_cleanly(void **state) {
    (void)state;
    assert_int_equal(fault_sweep(find_one, NULL), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_repository_is_found_by_its_whole_id),
        cmocka_unit_test(test_a_path_may_hold_an_equals_sign),
        cmocka_unit_test(test_the_last_entry_wins),
        cmocka_unit_test(test_without_a_value_nothing_is_local),
        cmocka_unit_test(test_an_entry_without_equals_sign_is_refused_wherever_it_stands),
        cmocka_unit_test(test_an_entry_without_repository_or_path_is_refused),
        cmocka_unit_test(test_finding_without_memory_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
