/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KNI_NATIVE_OBJECT_H
#define KNI_NATIVE_OBJECT_H

#include "native/ffi_abi.h"

/* The value that has an object (TVMFFIObject), whose reference it takes over; NULL: none. */
kn_value kni_value_of(void *object);

/* A function object that passes its calls on to `call`, as they are, with `self` as the first
 * argument. */
kn_status kni_value_new_passing(const kn_alloc *alloc, kni_ffi_call call, void *self, kn_value *out,
                                kn_error *err);

#endif
