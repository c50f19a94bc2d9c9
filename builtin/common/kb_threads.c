/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* sched_getaffinity */
/*
 * Threads for a library that nobody gives any. They are started with the first work that is large
 * enough, wait between works, and end with the process. One caller at a time has them: what
 * another one calls meanwhile runs in its own thread, so that a host which divides its work itself
 * does not get more threads than it has. The results do not depend on any of this.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#include "kb_parallel.h"

enum { MOST_THREADS = 256 };

typedef struct pool {
    pthread_mutex_t owner; /* whose work it is */
    pthread_mutex_t lock;  /* of what follows */
    pthread_cond_t begun, ended;
    int wanted;      /* threads, with the caller's; 0: not known yet */
    int workers;     /* that were started */
    int active;      /* that are in the work */
    bool open;       /* whether workers may enter the work */
    uint64_t number; /* of the work */
    kb_range_kernel kernel;
    void *context;
    int64_t count, grain;
    int64_t next; /* atomic: where the next range begins */
} pool;

static const pool at_first = {.owner = PTHREAD_MUTEX_INITIALIZER,
                              .lock = PTHREAD_MUTEX_INITIALIZER,
                              .begun = PTHREAD_COND_INITIALIZER,
                              .ended = PTHREAD_COND_INITIALIZER};

static pool threads = {.owner = PTHREAD_MUTEX_INITIALIZER,
                       .lock = PTHREAD_MUTEX_INITIALIZER,
                       .begun = PTHREAD_COND_INITIALIZER,
                       .ended = PTHREAD_COND_INITIALIZER};

/* The processors of this process, or what KERNELS_NUM_THREADS says: 1 to 256. */
static int wanted_threads(void) {
    const char *given = getenv("KERNELS_NUM_THREADS");
    char *end = NULL;
    long wanted = given && *given ? strtol(given, &end, 10) : 0;
    cpu_set_t processors;
    if (wanted < 1 || *end) {
        if (sched_getaffinity(0, sizeof processors, &processors)) return 1;
        wanted = CPU_COUNT(&processors);
    }
    return wanted < MOST_THREADS ? (int)wanted : MOST_THREADS;
}

static void take_ranges(pool *p) {
    for (;;) {
        int64_t begin = __atomic_fetch_add(&p->next, p->grain, __ATOMIC_RELAXED);
        if (begin >= p->count) return;
        p->kernel(begin, p->count - begin < p->grain ? p->count : begin + p->grain, p->context);
    }
}

static void *worker(void *argument) {
    pool *p = argument;
    uint64_t seen = 0;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->open || p->number == seen) pthread_cond_wait(&p->begun, &p->lock);
        seen = p->number;
        p->active++;
        pthread_mutex_unlock(&p->lock);
        take_ranges(p);
        pthread_mutex_lock(&p->lock);
        if (--p->active == 0) pthread_cond_signal(&p->ended);
    }
    return NULL;
}

/* A child has the memory of the threads, but not the threads. */
static void before_fork(void) {
    pthread_mutex_lock(&threads.owner);
    pthread_mutex_lock(&threads.lock);
}

static void after_fork(void) {
    pthread_mutex_unlock(&threads.lock);
    pthread_mutex_unlock(&threads.owner);
}

static void in_child(void) { threads = at_first; }

static void watch_forks(void) { (void)pthread_atfork(before_fork, after_fork, in_child); }

/* Threads that there cannot be are done without. The host's signals are not theirs. */
static void start_workers(pool *p) {
    static pthread_once_t watched = PTHREAD_ONCE_INIT;
    sigset_t all, before;
    pthread_attr_t attributes;
    p->wanted = wanted_threads();
    (void)pthread_once(&watched, watch_forks);
    if (p->wanted == 1 || pthread_attr_init(&attributes)) return;
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (p->workers + 1 < p->wanted) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, worker, p)) break;
        p->workers++;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
}

static void run(pool *p, int64_t count, int64_t grain, kb_range_kernel kernel, void *context) {
    enum { RANGES_EACH = 4 }; /* so that a thread that is late holds nobody up for long */
    int64_t even = count / ((int64_t)(p->workers + 1) * RANGES_EACH);
    pthread_mutex_lock(&p->lock);
    p->kernel = kernel;
    p->context = context;
    p->count = count;
    p->grain = even > grain ? even : grain;
    p->next = 0;
    p->number++;
    p->open = true;
    pthread_cond_broadcast(&p->begun);
    pthread_mutex_unlock(&p->lock);
    take_ranges(p);
    pthread_mutex_lock(&p->lock);
    p->open = false;
    while (p->active > 0) pthread_cond_wait(&p->ended, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void kb_threads_run(int64_t count, int64_t grain, kb_range_kernel kernel, void *context) {
    pool *p = &threads;
    if (pthread_mutex_trylock(&p->owner)) {
        kernel(0, count, context);
        return;
    }
    if (p->wanted == 0) start_workers(p);
    if (p->workers > 0)
        run(p, count, grain, kernel, context);
    else
        kernel(0, count, context);
    pthread_mutex_unlock(&p->owner);
}
