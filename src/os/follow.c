/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L

#include "os/follow.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "os/clock.h"

#define BUFFER_BYTES ((size_t)256 << 10)
#define WAKE_BYTES ((int64_t)1 << 20) /* it is woken for no less before the end */

struct kni_follower {
    const kn_alloc *alloc;
    int fd;
    kni_follow take;
    void *ctx;
    char *buffer;
    pthread_t thread;
    int64_t process; /* where the thread is: a child that is forked has none */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int64_t told; /* the writer's own: what it said last */

    /* under the mutex */
    int64_t length;
    bool ended;   /* `length` is final */
    bool stopped; /* the rest is not wanted */

    bool failed; /* the thread's own until it is joined */
};

/* Waits for bytes behind `done`; how far there are some, or -1 when nothing is left to do. */
static int64_t wait_for_more(kni_follower *follower, int64_t done) {
    pthread_mutex_lock(&follower->mutex);
    while (!follower->stopped && !follower->ended && follower->length <= done) {
        pthread_cond_wait(&follower->changed, &follower->mutex);
    }
    int64_t end = follower->stopped || follower->length <= done ? -1 : follower->length;
    pthread_mutex_unlock(&follower->mutex);
    return end;
}

/* Takes one piece; how many bytes that were, or -1. */
static int64_t take_piece(kni_follower *follower, int64_t done, int64_t end) {
    size_t wanted = end - done < (int64_t)BUFFER_BYTES ? (size_t)(end - done) : BUFFER_BYTES;
    ssize_t got;
    do {
        got = pread(follower->fd, follower->buffer, wanted, done);
    } while (got < 0 && errno == EINTR);
    /* No byte where some were told of: another process has cut the file. */
    if (got <= 0) return -1;
    return follower->take(follower->ctx, follower->buffer, (size_t)got) ? got : -1;
}

static void *follow(void *ctx) {
    kni_follower *follower = ctx;
    int64_t done = 0, end;
    while (!follower->failed && (end = wait_for_more(follower, done)) >= 0) {
        int64_t got = take_piece(follower, done, end);
        if (got < 0)
            follower->failed = true;
        else
            done += got;
    }
    return NULL;
}

/* Signals are for the program's own threads. */
static bool start_thread(kni_follower *follower) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&follower->thread, NULL, follow, follower) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static void follower_free(kni_follower *follower) {
    pthread_cond_destroy(&follower->changed);
    pthread_mutex_destroy(&follower->mutex);
    kni_free(follower->alloc, follower->buffer);
    kni_free(follower->alloc, follower);
}

kni_follower *kni_follower_start(const kn_alloc *alloc, int fd, kni_follow take, void *ctx) {
    alloc = kni_alloc_or_default(alloc);
    kni_follower *follower = kni_new(alloc, sizeof *follower);
    if (!follower) return NULL;
    follower->alloc = alloc;
    follower->fd = fd;
    follower->process = kni_process_id();
    follower->take = take;
    follower->ctx = ctx;
    follower->buffer = alloc->resize(alloc->ctx, NULL, BUFFER_BYTES);
    pthread_mutex_init(&follower->mutex, NULL); /* neither can fail with default attributes */
    pthread_cond_init(&follower->changed, NULL);
    if (follower->buffer && start_thread(follower)) return follower;
    follower_free(follower);
    return NULL;
}

static void change(kni_follower *follower, int64_t length, bool ended, bool stopped) {
    pthread_mutex_lock(&follower->mutex);
    follower->length = length;
    follower->ended = ended;
    follower->stopped = stopped;
    pthread_cond_signal(&follower->changed);
    pthread_mutex_unlock(&follower->mutex);
}

void kni_follower_reach(kni_follower *follower, int64_t length) {
    follower->told = length;
    /* `length` is written by this thread only. */
    if (length - follower->length >= WAKE_BYTES) change(follower, length, false, false);
}

bool kni_follower_finish(kni_follower *follower) {
    change(follower, follower->told, true, false);
    pthread_join(follower->thread, NULL);
    bool good = !follower->failed;
    follower_free(follower);
    return good;
}

void kni_follower_stop(kni_follower *follower) {
    if (!follower || follower->process != kni_process_id()) return;
    change(follower, follower->told, true, true);
    pthread_join(follower->thread, NULL);
    follower_free(follower);
}
