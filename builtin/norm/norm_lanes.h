/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NORM_LANES_H
#define NORM_LANES_H

/* The formulas of norm_serial.c, KB_LANES at a time, one copy per combination of types. Included by
 * one file for each instruction set, after its lanes. */
#include "kb_lanes.h"
#include "norm_math.h"

/* What is constant in one copy of a loop. */
typedef struct variant {
    kb_dtype x;
    kb_dtype param;
    kb_dtype y;
    bool gated;
    bool centered;
} variant;

KB_INLINE kb_v weight_get(const norm_job *job, int64_t i, int64_t count, variant v) {
    return job->weight ? kbv_get(job->weight, i, count, v.param) : kbv_set(1.0f);
}

KB_INLINE float row_sum(const void *x, int64_t width, kb_dtype type) {
    kbv_sum4 sum = kbv_sum4_zero();
    int64_t i = 0;
    for (; i + 4 * (int64_t)KB_LANES <= width; i += 4 * (int64_t)KB_LANES)
        for (int part = 0; part < 4; part++)
            sum.part[part] = sum.part[part] + kbv_load(x, i + part * (int64_t)KB_LANES, type);
    for (; i < width; i += KB_LANES) sum.part[0] = sum.part[0] + kbv_get(x, i, width - i, type);
    return kbv_sum4_total(&sum);
}

KB_INLINE float row_squares(const void *x, int64_t width, kb_dtype type, float mean) {
    kb_v center = kbv_set(mean);
    kbv_sum4 sum = kbv_sum4_zero();
    int64_t i = 0;
    for (; i + 4 * (int64_t)KB_LANES <= width; i += 4 * (int64_t)KB_LANES)
        for (int part = 0; part < 4; part++) {
            kb_v value = kbv_load(x, i + part * (int64_t)KB_LANES, type) - center;
            sum.part[part] = kbv_fma(value, value, sum.part[part]);
        }
    for (; i < width; i += KB_LANES) {
        kb_v value = kbv_get(x, i, width - i, type) - center;
        if (width - i < KB_LANES) value = kbv_first(value, width - i, kbv_zero());
        sum.part[0] = kbv_fma(value, value, sum.part[0]);
    }
    return kbv_sum4_total(&sum);
}

/* Mean and sum of squared distances from it, of one row or one lane. */
typedef struct moments {
    float mean, squares;
} moments;

enum { MOMENTS_BLOCK = 8 }; /* vectors that are looked at twice, but read once */

/*
 * In one pass over memory, after Chan, Golub and LeVeque 1983 (Algorithms for computing the sample
 * variance): each block has a mean and a sum of its own in every lane, which are joined to those of
 * the blocks before; then the lanes, and what is left of the row.
 */
KB_INLINE moments row_moments(const void *x, int64_t width, kb_dtype type) {
    const int64_t step = MOMENTS_BLOCK * (int64_t)KB_LANES;
    kb_v mean = kbv_zero(), squares = kbv_zero();
    int64_t blocks = 0;
    for (; (blocks + 1) * step <= width; blocks++) {
        kb_v value[MOMENTS_BLOCK], sum[2] = {kbv_zero(), kbv_zero()};
        for (int i = 0; i < MOMENTS_BLOCK; i++) {
            value[i] = kbv_load(x, blocks * step + i * (int64_t)KB_LANES, type);
            sum[i % 2] = sum[i % 2] + value[i];
        }
        kb_v center = (sum[0] + sum[1]) * kbv_set(1.0f / MOMENTS_BLOCK);
        kb_v far[2] = {kbv_zero(), kbv_zero()};
        for (int i = 0; i < MOMENTS_BLOCK; i++) {
            kb_v distance = value[i] - center;
            far[i % 2] = kbv_fma(distance, distance, far[i % 2]);
        }
        float share = 1.0f / (float)(blocks + 1);
        kb_v apart = center - mean;
        mean = kbv_fma(apart, kbv_set(share), mean);
        squares = squares + (far[0] + far[1]);
        kb_v weight = kbv_set(MOMENTS_BLOCK * (float)blocks * share);
        squares = kbv_fma(apart * apart, weight, squares);
    }
    const void *rest = kb_at(x, blocks * step, type);
    int64_t rest_width = width - blocks * step;
    float count = (float)(blocks * MOMENTS_BLOCK);
    moments row;
    row.mean = (kbv_sum(mean) * count + row_sum(rest, rest_width, type)) / (float)width;
    kb_v apart = mean - kbv_set(row.mean);
    row.squares = kbv_sum(kbv_fma(apart * apart, kbv_set(count), squares));
    row.squares += row_squares(rest, rest_width, type, row.mean);
    return row;
}

/* What a row's elements are measured from and by. */
KB_INLINE moments moments_of(const void *x, int64_t width, kb_dtype type, bool centered) {
    if (centered) return row_moments(x, width, type);
    return (moments){0.0f, row_squares(x, width, type, 0.0f)};
}

KB_INLINE float inverse_root(const norm_job *job, float squares) {
    return 1.0f / sqrtf(squares / (float)job->width + job->eps);
}

/* What the gate multiplies with. */
KB_INLINE kb_v gate_factor(const norm_job *job, kb_v gate) {
    kb_v s = kbv_sigmoid(gate);
    if (job->gate_kind == NORM_GATE_SILU) s = gate * s;
    return s;
}

KB_INLINE kb_v gate_slope(const norm_job *job, kb_v gate) {
    kb_v s = kbv_sigmoid(gate), slope = s * (kbv_set(1.0f) - s);
    if (job->gate_kind == NORM_GATE_SILU) slope = kbv_fma(gate, slope, s);
    return slope;
}

/* The row that is normalized: of x, or of the sum, which is stored first. */
KB_INLINE const void *input_row(const norm_job *job, int64_t row, variant v) {
    const void *x = kb_at(job->x, row * job->x_stride, v.x);
    if (!job->residual) return x;
    const void *residual = kb_at(job->residual, row * job->residual_stride, v.x);
    void *sum = kb_at_mut(job->sum, row * job->width, v.x);
    for (int64_t i = 0; i < job->width; i += KB_LANES) {
        int64_t count = job->width - i;
        kb_v value = kbv_get(x, i, count, v.x) + kbv_get(residual, i, count, v.x);
        kbv_put(sum, i, count, v.x, value, false);
    }
    return sum;
}

/* One row of a forward job, and what was found about it. */
typedef struct forward_row {
    const void *x, *gate;
    const void *next; /* of x */
    void *y;
    float mean, scale;
} forward_row;

KB_INLINE void rms_forward_step(const norm_job *job, const forward_row *row, int64_t i,
                                int64_t count, variant v) {
    /* The next row comes while this one goes, not after it: a quarter less time out of memory, and
     * no more where x is in the cache. Halves and LayerNorm gain nothing. */
    if (v.x == KB_F32) __builtin_prefetch(kb_at(row->next, i, v.x), 0, 2);
    kb_v value = kbv_get(row->x, i, count, v.x) * kbv_set(row->scale);
    if (job->cast_first) value = kbv_round_to(value, v.x);
    value = value * weight_get(job, i, count, v);
    if (v.gated) {
        if (job->cast_first) value = kbv_round_to(value, v.param);
        value = value * gate_factor(job, kbv_get(row->gate, i, count, v.x));
    }
    kbv_put(row->y, i, count, v.y, value, job->stream);
}

KB_INLINE void layer_forward_step(const norm_job *job, const forward_row *row, int64_t i,
                                  int64_t count, variant v) {
    kb_v value = (kbv_get(row->x, i, count, v.x) - kbv_set(row->mean)) * kbv_set(row->scale);
    kb_v bias = job->bias ? kbv_get(job->bias, i, count, v.param) : kbv_zero();
    value = kbv_fma(value, weight_get(job, i, count, v), bias);
    kbv_put(row->y, i, count, v.y, value, job->stream);
}

KB_INLINE void forward_step(const norm_job *job, const forward_row *row, int64_t i, int64_t count,
                            variant v) {
    if (v.centered)
        layer_forward_step(job, row, i, count, v);
    else
        rms_forward_step(job, row, i, count, v);
}

KB_INLINE void forward_rows(const norm_job *job, int64_t begin, int64_t end, variant v) {
    int64_t width = job->width;
    for (int64_t r = begin; r < end; r++) {
        forward_row row = {.x = input_row(job, r, v)};
        row.gate = kb_at(job->gate, r * job->gate_stride, v.x);
        row.next = kb_at(job->x, (r + 1) * job->x_stride, v.x);
        row.y = kb_at_mut(job->out, r * width, v.y);
        moments found = moments_of(row.x, width, v.x, v.centered);
        row.mean = found.mean;
        row.scale = inverse_root(job, found.squares);
        int64_t i = 0;
        for (; i + KB_LANES <= width; i += KB_LANES) forward_step(job, &row, i, KB_LANES, v);
        if (i < width) forward_step(job, &row, i, width - i, v);
    }
}

KB_INLINE void sums_add(float *sums, int64_t i, int64_t count, kb_v values) {
    if (!sums) return;
    kbv_put(sums, i, count, KB_F32, kbv_get(sums, i, count, KB_F32) + values, false);
}

typedef struct backward_row {
    const void *x, *grad, *gate, *sum_grad;
    void *out, *gate_out;
    kb_v mean, scale, d_mean, dh_mean;
} backward_row;

/* Lanes of one step; beyond `count` grad is 0, so the others need not be. */
typedef struct backward_lanes {
    kb_v outer, gate, grad, weight, h;
} backward_lanes;

KB_INLINE backward_lanes backward_get(const norm_job *job, const backward_row *row, int64_t i,
                                      int64_t count, variant v) {
    backward_lanes at;
    at.grad = at.outer = kbv_get(row->grad, i, count, v.y);
    at.gate = kbv_zero();
    if (v.gated) {
        at.gate = kbv_get(row->gate, i, count, v.x);
        at.grad = at.grad * gate_factor(job, at.gate);
    }
    at.weight = weight_get(job, i, count, v);
    at.h = (kbv_get(row->x, i, count, v.x) - row->mean) * row->scale;
    return at;
}

KB_INLINE void backward_means(const norm_job *job, backward_row *row, variant v) {
    kb_v d_sum = kbv_zero(), dh_sum = kbv_zero();
    for (int64_t i = 0; i < job->width; i += KB_LANES) {
        backward_lanes at = backward_get(job, row, i, job->width - i, v);
        kb_v d = at.grad * at.weight;
        d_sum = d_sum + d;
        dh_sum = kbv_fma(d, at.h, dh_sum);
    }
    row->d_mean = kbv_set(v.centered ? kbv_sum(d_sum) / (float)job->width : 0.0f);
    row->dh_mean = kbv_set(kbv_sum(dh_sum) / (float)job->width);
}

KB_INLINE void backward_step(const norm_job *job, const backward_row *row, int64_t i, int64_t count,
                             variant v) {
    backward_lanes at = backward_get(job, row, i, count, v);
    kb_v dx = kbv_fma(at.grad, at.weight, -row->d_mean);
    dx = kbv_fnma(at.h, row->dh_mean, dx) * row->scale;
    if (job->sum_grad) dx = dx + kbv_get(row->sum_grad, i, count, v.x);
    kbv_put(row->out, i, count, v.x, dx, job->stream);
    sums_add(job->weight_sum, i, count, at.grad * at.h);
    sums_add(job->bias_sum, i, count, at.grad);
    if (!v.gated) return;
    kb_v through = at.outer * at.h * at.weight;
    kbv_put(row->gate_out, i, count, v.x, through * gate_slope(job, at.gate), job->stream);
}

KB_INLINE void backward_rows(const norm_job *job, int64_t begin, int64_t end, variant v) {
    int64_t width = job->width;
    for (int64_t r = begin; r < end; r++) {
        backward_row row = {
            .x = kb_at(job->x, r * job->x_stride, v.x),
            .grad = kb_at(job->grad, r * job->grad_stride, v.y),
            .gate = kb_at(job->gate, r * job->gate_stride, v.x),
            .sum_grad = kb_at(job->sum_grad, r * job->sum_grad_stride, v.x),
            .out = kb_at_mut(job->out, r * width, v.x),
            .gate_out = kb_at_mut(job->gate_out, r * width, v.x),
        };
        moments found = moments_of(row.x, width, v.x, v.centered);
        row.mean = kbv_set(found.mean);
        row.scale = kbv_set(inverse_root(job, found.squares));
        backward_means(job, &row, v);
        int64_t i = 0;
        for (; i + KB_LANES <= width; i += KB_LANES) backward_step(job, &row, i, KB_LANES, v);
        if (i < width) backward_step(job, &row, i, width - i, v);
    }
}

typedef void (*variant_rows)(const norm_job *job, int64_t begin, int64_t end, variant v);

/* Calls `rows` with constant types, so that each combination is compiled for itself. */
KB_INLINE void by_type(variant_rows rows, const norm_job *job, int64_t begin, int64_t end,
                       variant v) {
    bool same = job->param_type == job->x_type, wide = job->y_type == KB_F32;
    bool bf16 = job->x_type == KB_BF16;
    bool gated = v.gated, centered = v.centered;
    if (job->x_type == KB_F32)
        rows(job, begin, end, (variant){KB_F32, KB_F32, KB_F32, gated, centered});
    else if (bf16 && same)
        rows(job, begin, end, (variant){KB_BF16, KB_BF16, KB_BF16, gated, centered});
    else if (bf16 && !wide)
        rows(job, begin, end, (variant){KB_BF16, KB_F32, KB_BF16, gated, centered});
    else if (bf16)
        rows(job, begin, end, (variant){KB_BF16, KB_F32, KB_F32, gated, centered});
    else if (same)
        rows(job, begin, end, (variant){KB_F16, KB_F16, KB_F16, gated, centered});
    else if (!wide)
        rows(job, begin, end, (variant){KB_F16, KB_F32, KB_F16, gated, centered});
    else
        rows(job, begin, end, (variant){KB_F16, KB_F32, KB_F32, gated, centered});
}

KB_INLINE bool may_stream(const norm_job *job, kb_dtype type) {
    return job->stream && job->width * kb_dtype_size(type) % KB_STREAM_ALIGN == 0 &&
           kbv_can_stream(job->out) && kbv_can_stream(job->gate_out);
}

/* `type` is that of the output. */
KB_INLINE void specialize(variant_rows rows, const norm_job *given, int64_t begin, int64_t end,
                          kb_dtype type, bool centered) {
    norm_job job = *given;
    job.stream = may_stream(given, type);
    if (job.gate_kind != NORM_GATE_NONE && !centered)
        by_type(rows, &job, begin, end, (variant){.gated = true});
    else
        by_type(rows, &job, begin, end, (variant){.centered = centered});
    kb_stream_fence(job.stream);
}

static void rms_forward(const norm_job *job, int64_t begin, int64_t end) {
    specialize(forward_rows, job, begin, end, job->y_type, false);
}

static void rms_backward(const norm_job *job, int64_t begin, int64_t end) {
    specialize(backward_rows, job, begin, end, job->x_type, false);
}

static void layer_forward(const norm_job *job, int64_t begin, int64_t end) {
    specialize(forward_rows, job, begin, end, job->y_type, true);
}

static void layer_backward(const norm_job *job, int64_t begin, int64_t end) {
    specialize(backward_rows, job, begin, end, job->x_type, true);
}

#endif
