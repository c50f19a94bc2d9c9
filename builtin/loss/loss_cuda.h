/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOSS_CUDA_H
#define LOSS_CUDA_H

#include "loss_math.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Each works on a stream of the current device and returns a cudaError_t. Numbers that depend on
 * the tensors stay on the device, so that nothing waits for it. */

/* Writes `*scale`, or 1 where that is NULL, to `*out`; divided by the number of rows that count
 * where `mean`. */
int loss_cuda_scale(const loss_job *job, int64_t rows, const float *scale, bool mean, float *out,
                    void *stream);

/* The job's rows; gradients are multiplied with `*scale` where that is not NULL. A target that is
 * neither a class nor ignore_index makes its row's loss and gradient NaN. */
int loss_cuda_rows(const loss_job *job, int64_t rows, const float *scale, void *stream);

/* Adds up `rows` losses in a fixed order, times `*scale` where that is not NULL. */
int loss_cuda_sum(const float *losses, int64_t rows, const float *scale, float *out, void *stream);

/* Multiplies `count` contiguous elements with `*scale`; reads them only where that is not 1. */
int loss_cuda_multiply(void *values, int64_t count, kb_dtype type, const float *scale,
                       void *stream);

#ifdef __cplusplus
}
#endif

#endif
