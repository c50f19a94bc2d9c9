/* SPDX-License-Identifier: Apache-2.0 */
/* The C ABI of tvm-ffi 0.1, as far as it is used here: include/tvm/ffi/c_api.h and
 * include/tvm/ffi/extra/c_env_api.h there. kn_value is TVMFFIAny, kn_bytes TVMFFIByteArray,
 * kn_tensor DLTensor. tests/support/native/ffi_layout.c compares all of it with those headers. */
#ifndef KNI_NATIVE_FFI_ABI_H
#define KNI_NATIVE_FFI_ABI_H

#include <kernels/native.h>

#define KNI_FFI_MAJOR 0
#define KNI_FFI_MINOR 1
#define KNI_FFI_LIBRARY "libtvm_ffi.so" /* its SONAME */
#define KNI_FFI_PREFIX "__tvm_ffi_"     /* of the symbols of a kernel's functions */
#define KNI_FFI_CONTEXT \
    "__tvm_ffi__library_ctx"                    /* a kernel's pointer to what holds its functions */
#define KNI_FFI_BINARY "__tvm_ffi__library_bin" /* modules that are embedded in a kernel */

/* The kind of an error that says that the program which called knows what failed. */
#define KNI_FFI_HOST_KIND "EnvErrorAlreadySet"

/* TVMFFIObject: the first member of every object. Strong references in the lower half of `count`,
 * weak ones in the upper half; all strong ones together hold one weak reference. */
typedef struct kni_ffi_object {
    uint64_t count;
    int32_t type; /* kn_value_type */
    uint32_t padding;
    void (*deleter)(void *self, int flags); /* KNI_FFI_DELETE_* */
} kni_ffi_object;

#define KNI_FFI_STRONG ((uint64_t)1)
#define KNI_FFI_WEAK ((uint64_t)1 << 32)
#define KNI_FFI_DELETE_CONTENT 1 /* no strong reference is left */
#define KNI_FFI_DELETE_MEMORY 2  /* no weak reference is left */

/* TVMFFISafeCallType. 0: *result is the caller's. Else it failed: see kni_ffi_take_raised. *result
 * is none before. */
typedef int (*kni_ffi_call)(void *self, const kn_value *args, int32_t count, kn_value *result);

typedef struct kni_ffi_function { /* an object of KN_VALUE_FUNCTION */
    kni_ffi_object object;
    kni_ffi_call call; /* its first argument is the object */
    void *cpp_call;    /* NULL for functions that are not C++ */
} kni_ffi_function;

typedef struct kni_ffi_shape { /* KN_VALUE_SHAPE */
    kni_ffi_object object;
    const int64_t *data;
    size_t count;
} kni_ffi_shape;

typedef struct kni_ffi_text { /* KN_VALUE_TEXT_OBJECT and KN_VALUE_BYTES_OBJECT */
    kni_ffi_object object;
    kn_bytes bytes;
} kni_ffi_text;

typedef struct kni_ffi_tensor { /* KN_VALUE_TENSOR_OBJECT */
    kni_ffi_object object;
    kn_tensor tensor;
} kni_ffi_tensor;

typedef struct kni_ffi_array { /* KN_VALUE_ARRAY; more fields follow */
    kni_ffi_object object;
    const kn_value *items;
    int64_t count;
} kni_ffi_array;

typedef struct kni_ffi_error { /* KN_VALUE_ERROR; more fields follow */
    kni_ffi_object object;
    kn_bytes kind, message, backtrace;
} kni_ffi_error;

typedef struct kni_ffi_version { /* TVMFFIVersion */
    uint32_t major, minor, patch;
} kni_ffi_version;

#endif
