/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_parallel.h"

/* Cost per task, about 15 us of work: less is not worth waking a thread. */
enum { PARALLEL_GRAIN = 131072 };

bool kb_parallel_is_large(int64_t count, int64_t cost) {
    return count > 1 && count > PARALLEL_GRAIN / (cost > 0 ? cost : 1);
}

void kb_parallel(int64_t count, int64_t cost, kb_range_kernel kernel, void *context) {
    if (count <= 0) return;
    if (!kb_parallel_is_large(count, cost)) {
        kernel(0, count, context);
        return;
    }
    int64_t grain = PARALLEL_GRAIN / (cost > 0 ? cost : 1);
    kb_threads_run(count, grain > 0 ? grain : 1, kernel, context);
}
