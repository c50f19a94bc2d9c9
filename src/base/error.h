/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KNI_BASE_ERROR_H
#define KNI_BASE_ERROR_H

#include <kernels/common.h>

/* Sets `err` (may be NULL) and returns `status`, so that a function can end with `return
 * kni_fail(...)`. */
kn_status kni_fail(kn_error *err, kn_status status, const char *format, ...) KN_PRINTF(3, 4);

/* The one message for memory that ran out while `doing` something ("reading 'x'"). */
kn_status kni_no_memory(kn_error *err, const char *doing);

/* For work whose failure does not count, and which was given no `err` of its own: KN_OK, but where
 * `status` is that memory ran out, which is told. */
kn_status kni_best_effort(kn_status status, const char *doing, kn_error *err);

#endif
