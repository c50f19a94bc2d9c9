/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOSS_LANES_H
#define LOSS_LANES_H

/* The formulas of loss_serial.c, KB_LANES at a time, one copy per type. Included by one file for
 * each instruction set, after its lanes. A row is read from memory once, block by block; while its
 * gradient is written it is still in the cache. */
#include <float.h>

#include "kb_lanes.h"
#include "loss_math.h"

enum { LOSS_BLOCK = 1024 };

KB_INLINE float block_largest(const void *x, int64_t begin, int64_t end, kb_dtype type) {
    kb_v top0 = kbv_set(-FLT_MAX), top1 = top0;
    int64_t i = begin;
    for (; i + 2 * (int64_t)KB_LANES <= end; i += 2 * (int64_t)KB_LANES) {
        top0 = kbv_max(kbv_load(x, i, type), top0);
        top1 = kbv_max(kbv_load(x, i + KB_LANES, type), top1);
    }
    for (; i < end; i += KB_LANES) {
        kb_v value = kbv_get(x, i, end - i, type);
        if (end - i < KB_LANES) value = kbv_first(value, end - i, top0);
        top0 = kbv_max(value, top0);
    }
    return kbv_largest(kbv_max(top0, top1));
}

KB_INLINE void block_add(const void *x, int64_t begin, int64_t end, kb_dtype type, loss_row *row) {
    kb_v largest = kbv_set(row->largest), sum0 = kbv_zero(), sum1 = sum0;
    int64_t i = begin;
    for (; i + 2 * (int64_t)KB_LANES <= end; i += 2 * (int64_t)KB_LANES) {
        sum0 = sum0 + kbv_exp(kbv_load(x, i, type) - largest);
        sum1 = sum1 + kbv_exp(kbv_load(x, i + KB_LANES, type) - largest);
    }
    for (; i < end; i += KB_LANES) {
        kb_v value = kbv_exp(kbv_get(x, i, end - i, type) - largest);
        if (end - i < KB_LANES) value = kbv_first(value, end - i, kbv_zero());
        sum0 = sum0 + value;
    }
    row->sum += (double)kbv_sum(sum0 + sum1);
}

KB_INLINE double block_total(const void *x, int64_t begin, int64_t end, kb_dtype type) {
    kb_v sum = kbv_zero();
    for (int64_t i = begin; i < end; i += KB_LANES) sum = sum + kbv_get(x, i, end - i, type);
    return (double)kbv_sum(sum);
}

KB_INLINE loss_row row_read(const loss_job *job, const void *x, kb_dtype type) {
    loss_row row = {.largest = -FLT_MAX};
    for (int64_t begin = 0; begin < job->width; begin += LOSS_BLOCK) {
        int64_t end = begin + LOSS_BLOCK < job->width ? begin + LOSS_BLOCK : job->width;
        float top = block_largest(x, begin, end, type);
        if (top > row.largest) {
            row.sum *= exp((double)row.largest - (double)top);
            row.largest = top;
        }
        block_add(x, begin, end, type, &row);
        if (job->smoothing != 0.0f) row.total += block_total(x, begin, end, type);
    }
    return row;
}

/* What the gradient's loop holds constant. */
typedef struct gradient {
    kb_v largest, factor, flat;
    bool stream;
} gradient;

KB_INLINE void gradient_step(const gradient *g, const void *x, void *grad, int64_t i, int64_t count,
                             kb_dtype type) {
    kb_v power = kbv_exp(kbv_get(x, i, count, type) - g->largest);
    kbv_put(grad, i, count, type, kbv_fma(power, g->factor, -g->flat), g->stream);
}

/* The target's element is stored twice, and its first value goes nowhere. */
KB_INLINE void gradient_write(const loss_job *job, const loss_row *row, const void *x,
                              int64_t target, float scale, void *grad, kb_dtype type) {
    double through = 1.0 + 2.0 * (double)job->z_weight * loss_log_sum(row);
    float factor = (float)(through / row->sum) * scale;
    float flat = job->smoothing / (float)job->width * scale;
    float at_target = kb_load(x, target, type);
    gradient g = {kbv_set(row->largest), kbv_set(factor), kbv_set(flat), job->stream};
    g.stream = job->stream && kbv_can_stream(grad);
    int64_t i = 0;
    for (; i + KB_LANES <= job->width; i += KB_LANES) gradient_step(&g, x, grad, i, KB_LANES, type);
    if (i < job->width) gradient_step(&g, x, grad, i, job->width - i, type);
    kb_stream_fence(g.stream);
    float value = expf(at_target - row->largest) * factor - flat;
    kb_store(grad, target, type, value - (1.0f - job->smoothing) * scale);
}

KB_INLINE void rows_typed(const loss_job *job, int64_t begin, int64_t end, kb_dtype type) {
    for (int64_t r = begin; r < end; r++) {
        const void *x = kb_at(job->logits, r * job->stride, type);
        void *grad = kb_at_mut(job->grad, r * job->width, type);
        int64_t target = job->targets[r];
        if (target == job->ignore_index) {
            if (job->losses) job->losses[r] = 0.0f;
            if (job->grad) memset(grad, 0, (size_t)(job->width * kb_dtype_size(type)));
            continue;
        }
        loss_row row = row_read(job, x, type);
        if (job->losses) job->losses[r] = loss_value(job, &row, kb_load(x, target, type));
        if (job->grad) gradient_write(job, &row, x, target, loss_scale(job, r), grad, type);
    }
}

static void rows(const loss_job *job, int64_t begin, int64_t end) {
    if (job->type == KB_F32)
        rows_typed(job, begin, end, KB_F32);
    else if (job->type == KB_BF16)
        rows_typed(job, begin, end, KB_BF16);
    else
        rows_typed(job, begin, end, KB_F16);
}

#endif
