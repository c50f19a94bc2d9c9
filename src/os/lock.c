/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L

#include "os/lock.h"

#ifndef __linux__
#error \
    "libkernels runs on Linux only: port src/os/ (files, locks) before building it for another system"
#endif

#include <assert.h>

#include "os/fork.h"

struct kni_lock {
    const kn_alloc *alloc;
    pthread_mutex_t mutex;
    kni_fork_guard guard;
};

kni_lock *kni_lock_new(const kn_alloc *alloc) {
    alloc = kni_alloc_or_default(alloc);
    kni_lock *lock = kni_new(alloc, sizeof *lock);
    if (!lock) return NULL;
    lock->alloc = alloc;
    if (pthread_mutex_init(&lock->mutex, NULL)) {
        kni_free(alloc, lock);
        return NULL;
    }
    if (!kni_fork_guard_add(&lock->guard, &lock->mutex)) {
        pthread_mutex_destroy(&lock->mutex);
        kni_free(alloc, lock);
        return NULL;
    }
    return lock;
}

void kni_lock_free(kni_lock *lock) {
    if (!lock) return;
    kni_fork_guard_remove(&lock->guard);
    pthread_mutex_destroy(&lock->mutex);
    kni_free(lock->alloc, lock);
}

void kni_lock_take(kni_lock *lock) {
    int failed = pthread_mutex_lock(&lock->mutex);
    assert(!failed);
    (void)failed;
}

void kni_lock_drop(kni_lock *lock) {
    int failed = pthread_mutex_unlock(&lock->mutex);
    assert(!failed);
    (void)failed;
}

size_t kni_count_get(const kni_count *count) {
    return __atomic_load_n(&count->value, __ATOMIC_ACQUIRE);
}

void kni_count_add(kni_count *count) { __atomic_add_fetch(&count->value, 1, __ATOMIC_RELAXED); }

/* Release: what this thread did with the object is done; acquire: the last one sees what all did.
 */
bool kni_count_drop(kni_count *count) {
    return __atomic_sub_fetch(&count->value, 1, __ATOMIC_ACQ_REL) == 0;
}

bool kni_flag_is_set(const kni_flag *flag) {
    return __atomic_load_n(&flag->value, __ATOMIC_ACQUIRE);
}

void kni_flag_set(kni_flag *flag, bool value) {
    __atomic_store_n(&flag->value, value, __ATOMIC_RELEASE);
}
