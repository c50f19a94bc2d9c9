/* SPDX-License-Identifier: Apache-2.0 */
/* The reference: plain scalar C, the formulas as the card gives them. */
#include "norm_math.h"

/* Eight partial sums, as the vector versions have them: with a single one the rounding error would
 * grow with the width. */
typedef struct sum8 {
    float part[8];
} sum8;

static void sum8_add(sum8 *sum, int64_t index, float value) { sum->part[index & 7] += value; }

static float sum8_total(const sum8 *sum) {
    const float *p = sum->part;
    return ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]));
}

static const void *row_of(const void *base, int64_t row, int64_t stride, kb_dtype type) {
    return kb_at(base, row * stride, type);
}

static float weight_at(const norm_job *job, int64_t i) {
    return job->weight ? kb_load(job->weight, i, job->param_type) : 1.0f;
}

static float row_sum(const norm_job *job, const void *x) {
    sum8 sum = {{0}};
    for (int64_t i = 0; i < job->width; i++) sum8_add(&sum, i, kb_load(x, i, job->x_type));
    return sum8_total(&sum);
}

/* Sum of (x - center)^2 */
static float row_squares(const norm_job *job, const void *x, float center) {
    sum8 sum = {{0}};
    for (int64_t i = 0; i < job->width; i++) {
        float value = kb_load(x, i, job->x_type) - center;
        sum8_add(&sum, i, value * value);
    }
    return sum8_total(&sum);
}

static float inverse_root(const norm_job *job, float squares) {
    return 1.0f / sqrtf(squares / (float)job->width + job->eps);
}

static float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

/* What the gate multiplies with; 1 without a gate. */
static float gate_at(const norm_job *job, const void *gate, int64_t i) {
    if (job->gate_kind == NORM_GATE_NONE) return 1.0f;
    float value = kb_load(gate, i, job->x_type);
    return job->gate_kind == NORM_GATE_SILU ? value * sigmoid(value) : sigmoid(value);
}

static float gate_slope(const norm_job *job, const void *gate, int64_t i) {
    float value = kb_load(gate, i, job->x_type), s = sigmoid(value);
    float slope = s * (1.0f - s);
    return job->gate_kind == NORM_GATE_SILU ? s + value * slope : slope;
}

/* The row that is normalized: of x, or of the sum, which is stored first. */
static const void *input_row(const norm_job *job, int64_t row) {
    const void *x = row_of(job->x, row, job->x_stride, job->x_type);
    if (!job->residual) return x;
    const void *residual = row_of(job->residual, row, job->residual_stride, job->x_type);
    void *sum = kb_at_mut(job->sum, row * job->width, job->x_type);
    for (int64_t i = 0; i < job->width; i++)
        kb_store(sum, i, job->x_type,
                 kb_load(x, i, job->x_type) + kb_load(residual, i, job->x_type));
    return sum;
}

static void rms_forward_row(const norm_job *job, const void *x, const void *gate, void *y) {
    float scale = inverse_root(job, row_squares(job, x, 0.0f));
    for (int64_t i = 0; i < job->width; i++) {
        float value = kb_load(x, i, job->x_type) * scale;
        if (job->cast_first) value = kb_round_to(value, job->x_type);
        value *= weight_at(job, i);
        if (job->cast_first && job->gate) value = kb_round_to(value, job->param_type);
        kb_store(y, i, job->y_type, value * gate_at(job, gate, i));
    }
}

static void layer_forward_row(const norm_job *job, const void *x, void *y) {
    float mean = row_sum(job, x) / (float)job->width;
    float scale = inverse_root(job, row_squares(job, x, mean));
    for (int64_t i = 0; i < job->width; i++) {
        float value = (kb_load(x, i, job->x_type) - mean) * scale * weight_at(job, i);
        if (job->bias) value += kb_load(job->bias, i, job->param_type);
        kb_store(y, i, job->y_type, value);
    }
}

/* With h = (x - mean) * scale and d = grad * gate * weight:
 * dx = scale * (d - mean(d) - h * mean(d * h)), without mean(d) for RMSNorm. */
static void backward_row(const norm_job *job, int64_t row, float mean, bool centered) {
    const void *x = row_of(job->x, row, job->x_stride, job->x_type);
    const void *grad = row_of(job->grad, row, job->grad_stride, job->y_type);
    const void *gate = row_of(job->gate, row, job->gate_stride, job->x_type);
    const void *sum_grad = row_of(job->sum_grad, row, job->sum_grad_stride, job->x_type);
    void *out = kb_at_mut(job->out, row * job->width, job->x_type);
    void *gate_out = kb_at_mut(job->gate_out, row * job->width, job->x_type);
    float scale = inverse_root(job, row_squares(job, x, mean));
    sum8 d_sum = {{0}}, dh_sum = {{0}};
    for (int64_t i = 0; i < job->width; i++) {
        float d = kb_load(grad, i, job->y_type) * gate_at(job, gate, i) * weight_at(job, i);
        sum8_add(&d_sum, i, d);
        sum8_add(&dh_sum, i, d * ((kb_load(x, i, job->x_type) - mean) * scale));
    }
    float d_mean = centered ? sum8_total(&d_sum) / (float)job->width : 0.0f;
    float dh_mean = sum8_total(&dh_sum) / (float)job->width;
    for (int64_t i = 0; i < job->width; i++) {
        float outer = kb_load(grad, i, job->y_type), g = outer * gate_at(job, gate, i);
        float h = (kb_load(x, i, job->x_type) - mean) * scale;
        float dx = scale * (g * weight_at(job, i) - d_mean - h * dh_mean);
        if (job->sum_grad) dx += kb_load(sum_grad, i, job->x_type);
        kb_store(out, i, job->x_type, dx);
        if (job->weight_sum) job->weight_sum[i] += g * h;
        if (job->bias_sum) job->bias_sum[i] += g;
        if (job->gate_out)
            kb_store(gate_out, i, job->x_type,
                     outer * h * weight_at(job, i) * gate_slope(job, gate, i));
    }
}

static void rms_forward(const norm_job *job, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++)
        rms_forward_row(job, input_row(job, row),
                        row_of(job->gate, row, job->gate_stride, job->x_type),
                        kb_at_mut(job->out, row * job->width, job->y_type));
}

static void layer_forward(const norm_job *job, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++)
        layer_forward_row(job, input_row(job, row),
                          kb_at_mut(job->out, row * job->width, job->y_type));
}

static void rms_backward(const norm_job *job, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) backward_row(job, row, 0.0f, false);
}

static void layer_backward(const norm_job *job, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
        const void *x = row_of(job->x, row, job->x_stride, job->x_type);
        backward_row(job, row, row_sum(job, x) / (float)job->width, true);
    }
}

const norm_table norm_serial = {rms_forward, rms_backward, layer_forward, layer_backward};
