/* SPDX-License-Identifier: Apache-2.0 */
/* Device types, ranges of compute capability, and the GPUs of this machine. Thread safe; pure but
 * for kn_gpus_read. */
#ifndef KERNELS_DEVICE_H
#define KERNELS_DEVICE_H

#include <kernels/common.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum kn_device_type {
    KN_DEVICE_OTHER = 0, /* a type that no kernel can be registered for, such as torch's "meta" */
    KN_DEVICE_CPU = 1,
    KN_DEVICE_CUDA = 2,
    KN_DEVICE_MPS = 3,
    KN_DEVICE_NEURON = 4,
    KN_DEVICE_NPU = 5,
    KN_DEVICE_ROCM = 6,
    KN_DEVICE_TPU = 7,
    KN_DEVICE_XPU = 8
} kn_device_type;

#define KN_DEVICE_TYPES 9

/* A capability is major * 10 + minor, so 90 for compute capability 9.0. */
#define KN_CAPABILITY_ASK (-1)     /* in a request: ask the host */
#define KN_CAPABILITY_UNKNOWN (-2) /* it cannot be asked, or the device has none */
#define KN_CAPABILITY_MAX INT64_MAX

/* The capabilities min..max, both included. {0, KN_CAPABILITY_MAX} covers everything. */
typedef struct kn_capability_range {
    int64_t min;
    int64_t max;
} kn_capability_range;

/* KN_DEVICE_OTHER when `name` is none of the names. */
KN_API kn_device_type kn_device_type_find(const char *name);

/* As above, but KN_ERR_VALUE with the list of names for an unknown one. */
KN_API kn_status kn_device_type_parse(const char *name, kn_device_type *out, kn_error *err);

/* Static text; "other" for KN_DEVICE_OTHER and for values that are none. */
KN_API const char *kn_device_type_name(kn_device_type type);

/* Whether devices of this type have capabilities (CUDA and ROCm). */
KN_API bool kn_device_type_has_capability(kn_device_type type);

/* KN_ERR_VALUE when min > max. */
KN_API kn_status kn_capability_range_check(kn_capability_range range, kn_error *err);

/* ---- the CUDA devices of this machine ---- */

typedef struct kn_gpus kn_gpus;

/* Borrowed text, valid until kn_gpus_free. */
typedef struct kn_gpu_about {
    size_t size;        /* sizeof(kn_gpu_about) of the caller */
    const char *name;   /* "NVIDIA H100 80GB HBM3" */
    int64_t capability; /* major * 10 + minor */
    uint64_t memory;    /* bytes */
} kn_gpu_about;

/* Asks the CUDA driver, which is loaded for it and stays: the devices that this process sees, in
 * the driver's order (CUDA_VISIBLE_DEVICES counts). `library` is its path; NULL: libcuda.so.1, as
 * the loader finds it. No context is made. It does call cuInit: children that are forked after that
 * cannot use CUDA, so that a program which forks workers for it asks in one of them, or in a
 * process of its own. No device is no failure. KN_ERR_NOT_FOUND where there is no driver,
 * KN_ERR_RUNTIME, with the driver's name for it, where that fails, KN_ERR_UNSUPPORTED for a driver
 * without the functions that are needed. */
KN_API kn_status kn_gpus_read(const kn_alloc *alloc, const char *library, kn_gpus **out,
                              kn_error *err);
KN_API size_t kn_gpus_count(const kn_gpus *gpus);
/* `index` < count. */
KN_API void kn_gpus_get(const kn_gpus *gpus, size_t index, kn_gpu_about *out);
/* The newest version of CUDA that the driver supports: major * 10 + minor, 130 for 13.0. */
KN_API int kn_gpus_cuda(const kn_gpus *gpus);
KN_API void kn_gpus_free(kn_gpus *gpus);

#ifdef __cplusplus
}
#endif

#endif
