/* SPDX-License-Identifier: Apache-2.0 */
#include "loss_run.h"

/* An exponential for each of two readings. */
enum { COST = 4 };

bool loss_targets_fit(const loss_work *work) {
    const loss_job *job = &work->job;
    bool fit = true;
    for (int64_t i = 0; fit && i < work->count; i++) {
        int64_t index = job->targets[i];
        fit = index == job->ignore_index || (index >= 0 && index < job->width);
    }
    return fit;
}

void loss_work_prepare(loss_work *work) {
    work->rows = loss_rows_get(kb_isa_active());
    work->job.stream = kb_streams(work->count * work->job.width * kb_dtype_size(work->job.type));
}

int64_t loss_row_cost(const loss_work *work) { return COST * work->job.width; }

void loss_range(int64_t begin, int64_t end, void *context) {
    const loss_work *work = context;
    work->rows(&work->job, begin, end);
}
