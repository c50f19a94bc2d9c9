/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that the tvm-ffi variants of norm export. */
#include "kb_call.h"
#include "norm_cuda.h"
#include "norm_run.h"

/* x, then weight, and bias where the function has one: the normalized dimensions are the weight's,
 * or the bias's, else the last one. */
typedef struct norm_inputs {
    kb_view x, weight, bias;
    int64_t inner;
} norm_inputs;

static void parameter_check(kb_call *call, const norm_inputs *in, const kb_view *parameter) {
    if (call->failed || !parameter->given) return;
    kb_call_require(call, in->inner >= 1 && in->inner <= in->x.ndim,
                    "%s has %lld dimensions and x has %lld; 1 to as many as x has are needed",
                    parameter->label, (long long)in->inner, (long long)in->x.ndim);
    if (call->failed) return;
    kb_call_has_sizes(call, parameter, in->inner, in->x.sizes + (in->x.ndim - in->inner));
    kb_call_contiguous(call, parameter);
    if (parameter->type != KB_F32) kb_call_same_type(call, parameter, &in->x);
}

/* Takes weight and bias, of x's type or both of float32, and begins the job. */
static norm_job job_begin(kb_call *call, norm_inputs *in, bool has_bias) {
    norm_job job = {.centered = has_bias};
    kb_call_optional(call, "weight", &in->weight);
    in->bias = (kb_view){.label = "bias"};
    if (has_bias) kb_call_optional(call, "bias", &in->bias);
    kb_call_same_type(call, &in->bias, &in->weight);
    const kb_view *parameter = in->weight.given ? &in->weight : &in->bias;
    in->inner = parameter->given ? parameter->ndim : 1;
    kb_call_least_dims(call, &in->x, 1);
    parameter_check(call, in, &in->weight);
    parameter_check(call, in, &in->bias);
    if (call->failed) return job;
    job.x = in->x.data;
    job.x_stride = kb_call_rows(call, &in->x, in->inner);
    job.weight = in->weight.data;
    job.bias = in->bias.data;
    job.width = kb_sizes_product(in->x.sizes, in->x.ndim - in->inner, in->x.ndim);
    job.x_type = job.y_type = in->x.type;
    job.param_type = parameter->given ? parameter->type : in->x.type;
    return job;
}

/* An output like x, but that it may be of the parameters' type. */
static void *output_open(kb_call *call, const norm_inputs *in, norm_job *job, const kb_view *out) {
    kb_call_same_sizes(call, out, &in->x);
    kb_call_contiguous(call, out);
    if (call->failed) return NULL;
    if (out->type != job->param_type) kb_call_same_type(call, out, &in->x);
    job->y_type = out->type;
    return out->data;
}

/* A further input like x: its step from row to row. */
static int64_t like_open(kb_call *call, const norm_inputs *in, const kb_view *other) {
    kb_call_like(call, other, &in->x);
    return kb_call_rows(call, other, in->inner);
}

static void run(kb_call *call, const norm_inputs *in, const norm_job *job) {
    if (call->failed) return;
    norm_work work =
        norm_forward_work(job, kb_sizes_product(in->x.sizes, 0, in->x.ndim - in->inner));
    if (KB_ON_CUDA(call->device)) {
        void *stream = kb_call_stream(call);
        kb_call_launched(call, norm_cuda_forward(&work.job, work.rows, stream));
        return;
    }
    kb_parallel(work.rows, job->width, norm_forward_range, &work);
}

/* (out, x, weight or None, eps, cast_first = false) */
static void rms_norm(kb_call *call) {
    norm_inputs in;
    kb_view out;
    kb_call_tensor(call, "out", &out);
    kb_call_tensor(call, "x", &in.x);
    norm_job job = job_begin(call, &in, false);
    job.eps = (float)kb_call_number(call, "eps", 0.0);
    job.cast_first = kb_call_flag(call, "cast_first", false);
    job.out = output_open(call, &in, &job, &out);
    run(call, &in, &job);
}

/* (out, x, weight or None, bias or None, eps) */
static void layer_norm(kb_call *call) {
    norm_inputs in;
    kb_view out;
    kb_call_tensor(call, "out", &out);
    kb_call_tensor(call, "x", &in.x);
    norm_job job = job_begin(call, &in, true);
    job.eps = (float)kb_call_number(call, "eps", 0.0);
    job.out = output_open(call, &in, &job, &out);
    run(call, &in, &job);
}

/* (out, sum, x, residual, weight or None, [bias or None,] eps, [cast_first = false]): `out` may be
 * x, and `sum` may be the residual. */
static void fused_add(kb_call *call, bool has_bias) {
    norm_inputs in;
    kb_view out, sum, residual;
    kb_call_tensor(call, "out", &out);
    kb_call_tensor(call, "sum", &sum);
    kb_call_tensor(call, "x", &in.x);
    kb_call_tensor(call, "residual", &residual);
    norm_job job = job_begin(call, &in, has_bias);
    job.eps = (float)kb_call_number(call, "eps", 0.0);
    if (!has_bias) job.cast_first = kb_call_flag(call, "cast_first", false);
    job.residual_stride = like_open(call, &in, &residual);
    job.residual = residual.data;
    kb_call_like(call, &sum, &in.x);
    kb_call_contiguous(call, &sum);
    job.sum = sum.data;
    job.out = output_open(call, &in, &job, &out);
    run(call, &in, &job);
}

static void fused_add_rms_norm(kb_call *call) { fused_add(call, false); }

static void fused_add_layer_norm(kb_call *call) { fused_add(call, true); }

static norm_gate gate_take(kb_call *call) {
    static const char *const kinds[] = {"silu", "sigmoid"};
    bool is_sigmoid = kb_call_choice(call, "activation", kinds, 2) == 1;
    return is_sigmoid ? NORM_GATE_SIGMOID : NORM_GATE_SILU;
}

/* (out, x, gate, weight or None, eps, activation: "silu" or "sigmoid", cast_first = false) */
static void rms_norm_gated(kb_call *call) {
    norm_inputs in;
    kb_view out, gate;
    kb_call_tensor(call, "out", &out);
    kb_call_tensor(call, "x", &in.x);
    kb_call_tensor(call, "gate", &gate);
    norm_job job = job_begin(call, &in, false);
    job.eps = (float)kb_call_number(call, "eps", 0.0);
    job.gate_kind = gate_take(call);
    job.cast_first = kb_call_flag(call, "cast_first", false);
    job.gate_stride = like_open(call, &in, &gate);
    job.gate = gate.data;
    kb_call_same_type(call, &out, &in.x);
    job.out = output_open(call, &in, &job, &out);
    run(call, &in, &job);
}

/* What a backward takes before x. */
typedef struct norm_grads {
    kb_view x, weight, bias; /* outputs: the gradients of these */
    kb_view workspace, grad;
} norm_grads;

static void grads_take(kb_call *call, norm_grads *grads, bool has_bias) {
    kb_call_optional(call, "grad_weight", &grads->weight);
    grads->bias = (kb_view){.label = "grad_bias"};
    if (has_bias) kb_call_optional(call, "grad_bias", &grads->bias);
    kb_call_optional(call, "workspace", &grads->workspace);
    kb_call_tensor(call, "grad", &grads->grad);
}

/* The gradient of a parameter, which is as that is; NULL where it is not wanted. */
static void *parameter_grad_open(kb_call *call, const norm_inputs *in, const kb_view *grad,
                                 const kb_view *parameter) {
    if (call->failed || !grad->given) return NULL;
    kb_call_require(call, parameter->given, "%s needs the %s, which is None", grad->label,
                    parameter->label);
    parameter_check(call, in, grad);
    kb_call_same_type(call, grad, parameter);
    return grad->data;
}

/* The workspace as room for `count` sums, which is what the call tells; NULL where it is None. */
static float *workspace_open(kb_call *call, const kb_view *workspace, int64_t count) {
    kb_call_give(call, count);
    if (call->failed || !workspace->given) return NULL;
    int64_t room = kb_sizes_product(workspace->sizes, 0, workspace->ndim);
    kb_call_contiguous(call, workspace);
    kb_call_require(call, workspace->type == KB_F32, "workspace must be of float32");
    kb_call_require(call, room >= count, "workspace has %lld elements; %lld are needed",
                    (long long)room, (long long)count);
    return workspace->data;
}

static void backward_cuda(kb_call *call, norm_job *job, int64_t rows, const kb_view *workspace,
                          void *weight_grad, void *bias_grad) {
    void *stream = kb_call_stream(call);
    norm_cuda_shape shape = norm_cuda_backward_shape(job, rows);
    int64_t count = norm_back_sums(job, shape.chunks, weight_grad, bias_grad);
    float *sums = workspace_open(call, workspace, count);
    if (call->failed || (count > 0 && !sums)) return;
    norm_cuda_sums(job, &shape, sums, weight_grad, bias_grad);
    kb_call_launched(call, norm_cuda_backward(job, rows, &shape, weight_grad, bias_grad, stream));
}

static void backward_cpu(kb_call *call, const norm_job *job, int64_t rows, const kb_view *workspace,
                         void *weight_grad, void *bias_grad) {
    norm_back_work work = norm_backward_work(job, rows, weight_grad, bias_grad);
    int64_t count = norm_back_sums(job, work.chunks, weight_grad, bias_grad);
    work.sums = workspace_open(call, workspace, count);
    if (call->failed || (count > 0 && !work.sums)) return;
    kb_parallel(work.chunks, norm_chunk_cost(&work), norm_backward_range, &work);
    kb_parallel(norm_columns(&work), norm_column_cost(&work), norm_finish_range, &work);
}

/* The rest of every backward. The result is how many elements the workspace needs; where that is
 * None and some are needed, nothing is computed. */
static void backward(kb_call *call, const norm_inputs *in, norm_job *job, const norm_grads *grads) {
    kb_call_same_sizes(call, &grads->grad, &in->x);
    if (!call->failed && grads->grad.type != job->param_type)
        kb_call_same_type(call, &grads->grad, &in->x);
    job->y_type = grads->grad.type;
    job->grad_stride = kb_call_rows(call, &grads->grad, in->inner);
    job->grad = grads->grad.data;
    kb_call_like(call, &grads->x, &in->x);
    kb_call_contiguous(call, &grads->x);
    job->out = grads->x.data;
    void *weight_grad = parameter_grad_open(call, in, &grads->weight, &in->weight);
    void *bias_grad = parameter_grad_open(call, in, &grads->bias, &in->bias);
    if (call->failed) return;
    int64_t rows = kb_sizes_product(in->x.sizes, 0, in->x.ndim - in->inner);
    if (KB_ON_CUDA(call->device))
        backward_cuda(call, job, rows, &grads->workspace, weight_grad, bias_grad);
    else
        backward_cpu(call, job, rows, &grads->workspace, weight_grad, bias_grad);
}

/* (grad_x, grad_weight or None, [grad_bias or None,] workspace or None, grad, x, weight or None,
 * [bias or None,] eps, grad_sum = None): `grad_sum` is that of the sum which a fused addition gave.
 */
static void plain_backward(kb_call *call, bool has_bias) {
    norm_inputs in;
    norm_grads grads;
    kb_view grad_sum;
    kb_call_tensor(call, "grad_x", &grads.x);
    grads_take(call, &grads, has_bias);
    kb_call_tensor(call, "x", &in.x);
    norm_job job = job_begin(call, &in, has_bias);
    job.eps = (float)kb_call_number(call, "eps", 0.0);
    kb_call_optional(call, "grad_sum", &grad_sum);
    if (grad_sum.given) job.sum_grad_stride = like_open(call, &in, &grad_sum);
    job.sum_grad = grad_sum.data;
    backward(call, &in, &job, &grads);
}

static void rms_norm_backward(kb_call *call) { plain_backward(call, false); }

static void layer_norm_backward(kb_call *call) { plain_backward(call, true); }

/* (grad_x, grad_gate, grad_weight or None, workspace or None, grad, x, gate, weight or None, eps,
 * activation) */
static void rms_norm_gated_backward(kb_call *call) {
    norm_inputs in;
    norm_grads grads;
    kb_view grad_gate, gate;
    kb_call_tensor(call, "grad_x", &grads.x);
    kb_call_tensor(call, "grad_gate", &grad_gate);
    grads_take(call, &grads, false);
    kb_call_tensor(call, "x", &in.x);
    kb_call_tensor(call, "gate", &gate);
    norm_job job = job_begin(call, &in, false);
    job.eps = (float)kb_call_number(call, "eps", 0.0);
    job.gate_kind = gate_take(call);
    job.gate_stride = like_open(call, &in, &gate);
    job.gate = gate.data;
    kb_call_like(call, &grad_gate, &in.x);
    kb_call_contiguous(call, &grad_gate);
    job.gate_out = grad_gate.data;
    kb_call_same_type(call, &grads.grad, &in.x);
    backward(call, &in, &job, &grads);
}

KB_EXPORT(rms_norm, 4, 5)
KB_EXPORT(layer_norm, 5, 5)
KB_EXPORT(fused_add_rms_norm, 6, 7)
KB_EXPORT(fused_add_layer_norm, 7, 7)
KB_EXPORT(rms_norm_gated, 6, 7)
KB_EXPORT(rms_norm_backward, 7, 8)
KB_EXPORT(layer_norm_backward, 9, 10)
KB_EXPORT(rms_norm_gated_backward, 10, 10)
