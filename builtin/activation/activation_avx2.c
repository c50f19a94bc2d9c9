/* SPDX-License-Identifier: Apache-2.0 */
/* The formulas of activation_serial.c, eight lanes at a time, one copy per function and type. */
#include "activation_math.h"
#include "kb_avx2.h"

KB_INLINE __m256 polynomial5(__m256 t, const float *coefficients) {
    __m256 p = kb8_set(coefficients[5]);
    for (int i = 4; i >= 0; i--) p = _mm256_fmadd_ps(p, t, kb8_set(coefficients[i]));
    return p;
}

/*
 * The normal distribution function, 1/2 + x P(x^2) / Q(x^2), fitted to an absolute error of 1.2e-8
 * for |x| < 5.65. Beyond, the result is 0 or 1: that is nearer than 1e-8, too.
 */
KB_INLINE __m256 normal_cdf(__m256 x) {
    static const float upper[6] = {3.9894220e-1f, 3.4941196e-2f, 4.7408319e-3f,
                                   1.7939451e-4f, 6.3741973e-6f, 2.1580291e-8f};
    static const float lower[6] = {1.0f,          2.5425005e-1f, 2.9260712e-2f,
                                   1.9445563e-3f, 7.6768119e-5f, 1.1649631e-6f};
    __m256 magnitude = _mm256_andnot_ps(kb8_set(-0.0f), x);
    __m256 bounded = _mm256_min_ps(kb8_set(5.65f), magnitude); /* a NaN stays one */
    __m256 t = _mm256_mul_ps(bounded, bounded);
    __m256 ratio = _mm256_div_ps(polynomial5(t, upper), polynomial5(t, lower));
    __m256 near = _mm256_fmadd_ps(x, ratio, kb8_set(0.5f));
    near = _mm256_max_ps(_mm256_setzero_ps(), near); /* rounding may leave less than 0 */
    __m256i negative = _mm256_srai_epi32(_mm256_castps_si256(x), 31);
    __m256 far = _mm256_andnot_ps(_mm256_castsi256_ps(negative), kb8_set(1.0f));
    return _mm256_blendv_ps(near, far, _mm256_cmp_ps(magnitude, kb8_set(5.65f), _CMP_GE_OQ));
}

/* (1 + tanh(u)) / 2 = sigmoid(2u), and this is 2u. */
KB_INLINE __m256 tanh_argument(__m256 x) {
    __m256 cubic = _mm256_mul_ps(kb8_set(0.044715f), _mm256_mul_ps(x, x));
    return _mm256_mul_ps(kb8_set(1.5957691216057308f), _mm256_fmadd_ps(cubic, x, x));
}

KB_INLINE __m256 activate(__m256 x, activation_kind kind) {
    if (kind == ACTIVATION_SILU) return kb8_times_sigmoid(x, x);
    if (kind == ACTIVATION_GELU) return _mm256_mul_ps(x, normal_cdf(x));
    return kb8_times_sigmoid(x, tanh_argument(x));
}

KB_INLINE __m256 sigmoid(__m256 x) { return kb8_times_sigmoid(kb8_set(1.0f), x); }

/* s + x s (1 - s) slope: the derivative of x sigmoid(v(x)) where s = sigmoid(v), slope = v'. */
KB_INLINE __m256 sigmoid_derivative(__m256 x, __m256 s, __m256 slope) {
    __m256 rise = _mm256_mul_ps(s, _mm256_sub_ps(kb8_set(1.0f), s));
    return _mm256_fmadd_ps(_mm256_mul_ps(x, rise), slope, s);
}

/* Phi(x) + x e^(-x^2 / 2) / sqrt(2 pi) */
KB_INLINE __m256 gelu_derivative(__m256 x) {
    __m256 bounded = _mm256_min_ps(kb8_set(13.0f), _mm256_max_ps(kb8_set(-13.0f), x));
    __m256 power = kb8_exp(_mm256_mul_ps(_mm256_mul_ps(bounded, bounded), kb8_set(-0.5f)));
    __m256 scaled = _mm256_mul_ps(bounded, kb8_set(0.39894228040143268f));
    return _mm256_fmadd_ps(scaled, power, normal_cdf(x));
}

KB_INLINE __m256 derivative(__m256 x, activation_kind kind) {
    if (kind == ACTIVATION_SILU) return sigmoid_derivative(x, sigmoid(x), kb8_set(1.0f));
    if (kind == ACTIVATION_GELU) return gelu_derivative(x);
    __m256 square = _mm256_mul_ps(x, x);
    __m256 slope = _mm256_fmadd_ps(square, kb8_set(3.0f * 0.044715f), kb8_set(1.0f));
    slope = _mm256_mul_ps(slope, kb8_set(1.5957691216057308f));
    return sigmoid_derivative(x, sigmoid(tanh_argument(x)), slope);
}

KB_INLINE __m256 lanes_get(const void *base, int64_t i, int64_t count, kb_dtype type) {
    return count >= 8 ? kb8_load(base, i, type) : kb8_load_tail(base, i, type, count);
}

KB_INLINE void lanes_put(void *base, int64_t i, int64_t count, kb_dtype type, __m256 values) {
    if (count >= 8)
        kb8_store(base, i, type, values);
    else
        kb8_store_tail(base, i, type, count, values);
}

KB_INLINE void forward_typed(const activation_job *job, int64_t begin, int64_t end,
                             activation_kind kind, kb_dtype type) {
    for (int64_t i = begin; i < end; i += 8) {
        __m256 x = lanes_get(job->x, i, end - i, type);
        lanes_put(job->out, i, end - i, type, activate(x, kind));
    }
}

KB_INLINE void backward_typed(const activation_job *job, int64_t begin, int64_t end,
                              activation_kind kind, kb_dtype type) {
    for (int64_t i = begin; i < end; i += 8) {
        __m256 slope = derivative(lanes_get(job->x, i, end - i, type), kind);
        __m256 grad = lanes_get(job->grad, i, end - i, type);
        lanes_put(job->out, i, end - i, type, _mm256_mul_ps(grad, slope));
    }
}

KB_INLINE void gated_forward_typed(const activation_job *job, int64_t begin, int64_t end,
                                   activation_kind kind, kb_dtype type) {
    int64_t width = job->width;
    for (int64_t row = begin; row < end; row++) {
        const void *x = kb_at(job->x, row * job->x_stride, type);
        void *out = kb_at_mut(job->out, row * width, type);
        for (int64_t i = 0; i < width; i += 8) {
            __m256 value = activate(lanes_get(x, i, width - i, type), kind);
            __m256 factor = lanes_get(x, width + i, width - i, type);
            value = _mm256_mul_ps(kb8_round_to(value, type), factor);
            lanes_put(out, i, width - i, type, value);
        }
    }
}

KB_INLINE void gated_backward_typed(const activation_job *job, int64_t begin, int64_t end,
                                    activation_kind kind, kb_dtype type) {
    int64_t width = job->width;
    for (int64_t row = begin; row < end; row++) {
        const void *x = kb_at(job->x, row * job->x_stride, type);
        const void *grad = kb_at(job->grad, row * job->grad_stride, type);
        void *out = kb_at_mut(job->out, row * 2 * width, type);
        for (int64_t i = 0; i < width; i += 8) {
            int64_t count = width - i;
            __m256 a = lanes_get(x, i, count, type), g = lanes_get(grad, i, count, type);
            __m256 factor = lanes_get(x, width + i, count, type);
            __m256 inner = kb8_round_to(_mm256_mul_ps(g, factor), type);
            __m256 value = kb8_round_to(activate(a, kind), type);
            lanes_put(out, i, count, type, _mm256_mul_ps(inner, derivative(a, kind)));
            lanes_put(out, width + i, count, type, _mm256_mul_ps(g, value));
        }
    }
}

typedef void (*typed_range)(const activation_job *job, int64_t begin, int64_t end,
                            activation_kind kind, kb_dtype type);

/* Calls `range` with constant types, so that each is compiled for itself. */
KB_INLINE void specialize(typed_range range, const activation_job *job, int64_t begin, int64_t end,
                          activation_kind kind) {
    if (job->type == KB_F32)
        range(job, begin, end, kind, KB_F32);
    else if (job->type == KB_BF16)
        range(job, begin, end, kind, KB_BF16);
    else
        range(job, begin, end, kind, KB_F16);
}

static void silu_forward(const activation_job *job, int64_t begin, int64_t end) {
    specialize(forward_typed, job, begin, end, ACTIVATION_SILU);
}

static void gelu_forward(const activation_job *job, int64_t begin, int64_t end) {
    specialize(forward_typed, job, begin, end, ACTIVATION_GELU);
}

static void gelu_tanh_forward(const activation_job *job, int64_t begin, int64_t end) {
    specialize(forward_typed, job, begin, end, ACTIVATION_GELU_TANH);
}

static void silu_backward(const activation_job *job, int64_t begin, int64_t end) {
    specialize(backward_typed, job, begin, end, ACTIVATION_SILU);
}

static void gelu_backward(const activation_job *job, int64_t begin, int64_t end) {
    specialize(backward_typed, job, begin, end, ACTIVATION_GELU);
}

static void gelu_tanh_backward(const activation_job *job, int64_t begin, int64_t end) {
    specialize(backward_typed, job, begin, end, ACTIVATION_GELU_TANH);
}

static void silu_and_mul_forward(const activation_job *job, int64_t begin, int64_t end) {
    specialize(gated_forward_typed, job, begin, end, ACTIVATION_SILU);
}

static void silu_and_mul_backward(const activation_job *job, int64_t begin, int64_t end) {
    specialize(gated_backward_typed, job, begin, end, ACTIVATION_SILU);
}

const activation_table activation_avx2 = {
    {silu_forward, gelu_forward, gelu_tanh_forward},
    {silu_backward, gelu_backward, gelu_tanh_backward},
    silu_and_mul_forward,
    silu_and_mul_backward,
};
