/* SPDX-License-Identifier: Apache-2.0 */
#include "support/failing_alloc.h"

#include <stdlib.h>

#include "support/unit.h"

static void *failing_resize(void *ctx, void *ptr, size_t bytes) {
    failing_alloc *failing = ctx;
    if (bytes == 0) {
        assert_non_null(ptr);
        __atomic_fetch_sub(&failing->live, 1, __ATOMIC_RELAXED);
        free(ptr);
        return NULL;
    }
    if (__atomic_fetch_add(&failing->requests, 1, __ATOMIC_RELAXED) == failing->fail_at) {
        failing->failed = true;
        return NULL;
    }
    void *grown = realloc(ptr, bytes);
    assert_non_null(grown);
    if (!ptr) __atomic_fetch_add(&failing->live, 1, __ATOMIC_RELAXED);
    return grown;
}

void failing_alloc_init(failing_alloc *failing, size_t fail_at) {
    *failing = (failing_alloc){
        .alloc = {sizeof(kn_alloc), failing, failing_resize},
        .fail_at = fail_at,
    };
}

size_t fault_sweep_expecting(fault_sweep_run run, void *ctx, kn_status expected) {
    for (size_t n = 0;; n++) {
        failing_alloc failing;
        failing_alloc_init(&failing, n);
        kn_error err = KN_ERROR_INIT;
        kn_status status = run(&failing.alloc, ctx, &err);
        assert_int_equal(failing.live, 0);
        if (!failing.failed) {
            assert_int_equal(status, expected);
            return n;
        }
        assert_int_equal(status, KN_ERR_NOMEM);
        assert_int_equal(err.status, KN_ERR_NOMEM);
        assert_true(err.message[0] != '\0');
    }
}

size_t fault_sweep(fault_sweep_run run, void *ctx) {
    return fault_sweep_expecting(run, ctx, KN_OK);
}
