/* SPDX-License-Identifier: Apache-2.0 */
#include "loss_ops.h"

#include "kb_cuda.h"
#include "loss_cuda.h"
#include "loss_run.h"

/* As in _ops.py. */
enum { REDUCTION_NONE, REDUCTION_MEAN, REDUCTION_SUM };

/* `factor`: what gradients are multiplied with on a CUDA device, where there is one. */
static void run(loss_work *work, const kb_tensor *factor) {
    if (KB_ON_CUDA(work->device)) {
        KB_CUDA_GUARDED kb_cuda_guard guard = kb_cuda_guard_enter(work->device);
        kb_cuda_require(
            loss_cuda_rows(&work->job, work->count, factor->data, kb_cuda_stream(work->device)));
        return;
    }
    loss_work_prepare(work);
    kb_parallel(work->count, loss_row_cost(work), loss_range, work);
}

static float word_to_float(kb_word word) {
    double value;
    memcpy(&value, &word, sizeof value);
    return (float)value;
}

/* logits, target, ignore_index, smoothing, z_weight: the words that all ops have. */
static loss_work work_open(kb_tensor *logits, const kb_tensor *target, const kb_word *options) {
    kb_require(logits->ndim == 2 && target->ndim == 1 && target->sizes[0] == logits->sizes[0] &&
                   kb_device_equal(logits->device, target->device),
               "cross_entropy: logits of two dimensions and a target for each row are needed, on "
               "one device");
    loss_work work = {.count = logits->sizes[0]};
    work.device = logits->device;
    loss_job *job = &work.job;
    job->type = logits->type;
    job->width = logits->sizes[1];
    job->stride = kb_tensor_as_rows(logits, 1);
    job->logits = logits->data;
    job->targets = target->data;
    job->ignore_index = (int64_t)options[0];
    job->smoothing = word_to_float(options[1]);
    job->z_weight = word_to_float(options[2]);
    job->scale = 1.0f;
    if (KB_ON_CUDA(work.device)) return work; /* nobody waits for the device to look at targets */
    kb_require(loss_targets_fit(&work),
               "cross_entropy: a target is neither a class nor ignore_index");
    return work;
}

static int64_t counted_rows(const loss_work *work) {
    int64_t counted = 0;
    for (int64_t i = 0; i < work->count; i++)
        counted += work->job.targets[i] != work->job.ignore_index;
    return counted;
}

/*
 * What gradients and the sum of losses are multiplied with: `given` (NULL: 1), divided by the
 * number of rows that count where the reduction is a mean. On the CPU it becomes the job's scale,
 * on a CUDA device it is the tensor that this gives.
 */
static kb_tensor factor_open(loss_work *work, const float *given, int64_t reduction) {
    bool mean = reduction == REDUCTION_MEAN;
    kb_tensor factor = {0};
    if (!given && !mean) return factor;
    if (KB_ON_CUDA(work->device)) {
        KB_CUDA_GUARDED kb_cuda_guard guard = kb_cuda_guard_enter(work->device);
        factor = kb_tensor_new_contiguous(work->device, 0, NULL, KB_F32);
        kb_cuda_require(loss_cuda_scale(&work->job, work->count, given, mean, factor.data,
                                        kb_cuda_stream(work->device)));
        return factor;
    }
    work->job.scale = (given ? *given : 1.0f) / (mean ? (float)counted_rows(work) : 1.0f);
    return factor;
}

/* The loss of all rows, in a fixed order, so that it does not depend on the number of threads. */
static kb_tensor reduce(const loss_work *work, kb_tensor *losses, const kb_tensor *factor,
                        int64_t reduction) {
    if (reduction == REDUCTION_NONE) {
        kb_tensor all = *losses;
        losses->handle = NULL;
        return all;
    }
    kb_tensor loss = kb_tensor_new_contiguous(work->device, 0, NULL, KB_F32);
    if (KB_ON_CUDA(work->device)) {
        KB_CUDA_GUARDED kb_cuda_guard guard = kb_cuda_guard_enter(work->device);
        kb_cuda_require(loss_cuda_sum(losses->data, work->count, factor->data, loss.data,
                                      kb_cuda_stream(work->device)));
        return loss;
    }
    double total = 0.0;
    for (int64_t i = 0; i < work->count; i++) total += (double)work->job.losses[i];
    if (reduction == REDUCTION_MEAN) total /= (double)counted_rows(work);
    *(float *)loss.data = (float)total;
    return loss;
}

/* Where the gradient of a forward goes. */
typedef enum gradient_place { NOWHERE, NEW_TENSOR, LOGITS } gradient_place;

static void forward(kb_word *stack, gradient_place place) {
    KB_OWNED kb_tensor logits = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor target = kb_tensor_take_indices(stack[1]);
    int64_t reduction = (int64_t)stack[5];
    kb_require(place != LOGITS || kb_tensor_is_contiguous(&logits),
               "cross_entropy: a gradient in the logits' place needs contiguous logits");
    loss_work work = work_open(&logits, &target, stack + 2);
    KB_OWNED kb_tensor losses = kb_tensor_new_contiguous(work.device, 1, &work.count, KB_F32);
    work.job.losses = losses.data;
    const int64_t none[2] = {0, 0};
    const int64_t *sizes = place == NEW_TENSOR ? logits.sizes : none;
    KB_OWNED kb_tensor grad = kb_tensor_new_contiguous(work.device, 2, sizes, logits.type);
    if (place != NOWHERE) work.job.grad = place == LOGITS ? logits.data : grad.data;
    KB_OWNED kb_tensor factor = factor_open(&work, NULL, reduction);
    run(&work, &factor);
    KB_OWNED kb_tensor loss = reduce(&work, &losses, &factor, reduction);
    stack[0] = kb_tensor_give(&loss);
    if (place == NEW_TENSOR) stack[1] = kb_tensor_give(&grad);
}

/* cross_entropy(Tensor logits, Tensor target, int ignore_index, float smoothing, float z_weight,
 *               int reduction) -> Tensor */
static void op_cross_entropy(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    forward(stack, NOWHERE);
}

/* The same with the gradient that a gradient of 1 has -> (Tensor, Tensor) */
static void op_with_gradient(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    forward(stack, NEW_TENSOR);
}

/* The same in the logits' place -> Tensor */
static void op_with_gradient_in_place(kb_word *stack, uint64_t argument_count,
                                      uint64_t output_count) {
    (void)argument_count, (void)output_count;
    forward(stack, LOGITS);
}

typedef struct multiplication {
    void *values;
    kb_dtype type;
    float factor;
} multiplication;

static void multiply_range(int64_t begin, int64_t end, void *context) {
    const multiplication *work = context;
    for (int64_t i = begin; i < end; i++)
        kb_store(work->values, i, work->type, kb_load(work->values, i, work->type) * work->factor);
}

/* scale_gradient_(Tensor(a!) gradient, Tensor scale) -> () */
static void op_scale_gradient(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    KB_OWNED kb_tensor gradient = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor scale = kb_tensor_take(stack[1]);
    int64_t count = kb_sizes_product(gradient.sizes, 0, gradient.ndim);
    kb_require(kb_tensor_is_contiguous(&gradient) && scale.ndim == 0 && scale.type == KB_F32 &&
                   kb_device_equal(gradient.device, scale.device),
               "cross_entropy: the gradient of the loss must be a float32 number");
    if (KB_ON_CUDA(gradient.device)) {
        KB_CUDA_GUARDED kb_cuda_guard guard = kb_cuda_guard_enter(gradient.device);
        kb_cuda_require(loss_cuda_multiply(gradient.data, count, gradient.type, scale.data,
                                           kb_cuda_stream(gradient.device)));
        return;
    }
    multiplication work = {gradient.data, gradient.type, *(const float *)scale.data};
    if (work.factor != 1.0f) kb_parallel(count, 1, multiply_range, &work);
}

/* cross_entropy_backward(Tensor grad, Tensor logits, Tensor target, int ignore_index,
 *                        float smoothing, float z_weight, int reduction) -> Tensor */
static void op_backward(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    KB_OWNED kb_tensor given = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor logits = kb_tensor_take(stack[1]);
    KB_OWNED kb_tensor target = kb_tensor_take_indices(stack[2]);
    int64_t reduction = (int64_t)stack[6];
    loss_work work = work_open(&logits, &target, stack + 3);
    bool each = reduction == REDUCTION_NONE;
    kb_require(given.type == KB_F32 && given.ndim == (each ? 1 : 0) &&
                   kb_device_equal(given.device, logits.device) &&
                   (!each || given.sizes[0] == work.count),
               "cross_entropy backward: the gradient must be like the loss");
    (void)kb_tensor_as_rows(&given, given.ndim);
    if (each) work.job.row_scales = given.data;
    KB_OWNED kb_tensor factor = factor_open(&work, each ? NULL : given.data, reduction);
    KB_OWNED kb_tensor grad = kb_tensor_new_contiguous(work.device, 2, logits.sizes, logits.type);
    work.job.grad = grad.data;
    run(&work, &factor);
    stack[0] = kb_tensor_give(&grad);
}

const kb_op loss_ops[LOSS_OP_COUNT] = {
    {"cross_entropy",
     "cross_entropy(Tensor logits, Tensor target, int ignore_index, float smoothing, "
     "float z_weight, int reduction) -> Tensor",
     op_cross_entropy},
    {"cross_entropy_with_gradient",
     "cross_entropy_with_gradient(Tensor logits, Tensor target, int ignore_index, "
     "float smoothing, float z_weight, int reduction) -> (Tensor, Tensor)",
     op_with_gradient},
    {"cross_entropy_with_gradient_",
     "cross_entropy_with_gradient_(Tensor(a!) logits, Tensor target, int ignore_index, "
     "float smoothing, float z_weight, int reduction) -> Tensor",
     op_with_gradient_in_place},
    {"scale_gradient_", "scale_gradient_(Tensor(a!) gradient, Tensor scale) -> ()",
     op_scale_gradient},
    {"cross_entropy_backward",
     "cross_entropy_backward(Tensor grad, Tensor logits, Tensor target, int ignore_index, "
     "float smoothing, float z_weight, int reduction) -> Tensor",
     op_backward},
};
