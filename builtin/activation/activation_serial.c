/* SPDX-License-Identifier: Apache-2.0 */
/* The reference: plain scalar C, the formulas as the card gives them. */
#include "activation_math.h"

/* sqrt(1/2), 1/sqrt(2 pi), 2 sqrt(2/pi) */
static const float root_half = 0.70710678118654752f;
static const float normal_peak = 0.39894228040143268f;
static const float tanh_scale = 1.5957691216057308f;
static const float tanh_cubic = 0.044715f;
static const float quick_scale = 1.702f;

static float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

/* The normal distribution function; erfc keeps its precision where it is close to 0. */
static float normal_cdf(float x) { return 0.5f * erfcf(-x * root_half); }

/* What the sigmoid is taken of, for the kinds that are x sigmoid(v(x)). For GELU's tanh form:
 * (1 + tanh(u)) / 2 = sigmoid(2u), and this is 2u. */
static float sigmoid_argument(float x, activation_kind kind) {
    if (kind == ACTIVATION_SILU) return x;
    if (kind == ACTIVATION_QUICK_GELU) return quick_scale * x;
    return tanh_scale * (x + tanh_cubic * x * x * x);
}

static float sigmoid_slope(float x, activation_kind kind) {
    if (kind == ACTIVATION_SILU) return 1.0f;
    if (kind == ACTIVATION_QUICK_GELU) return quick_scale;
    return tanh_scale * (1.0f + 3.0f * tanh_cubic * x * x);
}

static float activate(float x, activation_kind kind) {
    if (kind == ACTIVATION_GELU) return x * normal_cdf(x);
    return x * sigmoid(sigmoid_argument(x, kind));
}

static float derivative(float x, activation_kind kind) {
    if (kind == ACTIVATION_GELU) return normal_cdf(x) + x * normal_peak * expf(-0.5f * x * x);
    float s = sigmoid(sigmoid_argument(x, kind));
    return s + x * s * (1.0f - s) * sigmoid_slope(x, kind);
}

static void forward(const activation_job *job, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
        kb_store(job->out, i, job->type, activate(kb_load(job->x, i, job->type), job->kind));
}

static void backward(const activation_job *job, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
        float slope = derivative(kb_load(job->x, i, job->type), job->kind);
        kb_store(job->out, i, job->type, kb_load(job->grad, i, job->type) * slope);
    }
}

/* The activated value is rounded before the product, as two torch calls would do it. */
static void gated_forward(const activation_job *job, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
        const void *x = kb_at(job->x, row * job->x_stride, job->type);
        const void *factor = kb_at(job->factor, row * job->factor_stride, job->type);
        void *out = kb_at_mut(job->out, row * job->out_stride, job->type);
        for (int64_t i = 0; i < job->width; i++) {
            float value = activate(kb_load(x, i, job->type), job->kind);
            value = kb_round_to(value, job->type) * kb_load(factor, i, job->type);
            kb_store(out, i, job->type, value);
        }
    }
}

static void gated_backward(const activation_job *job, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
        const void *x = kb_at(job->x, row * job->x_stride, job->type);
        const void *factor = kb_at(job->factor, row * job->factor_stride, job->type);
        const void *grad = kb_at(job->grad, row * job->grad_stride, job->type);
        void *out = kb_at_mut(job->out, row * job->out_stride, job->type);
        void *factor_out = kb_at_mut(job->factor_out, row * job->out_stride, job->type);
        for (int64_t i = 0; i < job->width; i++) {
            float a = kb_load(x, i, job->type), g = kb_load(grad, i, job->type);
            float inner = kb_round_to(g * kb_load(factor, i, job->type), job->type);
            float value = kb_round_to(activate(a, job->kind), job->type);
            kb_store(out, i, job->type, inner * derivative(a, job->kind));
            kb_store(factor_out, i, job->type, g * value);
        }
    }
}

const activation_table activation_serial = {forward, backward, gated_forward, gated_backward};
