/* SPDX-License-Identifier: Apache-2.0 */
/* What a child process must not get from its parent by fork(2): descriptors that are the parent's
 * alone (a lock is held as long as any copy of its descriptor is open, and two processes cannot
 * speak over one connection), and mutexes of threads that the child does not have. */
#ifndef KNI_OS_FORK_H
#define KNI_OS_FORK_H

#include <pthread.h>

#include <kernels/common.h>

/* A mutex that is held across a fork, so that the child finds it free and what it guards whole. It
 * is never held while one of the functions below is called. */
typedef struct kni_fork_guard {
    pthread_mutex_t *mutex;
    struct kni_fork_guard *next, **at;
} kni_fork_guard;

/* False: no memory. */
bool kni_fork_guard_add(kni_fork_guard *guard, pthread_mutex_t *mutex);
void kni_fork_guard_remove(kni_fork_guard *guard);

/* Between the two no process is forked: a descriptor is opened and handed to kni_fork_own. */
void kni_fork_block(void);
void kni_fork_unblock(void);
/* While forks are blocked: children have `fd` closed. False: no memory. */
bool kni_fork_own(int fd);
bool kni_fork_owns(int fd);
/* Closes a descriptor that was handed over. In a child, where it is closed already, nothing. */
void kni_fork_close(int fd);

#endif
