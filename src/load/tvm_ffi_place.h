/* SPDX-License-Identifier: Apache-2.0 */
/* Where libtvm_ffi is on this machine. */
#ifndef KNI_LOAD_TVM_FFI_PLACE_H
#define KNI_LOAD_TVM_FFI_PLACE_H

#include "base/alloc.h"

#define KNI_TVM_FFI_VARIABLE "KERNELS_TVM_FFI_LIBRARY"

typedef struct kni_tvm_ffi_place {
    char *path;       /* of the file (kni_free); NULL: only the system may know of one */
    int major, minor; /* of its package; -1: it has none */
} kni_tvm_ffi_place;

/* What KERNELS_TVM_FFI_LIBRARY names, `said` (may be NULL), or what the package apache-tvm-ffi has
 * put into the Python environment of VIRTUAL_ENV, CONDA_PREFIX, this program, or the `python3` in
 * PATH: the first that is there. Nothing is loaded. KN_ERR_NOT_FOUND where there is no file of a
 * name that was given. */
kn_status kni_tvm_ffi_find(const kn_alloc *alloc, const char *said, kni_tvm_ffi_place *out,
                           kn_error *err);

#endif
