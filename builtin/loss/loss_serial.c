/* SPDX-License-Identifier: Apache-2.0 */
/* The reference: plain scalar C, the formulas as the card gives them. */
#include <float.h>

#include "loss_math.h"

static loss_row row_read(const loss_job *job, const void *x) {
    loss_row row = {.largest = -FLT_MAX};
    for (int64_t i = 0; i < job->width; i++) {
        float value = kb_load(x, i, job->type);
        if (value > row.largest) row.largest = value;
        row.total += (double)value;
    }
    for (int64_t i = 0; i < job->width; i++)
        row.sum += (double)expf(kb_load(x, i, job->type) - row.largest);
    return row;
}

static void gradient_write(const loss_job *job, const loss_row *row, const void *x, int64_t target,
                           float scale, void *grad) {
    double through = 1.0 + 2.0 * (double)job->z_weight * loss_log_sum(row);
    float factor = (float)(through / row->sum) * scale;
    float flat = job->smoothing / (float)job->width * scale;
    for (int64_t i = 0; i < job->width; i++) {
        float value = expf(kb_load(x, i, job->type) - row->largest) * factor - flat;
        if (i == target) value -= (1.0f - job->smoothing) * scale;
        kb_store(grad, i, job->type, value);
    }
}

static void rows(const loss_job *job, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
        const void *x = kb_at(job->logits, r * job->stride, job->type);
        void *grad = kb_at_mut(job->grad, r * job->width, job->type);
        int64_t target = job->targets[r];
        if (target == job->ignore_index) {
            if (job->losses) job->losses[r] = 0.0f;
            if (job->grad) memset(grad, 0, (size_t)(job->width * kb_dtype_size(job->type)));
            continue;
        }
        loss_row row = row_read(job, x);
        if (job->losses) job->losses[r] = loss_value(job, &row, kb_load(x, target, job->type));
        if (job->grad) gradient_write(job, &row, x, target, loss_scale(job, r), grad);
    }
}

const loss_rows loss_serial = rows;
