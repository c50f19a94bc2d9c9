/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROTARY_CUDA_H
#define ROTARY_CUDA_H

#include "rotary_math.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Turns the rows of both tensors on a stream of the current device. Returns a cudaError_t. */
int rotary_cuda_run(const rotary_work *work, void *stream);

#ifdef __cplusplus
}
#endif

#endif
