/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that the tvm-ffi variants of loss export. Losses are those of rows: what is made of
 * them is the caller's. */
#include "kb_call.h"
#include "loss_cuda.h"
#include "loss_run.h"

/* Takes logits, then targets. */
static void inputs_take(kb_call *call, kb_view *logits, loss_work *work) {
    kb_view target;
    loss_job *job = &work->job;
    kb_call_tensor(call, "logits", logits);
    kb_call_indices(call, "target", &target);
    kb_call_least_dims(call, logits, 1);
    if (call->failed) return;
    kb_call_has_sizes(call, &target, logits->ndim - 1, logits->sizes);
    job->type = logits->type;
    job->logits = logits->data;
    job->targets = target.data;
    job->width = logits->sizes[logits->ndim - 1];
    job->stride = kb_call_rows(call, logits, 1);
    work->count = job->width > 0 ? kb_sizes_product(logits->sizes, 0, logits->ndim - 1) : 0;
    kb_call_require(call, job->width > 0, "the last dimension of logits is empty");
}

/* Takes ignore_index, smoothing and z_weight, where they are there. */
static void options_take(kb_call *call, loss_job *job) {
    job->ignore_index = kb_call_integer(call, "ignore_index", -100);
    job->smoothing = (float)kb_call_number(call, "label_smoothing", 0.0);
    job->z_weight = (float)kb_call_number(call, "z_weight", 0.0);
    kb_call_require(call, job->smoothing >= 0.0f && job->smoothing <= 1.0f,
                    "label_smoothing is %g; 0 to 1 is needed", (double)job->smoothing);
}

/* A float32 number for each row, contiguous. */
static float *row_numbers(kb_call *call, const kb_view *numbers, const kb_view *logits) {
    if (call->failed) return NULL;
    kb_call_has_sizes(call, numbers, logits->ndim - 1, logits->sizes);
    kb_call_contiguous(call, numbers);
    kb_call_require(call, numbers->type == KB_F32, "%s must be of float32", numbers->label);
    return numbers->data;
}

/* The gradient of the logits lies as they do, contiguous. */
static void *gradient(kb_call *call, const kb_view *grad_logits, const kb_view *logits) {
    kb_call_like(call, grad_logits, logits);
    kb_call_contiguous(call, grad_logits);
    return grad_logits->data;
}

static void run(kb_call *call, loss_work *work) {
    if (call->failed) return;
    if (KB_ON_CUDA(call->device)) {
        void *stream = kb_call_stream(call);
        kb_call_launched(call, loss_cuda_rows(&work->job, work->count, NULL, stream));
        return;
    }
    kb_call_require(call, loss_targets_fit(work), "a target is neither a class nor ignore_index");
    if (call->failed) return;
    loss_work_prepare(work);
    kb_parallel(work->count, loss_row_cost(work), loss_range, work);
}

/* (losses, logits, target, ignore_index = -100, label_smoothing = 0, z_weight = 0) */
static void cross_entropy(kb_call *call) {
    kb_view losses, logits;
    loss_work work = {.job.scale = 1.0f};
    kb_call_tensor(call, "losses", &losses);
    inputs_take(call, &logits, &work);
    options_take(call, &work.job);
    work.job.losses = row_numbers(call, &losses, &logits);
    run(call, &work);
}

/* (losses, grad_logits, logits, target, scale, then as above): the gradient of the sum of the
 * losses, times `scale`, in the same pass. `grad_logits` may be logits. */
static void cross_entropy_with_gradient(kb_call *call) {
    kb_view losses, grad_logits, logits;
    loss_work work = {0};
    kb_call_tensor(call, "losses", &losses);
    kb_call_tensor(call, "grad_logits", &grad_logits);
    inputs_take(call, &logits, &work);
    work.job.scale = (float)kb_call_number(call, "scale", 1.0);
    options_take(call, &work.job);
    work.job.losses = row_numbers(call, &losses, &logits);
    work.job.grad = gradient(call, &grad_logits, &logits);
    run(call, &work);
}

/* (grad_logits, grad_losses, logits, target, then as above) */
static void cross_entropy_backward(kb_call *call) {
    kb_view grad_logits, grad_losses, logits;
    loss_work work = {.job.scale = 1.0f};
    kb_call_tensor(call, "grad_logits", &grad_logits);
    kb_call_tensor(call, "grad_losses", &grad_losses);
    inputs_take(call, &logits, &work);
    options_take(call, &work.job);
    work.job.row_scales = row_numbers(call, &grad_losses, &logits);
    work.job.grad = gradient(call, &grad_logits, &logits);
    run(call, &work);
}

KB_EXPORT(cross_entropy, 3, 6)
KB_EXPORT(cross_entropy_with_gradient, 5, 8)
KB_EXPORT(cross_entropy_backward, 4, 7)
