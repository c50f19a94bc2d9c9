/* SPDX-License-Identifier: Apache-2.0 */
#include "mlp_ops.h"

#include "activation_device.h"

static void require_like(const kb_tensor *other, const kb_tensor *gate) {
    kb_require(gate->ndim >= 1 && kb_tensor_is_like(other, gate),
               "mlp: both tensors must have one shape, of a dimension or more, dtype and device");
}

static int64_t rows_of(const kb_tensor *x) { return kb_sizes_product(x->sizes, 0, x->ndim - 1); }

static activation_job job_of(kb_tensor *gate, kb_tensor *up, activation_kind kind) {
    activation_job job = {.kind = kind, .type = gate->type};
    job.width = job.out_stride = gate->sizes[gate->ndim - 1];
    job.x_stride = kb_tensor_as_rows(gate, 1);
    job.factor_stride = kb_tensor_as_rows(up, 1);
    job.x = gate->data;
    job.factor = up->data;
    return job;
}

static void forward(kb_word *stack, activation_kind kind) {
    KB_OWNED kb_tensor gate = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor up = kb_tensor_take(stack[1]);
    require_like(&up, &gate);
    activation_job job = job_of(&gate, &up, kind);
    KB_OWNED kb_tensor y = kb_tensor_new_contiguous(gate.device, gate.ndim, gate.sizes, gate.type);
    job.out = y.data;
    activation_run(activation_gated_forward(&job, rows_of(&gate)), gate.device);
    stack[0] = kb_tensor_give(&y);
}

static void backward(kb_word *stack, activation_kind kind) {
    KB_OWNED kb_tensor grad = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor gate = kb_tensor_take(stack[1]);
    KB_OWNED kb_tensor up = kb_tensor_take(stack[2]);
    require_like(&up, &gate);
    require_like(&grad, &gate);
    activation_job job = job_of(&gate, &up, kind);
    job.grad_stride = kb_tensor_as_rows(&grad, 1);
    job.grad = grad.data;
    KB_OWNED kb_tensor gate_grad =
        kb_tensor_new_contiguous(gate.device, gate.ndim, gate.sizes, gate.type);
    KB_OWNED kb_tensor up_grad =
        kb_tensor_new_contiguous(gate.device, gate.ndim, gate.sizes, gate.type);
    job.out = gate_grad.data;
    job.factor_out = up_grad.data;
    activation_run(activation_gated_backward(&job, rows_of(&gate)), gate.device);
    stack[0] = kb_tensor_give(&gate_grad);
    stack[1] = kb_tensor_give(&up_grad);
}

/* A contiguous matrix whose rows have `width` elements, and its bias. */
static mlp_matrix matrix_of(kb_tensor *weight, kb_tensor *bias, kb_dtype type, int64_t width) {
    kb_require(weight->ndim == 2 && weight->sizes[1] == width && weight->type == type &&
                   weight->device.type == KB_DEVICE_CPU,
               "mlp: the weights must be matrices for the input's last dimension and dtype");
    bool fits = !bias->handle || (bias->ndim == 1 && bias->sizes[0] == weight->sizes[0] &&
                                  bias->type == type && bias->device.type == KB_DEVICE_CPU);
    kb_require(fits, "mlp: a bias must have an element for each output, and the input's dtype");
    if (bias->handle) (void)kb_tensor_as_rows(bias, 1);
    (void)kb_tensor_as_rows(weight, 2);
    return (mlp_matrix){weight->data, bias->data};
}

/* The input of a product: contiguous rows on the CPU. */
static void input_prepare(kb_tensor *x) {
    kb_require(x->ndim >= 1, "mlp: the input must have a dimension or more");
    kb_require(x->device.type == KB_DEVICE_CPU, "mlp: products are for the CPU");
    (void)kb_tensor_as_rows(x, x->ndim);
}

/* Of the input's sizes, but for the last one. */
static kb_tensor output_new(const kb_tensor *x, int64_t outputs) {
    int64_t sizes[KB_MAX_DIMS];
    memcpy(sizes, x->sizes, (size_t)x->ndim * sizeof *sizes);
    sizes[x->ndim - 1] = outputs;
    return kb_tensor_new_contiguous(x->device, x->ndim, sizes, x->type);
}

/* linear(Tensor x, Tensor weight, Tensor? bias) -> Tensor */
static void op_linear(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    KB_OWNED kb_tensor x = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor weight = kb_tensor_take(stack[1]);
    KB_OWNED kb_tensor bias = kb_tensor_take_optional(stack[2]);
    input_prepare(&x);
    int64_t width = x.sizes[x.ndim - 1];
    mlp_matrix matrix = matrix_of(&weight, &bias, x.type, width);
    int64_t outputs = weight.sizes[0];
    KB_OWNED kb_tensor y = output_new(&x, outputs);
    mlp_product product =
        mlp_product_of(x.type, x.data, rows_of(&x), width, &matrix, outputs, y.data);
    kb_parallel(outputs, mlp_product_cost(&product), mlp_product_range, &product);
    stack[0] = kb_tensor_give(&y);
}

/* gated_mlp(Tensor x, Tensor gate_weight, Tensor? gate_bias, Tensor up_weight, Tensor? up_bias,
 *           Tensor down_weight, Tensor? down_bias, int kind) -> Tensor */
static void op_gated_mlp(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    KB_OWNED kb_tensor x = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor gate = kb_tensor_take(stack[1]);
    KB_OWNED kb_tensor gate_bias = kb_tensor_take_optional(stack[2]);
    KB_OWNED kb_tensor up = kb_tensor_take(stack[3]);
    KB_OWNED kb_tensor up_bias = kb_tensor_take_optional(stack[4]);
    KB_OWNED kb_tensor down = kb_tensor_take(stack[5]);
    KB_OWNED kb_tensor down_bias = kb_tensor_take_optional(stack[6]);
    input_prepare(&x);
    kb_require((int64_t)stack[7] >= 0 && stack[7] < ACTIVATION_COUNT, "mlp: unknown activation");
    mlp_job job = {.kind = (activation_kind)stack[7], .type = x.type, .x = x.data};
    job.rows = rows_of(&x);
    job.width = x.sizes[x.ndim - 1];
    job.gate = matrix_of(&gate, &gate_bias, x.type, job.width);
    job.up = matrix_of(&up, &up_bias, x.type, job.width);
    kb_require(gate.sizes[0] == up.sizes[0], "mlp: gate and up must have as many outputs");
    job.hidden_width = gate.sizes[0];
    job.down = matrix_of(&down, &down_bias, x.type, job.hidden_width);
    job.out_width = down.sizes[0];
    int64_t hidden_sizes[] = {job.rows, job.hidden_width};
    KB_OWNED kb_tensor hidden = kb_tensor_new_contiguous(x.device, 2, hidden_sizes, x.type);
    KB_OWNED kb_tensor y = output_new(&x, job.out_width);
    job.hidden = hidden.data;
    job.out = y.data;
    kb_parallel(mlp_hidden_units(&job), mlp_hidden_cost(&job), mlp_hidden_range, &job);
    mlp_product product = mlp_out_product(&job);
    kb_parallel(job.out_width, mlp_product_cost(&product), mlp_product_range, &product);
    stack[0] = kb_tensor_give(&y);
}

/* torch calls an op without a context, so that each needs functions of its own. */
#define DEFINE_OPS(name, kind)                                                              \
    static void op_##name(kb_word *stack, uint64_t argument_count, uint64_t output_count) { \
        (void)argument_count, (void)output_count;                                           \
        forward(stack, kind);                                                               \
    }                                                                                       \
    static void op_##name##_backward(kb_word *stack, uint64_t argument_count,               \
                                     uint64_t output_count) {                               \
        (void)argument_count, (void)output_count;                                           \
        backward(stack, kind);                                                              \
    }

#define OPS(name)                                                                       \
    {#name, #name "(Tensor gate, Tensor up) -> Tensor", op_##name}, {                   \
        #name "_backward",                                                              \
            #name "_backward(Tensor grad, Tensor gate, Tensor up) -> (Tensor, Tensor)", \
            op_##name##_backward                                                        \
    }

DEFINE_OPS(silu_mul, ACTIVATION_SILU)
DEFINE_OPS(gelu_mul, ACTIVATION_GELU)
DEFINE_OPS(gelu_tanh_mul, ACTIVATION_GELU_TANH)

const kb_op mlp_ops[MLP_OP_COUNT] = {
    OPS(silu_mul),
    OPS(gelu_mul),
    OPS(gelu_tanh_mul),
    {"linear", "linear(Tensor x, Tensor weight, Tensor? bias) -> Tensor", op_linear},
    {"gated_mlp",
     "gated_mlp(Tensor x, Tensor gate_weight, Tensor? gate_bias, Tensor up_weight, "
     "Tensor? up_bias, Tensor down_weight, Tensor? down_bias, int kind) -> Tensor",
     op_gated_mlp},
};
