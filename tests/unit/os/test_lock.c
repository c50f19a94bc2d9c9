/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include "os/lock.h"
#include "support/failing_alloc.h"
#include "support/unit.h"

#define THREADS 4
#define ROUNDS 20000

typedef struct shared_numbers {
    kni_lock *lock;
    size_t guarded;
    kni_count count;
    size_t lasts; /* under the lock */
} shared_numbers;

static void *add_under_lock(void *ctx) {
    shared_numbers *shared = ctx;
    for (int i = 0; i < ROUNDS; i++) {
        kni_lock_take(shared->lock);
        shared->guarded++;
        kni_lock_drop(shared->lock);
    }
    return NULL;
}

static void *retain_and_release(void *ctx) {
    shared_numbers *shared = ctx;
    for (int i = 0; i < ROUNDS; i++) {
        kni_count_add(&shared->count);
        if (kni_count_drop(&shared->count)) return shared; /* the owner still holds one */
    }
    if (kni_count_drop(&shared->count)) {
        kni_lock_take(shared->lock);
        shared->lasts++;
        kni_lock_drop(shared->lock);
    }
    return NULL;
}

static void run_threads(void *(*function)(void *), shared_numbers *shared) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, function, shared), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
}

static void test_one_thread_at_a_time_holds_a_lock(void **state) {
    (void)state;
    shared_numbers shared = {.lock = kni_lock_new(NULL)};
    assert_non_null(shared.lock);
    run_threads(add_under_lock, &shared);
    assert_int_equal(shared.guarded, THREADS * ROUNDS);
    kni_lock_free(shared.lock);
}

static void test_a_lock_needs_memory_and_gives_it_back(void **state) {
    (void)state;
    failing_alloc failing;
    failing_alloc_init(&failing, 0);
    assert_null(kni_lock_new(&failing.alloc));
    failing_alloc_init(&failing, SIZE_MAX);
    kni_lock *lock = kni_lock_new(&failing.alloc);
    assert_int_equal(failing.live, 1);
    kni_lock_free(lock);
    assert_int_equal(failing.live, 0);
    kni_lock_free(NULL);
}

static void test_the_last_drop_is_told(void **state) {
    (void)state;
    kni_count count = {1};
    kni_count_add(&count);
    assert_int_equal(kni_count_get(&count), 2);
    assert_false(kni_count_drop(&count));
    assert_true(kni_count_drop(&count));
    assert_int_equal(kni_count_get(&count), 0);
}

static void test_of_many_threads_one_drops_last(void **state) {
    (void)state;
    shared_numbers shared = {.lock = kni_lock_new(NULL), .count = {THREADS}};
    run_threads(retain_and_release, &shared);
    assert_int_equal(shared.lasts, 1);
    assert_int_equal(kni_count_get(&shared.count), 0);
    kni_lock_free(shared.lock);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_thread_at_a_time_holds_a_lock),
        cmocka_unit_test(test_a_lock_needs_memory_and_gives_it_back),
        cmocka_unit_test(test_the_last_drop_is_told),
        cmocka_unit_test(test_of_many_threads_one_drops_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
