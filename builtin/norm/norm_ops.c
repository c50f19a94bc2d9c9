/* SPDX-License-Identifier: Apache-2.0 */
#include "norm_ops.h"

#include "kb_cuda.h"
#include "norm_cuda.h"

static double word_to_double(kb_word word) {
    double value;
    memcpy(&value, &word, sizeof value);
    return value;
}

static bool word_to_bool(kb_word word) { return (word & 0xff) != 0; }

/* Where rows end and the normalized dimensions begin. */
static int64_t outer_dims(const kb_tensor *x, kb_word inner_word) {
    int64_t inner = (int64_t)inner_word;
    kb_require(inner >= 1 && inner <= x->ndim,
               "norm: more normalized dimensions than the input has");
    return x->ndim - inner;
}

/* Weight or bias: contiguous, of the normalized shape. */
static void parameter_prepare(kb_tensor *parameter, const kb_tensor *x, int64_t outer) {
    if (!parameter->handle) return;
    bool matches =
        parameter->ndim == x->ndim - outer && kb_device_equal(parameter->device, x->device);
    for (int64_t i = 0; matches && i < parameter->ndim; i++)
        matches = parameter->sizes[i] == x->sizes[outer + i];
    kb_require(matches,
               "norm: weight and bias must have the normalized shape, on the input's device");
    (void)kb_tensor_as_rows(parameter, parameter->ndim);
}

/* float32 if nothing is given, else the type that both must share. */
static kb_dtype parameter_type(const kb_tensor *x, const kb_tensor *weight, const kb_tensor *bias) {
    if (!weight->handle && !bias->handle) return x->type;
    kb_dtype type = weight->handle ? weight->type : bias->type;
    kb_require(!weight->handle || !bias->handle || weight->type == bias->type,
               "norm: weight and bias must have one dtype");
    kb_require(type == x->type || type == KB_F32,
               "norm: weight and bias must have the input's dtype or float32");
    return type;
}

/* What the three tensors say, as rows of the normalized dimensions; the rest comes later. */
static norm_job job_begin(kb_tensor *x, kb_tensor *weight, kb_tensor *bias, int64_t outer,
                          kb_word eps) {
    norm_job job = {.x_stride = kb_tensor_as_rows(x, x->ndim - outer)};
    parameter_prepare(weight, x, outer);
    parameter_prepare(bias, x, outer);
    job.x = x->data;
    job.weight = weight->data;
    job.bias = bias->data;
    job.width = kb_sizes_product(x->sizes, outer, x->ndim);
    job.eps = (float)word_to_double(eps);
    job.x_type = x->type;
    job.param_type = parameter_type(x, weight, bias);
    job.y_type = x->type;
    return job;
}

/* Runs the job over a fresh output and gives that to the stack. */
static kb_word forward(norm_job *job, const kb_tensor *x, int64_t outer) {
    KB_OWNED kb_tensor y = kb_tensor_new_contiguous(x->device, x->ndim, x->sizes, job->y_type);
    job->out = y.data;
    norm_work work = norm_forward_work(job, kb_sizes_product(x->sizes, 0, outer));
    if (KB_ON_CUDA(x->device)) {
        KB_CUDA_GUARDED kb_cuda_guard guard = kb_cuda_guard_enter(x->device);
        kb_cuda_require(norm_cuda_forward(&work.job, work.rows, kb_cuda_stream(x->device)));
    } else {
        kb_parallel(work.rows, job->width, norm_forward_range, &work);
    }
    return kb_tensor_give(&y);
}

static void require_like(const kb_tensor *other, const kb_tensor *x) {
    kb_require(kb_tensor_is_like(other, x),
               "norm: residual and gate must have the input's shape, dtype and device");
}

/* The same after x + residual, which goes to stack[1]. */
static void fused_add_forward(kb_word *stack, norm_job *job, const kb_tensor *x,
                              kb_tensor *residual, int64_t outer) {
    require_like(residual, x);
    job->residual_stride = kb_tensor_as_rows(residual, x->ndim - outer);
    job->residual = residual->data;
    KB_OWNED kb_tensor sum = kb_tensor_new_contiguous(x->device, x->ndim, x->sizes, x->type);
    job->sum = sum.data;
    stack[0] = forward(job, x, outer);
    stack[1] = kb_tensor_give(&sum);
}

/* rms_norm(Tensor x, Tensor? weight, int ndim, float eps, bool cast_first) -> Tensor */
static void op_rms_norm(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    KB_OWNED kb_tensor x = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor weight = kb_tensor_take_optional(stack[1]);
    kb_tensor no_bias = {0};
    int64_t outer = outer_dims(&x, stack[2]);
    norm_job job = job_begin(&x, &weight, &no_bias, outer, stack[3]);
    job.cast_first = word_to_bool(stack[4]);
    if (job.cast_first) job.y_type = job.param_type; /* as torch's promotion of the product */
    stack[0] = forward(&job, &x, outer);
}

/* layer_norm(Tensor x, Tensor? weight, Tensor? bias, int ndim, float eps) -> Tensor */
static void op_layer_norm(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    KB_OWNED kb_tensor x = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor weight = kb_tensor_take_optional(stack[1]);
    KB_OWNED kb_tensor bias = kb_tensor_take_optional(stack[2]);
    int64_t outer = outer_dims(&x, stack[3]);
    norm_job job = job_begin(&x, &weight, &bias, outer, stack[4]);
    job.centered = true;
    stack[0] = forward(&job, &x, outer);
}

/* fused_add_rms_norm(Tensor x, Tensor residual, Tensor? weight, int ndim, float eps,
 *                    bool cast_first) -> (Tensor, Tensor) */
static void op_fused_add_rms_norm(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    KB_OWNED kb_tensor x = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor residual = kb_tensor_take(stack[1]);
    KB_OWNED kb_tensor weight = kb_tensor_take_optional(stack[2]);
    kb_tensor no_bias = {0};
    int64_t outer = outer_dims(&x, stack[3]);
    norm_job job = job_begin(&x, &weight, &no_bias, outer, stack[4]);
    job.cast_first = word_to_bool(stack[5]);
    if (job.cast_first) job.y_type = job.param_type;
    fused_add_forward(stack, &job, &x, &residual, outer);
}

/* fused_add_layer_norm(Tensor x, Tensor residual, Tensor? weight, Tensor? bias, int ndim,
 *                      float eps) -> (Tensor, Tensor) */
static void op_fused_add_layer_norm(kb_word *stack, uint64_t argument_count,
                                    uint64_t output_count) {
    (void)argument_count, (void)output_count;
    KB_OWNED kb_tensor x = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor residual = kb_tensor_take(stack[1]);
    KB_OWNED kb_tensor weight = kb_tensor_take_optional(stack[2]);
    KB_OWNED kb_tensor bias = kb_tensor_take_optional(stack[3]);
    int64_t outer = outer_dims(&x, stack[4]);
    norm_job job = job_begin(&x, &weight, &bias, outer, stack[5]);
    job.centered = true;
    fused_add_forward(stack, &job, &x, &residual, outer);
}

static void gate_prepare(norm_job *job, kb_tensor *gate, const kb_tensor *x, int64_t outer,
                         kb_word kind) {
    require_like(gate, x);
    kb_require(kind == NORM_GATE_SILU || kind == NORM_GATE_SIGMOID, "norm: unknown kind of gate");
    job->gate_kind = (norm_gate)kind;
    job->gate_stride = kb_tensor_as_rows(gate, x->ndim - outer);
    job->gate = gate->data;
}

/* rms_norm_gated(Tensor x, Tensor gate, Tensor? weight, int ndim, float eps, bool cast_first,
 *                int kind) -> Tensor */
static void op_rms_norm_gated(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    KB_OWNED kb_tensor x = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor gate = kb_tensor_take(stack[1]);
    KB_OWNED kb_tensor weight = kb_tensor_take_optional(stack[2]);
    kb_tensor no_bias = {0};
    int64_t outer = outer_dims(&x, stack[3]);
    norm_job job = job_begin(&x, &weight, &no_bias, outer, stack[4]);
    job.cast_first = word_to_bool(stack[5]);
    gate_prepare(&job, &gate, &x, outer, stack[6]);
    stack[0] = forward(&job, &x, outer);
}

/* A gradient of the normalized shape, or an empty tensor where it is not wanted. */
static kb_tensor new_parameter_grad(const kb_tensor *x, int64_t outer, kb_dtype type, bool wanted) {
    const int64_t none = 0;
    if (!wanted) return kb_tensor_new_contiguous(x->device, 1, &none, type);
    return kb_tensor_new_contiguous(x->device, x->ndim - outer, x->sizes + outer, type);
}

/* Room for the sums of the gradients that are wanted. */
static kb_tensor new_sums(const norm_job *job, const kb_tensor *x, int64_t chunks, const void *dw,
                          const void *db) {
    const int64_t count = norm_back_sums(job, chunks, dw, db);
    return kb_tensor_new_contiguous(x->device, 1, &count, KB_F32);
}

static void backward_cpu(const norm_job *job, const kb_tensor *x, int64_t rows, void *dw,
                         void *db) {
    norm_back_work work = norm_backward_work(job, rows, dw, db);
    KB_OWNED kb_tensor sums = new_sums(job, x, work.chunks, dw, db);
    work.sums = sums.data;
    kb_parallel(work.chunks, norm_chunk_cost(&work), norm_backward_range, &work);
    kb_parallel(norm_columns(&work), norm_column_cost(&work), norm_finish_range, &work);
}

#ifdef KB_HAS_CUDA
static void backward_cuda(norm_job *job, const kb_tensor *x, int64_t rows, void *dw, void *db) {
    KB_CUDA_GUARDED kb_cuda_guard guard = kb_cuda_guard_enter(x->device);
    norm_cuda_shape shape = norm_cuda_backward_shape(job, rows);
    KB_OWNED kb_tensor sums = new_sums(job, x, shape.chunks, dw, db);
    norm_cuda_sums(job, &shape, sums.data, dw, db);
    kb_cuda_require(norm_cuda_backward(job, rows, &shape, dw, db, kb_cuda_stream(x->device)));
}
#endif

/* Fills stack[0..2] with the gradients of x, weight and bias. */
static void backward(kb_word *stack, norm_job *job, const kb_tensor *x, int64_t outer,
                     bool wants_weight, bool wants_bias) {
    int64_t rows = kb_sizes_product(x->sizes, 0, outer);
    KB_OWNED kb_tensor dx = kb_tensor_new_contiguous(x->device, x->ndim, x->sizes, x->type);
    KB_OWNED kb_tensor dw = new_parameter_grad(x, outer, job->param_type, wants_weight);
    KB_OWNED kb_tensor db = new_parameter_grad(x, outer, job->param_type, wants_bias);
    void *weight_grad = wants_weight ? dw.data : NULL, *bias_grad = wants_bias ? db.data : NULL;
    job->out = dx.data;
#ifdef KB_HAS_CUDA
    if (KB_ON_CUDA(x->device))
        backward_cuda(job, x, rows, weight_grad, bias_grad);
    else
#endif
        backward_cpu(job, x, rows, weight_grad, bias_grad);
    stack[0] = kb_tensor_give(&dx);
    stack[1] = kb_tensor_give(&dw);
    stack[2] = kb_tensor_give(&db);
}

static void grad_prepare(norm_job *job, kb_tensor *grad, const kb_tensor *x, int64_t outer) {
    bool matches = grad->ndim == x->ndim && kb_device_equal(grad->device, x->device);
    for (int64_t i = 0; matches && i < x->ndim; i++) matches = grad->sizes[i] == x->sizes[i];
    kb_require(matches, "norm backward: the gradient must have the input's shape and device");
    kb_require(grad->type == x->type || (grad->type == KB_F32 && job->param_type == KB_F32),
               "norm backward: the gradient must have the output's dtype");
    job->grad_stride = kb_tensor_as_rows(grad, grad->ndim - outer);
    job->grad = grad->data;
    job->y_type = grad->type;
}

/* The gradient of the sum that a fused addition gave, where there is one. */
static void sum_grad_prepare(norm_job *job, kb_tensor *sum_grad, const kb_tensor *x,
                             int64_t outer) {
    if (!sum_grad->handle) return;
    require_like(sum_grad, x);
    job->sum_grad_stride = kb_tensor_as_rows(sum_grad, x->ndim - outer);
    job->sum_grad = sum_grad->data;
}

/* rms_norm_backward(Tensor grad, Tensor x, Tensor? weight, int ndim, float eps,
 *                   bool wants_weight, Tensor? sum_grad) -> (Tensor, Tensor, Tensor) */
static void op_rms_norm_backward(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    KB_OWNED kb_tensor grad = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor x = kb_tensor_take(stack[1]);
    KB_OWNED kb_tensor weight = kb_tensor_take_optional(stack[2]);
    kb_tensor no_bias = {0};
    int64_t outer = outer_dims(&x, stack[3]);
    norm_job job = job_begin(&x, &weight, &no_bias, outer, stack[4]);
    grad_prepare(&job, &grad, &x, outer);
    bool wants_weight = word_to_bool(stack[5]);
    KB_OWNED kb_tensor sum_grad = kb_tensor_take_optional(stack[6]);
    sum_grad_prepare(&job, &sum_grad, &x, outer);
    backward(stack, &job, &x, outer, wants_weight, false);
}

/* layer_norm_backward(Tensor grad, Tensor x, Tensor? weight, Tensor? bias, int ndim, float eps,
 *                     bool wants_weight, bool wants_bias, Tensor? sum_grad)
 *                     -> (Tensor, Tensor, Tensor) */
static void op_layer_norm_backward(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    KB_OWNED kb_tensor grad = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor x = kb_tensor_take(stack[1]);
    KB_OWNED kb_tensor weight = kb_tensor_take_optional(stack[2]);
    KB_OWNED kb_tensor bias = kb_tensor_take_optional(stack[3]);
    int64_t outer = outer_dims(&x, stack[4]);
    norm_job job = job_begin(&x, &weight, &bias, outer, stack[5]);
    grad_prepare(&job, &grad, &x, outer);
    KB_OWNED kb_tensor sum_grad = kb_tensor_take_optional(stack[8]);
    sum_grad_prepare(&job, &sum_grad, &x, outer);
    job.centered = true;
    backward(stack, &job, &x, outer, word_to_bool(stack[6]), word_to_bool(stack[7]));
}

/* rms_norm_gated_backward(Tensor grad, Tensor x, Tensor gate, Tensor? weight, int ndim, float eps,
 *                         int kind, bool wants_weight) -> (Tensor, Tensor, Tensor) */
static void op_rms_norm_gated_backward(kb_word *stack, uint64_t argument_count,
                                       uint64_t output_count) {
    (void)argument_count, (void)output_count;
    KB_OWNED kb_tensor grad = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor x = kb_tensor_take(stack[1]);
    KB_OWNED kb_tensor gate = kb_tensor_take(stack[2]);
    KB_OWNED kb_tensor weight = kb_tensor_take_optional(stack[3]);
    kb_tensor no_bias = {0};
    int64_t outer = outer_dims(&x, stack[4]);
    norm_job job = job_begin(&x, &weight, &no_bias, outer, stack[5]);
    grad_prepare(&job, &grad, &x, outer);
    gate_prepare(&job, &gate, &x, outer, stack[6]);
    KB_OWNED kb_tensor gate_grad = kb_tensor_new_contiguous(x.device, x.ndim, x.sizes, x.type);
    job.gate_out = gate_grad.data;
    bool wants_weight = word_to_bool(stack[7]);
    kb_word results[3];
    backward(results, &job, &x, outer, wants_weight, false);
    KB_OWNED kb_tensor no_bias_grad = kb_tensor_take(results[2]);
    stack[0] = results[0];
    stack[1] = kb_tensor_give(&gate_grad);
    stack[2] = results[1];
}

const kb_op norm_ops[NORM_OP_COUNT] = {
    {"rms_norm",
     "rms_norm(Tensor x, Tensor? weight, int ndim, float eps, bool cast_first) -> Tensor",
     op_rms_norm},
    {"rms_norm_backward",
     "rms_norm_backward(Tensor grad, Tensor x, Tensor? weight, int ndim, float eps, "
     "bool wants_weight, Tensor? sum_grad=None) -> (Tensor, Tensor, Tensor)",
     op_rms_norm_backward},
    {"layer_norm",
     "layer_norm(Tensor x, Tensor? weight, Tensor? bias, int ndim, float eps) -> Tensor",
     op_layer_norm},
    {"layer_norm_backward",
     "layer_norm_backward(Tensor grad, Tensor x, Tensor? weight, Tensor? bias, int ndim, "
     "float eps, bool wants_weight, bool wants_bias, Tensor? sum_grad=None) "
     "-> (Tensor, Tensor, Tensor)",
     op_layer_norm_backward},
    {"fused_add_rms_norm",
     "fused_add_rms_norm(Tensor x, Tensor residual, Tensor? weight, int ndim, float eps, "
     "bool cast_first) -> (Tensor, Tensor)",
     op_fused_add_rms_norm},
    {"fused_add_layer_norm",
     "fused_add_layer_norm(Tensor x, Tensor residual, Tensor? weight, Tensor? bias, int ndim, "
     "float eps) -> (Tensor, Tensor)",
     op_fused_add_layer_norm},
    {"rms_norm_gated",
     "rms_norm_gated(Tensor x, Tensor gate, Tensor? weight, int ndim, float eps, bool cast_first, "
     "int kind) -> Tensor",
     op_rms_norm_gated},
    {"rms_norm_gated_backward",
     "rms_norm_gated_backward(Tensor grad, Tensor x, Tensor gate, Tensor? weight, int ndim, "
     "float eps, int kind, bool wants_weight) -> (Tensor, Tensor, Tensor)",
     op_rms_norm_gated_backward},
};
