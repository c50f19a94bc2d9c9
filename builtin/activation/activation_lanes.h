/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACTIVATION_LANES_H
#define ACTIVATION_LANES_H

/* The formulas of activation_serial.c, KB_LANES at a time, one copy per function and type. Included
 * by one file for each instruction set, after its lanes. */
#include "activation_math.h"
#include "kb_lanes.h"
/* after the lanes */
#ifdef KB_HAS_LOOKUP
#include "activation_cdf.h"
#endif

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

/* The negative of what the sigmoid is taken of, in powers of 2 rather than of e; not for GELU. */
KB_INLINE kb_v sigmoid_exponent(kb_v x, activation_kind kind) {
    if (kind == ACTIVATION_SILU) return x * kbv_set(-1.4426950f);
    if (kind == ACTIVATION_GELU_TANH)
        return x * kbv_fma(x * x, kbv_set(-1.0294324e-1f), kbv_set(-2.3022082f));
    return x * kbv_set(-2.4554670f);
}

#ifdef KB_HAS_LOOKUP
KB_INLINE kb_v gelu_short(kb_v x) { return x * normal_cdf_short(x); }
#else
/* Phi(x) as the sigmoid of log(Phi(x) / Phi(-x)), fitted so that its relative error stays below
 * 1.3e-3 from -5.2 on, a third of bfloat16's last place; beyond, it goes to 0 more slowly. */
KB_INLINE kb_v gelu_short(kb_v x) {
    kb_v t = kbv_min(kbv_set(5.2f * 5.2f), x * x); /* a NaN stays one */
    kb_v p = kbv_fma(kbv_set(-1.3040247e-5f), t, kbv_set(1.4237956e-3f));
    p = kbv_fma(p, t, kbv_set(-1.0939856e-1f));
    return kbv_times_sigmoid_short(x, x * kbv_fma(p, t, kbv_set(-2.2976437f)));
}
#endif

/* The value is rounded to `type`: for bfloat16 less will do. */
KB_INLINE kb_v activate(kb_v x, activation_kind kind, kb_dtype type) {
    if (type == KB_BF16)
        return kind == ACTIVATION_GELU ? gelu_short(x)
                                       : kbv_times_sigmoid_short(x, sigmoid_exponent(x, kind));
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

KB_INLINE kb_pair activate_pair(kb_pair x, variant v) {
    return (kb_pair){activate(x.a, v.kind, v.type), activate(x.b, v.kind, v.type)};
}

KB_INLINE kb_pair derivative_pair(kb_pair x, variant v) {
    return (kb_pair){derivative(x.a, v.kind), derivative(x.b, v.kind)};
}

KB_INLINE void forward_step(const activation_job *job, int64_t i, int64_t count, variant v) {
    kb_pair x = kbv_get_pair(job->x, i, count, v.type);
    kbv_put_pair(job->out, i, count, v.type, activate_pair(x, v), job->stream);
}

KB_INLINE void forward_range(const activation_job *job, int64_t begin, int64_t end, variant v) {
    int64_t i = begin;
    for (; i + KB_PAIR <= end; i += KB_PAIR) forward_step(job, i, KB_PAIR, v);
    if (i < end) forward_step(job, i, end - i, v);
}

KB_INLINE void backward_step(const activation_job *job, int64_t i, int64_t count, variant v) {
    kb_pair slope = derivative_pair(kbv_get_pair(job->x, i, count, v.type), v);
    kb_pair grad = kbv_get_pair(job->grad, i, count, v.type);
    kbv_put_pair(job->out, i, count, v.type, kbv_pair_product(grad, slope), job->stream);
}

KB_INLINE void backward_range(const activation_job *job, int64_t begin, int64_t end, variant v) {
    int64_t i = begin;
    for (; i + KB_PAIR <= end; i += KB_PAIR) backward_step(job, i, KB_PAIR, v);
    if (i < end) backward_step(job, i, end - i, v);
}

/* One row of a gated job. */
typedef struct gated_row {
    const void *x, *factor, *grad;
    const void *next_x, *next_factor; /* of the row after it */
    void *out, *factor_out;
    bool stream;
} gated_row;

KB_INLINE gated_row row_of(const activation_job *job, int64_t row, kb_dtype type) {
    return (gated_row){
        .x = kb_at(job->x, row * job->x_stride, type),
        .factor = kb_at(job->factor, row * job->factor_stride, type),
        .grad = kb_at(job->grad, row * job->grad_stride, type),
        .next_x = kb_at(job->x, (row + 1) * job->x_stride, type),
        .next_factor = kb_at(job->factor, (row + 1) * job->factor_stride, type),
        .out = kb_at_mut(job->out, row * job->out_stride, type),
        .factor_out = kb_at_mut(job->factor_out, row * job->out_stride, type),
        .stream = job->stream,
    };
}

KB_INLINE void gated_forward_step(const gated_row *row, int64_t i, int64_t count, variant v) {
    if (row->stream) {
        /* The processor fetches ahead within a page, and rows are about as long as one. */
        __builtin_prefetch(kb_at(row->next_x, i, v.type), 0, 2);
        __builtin_prefetch(kb_at(row->next_factor, i, v.type), 0, 2);
    }
    kb_pair value = activate_pair(kbv_get_pair(row->x, i, count, v.type), v);
    kb_pair factor = kbv_get_pair(row->factor, i, count, v.type);
    value = kbv_pair_product(kbv_round_pair_to(value, v.type), factor);
    kbv_put_pair(row->out, i, count, v.type, value, row->stream);
}

KB_INLINE void gated_forward_range(const activation_job *job, int64_t begin, int64_t end,
                                   variant v) {
    for (int64_t r = begin; r < end; r++) {
        gated_row row = row_of(job, r, v.type);
        int64_t i = 0;
        for (; i + KB_PAIR <= job->width; i += KB_PAIR) gated_forward_step(&row, i, KB_PAIR, v);
        if (i < job->width) gated_forward_step(&row, i, job->width - i, v);
    }
}

KB_INLINE void gated_backward_step(const gated_row *row, int64_t i, int64_t count, variant v) {
    kb_pair x = kbv_get_pair(row->x, i, count, v.type);
    kb_pair grad = kbv_get_pair(row->grad, i, count, v.type);
    kb_pair factor = kbv_get_pair(row->factor, i, count, v.type);
    kb_pair inner = kbv_round_pair_to(kbv_pair_product(grad, factor), v.type);
    kb_pair value = kbv_round_pair_to(activate_pair(x, v), v.type);
    kb_pair x_grad = kbv_pair_product(inner, derivative_pair(x, v));
    kbv_put_pair(row->out, i, count, v.type, x_grad, row->stream);
    kbv_put_pair(row->factor_out, i, count, v.type, kbv_pair_product(grad, value), row->stream);
}

KB_INLINE void gated_backward_range(const activation_job *job, int64_t begin, int64_t end,
                                    variant v) {
    for (int64_t r = begin; r < end; r++) {
        gated_row row = row_of(job, r, v.type);
        int64_t i = 0;
        for (; i + KB_PAIR <= job->width; i += KB_PAIR) gated_backward_step(&row, i, KB_PAIR, v);
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
