/* SPDX-License-Identifier: Apache-2.0 */
#include "activation_call.h"

#include "activation_cuda.h"

void activation_call_run(kb_call *call, activation_work work) {
    if (call->failed) return;
    if (KB_ON_CUDA(call->device)) {
        void *stream = kb_call_stream(call);
        kb_call_launched(call, activation_cuda_run(&work.job, work.count, stream));
        return;
    }
    kb_parallel(activation_units(&work), activation_unit_cost(&work), activation_unit_range, &work);
}
