/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROTARY_MATH_H
#define ROTARY_MATH_H

#include "kb_isa.h"
#include "kb_scalar.h"

/* Which elements of a row make a pair: i and i + turned / 2, or 2i and 2i + 1. */
typedef enum rotary_style { ROTARY_HALF, ROTARY_INTERLEAVED } rotary_style;

/*
 * One row: the first `turned` (even) elements are turned in pairs, the others copied. Cosines and
 * sines are one per element, or one per pair where `halved`:
 *   y1 = x1 cos1 - x2 sin1, y2 = x2 cos2 + x1 sin2; the transposed turn, which gradients take, is
 *   y1 = x1 cos1 + x2 sin2, y2 = x2 cos2 - x1 sin1.
 */
typedef struct rotary_shape {
    rotary_style style;
    bool halved;
    bool transposed;
    bool stream; /* write past the cache where a row is aligned for it */
    int64_t turned;
    int64_t width;
    kb_dtype type;       /* of x and y */
    kb_dtype angle_type; /* of cosines and sines */
} rotary_shape;

/* x and y may be the same row. */
typedef void (*rotary_row)(const rotary_shape *shape, const void *x, const void *cosine,
                           const void *sine, void *y);

extern const rotary_row rotary_serial;
extern const rotary_row rotary_avx2; /* these only where KB_HAS_X86 is defined */
extern const rotary_row rotary_avx512;
extern const rotary_row rotary_avx512_bf16;

/* The function for an available instruction set. */
rotary_row rotary_row_get(kb_isa isa);

enum { ROTARY_MAX_DIMS = 8 };

/* One dimension over rows: its size, and the steps in elements from one row to the next. */
typedef struct rotary_dim {
    int64_t size;
    int64_t x, y, cosine, sine;
} rotary_dim;

/* A tensor whose rows are turned, with its dimensions but the last, outermost first in memory. */
typedef struct rotary_tensor {
    const void *x;
    void *y;
    int64_t rows;
    rotary_dim dims[ROTARY_MAX_DIMS];
} rotary_tensor;

/* Both tensors of one call. Angles are laid over all dimensions but the last: a stride of 0 where
 * they are the same for all. */
typedef struct rotary_work {
    rotary_shape shape;
    rotary_row row;
    rotary_tensor tensors[2]; /* the second may have no rows */
    const void *cosine, *sine;
    int64_t cosine_strides[ROTARY_MAX_DIMS], sine_strides[ROTARY_MAX_DIMS];
    int64_t ndim;
} rotary_work;

#endif
