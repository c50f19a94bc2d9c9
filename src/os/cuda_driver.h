/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA driver, libcuda.so.1: the few functions that tell which devices there are. Their names,
 * types and numbers are those of the CUDA Driver API (reference manual, "Initialization", "Version
 * Management", "Device Management", "Error Handling"). Thread safe. */
#ifndef KNI_OS_CUDA_DRIVER_H
#define KNI_OS_CUDA_DRIVER_H

#include <kernels/common.h>

#define KNI_CUDA_DRIVER "libcuda.so.1"

typedef int kni_cuda_result; /* CUresult */

enum { KNI_CUDA_OK = 0, KNI_CUDA_NO_DEVICE = 100 };
enum { KNI_CUDA_CAPABILITY_MAJOR = 75, KNI_CUDA_CAPABILITY_MINOR = 76 }; /* CUdevice_attribute */

typedef struct kni_cuda_driver {
    kni_cuda_result (*cuInit)(unsigned flags);
    kni_cuda_result (*cuDriverGetVersion)(int *version);
    kni_cuda_result (*cuDeviceGetCount)(int *count);
    kni_cuda_result (*cuDeviceGet)(int *device, int ordinal);
    kni_cuda_result (*cuDeviceGetName)(char *name, int length, int device);
    kni_cuda_result (*cuDeviceGetAttribute)(int *value, int attribute, int device);
    kni_cuda_result (*cuDeviceTotalMem)(size_t *bytes, int device); /* cuDeviceTotalMem_v2 */
    kni_cuda_result (*cuGetErrorName)(kni_cuda_result error, const char **name);
} kni_cuda_driver;

/* Loads the driver, a path or a name that the loader looks for; nothing of it is called. It stays
 * loaded. KN_ERR_NOT_FOUND, with the loader's reason, where it cannot be loaded; KN_ERR_UNSUPPORTED
 * where it lacks one of the functions. */
kn_status kni_cuda_driver_open(const char *library, kni_cuda_driver *out, kn_error *err);

#endif
