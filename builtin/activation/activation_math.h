/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACTIVATION_MATH_H
#define ACTIVATION_MATH_H

#include <stdbool.h>

#include "kb_isa.h"
#include "kb_scalar.h"

typedef enum activation_kind {
    ACTIVATION_SILU,
    ACTIVATION_GELU,
    ACTIVATION_GELU_TANH,
    ACTIVATION_COUNT
} activation_kind;

/*
 * Plain functions work on elements of flat memory. The gated one works on rows: row r of x begins
 * at element r * x_stride and holds `width` elements to activate, then `width` to multiply with.
 * All tensors have one type; outputs are contiguous.
 */
typedef struct activation_job {
    const void *x;
    const void *grad; /* backward: the gradient of the result */
    void *out;        /* forward: the result; backward: the gradient of x */
    int64_t width;    /* gated only, as the strides */
    int64_t x_stride;
    int64_t grad_stride;
    kb_dtype type;
} activation_job;

/* Elements, or rows of the gated one, from `begin` to `end`. Thread-safe for disjoint ranges. */
typedef void (*activation_range)(const activation_job *job, int64_t begin, int64_t end);

typedef struct activation_table {
    activation_range forward[ACTIVATION_COUNT];
    activation_range backward[ACTIVATION_COUNT];
    activation_range silu_and_mul_forward;
    activation_range silu_and_mul_backward;
} activation_table;

extern const activation_table activation_serial;
extern const activation_table activation_avx2; /* defined only where KB_HAS_AVX2 is */

/* The table for an available instruction set. */
const activation_table *activation_table_get(kb_isa isa);

#endif
