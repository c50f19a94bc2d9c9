/* SPDX-License-Identifier: Apache-2.0 */
/* An allocator for tests: counts what is alive and lets one allocation fail. Threads may share it.
 */
#ifndef TEST_FAILING_ALLOC_H
#define TEST_FAILING_ALLOC_H

#include <kernels/common.h>

typedef struct failing_alloc {
    kn_alloc alloc; /* to hand to what is tested; its ctx points back here, so this must not move */
    size_t fail_at; /* the number, from 0, of the allocation or growth that fails; SIZE_MAX: none */
    size_t requests; /* how many there were */
    size_t live;     /* blocks that are not freed */
    bool failed;     /* whether the failure has been reached */
} failing_alloc;

void failing_alloc_init(failing_alloc *failing, size_t fail_at);

/* What a sweep repeats. It must free all that it makes, whatever it returns. */
typedef kn_status (*fault_sweep_run)(const kn_alloc *alloc, void *ctx, kn_error *err);

/* Calls `run` with the first allocation failing, then the second, and so on until it is through
 * without one. Asserts (cmocka) that each failure came out as KN_ERR_NOMEM with a message, that
 * nothing leaked, and that the last call came to `expected`. Returns how many failures there were.
 */
size_t fault_sweep_expecting(fault_sweep_run run, void *ctx, kn_status expected);

/* As above with KN_OK. */
size_t fault_sweep(fault_sweep_run run, void *ctx);

#endif
