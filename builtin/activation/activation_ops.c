/* SPDX-License-Identifier: Apache-2.0 */
#include "activation_ops.h"

#include "kb_tensor.h"

static const activation_table *active_table = &activation_serial;

const activation_table *activation_active(void) { return active_table; }

void activation_select(kb_isa isa) { active_table = activation_table_get(isa); }

typedef struct parallel_run {
    activation_range kernel;
    const activation_job *job;
} parallel_run;

static void parallel_range(int64_t begin, int64_t end, void *context) {
    const parallel_run *run = context;
    run->kernel(run->job, begin, end);
}

void activation_run(activation_range kernel, const activation_job *job, int64_t count,
                    int64_t cost) {
    parallel_run run = {kernel, job};
    kb_parallel(count, cost, parallel_range, &run);
}

/* The element-wise functions keep x's memory order, as torch's do, and run over flat memory. */
static void flat_forward(kb_word *stack, activation_range kernel) {
    KB_OWNED kb_tensor x = kb_tensor_take(stack[0]);
    int64_t strides[KB_MAX_DIMS];
    kb_strides_preserved(&x, strides);
    kb_tensor_make_strides(&x, strides);
    KB_OWNED kb_tensor y = kb_tensor_new(x.ndim, x.sizes, strides, x.type);
    activation_job job = {.x = x.data, .out = y.data, .type = x.type};
    activation_run(kernel, &job, kb_sizes_product(x.sizes, 0, x.ndim), 1);
    stack[0] = kb_tensor_give(&y);
}

static void require_like(const kb_tensor *grad, kb_dtype type, int64_t ndim, const int64_t *sizes) {
    bool matches = grad->type == type && grad->ndim == ndim;
    for (int64_t i = 0; matches && i < ndim; i++) matches = grad->sizes[i] == sizes[i];
    kb_require(matches, "activation backward: the gradient must be like the output");
}

static void flat_backward(kb_word *stack, activation_range kernel) {
    KB_OWNED kb_tensor grad = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor x = kb_tensor_take(stack[1]);
    int64_t strides[KB_MAX_DIMS];
    require_like(&grad, x.type, x.ndim, x.sizes);
    kb_strides_preserved(&x, strides);
    kb_tensor_make_strides(&x, strides);
    kb_tensor_make_strides(&grad, strides);
    KB_OWNED kb_tensor dx = kb_tensor_new(x.ndim, x.sizes, strides, x.type);
    activation_job job = {.x = x.data, .grad = grad.data, .out = dx.data, .type = x.type};
    activation_run(kernel, &job, kb_sizes_product(x.sizes, 0, x.ndim), 1);
    stack[0] = kb_tensor_give(&dx);
}

/* The sizes of silu_and_mul's result: half of x's last one. */
static void gated_sizes(const kb_tensor *x, int64_t *sizes) {
    bool even = x->ndim >= 1 && x->sizes[x->ndim - 1] % 2 == 0;
    kb_require(even, "silu_and_mul: the last dimension must be even");
    for (int64_t i = 0; i < x->ndim; i++) sizes[i] = x->sizes[i];
    sizes[x->ndim - 1] /= 2;
}

static void op_silu_and_mul(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    KB_OWNED kb_tensor x = kb_tensor_take(stack[0]);
    int64_t sizes[KB_MAX_DIMS];
    gated_sizes(&x, sizes);
    activation_job job = {.type = x.type, .width = sizes[x.ndim - 1]};
    job.x_stride = kb_tensor_as_rows(&x, 1);
    KB_OWNED kb_tensor y = kb_tensor_new_contiguous(x.ndim, sizes, x.type);
    job.x = x.data;
    job.out = y.data;
    if (job.width > 0)
        activation_run(activation_active()->silu_and_mul_forward, &job,
                       kb_sizes_product(sizes, 0, x.ndim - 1), 2 * job.width);
    stack[0] = kb_tensor_give(&y);
}

static void op_silu_and_mul_backward(kb_word *stack, uint64_t argument_count,
                                     uint64_t output_count) {
    (void)argument_count, (void)output_count;
    KB_OWNED kb_tensor grad = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor x = kb_tensor_take(stack[1]);
    int64_t sizes[KB_MAX_DIMS];
    gated_sizes(&x, sizes);
    require_like(&grad, x.type, x.ndim, sizes);
    activation_job job = {.type = x.type, .width = sizes[x.ndim - 1]};
    job.x_stride = kb_tensor_as_rows(&x, 1);
    job.grad_stride = kb_tensor_as_rows(&grad, 1);
    KB_OWNED kb_tensor dx = kb_tensor_new_contiguous(x.ndim, x.sizes, x.type);
    job.x = x.data;
    job.grad = grad.data;
    job.out = dx.data;
    if (job.width > 0)
        activation_run(activation_active()->silu_and_mul_backward, &job,
                       kb_sizes_product(sizes, 0, x.ndim - 1), 2 * job.width);
    stack[0] = kb_tensor_give(&dx);
}

static void op_silu(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    flat_forward(stack, activation_active()->forward[ACTIVATION_SILU]);
}

static void op_gelu(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    flat_forward(stack, activation_active()->forward[ACTIVATION_GELU]);
}

static void op_gelu_tanh(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    flat_forward(stack, activation_active()->forward[ACTIVATION_GELU_TANH]);
}

static void op_silu_backward(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    flat_backward(stack, activation_active()->backward[ACTIVATION_SILU]);
}

static void op_gelu_backward(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    flat_backward(stack, activation_active()->backward[ACTIVATION_GELU]);
}

static void op_gelu_tanh_backward(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    flat_backward(stack, activation_active()->backward[ACTIVATION_GELU_TANH]);
}

int activation_ops_register(const char *name_space) {
    static const kb_op ops[] = {
        {"silu", "silu(Tensor x) -> Tensor", op_silu},
        {"silu_backward", "silu_backward(Tensor grad, Tensor x) -> Tensor", op_silu_backward},
        {"gelu", "gelu(Tensor x) -> Tensor", op_gelu},
        {"gelu_backward", "gelu_backward(Tensor grad, Tensor x) -> Tensor", op_gelu_backward},
        {"gelu_tanh", "gelu_tanh(Tensor x) -> Tensor", op_gelu_tanh},
        {"gelu_tanh_backward", "gelu_tanh_backward(Tensor grad, Tensor x) -> Tensor",
         op_gelu_tanh_backward},
        {"silu_and_mul", "silu_and_mul(Tensor x) -> Tensor", op_silu_and_mul},
        {"silu_and_mul_backward", "silu_and_mul_backward(Tensor grad, Tensor x) -> Tensor",
         op_silu_and_mul_backward},
    };
    return kb_ops_register(name_space, ops, (int)(sizeof ops / sizeof ops[0]));
}
