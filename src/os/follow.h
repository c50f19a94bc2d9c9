/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that reads a growing file behind its writer, so that what it does with the bytes (hash
 * them) goes on while more of them arrive. The file itself is the queue: the writer never waits,
 * and memory is one buffer. */
#ifndef KNI_OS_FOLLOW_H
#define KNI_OS_FOLLOW_H

#include "os/store.h"

typedef struct kni_follower kni_follower;

/* Called on the thread, with the bytes of the file in their order; false: it failed. */
typedef bool (*kni_follow)(void *ctx, const void *bytes, size_t length);

/* Follows `fd` from its start on. NULL when there is no memory or no thread to be had. */
kni_follower *kni_follower_start(const kn_alloc *alloc, int fd, kni_follow take, void *ctx);
/* The file has `length` bytes now, never fewer than told before. Called by one thread. */
void kni_follower_reach(kni_follower *follower, int64_t length);
/* Waits until all bytes told of were taken, and frees it. false when reading or `take` failed. */
bool kni_follower_finish(kni_follower *follower);
/* Frees it without the rest; NULL is fine. */
void kni_follower_stop(kni_follower *follower);

#endif
