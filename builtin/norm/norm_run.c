/* SPDX-License-Identifier: Apache-2.0 */
#include "norm_run.h"

void norm_forward_range(int64_t begin, int64_t end, void *context) {
    const norm_work *work = context;
    work->kernel(&work->job, begin, end);
}

norm_work norm_forward_work(const norm_job *job, int64_t rows) {
    const norm_table *table = norm_table_get(kb_isa_active());
    norm_work work = {.job = *job, .rows = job->width > 0 ? rows : 0};
    work.kernel = job->centered ? table->layer_forward : table->rms_forward;
    work.job.stream = kb_streams(rows * job->width * kb_dtype_size(job->y_type));
    return work;
}
