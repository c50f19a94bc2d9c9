/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that takes the bytes of a growing file behind its writer, so that what it does with them
 * (hash them) goes on while more arrive. What was there before it reads from the file. Once it has
 * seen all of that, it gets what is new from memory, in the blocks from which it was written. */
#ifndef KNI_OS_FOLLOW_H
#define KNI_OS_FOLLOW_H

#include "os/store.h"

#define KNI_FOLLOW_BLOCK ((size_t)256 << 10)

typedef struct kni_follower kni_follower;

/* Called on the thread, with the bytes of the file in their order; false: it failed. */
typedef bool (*kni_follow)(void *ctx, const void *bytes, size_t length);

/* Follows `fd`, which has `length` bytes, from its start on. NULL when there is no memory or no
 * thread to be had. What follows is called by one thread, the writer's. */
kni_follower *kni_follower_start(const kn_alloc *alloc, int fd, int64_t length, kni_follow take,
                                 void *ctx);
/* Whether its thread is this process's: a child that is forked has none, and may but stop it. */
bool kni_follower_is_here(const kni_follower *follower);
/* KNI_FOLLOW_BLOCK bytes, in which the writer puts what it writes next; until they are passed. */
char *kni_follower_block(const kni_follower *follower);
/* The first `length` bytes of the block are in the file now. Waits while the thread has all other
 * blocks to take. */
void kni_follower_pass(kni_follower *follower, size_t length);
/* Waits until all bytes were taken, and frees it. false when reading or `take` failed. */
bool kni_follower_finish(kni_follower *follower);
/* Frees it without the rest; NULL is fine. */
void kni_follower_stop(kni_follower *follower);

#endif
