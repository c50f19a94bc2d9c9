/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NORM_MATH_H
#define NORM_MATH_H

#include "kb_isa.h"
#include "kb_scalar.h"

/* What the normalized rows of RMSNorm are multiplied with at the end. */
typedef enum norm_gate { NORM_GATE_NONE, NORM_GATE_SILU, NORM_GATE_SIGMOID } norm_gate;

/*
 * One call over many rows of `width` contiguous elements. Row r of a tensor begins at element
 * r * stride. `weight` and `bias` (of `param_type`) may be NULL. Outputs are contiguous.
 * param_type is x_type or float32; y_type is x_type, or float32 where param_type is.
 */
typedef struct norm_job {
    /* What every call needs comes first, so that a GPU's constant cache has it in one line. */
    const void *x;
    const void *weight;
    void *out; /* forward: y, of y_type; backward: gradient of x, of x_type */
    int64_t width;
    int64_t x_stride;
    float eps;
    kb_dtype x_type;
    kb_dtype param_type;
    kb_dtype y_type;
    norm_gate gate_kind;
    bool centered;   /* layer normalization */
    bool cast_first; /* RMSNorm: round the normalized value to x_type before the weight */
    bool stream;     /* write past the cache where rows are aligned for it */
    const void *bias;
    const void *residual; /* forward: of x_type, added to x before all else; or NULL */
    void *sum;        /* forward: x + residual, of x_type, contiguous; where there is a residual */
    const void *gate; /* RMSNorm with a gate: of x_type */
    const void *grad; /* backward: gradient of y, of y_type */
    const void *sum_grad; /* backward: of x_type, added to the gradient of x; or NULL */
    void *gate_out;       /* backward: gradient of the gate, of x_type */
    float *weight_sum;    /* backward: `width` sums that are added to; NULL where not wanted */
    float *bias_sum;
    int64_t residual_stride;
    int64_t gate_stride;
    int64_t grad_stride;
    int64_t sum_grad_stride;
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
extern const norm_table norm_avx2; /* these only where KB_HAS_X86 is defined */
extern const norm_table norm_avx512;
extern const norm_table norm_avx512_bf16;

/* The table for an available instruction set. */
const norm_table *norm_table_get(kb_isa isa);

#endif
