/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_LAYOUT_H
#define KB_LAYOUT_H

/* Sizes and strides (in elements) of tensors, whoever they come from. */
#include <stdbool.h>
#include <stdint.h>

enum { KB_MAX_DIMS = 64 };

int64_t kb_sizes_product(const int64_t *sizes, int64_t begin, int64_t end);

/* The row-major strides of `sizes`. */
void kb_strides_contiguous(int64_t ndim, const int64_t *sizes, int64_t *strides);

bool kb_layout_is_contiguous(int64_t ndim, const int64_t *sizes, const int64_t *strides);

/* Whether the elements lie side by side in some order of dimensions. */
bool kb_layout_is_dense(int64_t ndim, const int64_t *sizes, const int64_t *strides);

/* The tensor as rows of its last `inner` dimensions: the distance from row to row in elements.
 * False where a row is not contiguous or the rows are not evenly spaced. */
bool kb_layout_rows(int64_t ndim, const int64_t *sizes, const int64_t *strides, int64_t inner,
                    int64_t *step);

#endif
