/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L

#include "os/follow.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "os/clock.h"

#define BLOCKS 4 /* one with the writer, the others full */

struct kni_follower {
    const kn_alloc *alloc;
    int fd;
    kni_follow take;
    void *ctx;
    char *blocks; /* a ring of BLOCKS; while the thread reads from the file it uses the second */
    pthread_t thread;
    int64_t process; /* where the thread is: a child that is forked has none */
    pthread_mutex_t mutex;
    pthread_cond_t changed;

    /* under the mutex */
    int64_t length;         /* of the file, as long as it is read */
    bool caught_up;         /* it is read no more: blocks are handed over */
    uint64_t passed, taken; /* blocks */
    size_t sizes[BLOCKS];
    bool ended;   /* nothing is passed any more */
    bool stopped; /* the rest is not wanted */

    bool failed; /* the thread's own until it is joined */
};

static char *block_at(const kni_follower *follower, uint64_t number) {
    return follower->blocks + number % BLOCKS * KNI_FOLLOW_BLOCK;
}

/* Takes one piece of the file; how many bytes that were, or -1. */
static int64_t take_piece(kni_follower *follower, int64_t done, int64_t end) {
    size_t left = (size_t)(end - done), wanted = left < KNI_FOLLOW_BLOCK ? left : KNI_FOLLOW_BLOCK;
    char *buffer = block_at(follower, 1);
    ssize_t got;
    do {
        got = pread(follower->fd, buffer, wanted, done);
    } while (got < 0 && errno == EINTR);
    /* No byte where some were told of: another process has cut the file. */
    if (got <= 0) return -1;
    return follower->take(follower->ctx, buffer, (size_t)got) ? got : -1;
}

/* Takes the file until there is no more of it. Under the mutex, which is given up meanwhile, as in
 * the next function. */
static void follow_file(kni_follower *follower) {
    int64_t done = 0;
    while (done < follower->length && !follower->stopped && !follower->failed) {
        int64_t end = follower->length;
        pthread_mutex_unlock(&follower->mutex);
        int64_t got = take_piece(follower, done, end);
        pthread_mutex_lock(&follower->mutex);
        if (got < 0)
            follower->failed = true;
        else
            done += got;
    }
    follower->caught_up = true;
}

/* Blocks are given back after a failure, too: the writer goes on. */
static void follow_blocks(kni_follower *follower) {
    while (!follower->stopped) {
        if (follower->taken == follower->passed) {
            if (follower->ended) return;
            pthread_cond_wait(&follower->changed, &follower->mutex);
            continue;
        }
        size_t size = follower->sizes[follower->taken % BLOCKS];
        pthread_mutex_unlock(&follower->mutex);
        const char *block = block_at(follower, follower->taken); /* only this thread changes it */
        if (!follower->failed) follower->failed = !follower->take(follower->ctx, block, size);
        pthread_mutex_lock(&follower->mutex);
        follower->taken++;
        pthread_cond_signal(&follower->changed);
    }
}

static void *follow(void *ctx) {
    kni_follower *follower = ctx;
    pthread_mutex_lock(&follower->mutex);
    follow_file(follower);
    follow_blocks(follower);
    pthread_mutex_unlock(&follower->mutex);
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
    kni_free(follower->alloc, follower->blocks);
    kni_free(follower->alloc, follower);
}

kni_follower *kni_follower_start(const kn_alloc *alloc, int fd, int64_t length, kni_follow take,
                                 void *ctx) {
    alloc = kni_alloc_or_default(alloc);
    kni_follower *follower = kni_new(alloc, sizeof *follower);
    if (!follower) return NULL;
    follower->alloc = alloc;
    follower->fd = fd;
    follower->process = kni_process_id();
    follower->length = length;
    follower->caught_up = length == 0;
    follower->take = take;
    follower->ctx = ctx;
    follower->blocks = alloc->resize(alloc->ctx, NULL, BLOCKS * KNI_FOLLOW_BLOCK);
    pthread_mutex_init(&follower->mutex, NULL); /* neither can fail with default attributes */
    pthread_cond_init(&follower->changed, NULL);
    if (follower->blocks && start_thread(follower)) return follower;
    follower_free(follower);
    return NULL;
}

bool kni_follower_is_here(const kni_follower *follower) {
    return follower->process == kni_process_id();
}

char *kni_follower_block(const kni_follower *follower) {
    return block_at(follower, follower->passed); /* only this thread changes it */
}

void kni_follower_pass(kni_follower *follower, size_t length) {
    if (!length) return;
    pthread_mutex_lock(&follower->mutex);
    if (!follower->caught_up) {
        follower->length += (int64_t)length;
    } else {
        follower->sizes[follower->passed++ % BLOCKS] = length;
        pthread_cond_signal(&follower->changed);
        while (follower->passed - follower->taken == BLOCKS) {
            pthread_cond_wait(&follower->changed, &follower->mutex);
        }
    }
    pthread_mutex_unlock(&follower->mutex);
}

/* Lets the thread come to its end, and frees all; whether it took everything. */
static bool end(kni_follower *follower, bool stop) {
    pthread_mutex_lock(&follower->mutex);
    follower->ended = true;
    follower->stopped = stop;
    pthread_cond_signal(&follower->changed);
    pthread_mutex_unlock(&follower->mutex);
    pthread_join(follower->thread, NULL);
    bool good = !follower->failed;
    follower_free(follower);
    return good;
}

bool kni_follower_finish(kni_follower *follower) { return end(follower, false); }

void kni_follower_stop(kni_follower *follower) {
    if (follower && kni_follower_is_here(follower)) end(follower, true);
}
