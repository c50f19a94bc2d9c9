/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_PARALLEL_H
#define KB_PARALLEL_H

/* Dividing work on the CPU among threads. */
#include <stdbool.h>
#include <stdint.h>

typedef void (*kb_range_kernel)(int64_t begin, int64_t end, void *context);

/* Runs `kernel` over [0, count), on threads where it is much. The unit of `cost` is an element of a
 * normalization, about 0.1 ns. */
void kb_parallel(int64_t count, int64_t cost, kb_range_kernel kernel, void *context);

/* Whether kb_parallel would use threads. */
bool kb_parallel_is_large(int64_t count, int64_t cost);

/* Runs `kernel` over [0, count) on threads, each taking `grain` or more at a time: torch's in its
 * variants (kb_tensor.c), our own in those of tvm-ffi (kb_threads.c). */
void kb_threads_run(int64_t count, int64_t grain, kb_range_kernel kernel, void *context);

#endif
