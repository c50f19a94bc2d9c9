/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROTARY_RUN_H
#define ROTARY_RUN_H

/* Laying angles over tensors, and dividing the work among threads. */
#include "rotary_math.h"

/* Fills in a tensor, after the angles were laid over it. */
void rotary_tensor_fill(const rotary_work *work, const int64_t *sizes, const int64_t *x_strides,
                        const int64_t *y_strides, rotary_tensor *out);

/* Lays angles of `ndim` - 1 dimensions over the rows of tensors of `ndim` dimensions, the missing
 * dimension being `skipped`. False where the sizes do not fit. */
bool rotary_lay_angles(const int64_t *sizes, const int64_t *strides, const int64_t *tensor_sizes,
                       int64_t ndim, int64_t skipped, int64_t *laid);

/* Whether the outputs are better written past the cache. */
bool rotary_streams(const rotary_work *work);

/* What kb_parallel runs: rows of the first tensor, then those of the second. */
int64_t rotary_rows(const rotary_work *work);
void rotary_range(int64_t begin, int64_t end, void *context);

#endif
