/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MLP_LANES_H
#define MLP_LANES_H

/* The formulas of mlp_serial.c, KB_LANES at a time, one copy per type. Included by one file for
 * each instruction set, after its lanes. */
#include "kb_lanes.h"
#include "mlp_math.h"

KB_INLINE float dot(const void *x, const void *weight, int64_t width, kb_dtype type) {
    const int64_t step = KB_LANES;
    kbv_sum4 sum = kbv_sum4_zero();
    int64_t k = 0;
    for (; k + 4 * step <= width; k += 4 * step)
        for (int part = 0; part < 4; part++) {
            kb_v factor = kbv_load(weight, k + part * step, type);
            sum.part[part] = kbv_fma(kbv_load(x, k + part * step, type), factor, sum.part[part]);
        }
    for (; k < width; k += step) {
        kb_v factor = kbv_get(weight, k, width - k, type);
        sum.part[0] = kbv_fma(kbv_get(x, k, width - k, type), factor, sum.part[0]);
    }
    return kbv_sum4_total(&sum);
}

/* The matrix is read row after row, as its memory lies: then the processor fetches ahead by itself.
 * Several of its rows at a time take twice as long. */
KB_INLINE void multiply_as(const mlp_product *p, int64_t begin, int64_t end, kb_dtype type) {
    for (int64_t j = begin; j < end; j++) {
        const void *weight = kb_at(p->weight, j * p->weight_stride, type);
        for (int64_t r = 0; r < p->rows; r++) {
            float sum = dot(kb_at(p->x, r * p->x_stride, type), weight, p->width, type);
            if (p->bias) sum += kb_load(p->bias, j, type);
            kb_store(p->out, r * p->out_stride + j, type, sum);
        }
    }
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
