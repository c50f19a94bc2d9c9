/* SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/cache_fixture.h"
#include "support/unit.h"

static const kni_content hello = {.oid = HELLO_GIT, .size = 12};

/* A file system without links is one on which this call fails: the test's own stands before libc's.
 */
static int link_error;

int symlinkat(const char *target, int folder, const char *name);
int symlinkat(const char *target, int folder, const char *name) {
    if (link_error) {
        errno = link_error;
        return -1;
    }
    char path[64 + SCRATCH_PATH_MAX];
    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", folder, name);
    return symlink(target, path);
}

static kn_status add(cache_fixture *fx, const char *path, kn_error *err) {
    return kni_cache_snapshot_add(&fx->cache, COMMIT_A, path, &hello, err);
}

static void put_hello(cache_fixture *fx) {
    assert_int_equal(put_blob(&fx->cache, &hello, HELLO, 12, NULL), KN_OK);
}

static void assert_link(const char *path, const char *expected) {
    char text[1024] = "";
    assert_true(readlink(path, text, sizeof text - 1) > 0);
    assert_string_equal(text, expected);
}

static void test_a_file_is_a_relative_link_to_its_blob(void **state) {
    cache_fixture *fx = *state;
    put_hello(fx);
    assert_int_equal(add(fx, "top", NULL), KN_OK);
    assert_int_equal(add(fx, "build/v/x.py", NULL), KN_OK);
    assert_link(cache_file(fx, "snapshots/" COMMIT_A "/top"), "../../blobs/" HELLO_GIT);
    assert_link(cache_file(fx, "snapshots/" COMMIT_A "/build/v/x.py"),
                "../../../../blobs/" HELLO_GIT);
    assert_file(cache_file(fx, "snapshots/" COMMIT_A "/build/v/x.py"), HELLO);
}

static void test_one_that_is_right_stays(void **state) {
    cache_fixture *fx = *state;
    struct stat before, after;
    put_hello(fx);
    assert_int_equal(add(fx, "a", NULL), KN_OK);
    assert_int_equal(lstat(cache_file(fx, "snapshots/" COMMIT_A "/a"), &before), 0);
    assert_int_equal(add(fx, "a", NULL), KN_OK);
    assert_int_equal(lstat(cache_file(fx, "snapshots/" COMMIT_A "/a"), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
}

static void test_what_is_wrong_is_replaced(void **state) {
    cache_fixture *fx = *state;
    put_hello(fx);
    scratch_file(&fx->scratch, "cache/kernels--org--name/snapshots/" COMMIT_A "/file",
                 "something els");
    scratch_link(&fx->scratch, "cache/kernels--org--name/snapshots/" COMMIT_A "/link",
                 "/etc/passwd");
    scratch_directory(&fx->scratch, "cache/kernels--org--name/snapshots/" COMMIT_A "/folder");
    assert_int_equal(add(fx, "file", NULL), KN_OK);
    assert_int_equal(add(fx, "link", NULL), KN_OK);
    assert_link(cache_file(fx, "snapshots/" COMMIT_A "/file"), "../../blobs/" HELLO_GIT);
    assert_link(cache_file(fx, "snapshots/" COMMIT_A "/link"), "../../blobs/" HELLO_GIT);
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(add(fx, "folder", &err), KN_ERR_OS);
    assert_contains(err.message, COMMIT_A "/folder");
}

static void test_there_is_no_link_without_content(void **state) {
    cache_fixture *fx = *state;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(add(fx, "a", &err), KN_ERR_NOT_FOUND);
    assert_contains(err.message, HELLO_GIT " is not in the cache");
    assert_file(cache_file(fx, "snapshots"), NULL);
}

static void test_linked_folders_are_not_followed(void **state) {
    cache_fixture *fx = *state;
    put_hello(fx);
    scratch_directory(&fx->scratch, "outside");
    scratch_link(&fx->scratch, "cache/kernels--org--name/snapshots/" COMMIT_A "/build",
                 "../../../../outside");
    scratch_link(&fx->scratch, "cache/kernels--org--name/snapshots/" COMMIT_B, "../../../outside");
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(add(fx, "build/x", &err), KN_ERR_OS);
    assert_int_equal(kni_cache_snapshot_add(&fx->cache, COMMIT_B, "x", &hello, &err), KN_ERR_OS);
    assert_file(scratch_path(&fx->scratch, "outside/x"), NULL);
}

static void test_hostile_names_are_refused(void **state) {
    cache_fixture *fx = *state;
    static const char *const names[] = {"../x", "/etc/x", "a/../../x", "",   ".",      "a//b",
                                        "a\\b", "a\nb",   "a/",        "..", "\x1b[2J"};
    put_hello(fx);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        kn_error err = KN_ERROR_INIT;
        assert_int_equal(add(fx, names[i], &err), KN_ERR_VALUE);
        assert_null(strpbrk(err.message, "\n\x1b"));
    }
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_cache_snapshot_add(&fx->cache, "../x", "a", &hello, &err), KN_ERR_VALUE);
    const kni_content bad = {.oid = "../../x", .size = 12};
    assert_int_equal(kni_cache_snapshot_add(&fx->cache, COMMIT_A, "a", &bad, &err), KN_ERR_VALUE);
    assert_file(cache_file(fx, "snapshots"), NULL);
}

static void test_without_links_files_are_copied(void **state) {
    cache_fixture *fx = *state;
    static const int errors[] = {EPERM, EOPNOTSUPP, ENOSYS};
    struct stat about;
    put_hello(fx);
    for (size_t i = 0; i < 3; i++) {
        link_error = errors[i];
        assert_int_equal(add(fx, "build/x", NULL), KN_OK);
        link_error = 0;
        const char *path = cache_file(fx, "snapshots/" COMMIT_A "/build/x");
        assert_int_equal(lstat(path, &about), 0);
        assert_true(S_ISREG(about.st_mode));
        assert_file(path, HELLO);
        assert_int_equal(unlink(path), 0);
    }
    link_error = EACCES;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(add(fx, "build/x", &err), KN_ERR_OS);
    link_error = 0;
    assert_contains(err.message, "you may write to");
}

/* As huggingface_hub leaves it where there are no links. */
static void test_files_are_copied_where_links_are_not_wanted(void **state) {
    cache_fixture *fx = *state;
    put_hello(fx);
    fx->cache.no_links = true;
    assert_int_equal(add(fx, "a", NULL), KN_OK);
    assert_file(cache_file(fx, "snapshots/" COMMIT_A "/a"), HELLO);
    char target[64];
    assert_true(readlink(cache_file(fx, "snapshots/" COMMIT_A "/a"), target, sizeof target) < 0);
}

static void test_a_file_without_a_blob_is_enough(void **state) {
    cache_fixture *fx = *state;
    scratch_file(&fx->scratch, "cache/kernels--org--name/snapshots/" COMMIT_A "/a", HELLO);
    assert_int_equal(add(fx, "a", NULL), KN_OK);
    assert_file(cache_file(fx, "snapshots/" COMMIT_A "/a"), HELLO);
    scratch_file(&fx->scratch, "cache/kernels--org--name/snapshots/" COMMIT_A "/a", "short");
    assert_int_equal(add(fx, "a", NULL), KN_ERR_NOT_FOUND);
}

static kn_status add_with(const kn_alloc *alloc, void *ctx, kn_error *err) {
    cache_fixture *fx = ctx;
    kni_cache cache = fx->cache;
    cache.alloc = alloc;
    put_hello(fx);
    unlink(cache_file(fx, "snapshots/" COMMIT_A "/a/b"));
    return kni_cache_snapshot_add(&cache, COMMIT_A, "a/b", &hello, err);
}

static void test_every_allocation_may_fail(void **state) {
    cache_fixture *fx = *state;
    size_t with_links = fault_sweep(add_with, fx);
    assert_true(with_links >= 2);
    link_error = EPERM;
    assert_true(fault_sweep(add_with, fx) > with_links);
    link_error = 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cache_test(test_a_file_is_a_relative_link_to_its_blob),
        cache_test(test_one_that_is_right_stays),
        cache_test(test_what_is_wrong_is_replaced),
        cache_test(test_there_is_no_link_without_content),
        cache_test(test_linked_folders_are_not_followed),
        cache_test(test_hostile_names_are_refused),
        cache_test(test_without_links_files_are_copied),
        cache_test(test_files_are_copied_where_links_are_not_wanted),
        cache_test(test_a_file_without_a_blob_is_enough),
        cache_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
