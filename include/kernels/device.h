/* SPDX-License-Identifier: Apache-2.0 */
/* Device types and ranges of compute capability. All functions are pure and thread safe. */
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

#ifdef __cplusplus
}
#endif

#endif
