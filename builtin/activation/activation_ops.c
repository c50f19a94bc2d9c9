/* SPDX-License-Identifier: Apache-2.0 */
#include "activation_ops.h"

#include "activation_device.h"

/* The element-wise functions keep x's memory order, as torch's do, and run over flat memory. */
static void flat_forward(kb_word *stack, activation_kind kind) {
    KB_OWNED kb_tensor x = kb_tensor_take(stack[0]);
    int64_t strides[KB_MAX_DIMS];
    kb_strides_preserved(&x, strides);
    kb_tensor_make_strides(&x, strides);
    KB_OWNED kb_tensor y = kb_tensor_new(x.device, x.ndim, x.sizes, strides, x.type);
    activation_job job = {.kind = kind, .type = x.type, .x = x.data, .out = y.data};
    activation_run(activation_flat_forward(&job, kb_sizes_product(x.sizes, 0, x.ndim)), x.device);
    stack[0] = kb_tensor_give(&y);
}

static void require_like(const kb_tensor *grad, const kb_tensor *x, const int64_t *sizes) {
    kb_tensor result = {.ndim = x->ndim, .sizes = sizes, .type = x->type, .device = x->device};
    kb_require(kb_tensor_is_like(grad, &result),
               "activation backward: the gradient must be like the output");
}

static void flat_backward(kb_word *stack, activation_kind kind) {
    KB_OWNED kb_tensor grad = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor x = kb_tensor_take(stack[1]);
    int64_t strides[KB_MAX_DIMS];
    require_like(&grad, &x, x.sizes);
    kb_strides_preserved(&x, strides);
    kb_tensor_make_strides(&x, strides);
    kb_tensor_make_strides(&grad, strides);
    KB_OWNED kb_tensor dx = kb_tensor_new(x.device, x.ndim, x.sizes, strides, x.type);
    activation_job job = {.kind = kind, .type = x.type, .x = x.data};
    job.grad = grad.data;
    job.out = dx.data;
    activation_run(activation_flat_backward(&job, kb_sizes_product(x.sizes, 0, x.ndim)), x.device);
    stack[0] = kb_tensor_give(&dx);
}

/* The sizes of a gated function's result, half of x's last one, and that half. */
static int64_t gated_sizes(const kb_tensor *x, int64_t *sizes) {
    bool even = x->ndim >= 1 && x->sizes[x->ndim - 1] % 2 == 0;
    kb_require(even, "activation: the last dimension must be even");
    for (int64_t i = 0; i < x->ndim; i++) sizes[i] = x->sizes[i];
    return sizes[x->ndim - 1] /= 2;
}

/* A job over the two halves of x's rows. */
static activation_job gated_job(kb_tensor *x, activation_kind kind, int64_t width) {
    activation_job job = {.kind = kind, .type = x->type, .width = width};
    job.x_stride = job.factor_stride = kb_tensor_as_rows(x, 1);
    job.x = x->data;
    job.factor = kb_at(x->data, width, x->type);
    return job;
}

static void gated_forward(kb_word *stack, activation_kind kind) {
    KB_OWNED kb_tensor x = kb_tensor_take(stack[0]);
    int64_t sizes[KB_MAX_DIMS];
    activation_job job = gated_job(&x, kind, gated_sizes(&x, sizes));
    KB_OWNED kb_tensor y = kb_tensor_new_contiguous(x.device, x.ndim, sizes, x.type);
    job.out = y.data;
    job.out_stride = job.width;
    activation_run(activation_gated_forward(&job, kb_sizes_product(sizes, 0, x.ndim - 1)),
                   x.device);
    stack[0] = kb_tensor_give(&y);
}

static void gated_backward(kb_word *stack, activation_kind kind) {
    KB_OWNED kb_tensor grad = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor x = kb_tensor_take(stack[1]);
    int64_t sizes[KB_MAX_DIMS];
    const int64_t width = gated_sizes(&x, sizes);
    require_like(&grad, &x, sizes);
    activation_job job = gated_job(&x, kind, width);
    KB_OWNED kb_tensor dx = kb_tensor_new_contiguous(x.device, x.ndim, x.sizes, x.type);
    job.grad_stride = kb_tensor_as_rows(&grad, 1);
    job.grad = grad.data;
    job.out = dx.data;
    job.factor_out = kb_at_mut(dx.data, job.width, x.type);
    job.out_stride = 2 * job.width;
    activation_run(activation_gated_backward(&job, kb_sizes_product(sizes, 0, x.ndim - 1)),
                   x.device);
    stack[0] = kb_tensor_give(&dx);
}

/* torch calls an op without a context, so that each needs functions of its own. */
#define DEFINE_OPS(name, way, kind)                                                         \
    static void op_##name(kb_word *stack, uint64_t argument_count, uint64_t output_count) { \
        (void)argument_count, (void)output_count;                                           \
        way##_forward(stack, kind);                                                         \
    }                                                                                       \
    static void op_##name##_backward(kb_word *stack, uint64_t argument_count,               \
                                     uint64_t output_count) {                               \
        (void)argument_count, (void)output_count;                                           \
        way##_backward(stack, kind);                                                        \
    }

#define OPS(name)                                                              \
    {#name, #name "(Tensor x) -> Tensor", op_##name}, {                        \
        #name "_backward", #name "_backward(Tensor grad, Tensor x) -> Tensor", \
            op_##name##_backward                                               \
    }

DEFINE_OPS(silu, flat, ACTIVATION_SILU)
DEFINE_OPS(gelu, flat, ACTIVATION_GELU)
DEFINE_OPS(gelu_tanh, flat, ACTIVATION_GELU_TANH)
DEFINE_OPS(quick_gelu, flat, ACTIVATION_QUICK_GELU)
DEFINE_OPS(silu_and_mul, gated, ACTIVATION_SILU)
DEFINE_OPS(gelu_and_mul, gated, ACTIVATION_GELU)
DEFINE_OPS(gelu_tanh_and_mul, gated, ACTIVATION_GELU_TANH)

const kb_op activation_ops[ACTIVATION_OP_COUNT] = {
    OPS(silu),         OPS(gelu),         OPS(gelu_tanh),         OPS(quick_gelu),
    OPS(silu_and_mul), OPS(gelu_and_mul), OPS(gelu_tanh_and_mul),
};
