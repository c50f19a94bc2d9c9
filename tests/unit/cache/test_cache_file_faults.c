/* SPDX-License-Identifier: Apache-2.0 */
/* Every file call of the cache fails once, in every way that file systems have. The program's own
 * functions stand before libc's, so that what is tested calls these. */
#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/cache_fixture.h"
#include "support/plain_digest.h"
#include "support/unit.h"

#define VARIANT "torch-cpu"

static long calls, fail_at = -1; /* -1: none fails, and none is counted */
static int fail_with;
static bool failed;

static bool fails(void) {
    if (fail_at < 0 || calls++ != fail_at) return false;
    failed = true;
    errno = fail_with;
    return true;
}

static long result_of(bool refused, long result) { return refused ? -1 : result; }

#define FAULTY(type, name, parameters, number, ...)                  \
    type name parameters;                                            \
    type name parameters {                                           \
        if (fails()) return (type)result_of(true, 0);                \
        return (type)result_of(false, syscall(number, __VA_ARGS__)); \
    }

FAULTY(ssize_t, write, (int fd, const void *bytes, size_t length), SYS_write, fd, bytes, length)
FAULTY(ssize_t, pwrite, (int fd, const void *bytes, size_t length, off_t at), SYS_pwrite64, fd,
       bytes, length, at)
FAULTY(ssize_t, read, (int fd, void *bytes, size_t length), SYS_read, fd, bytes, length)
FAULTY(int, fsync, (int fd), SYS_fsync, fd)
FAULTY(int, ftruncate, (int fd, off_t length), SYS_ftruncate, fd, length)
FAULTY(int, renameat, (int from, const char *a, int to, const char *b), SYS_renameat, from, a, to,
       b)
FAULTY(int, mkdirat, (int folder, const char *name, mode_t mode), SYS_mkdirat, folder, name, mode)
FAULTY(int, unlinkat, (int folder, const char *name, int flags), SYS_unlinkat, folder, name, flags)
FAULTY(int, symlinkat, (const char *target, int folder, const char *name), SYS_symlinkat, target,
       folder, name)
FAULTY(int, flock, (int fd, int operation), SYS_flock, fd, operation)

int openat(int folder, const char *name, int flags, ...);
int openat(int folder, const char *name, int flags, ...) {
    if (fails()) return -1;
    return (int)syscall(SYS_openat, folder, name, flags, 0666);
}

/* A file of the Hub fetched, linked, recorded, checked; the first failure. */
static kn_status use_cache(const kni_cache *cache, kn_error *err) {
    const kni_content content = {.oid = HELLO_GIT, .size = 12};
    kni_checked file = {.path = "build/x", .content = content};
    kni_resolution resolution = {.commit = COMMIT_A, .time = 7};
    kni_cache_lock lock;
    bool taken;
    kn_status status = kni_cache_lock_try(cache, HELLO_GIT, &lock, &taken, err);
    if (!status && !kni_cache_blob_exists(cache, &content)) {
        status = put_blob(cache, &content, HELLO, 12, err);
    }
    kni_cache_lock_drop(&lock);
    if (!status) status = kni_cache_snapshot_add(cache, COMMIT_A, "build/x", &content, err);
    if (!status) status = kni_cache_receipt_write(cache, COMMIT_A, VARIANT, &file, 1, err);
    if (!status) {
        status = kni_cache_check(cache, COMMIT_A, VARIANT, &file, 1, true, give_digests, NULL, err);
    }
    if (!status) status = kni_cache_ref_write(cache, "a/b", COMMIT_A, err);
    if (!status) status = kni_cache_resolution_write(cache, "version:1", &resolution, err);
    if (!status) status = kni_cache_document_write(cache, "trust.json", "{}", 2, err);
    return status;
}

/* Whatever has a true name is whole. */
static void assert_nothing_is_half_done(cache_fixture *fx) {
    char commit[KNI_CACHE_COMMIT_MAX], **names;
    size_t count, length;
    const kni_content content = {.oid = HELLO_GIT, .size = 12};
    kni_checked file = {.path = "build/x", .content = content};
    assert_int_equal(
        kni_cache_check(&fx->cache, COMMIT_A, VARIANT, &file, 1, true, give_digests, NULL, NULL),
        KN_OK);
    assert_int_not_equal(file.found, KNI_FILE_DAMAGED);
    bool found;
    assert_int_equal(kni_cache_ref_read(&fx->cache, "a/b", commit, &found, NULL), KN_OK);
    if (found) assert_string_equal(commit, COMMIT_A);
    assert_int_equal(kni_cache_refs(&fx->cache, &names, &count, NULL), KN_OK);
    assert_int_equal(count, found ? 1 : 0);
    kni_cache_names_free(&fx->cache, names, count);
    char *bytes;
    assert_int_equal(kni_cache_document_read(&fx->cache, "trust.json", 9, &bytes, &length, NULL),
                     KN_OK);
    if (bytes) assert_string_equal(bytes, "{}");
    kni_free(fx->cache.alloc, bytes);
}

static size_t open_files(void) {
    size_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    while (readdir(directory)) count++;
    closedir(directory);
    return count;
}

/* One sweep with one error, each run in a cache of its own; returns how many calls there were. */
static long sweep(int error, bool with_private) {
    for (long n = 0;; n++) {
        void *state;
        cache_fixture_setup(&state);
        cache_fixture *fx = state;
        char *private = fx->cache.private;
        if (!with_private) fx->cache.private = NULL;
        size_t before = open_files();
        kn_error err = KN_ERROR_INIT;
        calls = 0;
        failed = false;
        fail_with = error;
        fail_at = n;
        kn_status status = use_cache(&fx->cache, &err);
        fail_at = -1;
        assert_int_equal(open_files(), before);
        if (status) {
            assert_true(failed);
            assert_int_equal(err.status, status);
            assert_true(err.message[0] != '\0');
        }
        assert_nothing_is_half_done(fx);
        assert_int_equal(use_cache(&fx->cache, NULL), KN_OK); /* it heals by itself */
        assert_nothing_is_half_done(fx);
        assert_file(cache_file(fx, "snapshots/" COMMIT_A "/build/x"), HELLO);
        fx->cache.private = private;
        cache_fixture_teardown(&state);
        if (!failed) return n;
    }
}

static void test_every_file_call_may_fail(void **state) {
    (void)state;
    static const int errors[] = {EIO, ENOSPC, EACCES, EROFS, EPERM, ENOTDIR};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        assert_true(sweep(errors[i], false) > 50);
        assert_true(sweep(errors[i], true) > 50);
    }
}

static void test_an_interrupted_call_is_made_again(void **state) {
    cache_fixture *fx = *state;
    static const kni_content content = {.oid = HELLO_GIT, .size = 12};
    kni_blob *blob;
    assert_int_equal(kni_blob_open(&fx->cache, plain_digests(), &content, &blob, NULL), KN_OK);
    fail_with = EINTR;
    calls = fail_at = 0;
    assert_int_equal(kni_blob_write(blob, HELLO, 12, NULL), KN_OK);
    fail_at = -1;
    assert_int_equal(kni_blob_finish(blob, NULL), KN_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_file_call_may_fail),
        cache_test(test_an_interrupted_call_is_made_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
