/* SPDX-License-Identifier: Apache-2.0 */
/* Native kernels: builds whose functions a program calls by name, without Python and without torch.
 * Their variants are named tvm-ffi..., and their functions follow the C ABI of tvm-ffi 0.1.
 *
 * What is opened stays: the handles live as long as the engine, the code as long as the process.
 * Everything here may be used from any thread. */
#ifndef KERNELS_NATIVE_H
#define KERNELS_NATIVE_H

#include <kernels/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- tensors: the structs of DLPack under names of our own. A pointer to a kn_tensor may be cast
 * to a DLTensor * and back ---- */

typedef enum kn_tensor_place { /* DLDeviceType */
                               KN_TENSOR_CPU = 1,
                               KN_TENSOR_CUDA = 2,
                               KN_TENSOR_CUDA_HOST = 3,
                               KN_TENSOR_METAL = 8,
                               KN_TENSOR_ROCM = 10,
                               KN_TENSOR_ROCM_HOST = 11,
                               KN_TENSOR_CUDA_MANAGED = 13,
                               KN_TENSOR_ONEAPI = 14
} kn_tensor_place;

typedef struct kn_tensor_device { /* DLDevice */
    int32_t place;                /* kn_tensor_place */
    int32_t index;
} kn_tensor_device;

typedef enum kn_dtype_code { /* DLDataTypeCode */
                             KN_DTYPE_INT = 0,
                             KN_DTYPE_UINT = 1,
                             KN_DTYPE_FLOAT = 2,
                             KN_DTYPE_BFLOAT = 4,
                             KN_DTYPE_COMPLEX = 5,
                             KN_DTYPE_BOOL = 6
} kn_dtype_code;

typedef struct kn_dtype { /* DLDataType */
    uint8_t code;         /* kn_dtype_code, or another one of DLPack's */
    uint8_t bits;
    uint16_t lanes; /* 1 */
} kn_dtype;

typedef struct kn_tensor { /* DLTensor */
    void *data;            /* on its device */
    kn_tensor_device device;
    int32_t ndim;
    kn_dtype dtype;
    int64_t *shape;
    int64_t *strides; /* in elements; never NULL where ndim > 0 */
    uint64_t byte_offset;
} kn_tensor;

/* Fills `strides` for elements that lie one after the other, the last dimension innermost. */
static inline void kn_tensor_pack(const int64_t *shape, int32_t ndim, int64_t *strides) {
    int64_t step = 1;
    for (int32_t i = ndim - 1; i >= 0; i--) {
        strides[i] = step;
        step *= shape[i];
    }
}

/* ---- values: what goes into a function and comes out of it. The layout is TVMFFIAny's, so that an
 * array of them is what the kernel is given ---- */

typedef enum kn_value_type {
    KN_VALUE_NONE = 0,
    KN_VALUE_INT = 1,
    KN_VALUE_BOOL = 2, /* in as.integer */
    KN_VALUE_FLOAT = 3,
    KN_VALUE_POINTER = 4,
    KN_VALUE_DTYPE = 5,
    KN_VALUE_DEVICE = 6,
    KN_VALUE_TENSOR = 7,       /* a borrowed kn_tensor: arguments only */
    KN_VALUE_TEXT = 8,         /* a borrowed C string: arguments only */
    KN_VALUE_BYTES = 9,        /* a borrowed kn_bytes: arguments only */
    KN_VALUE_SMALL_TEXT = 11,  /* `length` bytes in as.bytes */
    KN_VALUE_SMALL_BYTES = 12, /* the same, of no encoding */
    KN_VALUE_OBJECT = 64,      /* from here on as.object, which is counted by references */
    KN_VALUE_TEXT_OBJECT = 65,
    KN_VALUE_BYTES_OBJECT = 66,
    KN_VALUE_ERROR = 67,
    KN_VALUE_FUNCTION = 68,
    KN_VALUE_SHAPE = 69,
    KN_VALUE_TENSOR_OBJECT = 70,
    KN_VALUE_ARRAY = 71,
    KN_VALUE_MAP = 72,
    KN_VALUE_MODULE = 73
} kn_value_type;

typedef struct kn_bytes { /* TVMFFIByteArray */
    const char *at;
    size_t length;
} kn_bytes;

typedef struct kn_value {
    int32_t type;    /* kn_value_type, or a type that the kernel brings (128 and above) */
    uint32_t length; /* of a small text or small bytes; else 0 */
    union {
        int64_t integer;
        double number;
        void *pointer;
        kn_dtype dtype;
        kn_tensor_device device;
        kn_tensor *tensor;
        const char *text;
        const kn_bytes *bytes_at;
        char bytes[8];
        void *object;
    } as;
} kn_value;

/* A value of a type whose content is still to be set. */
static inline kn_value kn_value_of(kn_value_type type) {
    kn_value value;
    value.type = type;
    value.length = 0;
    value.as.integer = 0;
    return value;
}

static inline kn_value kn_value_none(void) { return kn_value_of(KN_VALUE_NONE); }

static inline kn_value kn_value_int(int64_t integer) {
    kn_value value = kn_value_of(KN_VALUE_INT);
    value.as.integer = integer;
    return value;
}

static inline kn_value kn_value_bool(bool truth) {
    kn_value value = kn_value_of(KN_VALUE_BOOL);
    value.as.integer = truth;
    return value;
}

static inline kn_value kn_value_float(double number) {
    kn_value value = kn_value_of(KN_VALUE_FLOAT);
    value.as.number = number;
    return value;
}

static inline kn_value kn_value_pointer(void *pointer) {
    kn_value value = kn_value_of(KN_VALUE_POINTER);
    value.as.pointer = pointer;
    return value;
}

static inline kn_value kn_value_dtype(kn_dtype dtype) {
    kn_value value = kn_value_of(KN_VALUE_DTYPE);
    value.as.dtype = dtype;
    return value;
}

static inline kn_value kn_value_device(kn_tensor_device device) {
    kn_value value = kn_value_of(KN_VALUE_DEVICE);
    value.as.device = device;
    return value;
}

/* The tensor is borrowed for the call. */
static inline kn_value kn_value_tensor(kn_tensor *tensor) {
    kn_value value = kn_value_of(KN_VALUE_TENSOR);
    value.as.tensor = tensor;
    return value;
}

/* The text is borrowed for the call. */
static inline kn_value kn_value_text(const char *text) {
    kn_value value = kn_value_of(KN_VALUE_TEXT);
    value.as.text = text;
    return value;
}

/* The bytes are borrowed for the call. */
static inline kn_value kn_value_bytes(const kn_bytes *bytes) {
    kn_value value = kn_value_of(KN_VALUE_BYTES);
    value.as.bytes_at = bytes;
    return value;
}

/* An object of its own, which the caller releases after the call. `alloc` (NULL: malloc) must
 * outlive it, and a kernel may keep it. */
KN_API kn_status kn_value_new_shape(const kn_alloc *alloc, const int64_t *dimensions, size_t count,
                                    kn_value *out, kn_error *err);

/* A text (UTF-8) or bytes, copied: for what is no C string, and for results of callbacks. */
KN_API kn_status kn_value_new_text(const kn_alloc *alloc, const char *text, size_t length,
                                   kn_value *out, kn_error *err);
KN_API kn_status kn_value_new_bytes(const kn_alloc *alloc, const void *bytes, size_t length,
                                    kn_value *out, kn_error *err);

/* A tensor that a kernel may keep: the memory is shared, shape and strides (NULL: packed) are
 * copied. `done` (may be NULL) is called with `ctx` when nobody has it any more. */
KN_API kn_status kn_value_new_tensor(const kn_alloc *alloc, const kn_tensor *tensor,
                                     void (*done)(void *ctx), void *ctx, kn_value *out,
                                     kn_error *err);

/* DLPack's structs for tensors that change hands (DLManagedTensorVersioned, and DLManagedTensor as
 * before DLPack 1.0). */
typedef struct kn_managed_tensor {
    uint32_t major, minor; /* of DLPack */
    void *ctx;
    void (*deleter)(struct kn_managed_tensor *self); /* may be NULL */
    uint64_t flags;                                  /* 1: read only, 2: a copy */
    kn_tensor tensor;
} kn_managed_tensor;

typedef struct kn_managed_tensor_old {
    kn_tensor tensor;
    void *ctx;
    void (*deleter)(struct kn_managed_tensor_old *self); /* may be NULL */
} kn_managed_tensor_old;

/* A tensor that somebody hands over: its deleter is called when nobody has *out any more. After a
 * failure it is still the caller's. KN_ERR_UNSUPPORTED for a later major version of DLPack. */
KN_API kn_status kn_value_from_dlpack(const kn_alloc *alloc, kn_managed_tensor *from, kn_value *out,
                                      kn_error *err);
KN_API kn_status kn_value_from_dlpack_old(const kn_alloc *alloc, kn_managed_tensor_old *from,
                                          kn_value *out, kn_error *err);
/* The other way round, for a KN_VALUE_TENSOR_OBJECT (KN_ERR_TYPE for others): the memory is shared,
 * and the one who takes *out calls its deleter. */
KN_API kn_status kn_value_to_dlpack(const kn_alloc *alloc, const kn_value *value,
                                    kn_managed_tensor **out, kn_error *err);
KN_API kn_status kn_value_to_dlpack_old(const kn_alloc *alloc, const kn_value *value,
                                        kn_managed_tensor_old **out, kn_error *err);

/* A function of the program's, to be handed to a kernel: `call` is given what the kernel passes and
 * fills *result, which is none at first; what it puts there is the kernel's, and nothing borrowed.
 * A failure reaches the kernel as an error of the kind that belongs to the status; KN_ERR_HOST says
 * that the program knows the cause, and is what the call of the kernel comes to. It may be called
 * from any thread, as long as the object lives; `done` (may be NULL) is called with `ctx` when it
 * goes. */
typedef kn_status (*kn_native_callback)(void *ctx, const kn_value *args, int32_t count,
                                        kn_value *result, kn_error *err);
KN_API kn_status kn_value_new_function(const kn_alloc *alloc, kn_native_callback call, void *ctx,
                                       void (*done)(void *ctx), kn_value *out, kn_error *err);

/* One more reference to what `value` owns, to be released as well. */
KN_API kn_value kn_value_retain(const kn_value *value);
/* Gives up what `value` owns, and makes it none. Nothing happens to values that own nothing. */
KN_API void kn_value_release(kn_value *value);

/* Readers: NULL or false where the value is of another kind. What they give is borrowed from the
 * value. */
KN_API const kn_tensor *kn_value_as_tensor(const kn_value *value);
KN_API bool kn_value_as_text(const kn_value *value, kn_bytes *out); /* a text, or bytes */
KN_API bool kn_value_as_shape(const kn_value *value, const int64_t **dimensions, size_t *count);

/* An array's items. */
KN_API bool kn_value_as_array(const kn_value *value, const kn_value **items, size_t *count);

/* An error of a kernel. The kind is the name of an exception of Python's ("ValueError"), or one of
 * the kernel's own; the backtrace has the latest call first, and may be empty. */
typedef struct kn_native_error {
    size_t size; /* sizeof(kn_native_error) */
    kn_bytes kind;
    kn_bytes message;
    kn_bytes backtrace;
} kn_native_error;
KN_API bool kn_value_as_error(const kn_value *value, kn_native_error *out);

/* ---- kernels and their functions ---- */

typedef struct kn_native kn_native;
typedef struct kn_function kn_function;

/* Finds the native build of a kernel for the machine that `host` describes, fetches what is missing
 * of it, and loads its library and, where that needs it, libtvm_ffi. Of `host` its system, log,
 * progress, cancelled, leave, enter and gpu are used. *out is the engine's.
 * KN_ERR_NOT_FOUND where there is no native build for this machine (with why each build is refused)
 * or no libtvm_ffi (with what to install). */
KN_API kn_status kn_engine_get_native(kn_engine *engine, const kn_host *host,
                                      const kn_repo_info *info, kn_native **out, kn_error *err);

/* Borrowed texts, valid as long as the engine. */
typedef struct kn_native_info {
    size_t size;         /* sizeof(kn_native_info) */
    const char *name;    /* of the kernel */
    const char *variant; /* "tvm-ffi01-cpu-x86_64-linux" */
    const char *folder;  /* of the variant */
    const char *library; /* the file with the functions */
} kn_native_info;
KN_API void kn_native_get(const kn_native *native, kn_native_info *out);

/* The function `name` of a kernel; it is the kernel's. KN_ERR_NOT_FOUND when it has none of that
 * name. */
KN_API kn_status kn_native_find(kn_native *native, const char *name, const kn_function **out,
                                kn_error *err);

/* Calls a function. *result is what it returns: the caller releases it. Where the kernel fails the
 * message has its words, the status is that of its kind (KN_ERR_VALUE for ValueError, KN_ERR_TYPE
 * for TypeError, ..., KN_ERR_RUNTIME for kinds without a status of their own), and *result is none.
 */
KN_API kn_status kn_function_call(const kn_function *function, const kn_value *args, int32_t count,
                                  kn_value *result, kn_error *err);

/* The same, but where the kernel fails *result is its error as it is, to be read with
 * kn_value_as_error and released; none where the kernel failed without one. KN_ERR_RUNTIME, or
 * KN_ERR_HOST from a callback. */
KN_API kn_status kn_function_try(const kn_function *function, const kn_value *args, int32_t count,
                                 kn_value *result);

/* The same two for a function that is a value (KN_VALUE_FUNCTION). KN_ERR_TYPE for other values. */
KN_API kn_status kn_value_call(const kn_value *function, const kn_value *args, int32_t count,
                               kn_value *result, kn_error *err);
KN_API kn_status kn_value_try(const kn_value *function, const kn_value *args, int32_t count,
                              kn_value *result);

/* A kernel's function as an argument for another one; the caller releases it. */
KN_API kn_status kn_function_value(const kn_function *function, kn_value *out, kn_error *err);

/* ---- the runtime that kernels share: libtvm_ffi ---- */

/* Where it is, unless it is in the process already or KERNELS_TVM_FFI_LIBRARY names another file.
 * NULL, as in a new engine: it is looked for in the Python environment of VIRTUAL_ENV,
 * CONDA_PREFIX, this program, or the `python3` in PATH (the package apache-tvm-ffi), then where the
 * system looks for libraries. Counts until it is loaded. */
KN_API kn_status kn_engine_use_tvm_ffi(kn_engine *engine, const char *path, kn_error *err);

/* This machine for a program without Python, as the `system` of a host: no torch, the backend that
 * kn_engine_options names, or the environment variable KERNELS_BACKEND, or "cu130" where the CUDA
 * driver has a device and supports CUDA 13.0, else "cpu"; and the version of tvm-ffi that
 * libtvm_ffi has, or, where there is none, 0.1, which is what kernels that do without it are built
 * for. Its texts are the engine's. The backend is found out once; the driver, which is started for
 * it (cuInit), does not work in a process that is forked later. KN_ERR_VALUE for a name that is
 * no backend's. */
KN_API kn_status kn_engine_native_system(kn_engine *engine, kn_system *out, kn_error *err);

/* An array of `items`, as kernels take it whose arguments are lists; the caller releases it. Loads
 * libtvm_ffi, which makes it. */
KN_API kn_status kn_engine_new_array(kn_engine *engine, const kn_value *items, int32_t count,
                                     kn_value *out, kn_error *err);

/* The stream on which this thread's calls of kernels work on a device from now on. *previous (may
 * be NULL) is the one before. Loads libtvm_ffi, which keeps it. */
KN_API kn_status kn_engine_set_stream(kn_engine *engine, kn_tensor_device device, void *stream,
                                      void **previous, kn_error *err);

#ifdef __cplusplus
}
#endif

#endif
