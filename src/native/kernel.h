/* SPDX-License-Identifier: Apache-2.0 */
/* A native kernel: an open library, and the functions that were found in it. */
#ifndef KNI_NATIVE_KERNEL_H
#define KNI_NATIVE_KERNEL_H

#include "base/alloc.h"
#include "native/ffi_abi.h"
#include "os/library.h"

/* What it is; the texts are copied. */
typedef struct kni_native_about {
    const char *name;
    const char *variant;
    const char *folder;
    const char *path; /* of the library */
} kni_native_about;

/* Whether modules are embedded in a library, or it wants to know what holds its functions. */
bool kni_native_has_modules(kni_library *library);

/* The kernel of a library that is open; one that has modules is set up by libtvm_ffi, which is then
 * in the process. The caller frees *out
 * once nobody uses it or its functions; the library stays. */
kn_status kni_native_new(const kn_alloc *alloc, const kni_native_about *about, kni_library *library,
                         kn_native **out, kn_error *err);
void kni_native_free(kn_native *native);

#endif
