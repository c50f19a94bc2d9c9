/* SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "support/cache_fixture.h"
#include "support/unit.h"

static void make_snapshots(cache_fixture *fx) {
    scratch_directory(&fx->scratch, "cache/kernels--org--name/snapshots/" COMMIT_A);
    scratch_directory(&fx->scratch, "cache/kernels--org--name/snapshots/" COMMIT_B);
}

static void assert_ref(cache_fixture *fx, const char *name, const char *commit) {
    char out[KNI_CACHE_COMMIT_MAX] = "x";
    bool found = !commit;
    assert_int_equal(kni_cache_ref_read(&fx->cache, name, out, &found, NULL), KN_OK);
    assert_string_equal(out, commit ? commit : "");
    assert_int_equal(found, commit != NULL);
}

static void test_a_ref_is_written_as_huggingface_hub_does(void **state) {
    cache_fixture *fx = *state;
    make_snapshots(fx);
    assert_ref(fx, "main", NULL);
    assert_int_equal(kni_cache_ref_write(&fx->cache, "main", COMMIT_A, NULL), KN_OK);
    assert_int_equal(kni_cache_ref_write(&fx->cache, "refs/pr/1", COMMIT_B, NULL), KN_OK);
    assert_file(cache_file(fx, "refs/main"), COMMIT_A);
    assert_file(cache_file(fx, "refs/refs/pr/1"), COMMIT_B);
    assert_ref(fx, "main", COMMIT_A);
    assert_ref(fx, "refs/pr/1", COMMIT_B);
    assert_int_equal(kni_cache_ref_write(&fx->cache, "main", COMMIT_B, NULL), KN_OK);
    assert_ref(fx, "main", COMMIT_B);
}

static void test_a_ref_that_is_right_is_not_written_again(void **state) {
    cache_fixture *fx = *state;
    struct stat before, after;
    make_snapshots(fx);
    assert_int_equal(kni_cache_ref_write(&fx->cache, "main", COMMIT_A, NULL), KN_OK);
    assert_int_equal(stat(cache_file(fx, "refs/main"), &before), 0);
    assert_int_equal(kni_cache_ref_write(&fx->cache, "main", COMMIT_A, NULL), KN_OK);
    assert_int_equal(stat(cache_file(fx, "refs/main"), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
}

#define ALL_REFS                                                                                  \
    "{\"branches\": [\n  {\"name\": \"main\", \"targetCommit\": \"" COMMIT_A                      \
    "\"},\n  {\"name\": \"v1\", \"targetCommit\": \"" COMMIT_B "\"}], \"tags\": [\n  {\"name\": " \
    "\"v0.1.0\", \"targetCommit\": \"" COMMIT_B "\"}]}\n"

static void test_a_mirror_is_told_of_all_refs(void **state) {
    cache_fixture *fx = *state;
    make_snapshots(fx);
    assert_int_equal(kni_cache_ref_write(&fx->cache, "v1", COMMIT_B, NULL), KN_OK);
    assert_int_equal(kni_cache_ref_write(&fx->cache, "v0.1.0", COMMIT_B, NULL), KN_OK);
    assert_int_equal(kni_cache_ref_write(&fx->cache, "refs/pr/1", COMMIT_B, NULL), KN_OK);
    assert_int_equal(kni_cache_ref_write(&fx->cache, "main", COMMIT_A, NULL), KN_OK);
    assert_file(cache_file(fx, ".kernels/refs.json"), ALL_REFS);
    assert_int_equal(remove(cache_file(fx, ".kernels/refs.json")), 0);
    assert_int_equal(kni_cache_ref_write(&fx->cache, "main", COMMIT_A, NULL), KN_OK);
    assert_file(cache_file(fx, ".kernels/refs.json"), ALL_REFS);
}

static void test_a_ref_needs_its_snapshot(void **state) {
    cache_fixture *fx = *state;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_cache_ref_write(&fx->cache, "main", COMMIT_A, &err), KN_ERR_NOT_FOUND);
    assert_contains(err.message, COMMIT_A);
    assert_file(cache_file(fx, "refs/main"), NULL);
}

static void test_what_holds_no_commit_is_no_ref(void **state) {
    cache_fixture *fx = *state;
    char large[5000];
    memset(large, '\n', sizeof large);
    memcpy(large, COMMIT_A, 40);
    large[4999] = '\0';
    scratch_file(&fx->scratch, "cache/kernels--org--name/refs/line", COMMIT_A "\n");
    scratch_file(&fx->scratch, "cache/kernels--org--name/refs/empty", "");
    scratch_file(&fx->scratch, "cache/kernels--org--name/refs/short", "aaaa");
    scratch_file(&fx->scratch, "cache/kernels--org--name/refs/upper",
                 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    scratch_file(&fx->scratch, "cache/kernels--org--name/refs/path", "../../x");
    scratch_file(&fx->scratch, "cache/kernels--org--name/refs/large", large);
    scratch_directory(&fx->scratch, "cache/kernels--org--name/refs/folder");
    assert_ref(fx, "line", COMMIT_A);
    assert_ref(fx, "empty", NULL);
    assert_ref(fx, "short", NULL);
    assert_ref(fx, "upper", NULL);
    assert_ref(fx, "path", NULL);
    assert_ref(fx, "large", NULL);
    assert_ref(fx, "folder", NULL);
    assert_ref(fx, "line/below", NULL);
}

static void test_hostile_names_are_refused(void **state) {
    cache_fixture *fx = *state;
    static const char *const names[] = {"..", "../main", "/etc/passwd", "a/../../b",
                                        "",   "a//b",    "a\\b",        "a\nb"};
    make_snapshots(fx);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        kn_error err = KN_ERROR_INIT;
        char out[KNI_CACHE_COMMIT_MAX];
        bool found;
        assert_int_equal(kni_cache_ref_read(&fx->cache, names[i], out, &found, &err), KN_ERR_VALUE);
        assert_int_equal(kni_cache_ref_write(&fx->cache, names[i], COMMIT_A, &err), KN_ERR_VALUE);
        assert_contains(err.message, "branch or tag");
        assert_null(strchr(err.message, '\n'));
    }
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_cache_ref_write(&fx->cache, "main", "main", &err), KN_ERR_VALUE);
    assert_contains(err.message, "'main' is no commit");
    assert_int_equal(kni_cache_ref_write(&fx->cache, "main", "", &err), KN_ERR_VALUE);
}

static void test_all_refs_are_listed(void **state) {
    cache_fixture *fx = *state;
    char **names;
    size_t count;
    assert_int_equal(kni_cache_refs(&fx->cache, &names, &count, NULL), KN_OK);
    assert_int_equal(count, 0);
    kni_cache_names_free(&fx->cache, names, count);

    make_snapshots(fx);
    assert_int_equal(kni_cache_ref_write(&fx->cache, "v1.0.0", COMMIT_A, NULL), KN_OK);
    assert_int_equal(kni_cache_ref_write(&fx->cache, "refs/pr/1", COMMIT_A, NULL), KN_OK);
    assert_int_equal(kni_cache_ref_write(&fx->cache, "main", COMMIT_A, NULL), KN_OK);
    assert_int_equal(kni_cache_refs(&fx->cache, &names, &count, NULL), KN_OK);
    assert_int_equal(count, 3);
    assert_string_equal(names[0], "main");
    assert_string_equal(names[1], "refs/pr/1");
    assert_string_equal(names[2], "v1.0.0");
    kni_cache_names_free(&fx->cache, names, count);
}

static kn_status write_and_read(const kn_alloc *alloc, void *ctx, kn_error *err) {
    cache_fixture *fx = ctx;
    kni_cache cache = fx->cache;
    cache.alloc = alloc;
    char out[KNI_CACHE_COMMIT_MAX];
    bool found;
    char **names = NULL;
    size_t count = 0;
    kn_status status = kni_cache_ref_write(&cache, "a/b", COMMIT_A, err);
    if (!status) status = kni_cache_ref_write(&cache, "a/b", COMMIT_B, err);
    if (!status) status = kni_cache_ref_read(&cache, "a/b", out, &found, err);
    if (!status) status = kni_cache_refs(&cache, &names, &count, err);
    kni_cache_names_free(&cache, names, count);
    return status;
}

static void test_every_allocation_may_fail(void **state) {
    cache_fixture *fx = *state;
    make_snapshots(fx);
    assert_true(fault_sweep(write_and_read, fx) >= 15);
    assert_ref(fx, "a/b", COMMIT_B);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cache_test(test_a_ref_is_written_as_huggingface_hub_does),
        cache_test(test_a_ref_that_is_right_is_not_written_again),
        cache_test(test_a_mirror_is_told_of_all_refs),
        cache_test(test_a_ref_needs_its_snapshot),
        cache_test(test_what_holds_no_commit_is_no_ref),
        cache_test(test_hostile_names_are_refused),
        cache_test(test_all_refs_are_listed),
        cache_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
