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

static int64_t rows_per_chunk(int64_t rows) {
    enum { MOST_CHUNKS = 64, FEWEST_ROWS = 16 };
    int64_t even = (rows + MOST_CHUNKS - 1) / MOST_CHUNKS;
    return even > FEWEST_ROWS ? even : FEWEST_ROWS;
}

norm_back_work norm_backward_work(const norm_job *job, int64_t rows, void *weight_grad,
                                  void *bias_grad) {
    const norm_table *table = norm_table_get(kb_isa_active());
    norm_back_work work = {.job = *job, .rows = rows, .chunk_rows = rows_per_chunk(rows)};
    work.kernel = job->centered ? table->layer_backward : table->rms_backward;
    work.chunks = job->width > 0 ? (rows + work.chunk_rows - 1) / work.chunk_rows : 0;
    work.weight_grad = weight_grad;
    work.bias_grad = bias_grad;
    work.job.stream = kb_streams(rows * job->width * kb_dtype_size(job->x_type));
    return work;
}

int64_t norm_back_sums(const norm_job *job, int64_t chunks, const void *weight_grad,
                       const void *bias_grad) {
    return weight_grad || bias_grad ? chunks * 2 * job->width : 0;
}

void norm_backward_range(int64_t begin, int64_t end, void *context) {
    const norm_back_work *work = context;
    for (int64_t chunk = begin; chunk < end; chunk++) {
        norm_job job = work->job;
        int64_t first = chunk * work->chunk_rows;
        int64_t last =
            first + work->chunk_rows < work->rows ? first + work->chunk_rows : work->rows;
        if (work->weight_grad || work->bias_grad) {
            float *sums = work->sums + chunk * 2 * job.width;
            memset(sums, 0, (size_t)(2 * job.width) * sizeof *sums);
            if (work->weight_grad) job.weight_sum = sums;
            if (work->bias_grad) job.bias_sum = sums + job.width;
        }
        work->kernel(&job, first, last);
    }
}

int64_t norm_chunk_cost(const norm_back_work *work) { return work->chunk_rows * work->job.width; }

int64_t norm_columns(const norm_back_work *work) {
    return work->weight_grad || work->bias_grad ? work->job.width : 0;
}

int64_t norm_column_cost(const norm_back_work *work) {
    enum { FAR_APART = 4 }; /* each of the sums lies in a cache line of its own */
    return FAR_APART * work->chunks;
}

/* Adds up the chunks' sums, of which those at `from` lie 2 * width apart, into `out`. */
static void add_chunks(const norm_back_work *work, int64_t begin, int64_t end, int64_t from,
                       void *out) {
    const int64_t width = work->job.width;
    for (int64_t i = begin; i < end; i++) {
        float total = 0.0f;
        for (int64_t chunk = 0; chunk < work->chunks; chunk++)
            total += work->sums[chunk * 2 * width + from + i];
        kb_store(out, i, work->job.param_type, total);
    }
}

void norm_finish_range(int64_t begin, int64_t end, void *context) {
    const norm_back_work *work = context;
    if (work->weight_grad) add_chunks(work, begin, end, 0, work->weight_grad);
    if (work->bias_grad) add_chunks(work, begin, end, work->job.width, work->bias_grad);
}
