/* SPDX-License-Identifier: Apache-2.0 */
#include "activation_run.h"

static const activation_table *active_table(void) { return activation_table_get(kb_isa_active()); }

static activation_work work_of(const activation_job *job, activation_range kernel, int64_t count) {
    activation_work work = {.job = *job, .kernel = kernel, .count = count, .gated = job->width > 0};
    int64_t width = work.gated ? job->width : 1;
    work.job.stream = kb_streams(count * width * kb_dtype_size(job->type));
    return work;
}

activation_work activation_flat_forward(const activation_job *job, int64_t elements) {
    return work_of(job, active_table()->forward, elements);
}

activation_work activation_flat_backward(const activation_job *job, int64_t elements) {
    return work_of(job, active_table()->backward, elements);
}

activation_work activation_gated_forward(const activation_job *job, int64_t rows) {
    return work_of(job, active_table()->gated_forward, job->width > 0 ? rows : 0);
}

activation_work activation_gated_backward(const activation_job *job, int64_t rows) {
    return work_of(job, active_table()->gated_backward, job->width > 0 ? rows : 0);
}

int64_t activation_units(const activation_work *work) {
    return work->gated ? work->count : (work->count + ACTIVATION_BLOCK - 1) / ACTIVATION_BLOCK;
}

int64_t activation_unit_cost(const activation_work *work) {
    int64_t elements = work->gated ? work->job.width : ACTIVATION_BLOCK;
    return elements * ACTIVATION_COST;
}

void activation_unit_range(int64_t begin, int64_t end, void *context) {
    const activation_work *work = context;
    if (work->gated) {
        work->kernel(&work->job, begin, end);
        return;
    }
    int64_t last = end * ACTIVATION_BLOCK;
    if (last > work->count) last = work->count;
    work->kernel(&work->job, begin * ACTIVATION_BLOCK, last);
}
