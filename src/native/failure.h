/* SPDX-License-Identifier: Apache-2.0 */
/* Errors of kernels and our own, each as the other. */
#ifndef KNI_NATIVE_FAILURE_H
#define KNI_NATIVE_FAILURE_H

#include <kernels/native.h>

/* What a kernel's return value means. A failure makes *result the error that was raised, or none.
 */
kn_status kni_native_outcome(int returned, kn_value *result);

/* Tells that the function `name` came to `status` with `error`, which is given up; none: it did not
 * say why. */
kn_status kni_native_failed(const char *name, kn_status status, kn_value *error, kn_error *err);

/* The kind of error that a status is for a kernel; static text. */
const char *kni_kind_of_status(kn_status status);

#endif
