/* SPDX-License-Identifier: Apache-2.0 */
#include "loss_ops.h"

#include "loss_math.h"

/* As in _ops.py. */
enum { REDUCTION_NONE, REDUCTION_MEAN, REDUCTION_SUM };

/* An exponential for each of two readings. */
enum { COST = 4 };

typedef struct loss_work {
    loss_rows rows;
    loss_job job;
    int64_t count;
} loss_work;

static void run_range(int64_t begin, int64_t end, void *context) {
    const loss_work *work = context;
    work->rows(&work->job, begin, end);
}

static void run(loss_work *work) {
    work->job.stream = kb_streams(work->count * work->job.width * kb_dtype_size(work->job.type));
    kb_parallel(work->count, COST * work->job.width, run_range, work);
}

static float word_to_float(kb_word word) {
    double value;
    memcpy(&value, &word, sizeof value);
    return (float)value;
}

/* logits, target, ignore_index, smoothing, z_weight: the words that all ops have. */
static loss_work work_open(kb_tensor *logits, const kb_tensor *target, const kb_word *options) {
    kb_require(logits->ndim == 2 && target->ndim == 1 && target->sizes[0] == logits->sizes[0],
               "cross_entropy: logits of two dimensions and a target for each row are needed");
    loss_work work = {.rows = loss_rows_get(kb_isa_active()), .count = logits->sizes[0]};
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
    for (int64_t i = 0; i < work.count; i++) {
        int64_t index = job->targets[i];
        kb_require(index == job->ignore_index || (index >= 0 && index < job->width),
                   "cross_entropy: a target is neither a class nor ignore_index");
    }
    return work;
}

static int64_t counted_rows(const loss_work *work) {
    int64_t counted = 0;
    for (int64_t i = 0; i < work->count; i++)
        counted += work->job.targets[i] != work->job.ignore_index;
    return counted;
}

/* The loss of all rows, in row order, so that it does not depend on the number of threads. */
static kb_tensor reduce(const loss_work *work, kb_tensor *losses, int64_t reduction) {
    if (reduction == REDUCTION_NONE) {
        kb_tensor all = *losses;
        losses->handle = NULL;
        return all;
    }
    double total = 0.0;
    for (int64_t i = 0; i < work->count; i++) total += (double)work->job.losses[i];
    if (reduction == REDUCTION_MEAN) total /= (double)counted_rows(work);
    kb_tensor loss = kb_tensor_new_contiguous(0, NULL, KB_F32);
    *(float *)loss.data = (float)total;
    return loss;
}

static void forward(kb_word *stack, bool wants_grad) {
    KB_OWNED kb_tensor logits = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor target = kb_tensor_take_indices(stack[1]);
    int64_t reduction = (int64_t)stack[5];
    loss_work work = work_open(&logits, &target, stack + 2);
    KB_OWNED kb_tensor losses = kb_tensor_new_contiguous(1, &work.count, KB_F32);
    work.job.losses = losses.data;
    const int64_t none[2] = {0, 0};
    KB_OWNED kb_tensor grad =
        kb_tensor_new_contiguous(2, wants_grad ? logits.sizes : none, logits.type);
    if (wants_grad) work.job.grad = grad.data;
    if (reduction == REDUCTION_MEAN) work.job.scale = 1.0f / (float)counted_rows(&work);
    run(&work);
    KB_OWNED kb_tensor loss = reduce(&work, &losses, reduction);
    stack[0] = kb_tensor_give(&loss);
    if (wants_grad) stack[1] = kb_tensor_give(&grad);
}

/* cross_entropy(Tensor logits, Tensor target, int ignore_index, float smoothing, float z_weight,
 *               int reduction) -> Tensor */
static void op_cross_entropy(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    forward(stack, false);
}

/* The same with the gradient that a gradient of 1 has -> (Tensor, Tensor) */
static void op_with_gradient(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    forward(stack, true);
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
                   (!each || given.sizes[0] == work.count),
               "cross_entropy backward: the gradient must be like the loss");
    (void)kb_tensor_as_rows(&given, given.ndim);
    if (each)
        work.job.row_scales = given.data;
    else
        work.job.scale = *(const float *)given.data;
    if (reduction == REDUCTION_MEAN) work.job.scale /= (float)counted_rows(&work);
    KB_OWNED kb_tensor grad = kb_tensor_new_contiguous(2, logits.sizes, logits.type);
    work.job.grad = grad.data;
    run(&work);
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
    {"cross_entropy_backward",
     "cross_entropy_backward(Tensor grad, Tensor logits, Tensor target, int ignore_index, "
     "float smoothing, float z_weight, int reduction) -> Tensor",
     op_backward},
};
