/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/cache.h"
#include "support/failing_alloc.h"
#include "support/unit.h"

static void test_paths_are_those_of_huggingface_hub(void **state) {
    (void)state;
    kni_cache cache;
    assert_int_equal(
        kni_cache_open(NULL, "/c", "kernels", "org/my_name-1.0", "/user", &cache, NULL), KN_OK);
    assert_string_equal(cache.folder, "/c/kernels--org--my_name-1.0");
    assert_string_equal(cache.locks, "/c/.locks/kernels--org--my_name-1.0");
    assert_string_equal(cache.own, "/c/kernels--org--my_name-1.0/.kernels");
    assert_contains(cache.private, "/user/kernels--org--my_name-1.0-");
    kni_cache_close(&cache);
    kni_cache_close(&cache);

    assert_int_equal(kni_cache_open(NULL, "c/", "models", "gpt2", NULL, &cache, NULL), KN_OK);
    assert_string_equal(cache.folder, "c/models--gpt2");
    assert_null(cache.private);
    kni_cache_close(&cache);
}

static void test_what_is_no_repository_is_refused(void **state) {
    (void)state;
    static const char *const ids[] = {"",      "/",    "a/",     "/a",         "../a", "a/..",
                                      "a/b/c", "a--b", "a/-b",   "a/b.",       "a\\b", "a/b c",
                                      "a/b\n", "a/.b", "a/b..c", "a/\xC3\xA4", "~",    "a/b:c"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        kni_cache cache;
        kn_error err = KN_ERROR_INIT;
        assert_int_equal(kni_cache_open(NULL, "/c", "kernels", ids[i], "/u", &cache, &err),
                         KN_ERR_VALUE);
        assert_null(cache.folder);
        assert_contains(err.message, "is no repository");
        assert_null(strchr(err.message, '\n'));
        kni_cache_close(&cache);
    }
}

static void test_two_caches_of_one_user_do_not_share_what_is_private(void **state) {
    (void)state;
    kni_cache a, b;
    assert_int_equal(kni_cache_open(NULL, "/c", "kernels", "o/n", "/u", &a, NULL), KN_OK);
    assert_int_equal(kni_cache_open(NULL, "/d", "kernels", "o/n", "/u", &b, NULL), KN_OK);
    assert_string_not_equal(a.private, b.private);
    kni_cache_close(&a);
    kni_cache_close(&b);
}

static void test_snapshot_paths_stay_in_the_folder(void **state) {
    (void)state;
    static const char commit[] = "0123456789abcdef0123456789abcdef01234567";
    kni_cache cache;
    assert_int_equal(kni_cache_open(NULL, "/c", "kernels", "o/n", NULL, &cache, NULL), KN_OK);
    char *path = kni_cache_snapshot_path(&cache, commit, NULL);
    assert_string_equal(path,
                        "/c/kernels--o--n/snapshots/0123456789abcdef0123456789abcdef01234567");
    kni_free(cache.alloc, path);
    path = kni_cache_snapshot_path(&cache, commit, "build/a b/x.py");
    assert_string_equal(path, "/c/kernels--o--n/snapshots/0123456789abcdef0123456789abcdef01234567/"
                              "build/a b/x.py");
    kni_free(cache.alloc, path);
    assert_null(kni_cache_snapshot_path(&cache, commit, "../x"));
    assert_null(kni_cache_snapshot_path(&cache, commit, "/etc/passwd"));
    assert_null(kni_cache_snapshot_path(&cache, "main", NULL));
    assert_null(kni_cache_snapshot_path(&cache, "../0123456789abcdef0123456789abcdef01234", NULL));
    kni_cache_close(&cache);
}

static kn_status open_and_close(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    kni_cache cache;
    kn_status status = kni_cache_open(alloc, "/c", "kernels", "org/name", "/u", &cache, err);
    kni_cache_close(&cache);
    return status;
}

static void test_every_allocation_may_fail(void **state) {
    (void)state;
    assert_true(fault_sweep(open_and_close, NULL) >= 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_are_those_of_huggingface_hub),
        cmocka_unit_test(test_what_is_no_repository_is_refused),
        cmocka_unit_test(test_two_caches_of_one_user_do_not_share_what_is_private),
        cmocka_unit_test(test_snapshot_paths_stay_in_the_folder),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
