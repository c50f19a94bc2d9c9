/* SPDX-License-Identifier: Apache-2.0 */
#include "activation_device.h"

#include "activation_cuda.h"
#include "kb_cuda.h"

void activation_run(activation_work work, kb_device device) {
    if (KB_ON_CUDA(device)) {
        KB_CUDA_GUARDED kb_cuda_guard guard = kb_cuda_guard_enter(device);
        kb_cuda_require(activation_cuda_run(&work.job, work.count, kb_cuda_stream(device)));
        return;
    }
    kb_parallel(activation_units(&work), activation_unit_cost(&work), activation_unit_range, &work);
}

PyObject *activation_run_direct(activation_work work, kb_device device, PyObject *result) {
    if (KB_ON_CUDA(device)) {
        void *stream = NULL;
        int error = kb_cuda_find_stream(device.index, &stream);
        if (!error) error = activation_cuda_run(&work.job, work.count, stream);
        return kb_fast_launched(result, error);
    }
    kb_fast_parallel(activation_units(&work), activation_unit_cost(&work), activation_unit_range,
                     &work);
    return result;
}
