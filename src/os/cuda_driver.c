/* SPDX-License-Identifier: Apache-2.0 */
#include "os/cuda_driver.h"

#include <dlfcn.h>
#include <string.h>

#include "base/error.h"

static kn_status find(void *handle, const char *library, const char *name, void *out,
                      kn_error *err) {
    void *symbol = dlsym(handle, name);
    if (!symbol) {
        return kni_fail(err, KN_ERR_UNSUPPORTED,
                        "the CUDA driver '%s' has no function %s; install a current driver",
                        library, name);
    }
    memcpy(out, &symbol, sizeof symbol); /* ISO C does not turn one into the other; POSIX does */
    return KN_OK;
}

kn_status kni_cuda_driver_open(const char *library, kni_cuda_driver *out, kn_error *err) {
    *out = (kni_cuda_driver){0};
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle) {
        const char *reason = dlerror();
        return kni_fail(err, KN_ERR_NOT_FOUND, "there is no CUDA driver: %s",
                        reason ? reason : library);
    }
    const struct {
        const char *name;
        void *out;
    } functions[] = {
        {"cuInit", &out->cuInit},
        {"cuDriverGetVersion", &out->cuDriverGetVersion},
        {"cuDeviceGetCount", &out->cuDeviceGetCount},
        {"cuDeviceGet", &out->cuDeviceGet},
        {"cuDeviceGetName", &out->cuDeviceGetName},
        {"cuDeviceGetAttribute", &out->cuDeviceGetAttribute},
        {"cuDeviceTotalMem_v2", &out->cuDeviceTotalMem},
        {"cuGetErrorName", &out->cuGetErrorName},
    };
    kn_status status = KN_OK;
    for (size_t i = 0; i < sizeof functions / sizeof *functions && !status; i++)
        status = find(handle, library, functions[i].name, functions[i].out, err);
    return status;
}
