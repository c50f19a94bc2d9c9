/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that the tvm-ffi variants of activation export. */
#include "activation_call.h"

/* The element-wise functions take tensors of any one order of dimensions in memory, without gaps.
 */
static void same_layout(kb_call *call, const kb_view *view, const kb_view *like) {
    kb_call_like(call, view, like);
    if (call->failed) return;
    bool same = kb_layout_is_dense(like->ndim, like->sizes, like->strides);
    for (int64_t i = 0; same && i < like->ndim; i++)
        same = like->sizes[i] == 1 || view->strides[i] == like->strides[i];
    kb_call_require(call, same || kb_sizes_product(like->sizes, 0, like->ndim) == 0,
                    "%s and %s must lie in memory alike and without gaps", view->label,
                    like->label);
}

/* (out, x) */
static void flat_forward(kb_call *call, activation_kind kind) {
    kb_view out, x;
    kb_call_tensor(call, "out", &out);
    kb_call_tensor(call, "x", &x);
    same_layout(call, &out, &x);
    if (call->failed) return;
    activation_job job = {.kind = kind, .type = x.type, .x = x.data, .out = out.data};
    activation_call_run(call, activation_flat_forward(&job, kb_sizes_product(x.sizes, 0, x.ndim)));
}

/* (grad_x, grad, x) */
static void flat_backward(kb_call *call, activation_kind kind) {
    kb_view grad_x, grad, x;
    kb_call_tensor(call, "grad_x", &grad_x);
    kb_call_tensor(call, "grad", &grad);
    kb_call_tensor(call, "x", &x);
    same_layout(call, &grad_x, &x);
    same_layout(call, &grad, &x);
    if (call->failed) return;
    activation_job job = {.kind = kind, .type = x.type, .x = x.data};
    job.grad = grad.data;
    job.out = grad_x.data;
    activation_call_run(call, activation_flat_backward(&job, kb_sizes_product(x.sizes, 0, x.ndim)));
}

/* A job over the two halves of x's rows; `half`: the sizes of one of them. */
static activation_job gated_job(kb_call *call, const kb_view *x, activation_kind kind,
                                int64_t *half) {
    activation_job job = {.kind = kind, .type = x->type, .x = x->data};
    kb_call_least_dims(call, x, 1);
    if (call->failed) return job;
    memcpy(half, x->sizes, (size_t)x->ndim * sizeof *half);
    int64_t last = half[x->ndim - 1];
    kb_call_require(call, last % 2 == 0, "the last dimension of x, %lld, must be even",
                    (long long)last);
    job.width = half[x->ndim - 1] = last / 2;
    job.x_stride = job.factor_stride = kb_call_rows(call, x, 1);
    job.factor = kb_at(x->data, job.width, x->type);
    return job;
}

/* (out, x) */
static void gated_forward(kb_call *call, activation_kind kind) {
    kb_view out, x;
    int64_t half[KB_CALL_DIMS] = {0};
    kb_call_tensor(call, "out", &out);
    kb_call_tensor(call, "x", &x);
    kb_call_same_type(call, &out, &x);
    activation_job job = gated_job(call, &x, kind, half);
    kb_call_has_sizes(call, &out, x.ndim, half);
    job.out_stride = kb_call_rows(call, &out, 1);
    job.out = out.data;
    if (call->failed) return;
    activation_call_run(call,
                        activation_gated_forward(&job, kb_sizes_product(half, 0, x.ndim - 1)));
}

/* (grad_x, grad, x) */
static void gated_backward(kb_call *call, activation_kind kind) {
    kb_view grad_x, grad, x;
    int64_t half[KB_CALL_DIMS] = {0};
    kb_call_tensor(call, "grad_x", &grad_x);
    kb_call_tensor(call, "grad", &grad);
    kb_call_tensor(call, "x", &x);
    kb_call_like(call, &grad_x, &x);
    kb_call_same_type(call, &grad, &x);
    activation_job job = gated_job(call, &x, kind, half);
    kb_call_has_sizes(call, &grad, x.ndim, half);
    job.out_stride = kb_call_rows(call, &grad_x, 1);
    job.grad_stride = kb_call_rows(call, &grad, 1);
    if (call->failed) return;
    job.grad = grad.data;
    job.out = grad_x.data;
    job.factor_out = kb_at_mut(grad_x.data, job.width, x.type);
    activation_call_run(call,
                        activation_gated_backward(&job, kb_sizes_product(half, 0, x.ndim - 1)));
}

#define DEFINE(name, way, kind)                                                \
    static void name(kb_call *call) { way##_forward(call, kind); }             \
    static void name##_backward(kb_call *call) { way##_backward(call, kind); } \
    KB_EXPORT(name, 2, 2)                                                      \
    KB_EXPORT(name##_backward, 3, 3)

DEFINE(silu, flat, ACTIVATION_SILU)
DEFINE(gelu, flat, ACTIVATION_GELU)
DEFINE(gelu_tanh, flat, ACTIVATION_GELU_TANH)
DEFINE(quick_gelu, flat, ACTIVATION_QUICK_GELU)
DEFINE(silu_and_mul, gated, ACTIVATION_SILU)
DEFINE(gelu_and_mul, gated, ACTIVATION_GELU)
DEFINE(gelu_tanh_and_mul, gated, ACTIVATION_GELU_TANH)
