/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_CUDA_H
#define KB_CUDA_H

/* CUDA devices on the C side, for torch's ops. What stands behind KB_ON_CUDA is compiled in only
 * with KB_HAS_CUDA. */
#include "kb_tensor.h"

/* The stream of torch's on which work for this device goes now. Throws. */
void *kb_cuda_stream(kb_device device);

/* The same outside of an op; gives 0 or an error. */
int kb_cuda_find_stream(int32_t index, void **stream);

/* Whether launches go to this device now. */
bool kb_cuda_is_current(int32_t index);

/* Makes the device of an op's tensors current for as long as the guard lives. */
typedef struct kb_cuda_guard {
    int32_t previous; /* -1: nothing to go back to */
} kb_cuda_guard;

#define KB_CUDA_GUARDED __attribute__((cleanup(kb_cuda_guard_leave), unused))

kb_cuda_guard kb_cuda_guard_enter(kb_device device);
void kb_cuda_guard_leave(kb_cuda_guard *guard);

/* Throws unless a launch gave 0, cudaSuccess. */
void kb_cuda_require(int error);

#endif
