/* SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cache_fixture.h"
#include "support/plain_digest.h"
#include "support/unit.h"

static const kni_content hello = {.oid = HELLO_GIT, .size = 12};

static bool take(cache_fixture *fx, const char *name, kni_cache_lock *lock) {
    bool taken;
    assert_int_equal(kni_cache_lock_try(&fx->cache, name, lock, &taken, NULL), KN_OK);
    assert_int_equal(taken, lock->fd >= 0);
    return taken;
}

static void test_a_lock_has_the_place_of_huggingface_hubs(void **state) {
    cache_fixture *fx = *state;
    kni_cache_lock first, second;
    assert_true(take(fx, HELLO_GIT, &first));
    assert_file(scratch_path(&fx->scratch, "cache/.locks/kernels--org--name/" HELLO_GIT ".lock"),
                "");
    assert_false(take(fx, HELLO_GIT, &second));
    kni_cache_lock_drop(&second);
    kni_cache_lock_drop(&first);
    assert_int_equal(first.fd, -1);
    assert_true(take(fx, HELLO_GIT, &second));
    kni_cache_lock_drop(&second);
    kni_cache_lock_drop(&second);
}

static void test_hostile_names_are_refused(void **state) {
    cache_fixture *fx = *state;
    char overlong[252];
    memset(overlong, 'a', sizeof overlong - 1);
    overlong[251] = '\0';
    const char *const names[] = {"", "..", "../x", "a/b", "/a", "a\nb", overlong};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        kn_error err = KN_ERROR_INIT;
        kni_cache_lock lock;
        bool taken;
        assert_int_equal(kni_cache_lock_try(&fx->cache, names[i], &lock, &taken, &err),
                         KN_ERR_VALUE);
        assert_int_equal(lock.fd, -1);
        assert_false(taken);
    }
}

static void test_where_no_lock_can_be_made_that_is_told(void **state) {
    cache_fixture *fx = *state;
    kn_error err = KN_ERROR_INIT;
    kni_cache_lock lock;
    bool taken;
    scratch_file(&fx->scratch, "cache/.locks", "");
    assert_int_equal(kni_cache_lock_try(&fx->cache, "a", &lock, &taken, &err), KN_ERR_OS);
    assert_contains(err.message, "a.lock");
}

/* Gets the blob as the engine does; returns whether it was this process that wrote it. */
static bool get_blob(cache_fixture *fx) {
    while (!kni_cache_blob_exists(&fx->cache, &hello)) {
        kni_cache_lock lock;
        bool taken;
        if (kni_cache_lock_try(&fx->cache, HELLO_GIT, &lock, &taken, NULL)) _exit(2);
        if (!taken) {
            usleep(1000);
            continue;
        }
        bool wanted = !kni_cache_blob_exists(&fx->cache, &hello);
        if (wanted) {
            kni_blob *blob;
            if (kni_blob_open(&fx->cache, plain_digests(), &hello, &blob, NULL)) _exit(3);
            for (int i = 0; i < 12; i++) {
                if (kni_blob_write(blob, &HELLO[i], 1, NULL)) _exit(4);
                usleep(500);
            }
            if (kni_blob_finish(blob, NULL)) _exit(5);
        }
        kni_cache_lock_drop(&lock);
        if (wanted) return true;
    }
    return false;
}

static void test_of_many_processes_one_writes(void **state) {
    cache_fixture *fx = *state;
    enum { processes = 16 };
    pid_t children[processes];
    int writers = 0;
    for (int i = 0; i < processes; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) _exit(get_blob(fx) ? 1 : 0);
    }
    for (int i = 0; i < processes; i++) {
        int result;
        assert_int_equal(waitpid(children[i], &result, 0), children[i]);
        assert_true(WIFEXITED(result) && WEXITSTATUS(result) <= 1);
        writers += WEXITSTATUS(result);
    }
    assert_int_equal(writers, 1);
    assert_file(cache_file(fx, "blobs/" HELLO_GIT), HELLO);
}

static void test_a_partial_file_that_grows_is_a_sign_of_life(void **state) {
    cache_fixture *fx = *state;
    const char *theirs = "cache/kernels--org--name/blobs/" HELLO_GIT ".0123abcd.incomplete";
    assert_true(kni_cache_blob_life(&fx->cache, HELLO_GIT) == 0);
    scratch_file(&fx->scratch, "cache/kernels--org--name/blobs/" HELLO_GIT, HELLO);
    scratch_file(&fx->scratch, "cache/kernels--org--name/blobs/incomplete", "");
    assert_true(kni_cache_blob_life(&fx->cache, NULL) == 0);

    scratch_file(&fx->scratch, theirs, "");
    uint64_t before = kni_cache_blob_life(&fx->cache, HELLO_GIT);
    assert_true(before != 0 && before == kni_cache_blob_life(&fx->cache, HELLO_GIT));
    scratch_file(&fx->scratch, theirs, "hello");
    uint64_t after = kni_cache_blob_life(&fx->cache, HELLO_GIT);
    assert_true(after != before && after == kni_cache_blob_life(&fx->cache, NULL));
    assert_true(kni_cache_blob_life(&fx->cache, HELLO_SHA256) == 0);

    scratch_file(&fx->scratch, "cache/kernels--org--name/blobs/" HELLO_SHA256 ".incomplete", "h");
    assert_true(kni_cache_blob_life(&fx->cache, HELLO_SHA256) != 0);
    assert_true(kni_cache_blob_life(&fx->cache, HELLO_GIT) == after);
}

static kn_status take_and_drop(const kn_alloc *alloc, void *ctx, kn_error *err) {
    cache_fixture *fx = ctx;
    kni_cache cache = fx->cache;
    cache.alloc = alloc;
    kni_cache_lock lock;
    bool taken;
    kn_status status = kni_cache_lock_try(&cache, "a", &lock, &taken, err);
    kni_cache_lock_drop(&lock);
    return status;
}

static void test_every_allocation_may_fail(void **state) {
    assert_true(fault_sweep(take_and_drop, *state) >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cache_test(test_a_lock_has_the_place_of_huggingface_hubs),
        cache_test(test_hostile_names_are_refused),
        cache_test(test_where_no_lock_can_be_made_that_is_told),
        cache_test(test_of_many_processes_one_writes),
        cache_test(test_a_partial_file_that_grows_is_a_sign_of_life),
        cache_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
