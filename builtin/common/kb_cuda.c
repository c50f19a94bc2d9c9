/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_cuda.h"

#include <cuda_runtime_api.h>
#include <stdio.h>

int kb_cuda_find_stream(int32_t index, void **stream) {
    return aoti_torch_get_current_cuda_stream(index, stream) ? cudaErrorUnknown : cudaSuccess;
}

void *kb_cuda_stream(kb_device device) {
    void *stream = NULL;
    kb_require(kb_cuda_find_stream(device.index, &stream) == 0,
               "builtin kernel: torch has no CUDA stream for this device");
    return stream;
}

bool kb_cuda_is_current(int32_t index) {
    int current = -1;
    return cudaGetDevice(&current) == cudaSuccess && current == index;
}

kb_cuda_guard kb_cuda_guard_enter(kb_device device) {
    kb_cuda_guard guard = {-1};
    int current = -1;
    if (!KB_ON_CUDA(device)) return guard;
    kb_cuda_require(cudaGetDevice(&current));
    if (current == device.index) return guard;
    kb_cuda_require(cudaSetDevice(device.index));
    guard.previous = current;
    return guard;
}

void kb_cuda_guard_leave(kb_cuda_guard *guard) {
    if (guard->previous >= 0) (void)cudaSetDevice(guard->previous);
}

void kb_cuda_require(int error) {
    char message[256];
    if (error == cudaSuccess) return;
    snprintf(message, sizeof message, "builtin kernel: CUDA error %d, %s", error,
             cudaGetErrorString((cudaError_t)error));
    kb_fail(message);
}
