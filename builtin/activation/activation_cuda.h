/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACTIVATION_CUDA_H
#define ACTIVATION_CUDA_H

#include "activation_math.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Launches a job over `count` elements, or rows where it is gated, on a stream of the current
 * device; the backward where it has a gradient. Returns a cudaError_t. */
int activation_cuda_run(const activation_job *job, int64_t count, void *stream);

#ifdef __cplusplus
}
#endif

#endif
