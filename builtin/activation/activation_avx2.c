/* SPDX-License-Identifier: Apache-2.0 */
/* The formulas of activation_serial.c, eight lanes at a time, one copy per function and type. */
#include "activation_math.h"
#include "kb_avx2.h"

/* e^(-a^2 / 2), with the rounding error of a^2 put back in: the exponent is large. */
KB_INLINE __m256 half_square_exp(__m256 a) {
    __m256 square = _mm256_mul_ps(a, a);
    __m256 error = _mm256_fmsub_ps(a, a, square);
    __m256 power = kb8_exp(_mm256_mul_ps(square, kb8_set(-0.5f)));
    return _mm256_fnmadd_ps(_mm256_mul_ps(error, kb8_set(0.5f)), power, power);
}

/*
 * erfc(z) = e^(-z^2) erfcx(z), and for 0 <= z <= 10.6 erfcx(z) = P(s) 3 / (z + 3) with
 * s = (z - 3) / (z + 3) and P of degree 9, fitted to a relative error of 2.4e-9.
 * Beyond |x| = 15, where z is 10.6, the result is 0 in float32.
 */
KB_INLINE __m256 erfcx(__m256 z) {
    static const float coefficients[] = {
        1.0270121274515986e-03f,  -4.0943015483208001e-04f, -8.9468397200107574e-03f,
        3.9843130856752396e-02f,  -1.0348863154649734e-01f, 1.9674275815486908e-01f,
        -2.9446482658386230e-01f, 3.5800230503082275e-01f,
    };
    __m256 inverse = _mm256_div_ps(kb8_set(1.0f), _mm256_add_ps(z, kb8_set(3.0f)));
    __m256 s = _mm256_mul_ps(_mm256_sub_ps(z, kb8_set(3.0f)), inverse);
    __m256 p = kb8_set(-1.0783395555336028e-04f);
    p = _mm256_fmadd_ps(p, s, kb8_set(-1.5988806262612343e-04f));
    for (int i = 0; i < 8; i++) p = _mm256_fmadd_ps(p, s, kb8_set(coefficients[i]));
    return _mm256_mul_ps(p, _mm256_mul_ps(inverse, kb8_set(3.0f)));
}

/* The normal distribution function; `density_out` gets e^(-x^2 / 2). */
KB_INLINE __m256 normal_cdf(__m256 x, __m256 *density_out) {
    __m256 magnitude = _mm256_andnot_ps(kb8_set(-0.0f), x);
    __m256 a = _mm256_min_ps(kb8_set(15.0f), magnitude); /* a NaN stays one */
    __m256 density = half_square_exp(a);
    __m256 z = _mm256_mul_ps(a, kb8_set(0.70710678118654752f));
    __m256 tail = _mm256_mul_ps(_mm256_mul_ps(erfcx(z), density), kb8_set(0.5f));
    *density_out = density;
    return _mm256_blendv_ps(_mm256_sub_ps(kb8_set(1.0f), tail), tail, x);
}

/* (1 + tanh(u)) / 2 = sigmoid(2u), and this is 2u. */
KB_INLINE __m256 tanh_argument(__m256 x) {
    __m256 cubic = _mm256_mul_ps(kb8_set(0.044715f), _mm256_mul_ps(x, x));
    return _mm256_mul_ps(kb8_set(1.5957691216057308f), _mm256_fmadd_ps(cubic, x, x));
}

KB_INLINE __m256 activate(__m256 x, activation_kind kind) {
    __m256 density;
    if (kind == ACTIVATION_SILU) return _mm256_mul_ps(x, kb8_sigmoid(x));
    if (kind == ACTIVATION_GELU) return _mm256_mul_ps(x, normal_cdf(x, &density));
    return _mm256_mul_ps(x, kb8_sigmoid(tanh_argument(x)));
}

/* s + x s (1 - s) slope: the derivative of x sigmoid(v(x)) where s = sigmoid(v), slope = v'. */
KB_INLINE __m256 sigmoid_derivative(__m256 x, __m256 s, __m256 slope) {
    __m256 rise = _mm256_mul_ps(s, _mm256_sub_ps(kb8_set(1.0f), s));
    return _mm256_fmadd_ps(_mm256_mul_ps(x, rise), slope, s);
}

KB_INLINE __m256 derivative(__m256 x, activation_kind kind) {
    if (kind == ACTIVATION_SILU) return sigmoid_derivative(x, kb8_sigmoid(x), kb8_set(1.0f));
    if (kind == ACTIVATION_GELU) {
        __m256 density, cdf = normal_cdf(x, &density);
        return _mm256_fmadd_ps(_mm256_mul_ps(x, kb8_set(0.39894228040143268f)), density, cdf);
    }
    __m256 square = _mm256_mul_ps(x, x);
    __m256 slope = _mm256_fmadd_ps(square, kb8_set(3.0f * 0.044715f), kb8_set(1.0f));
    slope = _mm256_mul_ps(slope, kb8_set(1.5957691216057308f));
    return sigmoid_derivative(x, kb8_sigmoid(tanh_argument(x)), slope);
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
