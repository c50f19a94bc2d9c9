/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that the tvm-ffi variants of mlp export. */
#include "activation_call.h"
#include "mlp_run.h"

static int64_t rows_of(const kb_view *x) { return kb_sizes_product(x->sizes, 0, x->ndim - 1); }

/* A job over the rows of gate and up. */
static activation_job job_of(kb_call *call, const kb_view *gate, const kb_view *up,
                             activation_kind kind) {
    activation_job job = {.kind = kind, .type = gate->type, .x = gate->data, .factor = up->data};
    kb_call_least_dims(call, gate, 1);
    kb_call_like(call, up, gate);
    job.x_stride = kb_call_rows(call, gate, 1);
    job.factor_stride = kb_call_rows(call, up, 1);
    if (!call->failed) job.width = gate->sizes[gate->ndim - 1];
    return job;
}

/* (out, gate, up) */
static void forward(kb_call *call, activation_kind kind) {
    kb_view out, gate, up;
    kb_call_tensor(call, "out", &out);
    kb_call_tensor(call, "gate", &gate);
    kb_call_tensor(call, "up", &up);
    activation_job job = job_of(call, &gate, &up, kind);
    kb_call_like(call, &out, &gate);
    job.out_stride = kb_call_rows(call, &out, 1);
    job.out = out.data;
    if (call->failed) return;
    activation_call_run(call, activation_gated_forward(&job, rows_of(&gate)));
}

/* (grad_gate, grad_up, grad, gate, up) */
static void backward(kb_call *call, activation_kind kind) {
    kb_view grad_gate, grad_up, grad, gate, up;
    kb_call_tensor(call, "grad_gate", &grad_gate);
    kb_call_tensor(call, "grad_up", &grad_up);
    kb_call_tensor(call, "grad", &grad);
    kb_call_tensor(call, "gate", &gate);
    kb_call_tensor(call, "up", &up);
    activation_job job = job_of(call, &gate, &up, kind);
    kb_call_like(call, &grad_gate, &gate);
    kb_call_like(call, &grad_up, &gate);
    kb_call_like(call, &grad, &gate);
    job.out_stride = kb_call_rows(call, &grad_gate, 1);
    kb_call_require(call, kb_call_rows(call, &grad_up, 1) == job.out_stride,
                    "grad_gate and grad_up must have their rows equally far apart");
    job.grad_stride = kb_call_rows(call, &grad, 1);
    if (call->failed) return;
    job.grad = grad.data;
    job.out = grad_gate.data;
    job.factor_out = grad_up.data;
    activation_call_run(call, activation_gated_backward(&job, rows_of(&gate)));
}

/* ---- products, on the CPU ---- */

/* Contiguous rows. */
static void input_check(kb_call *call, const kb_view *x) {
    kb_call_least_dims(call, x, 1);
    kb_call_contiguous(call, x);
    kb_call_require(call, call->device.type == KB_DEVICE_CPU, "products are for the CPU");
}

/* Takes a matrix whose rows have `width` elements, and its bias or None. */
static mlp_matrix matrix_take(kb_call *call, const char *label, const char *bias_label,
                              const kb_view *x, int64_t width, int64_t *outputs) {
    kb_view weight, bias;
    *outputs = 0;
    kb_call_tensor(call, label, &weight);
    kb_call_optional(call, bias_label, &bias);
    kb_call_same_type(call, &weight, x);
    kb_call_same_type(call, &bias, x);
    kb_call_require(call, weight.ndim == 2, "%s must be a matrix", label);
    if (call->failed) return (mlp_matrix){0};
    int64_t needed[] = {weight.sizes[0], width};
    kb_call_has_sizes(call, &weight, 2, needed);
    kb_call_has_sizes(call, &bias, 1, needed);
    kb_call_contiguous(call, &weight);
    kb_call_contiguous(call, &bias);
    *outputs = needed[0];
    return (mlp_matrix){weight.data, bias.data};
}

/* Whether `out` is like x but for the last dimension, and contiguous. */
static void output_check(kb_call *call, const kb_view *out, const kb_view *x, int64_t last) {
    int64_t sizes[KB_CALL_DIMS];
    kb_call_same_type(call, out, x);
    if (call->failed) return;
    memcpy(sizes, x->sizes, (size_t)x->ndim * sizeof *sizes);
    sizes[x->ndim - 1] = last;
    kb_call_has_sizes(call, out, x->ndim, sizes);
    kb_call_contiguous(call, out);
}

static int64_t width_of(const kb_call *call, const kb_view *x) {
    return call->failed ? 0 : x->sizes[x->ndim - 1];
}

static void multiply(const mlp_product *product, int64_t outputs) {
    mlp_product work = *product;
    kb_parallel(outputs, mlp_product_cost(&work), mlp_product_range, &work);
}

/* (out, x, weight, bias or None) */
static void linear(kb_call *call) {
    kb_view out, x;
    int64_t outputs;
    kb_call_tensor(call, "out", &out);
    kb_call_tensor(call, "x", &x);
    input_check(call, &x);
    int64_t width = width_of(call, &x);
    mlp_matrix matrix = matrix_take(call, "weight", "bias", &x, width, &outputs);
    output_check(call, &out, &x, outputs);
    if (call->failed) return;
    mlp_product product =
        mlp_product_of(x.type, x.data, rows_of(&x), width, &matrix, outputs, out.data);
    multiply(&product, outputs);
}

/* (out, hidden, x, gate_weight, gate_bias or None, up_weight, up_bias or None, down_weight,
 *  down_bias or None, activation): `hidden` is room for activation(gate(x)) * up(x). */
static void gated_mlp(kb_call *call) {
    static const char *const kinds[] = {"silu", "gelu", "gelu_tanh"}; /* as activation_kind */
    kb_view out, hidden, x;
    int64_t up_outputs;
    mlp_job job = {0};
    kb_call_tensor(call, "out", &out);
    kb_call_tensor(call, "hidden", &hidden);
    kb_call_tensor(call, "x", &x);
    input_check(call, &x);
    job.width = width_of(call, &x);
    job.gate = matrix_take(call, "gate_weight", "gate_bias", &x, job.width, &job.hidden_width);
    job.up = matrix_take(call, "up_weight", "up_bias", &x, job.width, &up_outputs);
    kb_call_require(call, job.hidden_width == up_outputs,
                    "gate_weight has %lld rows and up_weight %lld; as many are needed",
                    (long long)job.hidden_width, (long long)up_outputs);
    job.down = matrix_take(call, "down_weight", "down_bias", &x, job.hidden_width, &job.out_width);
    job.kind = (activation_kind)kb_call_choice(call, "activation", kinds, 3);
    output_check(call, &hidden, &x, job.hidden_width);
    output_check(call, &out, &x, job.out_width);
    if (call->failed) return;
    job.type = x.type;
    job.rows = rows_of(&x);
    job.x = x.data;
    job.hidden = hidden.data;
    job.out = out.data;
    kb_parallel(mlp_hidden_units(&job), mlp_hidden_cost(&job), mlp_hidden_range, &job);
    mlp_product product = mlp_out_product(&job);
    multiply(&product, job.out_width);
}

#define DEFINE(name, kind)                                               \
    static void name(kb_call *call) { forward(call, kind); }             \
    static void name##_backward(kb_call *call) { backward(call, kind); } \
    KB_EXPORT(name, 3, 3)                                                \
    KB_EXPORT(name##_backward, 5, 5)

DEFINE(silu_mul, ACTIVATION_SILU)
DEFINE(gelu_mul, ACTIVATION_GELU)
DEFINE(gelu_tanh_mul, ACTIVATION_GELU_TANH)
KB_EXPORT(linear, 4, 4)
KB_EXPORT(gated_mlp, 10, 10)
