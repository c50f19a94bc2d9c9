/* SPDX-License-Identifier: Apache-2.0 */
/* libtvm_ffi: what kernels share in a process. It is one for all engines, since it holds the
 * streams and the raised errors of each thread. Thread safe. */
#ifndef KNI_NATIVE_RUNTIME_H
#define KNI_NATIVE_RUNTIME_H

#include "native/ffi_abi.h"

/* The functions of it that are called here; valid to the end of the process. */
typedef struct kni_ffi {
    kni_ffi_version version;
    int (*set_stream)(int32_t device_type, int32_t device_id, void *stream, void **previous);
} kni_ffi;

/* The one that is in the process; false: there is none. */
bool kni_ffi_find(kni_ffi *out);
/* Loads it: `path`, or for a NULL where the system looks for libraries. KN_ERR_NOT_FOUND where it
 * is not there, KN_ERR_OS where it cannot be loaded. */
kn_status kni_ffi_load(const char *path, kni_ffi *out, kn_error *err);
/* Gives kernels memory for the tensors that they return, in the processor's memory: where nobody
 * else has said how they get it. */
void kni_ffi_lend_memory(void);
/* KN_ERR_UNSUPPORTED for a version whose kernels cannot be called here. */
kn_status kni_ffi_check(const kni_ffi *ffi, kn_error *err);

/* Calls a function that libtvm_ffi has registered under `name` (static text); KN_ERR_UNSUPPORTED
 * where it has none of that name. The caller releases *result. */
kn_status kni_ffi_call_global(const char *name, const kn_value *args, int32_t count,
                              kn_value *result, kn_error *err);

/* The error that this thread's last failed call raised, with a reference; none where there is none
 * or no libtvm_ffi. */
kn_value kni_ffi_take_raised(void);
/* Raises an error for the caller of a callback; without libtvm_ffi it is lost. */
void kni_ffi_raise(const char *kind, const char *message);

#endif
