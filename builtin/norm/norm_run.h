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

/*
 * A backward over rows. The gradients of weight and bias are sums over all rows. Each chunk of rows
 * has its own sums, added up afterwards in chunk order: the result does not depend on the number of
 * threads, and the error grows with the rows of a chunk, not with all of them.
 */
typedef struct norm_back_work {
    norm_rows kernel;
    norm_job job; /* without sums: each chunk has its own */
    int64_t rows, chunk_rows, chunks;
    float *sums;                   /* room for norm_back_sums; to be set before the work is run */
    void *weight_grad, *bias_grad; /* of param_type; NULL: not wanted */
} norm_back_work;

norm_back_work norm_backward_work(const norm_job *job, int64_t rows, void *weight_grad,
                                  void *bias_grad);

/* How many sums there are in `chunks` chunks; none where no gradient of a parameter is wanted. */
int64_t norm_back_sums(const norm_job *job, int64_t chunks, const void *weight_grad,
                       const void *bias_grad);

/* What kb_parallel runs: `chunks` chunks, and the cost of one; after all of them the columns of the
 * sums, none where there are no sums. */
int64_t norm_chunk_cost(const norm_back_work *work);
void norm_backward_range(int64_t begin, int64_t end, void *context);
int64_t norm_columns(const norm_back_work *work);
int64_t norm_column_cost(const norm_back_work *work);
void norm_finish_range(int64_t begin, int64_t end, void *context);

#endif
