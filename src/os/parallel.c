/* SPDX-License-Identifier: Apache-2.0 */
#include "os/parallel.h"

#include <pthread.h>
#include <signal.h>

typedef struct work {
    size_t count, next; /* `next` is taken atomically */
    void (*each)(void *ctx, size_t index);
    void *ctx;
} work;

static void *run(void *arg) {
    work *w = arg;
    for (;;) {
        size_t index = __atomic_fetch_add(&w->next, 1, __ATOMIC_RELAXED);
        if (index >= w->count) return NULL;
        w->each(w->ctx, index);
    }
}

void kni_parallel(size_t count, void (*each)(void *ctx, size_t index), void *ctx) {
    work w = {.count = count, .each = each, .ctx = ctx};
    pthread_t threads[KNI_PARALLEL_MAX - 1];
    size_t started = 0, wanted = count < KNI_PARALLEL_MAX ? count : KNI_PARALLEL_MAX;
    /* Signals are for the caller's threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (started + 1 < wanted && pthread_create(&threads[started], NULL, run, &w) == 0) started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    run(&w);
    for (size_t i = 0; i < started; i++) pthread_join(threads[i], NULL);
}
