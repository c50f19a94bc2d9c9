/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MLP_LANES_H
#define MLP_LANES_H

/* The formulas of mlp_serial.c, KB_LANES at a time, one copy per type. Included by one file for
 * each instruction set, after its lanes. */
#include "kb_lanes.h"
#include "mlp_math.h"

enum { ROWS_AT_ONCE = 4 };

/* `count` rows of x from `row` on, a constant where this is called: what is loaded of the matrix
 * serves them all. Each has the sums that it would have alone. */
KB_INLINE void dots(const mlp_product *p, int64_t row, int count, const void *weight, kb_dtype type,
                    float *totals) {
    const int64_t step = KB_LANES;
    const void *x[ROWS_AT_ONCE];
    kbv_sum4 sums[ROWS_AT_ONCE];
    for (int r = 0; r < count; r++) {
        x[r] = kb_at(p->x, (row + r) * p->x_stride, type);
        sums[r] = kbv_sum4_zero();
    }
    int64_t k = 0;
    for (; k + 4 * step <= p->width; k += 4 * step)
        for (int part = 0; part < 4; part++) {
            int64_t i = k + part * step;
            kb_v factor = kbv_load(weight, i, type);
            for (int r = 0; r < count; r++)
                sums[r].part[part] = kbv_fma(kbv_load(x[r], i, type), factor, sums[r].part[part]);
        }
    for (; k < p->width; k += step) {
        kb_v factor = kbv_get(weight, k, p->width - k, type);
        for (int r = 0; r < count; r++)
            sums[r].part[0] =
                kbv_fma(kbv_get(x[r], k, p->width - k, type), factor, sums[r].part[0]);
    }
    for (int r = 0; r < count; r++) totals[r] = kbv_sum4_total(&sums[r]);
}

/* The outputs of `count` rows, again a constant. The matrix is read row after row, as its memory
 * lies: then the processor fetches ahead by itself. Several of its rows at a time take twice as
 * long. */
KB_INLINE void multiply_rows(const mlp_product *p, int64_t row, int count, int64_t begin,
                             int64_t end, kb_dtype type) {
    for (int64_t j = begin; j < end; j++) {
        float totals[ROWS_AT_ONCE];
        dots(p, row, count, kb_at(p->weight, j * p->weight_stride, type), type, totals);
        for (int r = 0; r < count; r++) {
            if (p->bias) totals[r] += kb_load(p->bias, j, type);
            kb_store(p->out, (row + r) * p->out_stride + j, type, totals[r]);
        }
    }
}

KB_INLINE void multiply_as(const mlp_product *p, int64_t begin, int64_t end, kb_dtype type) {
    int64_t row = 0;
    for (; row + 4 <= p->rows; row += 4) multiply_rows(p, row, 4, begin, end, type);
    if (p->rows - row == 3)
        multiply_rows(p, row, 3, begin, end, type);
    else if (p->rows - row == 2)
        multiply_rows(p, row, 2, begin, end, type);
    else if (p->rows - row == 1)
        multiply_rows(p, row, 1, begin, end, type);
}

static void multiply(const mlp_product *p, int64_t begin, int64_t end) {
    if (p->type == KB_F32)
        multiply_as(p, begin, end, KB_F32);
    else if (p->type == KB_BF16)
        multiply_as(p, begin, end, KB_BF16);
    else
        multiply_as(p, begin, end, KB_F16);
}

#endif
