/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOSS_MATH_H
#define LOSS_MATH_H

#include "kb_isa.h"
#include "kb_scalar.h"

/*
 * Cross entropy over rows of `width` logits, with s = smoothing and lse = log(sum(e^x)):
 *   loss = lse - (1 - s) x[target] - s mean(x) + z_weight lse^2
 *   gradient = softmax(x) (1 + 2 z_weight lse) - (1 - s) [i = target] - s / width
 * A row whose target is `ignore_index` has loss and gradient 0.
 */
typedef struct loss_job {
    const void *logits;
    const int64_t *targets;  /* within the row, or ignore_index */
    float *losses;           /* one per row, or NULL */
    void *grad;              /* contiguous, of the logits' type; or NULL; may be the logits */
    const float *row_scales; /* what gradients are multiplied with; NULL: `scale` */
    float scale;
    float smoothing;
    float z_weight;
    int64_t ignore_index;
    int64_t width;
    int64_t stride; /* of the logits' rows */
    kb_dtype type;
    bool stream;
} loss_job;

/* Rows `begin` to `end`. Thread-safe for disjoint ranges. */
typedef void (*loss_rows)(const loss_job *job, int64_t begin, int64_t end);

extern const loss_rows loss_serial;
extern const loss_rows loss_avx2; /* these only where KB_HAS_X86 is defined */
extern const loss_rows loss_avx512;
extern const loss_rows loss_avx512_bf16;

/* The function for an available instruction set. */
loss_rows loss_rows_get(kb_isa isa);

/* What a row's gradient is multiplied with. */
KB_INLINE float loss_scale(const loss_job *job, int64_t row) {
    return job->row_scales ? job->row_scales[row] : job->scale;
}

/* What is known of a row after its first reading: sum is that of e^(x - largest). */
typedef struct loss_row {
    float largest;
    double sum;
    double total; /* of the logits; only where there is smoothing */
} loss_row;

KB_INLINE double loss_log_sum(const loss_row *row) { return (double)row->largest + log(row->sum); }

KB_INLINE float loss_value(const loss_job *job, const loss_row *row, float at_target) {
    double s = (double)job->smoothing, log_sum = loss_log_sum(row);
    double value = log_sum - (1.0 - s) * (double)at_target;
    if (s != 0.0) value -= s * row->total / (double)job->width;
    return (float)(value + (double)job->z_weight * log_sum * log_sum);
}

#endif
