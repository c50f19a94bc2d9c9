/* SPDX-License-Identifier: Apache-2.0 */
#include <cuda_runtime_api.h>

#include "kb_call.h"

void *kb_call_stream(kb_call *call) {
    int current = -1;
    kb_call_launched(call, cudaGetDevice(&current));
    if (!call->failed && current != call->device.index) {
        kb_call_launched(call, cudaSetDevice(call->device.index));
        call->previous = current;
    }
    return TVMFFIEnvGetStream(KB_DL_CUDA, call->device.index);
}

void kb_call_launched(kb_call *call, int error) {
    kb_call_require(call, error == cudaSuccess, "CUDA error %d, %s", error,
                    cudaGetErrorString((cudaError_t)error));
}

void kb_call_leave_device(kb_call *call) {
    if (call->previous >= 0) (void)cudaSetDevice(call->previous);
}
