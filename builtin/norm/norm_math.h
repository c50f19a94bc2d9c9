/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NORM_MATH_H
#define NORM_MATH_H

#include <stdbool.h>

#include "kb_isa.h"
#include "kb_scalar.h"

/*
 * One call over many rows of `width` contiguous elements. Row r of a tensor begins at element
 * r * stride. `weight` and `bias` (of `param_type`) may be NULL. Outputs are contiguous.
 * param_type is x_type or float32; y_type is x_type, or float32 where param_type is.
 */
typedef struct norm_job {
    const void *x;
    const void *weight;
    const void *bias;
    const void *grad;  /* backward: gradient of y, of y_type */
    void *out;         /* forward: y, of y_type; backward: gradient of x, of x_type */
    float *weight_sum; /* backward: `width` sums that are added to; NULL where not wanted */
    float *bias_sum;
    int64_t width;
    int64_t x_stride;
    int64_t grad_stride;
    float eps;
    bool cast_first; /* RMSNorm: round the normalized value to x_type before the weight */
    kb_dtype x_type;
    kb_dtype param_type;
    kb_dtype y_type;
} norm_job;

/* Rows `begin` to `end`. Thread-safe for disjoint ranges, but for the two sums. */
typedef void (*norm_rows)(const norm_job *job, int64_t begin, int64_t end);

typedef struct norm_table {
    norm_rows rms_forward;
    norm_rows rms_backward;
    norm_rows layer_forward;
    norm_rows layer_backward;
} norm_table;

extern const norm_table norm_serial;
extern const norm_table norm_avx2; /* defined only where KB_HAS_AVX2 is */

/* The table for an available instruction set. */
const norm_table *norm_table_get(kb_isa isa);

#endif
