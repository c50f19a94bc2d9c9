/* SPDX-License-Identifier: Apache-2.0 */
/* The reference: plain scalar C, the formulas as the card gives them. */
#include "activation_math.h"

/* sqrt(1/2), 1/sqrt(2 pi), 2 sqrt(2/pi) */
static const float root_half = 0.70710678118654752f;
static const float normal_peak = 0.39894228040143268f;
static const float tanh_scale = 1.5957691216057308f;
static const float tanh_cubic = 0.044715f;

static float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

/* The normal distribution function; erfc keeps its precision where it is close to 0. */
static float normal_cdf(float x) { return 0.5f * erfcf(-x * root_half); }

/* (1 + tanh(u)) / 2 = sigmoid(2u), and this is 2u. */
static float tanh_argument(float x) { return tanh_scale * (x + tanh_cubic * x * x * x); }

static float activate(float x, activation_kind kind) {
    if (kind == ACTIVATION_SILU) return x * sigmoid(x);
    if (kind == ACTIVATION_GELU) return x * normal_cdf(x);
    return x * sigmoid(tanh_argument(x));
}

static float derivative(float x, activation_kind kind) {
    if (kind == ACTIVATION_GELU) return normal_cdf(x) + x * normal_peak * expf(-0.5f * x * x);
    float argument = kind == ACTIVATION_SILU ? x : tanh_argument(x);
    float slope = kind == ACTIVATION_SILU ? 1.0f : tanh_scale * (1.0f + 3.0f * tanh_cubic * x * x);
    float s = sigmoid(argument);
    return s + x * s * (1.0f - s) * slope;
}

static void forward(const activation_job *job, int64_t begin, int64_t end, activation_kind kind) {
    for (int64_t i = begin; i < end; i++)
        kb_store(job->out, i, job->type, activate(kb_load(job->x, i, job->type), kind));
}

static void backward(const activation_job *job, int64_t begin, int64_t end, activation_kind kind) {
    for (int64_t i = begin; i < end; i++) {
        float slope = derivative(kb_load(job->x, i, job->type), kind);
        kb_store(job->out, i, job->type, kb_load(job->grad, i, job->type) * slope);
    }
}

static void silu_forward(const activation_job *job, int64_t begin, int64_t end) {
    forward(job, begin, end, ACTIVATION_SILU);
}

static void gelu_forward(const activation_job *job, int64_t begin, int64_t end) {
    forward(job, begin, end, ACTIVATION_GELU);
}

static void gelu_tanh_forward(const activation_job *job, int64_t begin, int64_t end) {
    forward(job, begin, end, ACTIVATION_GELU_TANH);
}

static void silu_backward(const activation_job *job, int64_t begin, int64_t end) {
    backward(job, begin, end, ACTIVATION_SILU);
}

static void gelu_backward(const activation_job *job, int64_t begin, int64_t end) {
    backward(job, begin, end, ACTIVATION_GELU);
}

static void gelu_tanh_backward(const activation_job *job, int64_t begin, int64_t end) {
    backward(job, begin, end, ACTIVATION_GELU_TANH);
}

/* The activated value is rounded before the product, as two torch calls would do it. */
static void silu_and_mul_forward(const activation_job *job, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
        const void *x = kb_at(job->x, row * job->x_stride, job->type);
        void *out = kb_at_mut(job->out, row * job->width, job->type);
        for (int64_t i = 0; i < job->width; i++) {
            float value = activate(kb_load(x, i, job->type), ACTIVATION_SILU);
            float factor = kb_load(x, job->width + i, job->type);
            kb_store(out, i, job->type, kb_round_to(value, job->type) * factor);
        }
    }
}

static void silu_and_mul_backward(const activation_job *job, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
        const void *x = kb_at(job->x, row * job->x_stride, job->type);
        const void *grad = kb_at(job->grad, row * job->grad_stride, job->type);
        void *out = kb_at_mut(job->out, row * 2 * job->width, job->type);
        for (int64_t i = 0; i < job->width; i++) {
            float a = kb_load(x, i, job->type), g = kb_load(grad, i, job->type);
            float inner = kb_round_to(g * kb_load(x, job->width + i, job->type), job->type);
            float value = kb_round_to(activate(a, ACTIVATION_SILU), job->type);
            kb_store(out, i, job->type, inner * derivative(a, ACTIVATION_SILU));
            kb_store(out, job->width + i, job->type, g * value);
        }
    }
}

const activation_table activation_serial = {
    {silu_forward, gelu_forward, gelu_tanh_forward},
    {silu_backward, gelu_backward, gelu_tanh_backward},
    silu_and_mul_forward,
    silu_and_mul_backward,
};
