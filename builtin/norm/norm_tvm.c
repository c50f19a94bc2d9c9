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

/* (out, x, gate, weight or None, eps, activation: "silu" or "sigmoid", cast_first = false) */
static void rms_norm_gated(kb_call *call) {
    static const char *const kinds[] = {"silu", "sigmoid"};
    norm_inputs in;
    kb_view out, gate;
    kb_call_tensor(call, "out", &out);
    kb_call_tensor(call, "x", &in.x);
    kb_call_tensor(call, "gate", &gate);
    norm_job job = job_begin(call, &in, false);
    job.eps = (float)kb_call_number(call, "eps", 0.0);
    bool is_sigmoid = kb_call_choice(call, "activation", kinds, 2) == 1;
    job.gate_kind = is_sigmoid ? NORM_GATE_SIGMOID : NORM_GATE_SILU;
    job.cast_first = kb_call_flag(call, "cast_first", false);
    job.gate_stride = like_open(call, &in, &gate);
    job.gate = gate.data;
    kb_call_same_type(call, &out, &in.x);
    job.out = output_open(call, &in, &job, &out);
    run(call, &in, &job);
}

KB_EXPORT(rms_norm, 4, 5)
KB_EXPORT(layer_norm, 5, 5)
KB_EXPORT(fused_add_rms_norm, 6, 7)
KB_EXPORT(fused_add_layer_norm, 7, 7)
KB_EXPORT(rms_norm_gated, 6, 7)
