/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NORM_RUN_H
#define NORM_RUN_H

/* Dividing a norm's work among threads. */
#include "norm_math.h"

/* A forward over rows, and what kb_parallel runs a range of them with. */
typedef struct norm_work {
    norm_rows kernel;
    norm_job job;
    int64_t rows;
} norm_work;

norm_work norm_forward_work(const norm_job *job, int64_t rows);
void norm_forward_range(int64_t begin, int64_t end, void *context);

#endif
