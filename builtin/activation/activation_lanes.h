/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACTIVATION_LANES_H
#define ACTIVATION_LANES_H

/* The formulas of activation_serial.c, KB_LANES at a time, one copy per function and type. Included
 * by one file for each instruction set, after its lanes. */
#include "activation_math.h"
#include "kb_lanes.h"

KB_INLINE kb_v polynomial5(kb_v t, const float *coefficients) {
    kb_v p = kbv_set(coefficients[5]);
    for (int i = 4; i >= 0; i--) p = kbv_fma(p, t, kbv_set(coefficients[i]));
    return p;
}

/*
 * The normal distribution function, 1/2 + x P(x^2) / Q(x^2), fitted to an absolute error of 1.2e-8
 * for |x| < 5.65. Beyond, the result is 0 or 1: that is nearer than 1e-8, too.
 */
KB_INLINE kb_v normal_cdf(kb_v x) {
    static const float upper[6] = {3.9894220e-1f, 3.4941196e-2f, 4.7408319e-3f,
                                   1.7939451e-4f, 6.3741973e-6f, 2.1580291e-8f};
    static const float lower[6] = {1.0f,          2.5425005e-1f, 2.9260712e-2f,
                                   1.9445563e-3f, 7.6768119e-5f, 1.1649631e-6f};
    const kb_v end = kbv_set(5.65f);
    kb_v bounded = kbv_min(end, kbv_abs(x)); /* a NaN stays one */
    kb_v t = bounded * bounded;
    kb_v near =
        kbv_fma(x, kbv_quotient(polynomial5(t, upper), polynomial5(t, lower)), kbv_set(0.5f));
    near = kbv_max(kbv_zero(), near); /* rounding may leave less than 0 */
    return kbv_where_less(end, x, kbv_set(1.0f), kbv_where_less(x, -end, kbv_zero(), near));
}

/* (1 + tanh(u)) / 2 = sigmoid(2u), and this is 2u. */
KB_INLINE kb_v tanh_argument(kb_v x) {
    kb_v cubic = kbv_set(0.044715f) * x * x;
    return kbv_set(1.5957691216057308f) * kbv_fma(cubic, x, x);
}

/* What the sigmoid is taken of; not for GELU. */
KB_INLINE kb_v sigmoid_argument(kb_v x, activation_kind kind) {
    if (kind == ACTIVATION_SILU) return x;
    if (kind == ACTIVATION_GELU_TANH) return tanh_argument(x);
    return kbv_set(1.702f) * x;
}

/* The negative of what the sigmoid is taken of, in powers of 2 rather than of e. For GELU it is
 * log(Phi(x) / Phi(-x)), fitted so that the relative error of Phi(x) stays below 1.3e-3 from -5.2
 * on, a third of bfloat16's last place; beyond, it goes to 0 more slowly than Phi. */
KB_INLINE kb_v sigmoid_exponent(kb_v x, activation_kind kind) {
    if (kind == ACTIVATION_SILU) return x * kbv_set(-1.4426950f);
    if (kind == ACTIVATION_QUICK_GELU) return x * kbv_set(-2.4554670f);
    if (kind == ACTIVATION_GELU_TANH)
        return x * kbv_fma(x * x, kbv_set(-1.0294324e-1f), kbv_set(-2.3022082f));
    kb_v t = kbv_min(kbv_set(5.2f * 5.2f), x * x); /* a NaN stays one */
    kb_v p = kbv_fma(kbv_set(-1.3040247e-5f), t, kbv_set(1.4237956e-3f));
    p = kbv_fma(p, t, kbv_set(-1.0939856e-1f));
    return x * kbv_fma(p, t, kbv_set(-2.2976437f));
}

/* The value is rounded to `type`: for bfloat16 less will do. */
KB_INLINE kb_v activate(kb_v x, activation_kind kind, kb_dtype type) {
    if (type == KB_BF16) return kbv_times_sigmoid_short(x, sigmoid_exponent(x, kind));
    if (kind == ACTIVATION_GELU) return x * normal_cdf(x);
    return kbv_times_sigmoid(x, sigmoid_argument(x, kind));
}

/* s + x s (1 - s) slope: the derivative of x sigmoid(v(x)) where s = sigmoid(v), slope = v'. */
KB_INLINE kb_v sigmoid_derivative(kb_v x, kb_v s, kb_v slope) {
    return kbv_fma(x * (s * (kbv_set(1.0f) - s)), slope, s);
}

/* Phi(x) + x e^(-x^2 / 2) / sqrt(2 pi) */
KB_INLINE kb_v gelu_derivative(kb_v x) {
    kb_v bounded = kbv_min(kbv_set(13.0f), kbv_max(kbv_set(-13.0f), x));
    kb_v power = kbv_exp(bounded * bounded * kbv_set(-0.5f));
    return kbv_fma(bounded * kbv_set(0.39894228040143268f), power, normal_cdf(x));
}

KB_INLINE kb_v derivative(kb_v x, activation_kind kind) {
    if (kind == ACTIVATION_GELU) return gelu_derivative(x);
    if (kind == ACTIVATION_SILU) return sigmoid_derivative(x, kbv_sigmoid(x), kbv_set(1.0f));
    if (kind == ACTIVATION_QUICK_GELU) {
        kb_v slope = kbv_set(1.702f);
        return sigmoid_derivative(x, kbv_sigmoid(slope * x), slope);
    }
    kb_v slope = kbv_fma(x * x, kbv_set(3.0f * 0.044715f), kbv_set(1.0f));
    slope = slope * kbv_set(1.5957691216057308f);
    return sigmoid_derivative(x, kbv_sigmoid(tanh_argument(x)), slope);
}

/* What is constant in one copy of a loop. */
typedef struct variant {
    activation_kind kind;
    kb_dtype type;
} variant;

typedef void (*variant_range)(const activation_job *job, int64_t begin, int64_t end, variant v);

KB_INLINE void forward_step(const activation_job *job, int64_t i, int64_t count, variant v) {
    kb_v x = kbv_get(job->x, i, count, v.type);
    kbv_put(job->out, i, count, v.type, activate(x, v.kind, v.type), job->stream);
}

KB_INLINE void forward_range(const activation_job *job, int64_t begin, int64_t end, variant v) {
    int64_t i = begin;
    for (; i + KB_LANES <= end; i += KB_LANES) forward_step(job, i, KB_LANES, v);
    if (i < end) forward_step(job, i, end - i, v);
}

KB_INLINE void backward_step(const activation_job *job, int64_t i, int64_t count, variant v) {
    kb_v slope = derivative(kbv_get(job->x, i, count, v.type), v.kind);
    kb_v grad = kbv_get(job->grad, i, count, v.type);
    kbv_put(job->out, i, count, v.type, grad * slope, job->stream);
}

KB_INLINE void backward_range(const activation_job *job, int64_t begin, int64_t end, variant v) {
    int64_t i = begin;
    for (; i + KB_LANES <= end; i += KB_LANES) backward_step(job, i, KB_LANES, v);
    if (i < end) backward_step(job, i, end - i, v);
}

/* One row of a gated job. */
typedef struct gated_row {
    const void *x, *factor, *grad;
    void *out, *factor_out;
    bool stream;
} gated_row;

KB_INLINE gated_row row_of(const activation_job *job, int64_t row, kb_dtype type) {
    return (gated_row){
        kb_at(job->x, row * job->x_stride, type),
        kb_at(job->factor, row * job->factor_stride, type),
        kb_at(job->grad, row * job->grad_stride, type),
        kb_at_mut(job->out, row * job->out_stride, type),
        kb_at_mut(job->factor_out, row * job->out_stride, type),
        job->stream,
    };
}

KB_INLINE void gated_forward_step(const gated_row *row, int64_t i, int64_t count, variant v) {
    kb_v value = kbv_round_to(activate(kbv_get(row->x, i, count, v.type), v.kind, v.type), v.type);
    kb_v factor = kbv_get(row->factor, i, count, v.type);
    kbv_put(row->out, i, count, v.type, value * factor, row->stream);
}

KB_INLINE void gated_forward_range(const activation_job *job, int64_t begin, int64_t end,
                                   variant v) {
    for (int64_t r = begin; r < end; r++) {
        gated_row row = row_of(job, r, v.type);
        int64_t i = 0;
        for (; i + KB_LANES <= job->width; i += KB_LANES) gated_forward_step(&row, i, KB_LANES, v);
        if (i < job->width) gated_forward_step(&row, i, job->width - i, v);
    }
}

KB_INLINE void gated_backward_step(const gated_row *row, int64_t i, int64_t count, variant v) {
    kb_v x = kbv_get(row->x, i, count, v.type), grad = kbv_get(row->grad, i, count, v.type);
    kb_v factor = kbv_get(row->factor, i, count, v.type);
    kb_v inner = kbv_round_to(grad * factor, v.type);
    kb_v value = kbv_round_to(activate(x, v.kind, v.type), v.type);
    kbv_put(row->out, i, count, v.type, inner * derivative(x, v.kind), row->stream);
    kbv_put(row->factor_out, i, count, v.type, grad * value, row->stream);
}

KB_INLINE void gated_backward_range(const activation_job *job, int64_t begin, int64_t end,
                                    variant v) {
    for (int64_t r = begin; r < end; r++) {
        gated_row row = row_of(job, r, v.type);
        int64_t i = 0;
        for (; i + KB_LANES <= job->width; i += KB_LANES) gated_backward_step(&row, i, KB_LANES, v);
        if (i < job->width) gated_backward_step(&row, i, job->width - i, v);
    }
}

/* Whether every row of the output, or the range of flat memory, begins where streaming can. */
KB_INLINE bool may_stream(const activation_job *job, int64_t begin) {
    if (!job->stream) return false;
    int64_t step = job->width > 0 ? job->out_stride : begin;
    bool steps = step * kb_dtype_size(job->type) % KB_STREAM_ALIGN == 0;
    return steps && kbv_can_stream(job->out) && kbv_can_stream(job->factor_out);
}

KB_INLINE void by_type(variant_range range, const activation_job *job, int64_t begin, int64_t end,
                       activation_kind kind) {
    if (job->type == KB_F32)
        range(job, begin, end, (variant){kind, KB_F32});
    else if (job->type == KB_BF16)
        range(job, begin, end, (variant){kind, KB_BF16});
    else
        range(job, begin, end, (variant){kind, KB_F16});
}

/* Calls `range` with a constant variant, so that each is compiled for itself. */
KB_INLINE void specialize(variant_range range, const activation_job *given, int64_t begin,
                          int64_t end) {
    activation_job job = *given;
    job.stream = may_stream(given, begin);
    if (job.kind == ACTIVATION_SILU)
        by_type(range, &job, begin, end, ACTIVATION_SILU);
    else if (job.kind == ACTIVATION_GELU)
        by_type(range, &job, begin, end, ACTIVATION_GELU);
    else if (job.kind == ACTIVATION_GELU_TANH)
        by_type(range, &job, begin, end, ACTIVATION_GELU_TANH);
    else
        by_type(range, &job, begin, end, ACTIVATION_QUICK_GELU);
    kb_stream_fence(job.stream);
}

static void forward(const activation_job *job, int64_t begin, int64_t end) {
    specialize(forward_range, job, begin, end);
}

static void backward(const activation_job *job, int64_t begin, int64_t end) {
    specialize(backward_range, job, begin, end);
}

static void gated_forward(const activation_job *job, int64_t begin, int64_t end) {
    specialize(gated_forward_range, job, begin, end);
}

static void gated_backward(const activation_job *job, int64_t begin, int64_t end) {
    specialize(gated_backward_range, job, begin, end);
}

#endif
