/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers of pthread_atfork(3) take no argument, so what they look at is static: the one
 * state of the library outside an engine. They are set up with the first engine or transport. */
#include "os/fork.h"

#include <unistd.h>

#include "base/alloc.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool is_watching;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static kni_fork_guard *guards;
static int *owned;
static size_t owned_count, owned_capacity;

static void before(void) {
    pthread_mutex_lock(&mutex);
    for (kni_fork_guard *guard = guards; guard; guard = guard->next)
        pthread_mutex_lock(guard->mutex);
}

static void after(void) {
    for (kni_fork_guard *guard = guards; guard; guard = guard->next)
        pthread_mutex_unlock(guard->mutex);
    pthread_mutex_unlock(&mutex);
}

static void after_in_child(void) {
    for (size_t i = 0; i < owned_count; i++) close(owned[i]);
    owned_count = 0;
    after();
}

static void watch(void) { is_watching = pthread_atfork(before, after, after_in_child) == 0; }

bool kni_fork_guard_add(kni_fork_guard *guard, pthread_mutex_t *guarded) {
    pthread_once(&once, watch);
    if (!is_watching) return false;
    pthread_mutex_lock(&mutex);
    *guard = (kni_fork_guard){guarded, guards, &guards};
    if (guards) guards->at = &guard->next;
    guards = guard;
    pthread_mutex_unlock(&mutex);
    return true;
}

void kni_fork_guard_remove(kni_fork_guard *guard) {
    pthread_mutex_lock(&mutex);
    *guard->at = guard->next;
    if (guard->next) guard->next->at = guard->at;
    pthread_mutex_unlock(&mutex);
}

void kni_fork_block(void) {
    pthread_once(&once, watch);
    pthread_mutex_lock(&mutex);
}

void kni_fork_unblock(void) { pthread_mutex_unlock(&mutex); }

bool kni_fork_own(int fd) {
    if (!is_watching || !kni_reserve(kni_alloc_or_default(NULL), &owned, &owned_capacity,
                                     owned_count + 1, sizeof *owned)) {
        return false;
    }
    owned[owned_count++] = fd;
    return true;
}

static size_t find(int fd) {
    size_t at = 0;
    while (at < owned_count && owned[at] != fd) at++;
    return at;
}

bool kni_fork_owns(int fd) {
    pthread_mutex_lock(&mutex);
    bool found = find(fd) < owned_count;
    pthread_mutex_unlock(&mutex);
    return found;
}

void kni_fork_close(int fd) {
    pthread_mutex_lock(&mutex);
    size_t at = find(fd);
    if (at < owned_count) {
        owned[at] = owned[--owned_count];
        close(fd);
    }
    pthread_mutex_unlock(&mutex);
}
