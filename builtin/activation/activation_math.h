/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACTIVATION_MATH_H
#define ACTIVATION_MATH_H

#include "kb_isa.h"
#include "kb_scalar.h"

/* A new one takes a line here, its two formulas in activation_serial.c and activation_lanes.h, and
 * its name in activation_ops.c, activation_module.c and _ops.py. */
typedef enum activation_kind {
    ACTIVATION_SILU,
    ACTIVATION_GELU,
    ACTIVATION_GELU_TANH,
    ACTIVATION_QUICK_GELU,
    ACTIVATION_COUNT
} activation_kind;

/*
 * Plain functions work on elements of flat memory. Gated ones work on rows of `width` elements: row
 * r of x begins at element r * x_stride, and so on; the result is activation(x) * factor.
 * All tensors have one type.
 */
typedef struct activation_job {
    activation_kind kind;
    kb_dtype type;
    bool stream; /* write past the cache where rows are aligned for it */
    const void *x;
    const void *grad; /* backward: the gradient of the result */
    void *out;        /* forward: the result; backward: the gradient of x */
    /* gated only */
    const void *factor;
    void *factor_out; /* backward: the gradient of factor */
    int64_t width;
    int64_t x_stride;
    int64_t factor_stride;
    int64_t grad_stride;
    int64_t out_stride; /* also of factor_out */
} activation_job;

/* Elements, or rows of a gated one, from `begin` to `end`. Thread-safe for disjoint ranges. */
typedef void (*activation_range)(const activation_job *job, int64_t begin, int64_t end);

typedef struct activation_table {
    activation_range forward;
    activation_range backward;
    activation_range gated_forward;
    activation_range gated_backward;
} activation_table;

extern const activation_table activation_serial;
extern const activation_table activation_avx2; /* these only where KB_HAS_X86 is defined */
extern const activation_table activation_avx512;
extern const activation_table activation_avx512_bf16;

/* The table for an available instruction set. */
const activation_table *activation_table_get(kb_isa isa);

#endif
