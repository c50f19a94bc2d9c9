/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NORM_CUDA_H
#define NORM_CUDA_H

#include "norm_math.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Each works on a stream of the current device and returns a cudaError_t. */
int norm_cuda_forward(const norm_job *job, int64_t rows, void *stream);

/* How a backward is divided: rows go to `chunks` partial sums of the parameters' gradients, which
 * are added up in their order afterwards. */
typedef struct norm_cuda_shape {
    int lanes;  /* threads of a row */
    int groups; /* rows of a block at a time */
    int packs;  /* steps of a thread through its row; 0: as many as it takes */
    int blocks;
    int64_t chunks; /* blocks * groups */
} norm_cuda_shape;

norm_cuda_shape norm_cuda_backward_shape(const norm_job *job, int64_t rows);

/* Divides `sums`, with room for norm_back_sums, between the gradients that are not NULL. */
static inline void norm_cuda_sums(norm_job *job, const norm_cuda_shape *shape, float *sums,
                                  const void *weight_grad, const void *bias_grad) {
    if (weight_grad) job->weight_sum = sums;
    if (bias_grad) job->bias_sum = sums + shape->chunks * job->width;
}

/* The job's sums have room for `chunks` rows each and need not be zero. The gradients of weight and
 * bias, of param_type, may be NULL. */
int norm_cuda_backward(const norm_job *job, int64_t rows, const norm_cuda_shape *shape,
                       void *weight_grad, void *bias_grad, void *stream);

#ifdef __cplusplus
}
#endif

#endif
