/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KNI_OS_PARALLEL_H
#define KNI_OS_PARALLEL_H

#include <kernels/common.h>

/* Calls `each` for 0 to count - 1, each number once, on up to KNI_PARALLEL_MAX threads, and returns
 * when all calls have. For work that waits: disks write many files at once in the time of a few.
 * The calling thread works, too; without threads to be had it does everything. */
#define KNI_PARALLEL_MAX 16
void kni_parallel(size_t count, void (*each)(void *ctx, size_t index), void *ctx);

#endif
