/* SPDX-License-Identifier: Apache-2.0 */
#include "load/gpus.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "os/cuda_driver.h"

#define NAME_MAX_BYTES 256
#define DEVICES_MAX 1024

typedef struct gpu {
    char name[NAME_MAX_BYTES];
    int64_t capability;
    uint64_t memory;
} gpu;

struct kn_gpus {
    const kn_alloc *alloc;
    int cuda;
    size_t count;
    gpu items[];
};

/* KN_ERR_RUNTIME where the driver says something other than CUDA_SUCCESS. */
static kn_status check(const kni_cuda_driver *driver, kni_cuda_result result, const char *doing,
                       kn_error *err) {
    if (result == KNI_CUDA_OK) return KN_OK;
    const char *name = NULL;
    if (driver->cuGetErrorName(result, &name) != KNI_CUDA_OK || !name) name = "an unknown error";
    return kni_fail(err, KN_ERR_RUNTIME,
                    "the CUDA driver failed in %s: %s (%d); see whether `nvidia-smi` works, and "
                    "whether this process may use /dev/nvidia*",
                    doing, name, result);
}

static kn_status read_gpu(const kni_cuda_driver *driver, int ordinal, gpu *out, kn_error *err) {
    int device, major = 0, minor = 0;
    size_t memory = 0;
    kn_status status = check(driver, driver->cuDeviceGet(&device, ordinal), "cuDeviceGet", err);
    if (status) return status;
    status = check(driver, driver->cuDeviceGetName(out->name, NAME_MAX_BYTES - 1, device),
                   "cuDeviceGetName", err);
    if (!status)
        status =
            check(driver, driver->cuDeviceGetAttribute(&major, KNI_CUDA_CAPABILITY_MAJOR, device),
                  "cuDeviceGetAttribute", err);
    if (!status)
        status =
            check(driver, driver->cuDeviceGetAttribute(&minor, KNI_CUDA_CAPABILITY_MINOR, device),
                  "cuDeviceGetAttribute", err);
    if (!status)
        status = check(driver, driver->cuDeviceTotalMem(&memory, device), "cuDeviceTotalMem", err);
    out->capability = (int64_t)major * 10 + minor;
    out->memory = memory;
    return status;
}

/* How many there are; none where the driver finds no device at its start. */
static kn_status count_gpus(const kni_cuda_driver *driver, int *version, int *count,
                            kn_error *err) {
    *version = *count = 0;
    kn_status status =
        check(driver, driver->cuDriverGetVersion(version), "cuDriverGetVersion", err);
    if (status) return status;
    kni_cuda_result started = driver->cuInit(0);
    if (started == KNI_CUDA_NO_DEVICE) return KN_OK;
    status = check(driver, started, "cuInit", err);
    if (!status) status = check(driver, driver->cuDeviceGetCount(count), "cuDeviceGetCount", err);
    if (*count > DEVICES_MAX) *count = DEVICES_MAX;
    return status;
}

static kn_status open_driver(const char *library, kni_cuda_driver *driver, int *version, int *count,
                             kn_error *err) {
    kn_status status = kni_cuda_driver_open(library ? library : KNI_CUDA_DRIVER, driver, err);
    return status ? status : count_gpus(driver, version, count, err);
}

void kni_gpus_capability(int64_t *out, bool *unlike) {
    kni_cuda_driver driver;
    int version, count;
    gpu g;
    *out = KN_CAPABILITY_UNKNOWN;
    *unlike = false;
    if (open_driver(NULL, &driver, &version, &count, NULL)) return;
    for (int i = 0; i < count && !read_gpu(&driver, i, &g, NULL); i++) {
        if (i == 0) *out = g.capability;
        if (g.capability != *out) *unlike = true;
    }
}

/* 13000 is 13.0. */
static int cuda_of(int version) { return version / 1000 * 10 + version % 1000 / 10; }

int kni_gpus_cuda(void) {
    kni_cuda_driver driver;
    int version, count;
    if (open_driver(NULL, &driver, &version, &count, NULL)) return 0;
    return count ? cuda_of(version) : 0;
}

kn_status kn_gpus_read(const kn_alloc *alloc, const char *library, kn_gpus **out, kn_error *err) {
    *out = NULL;
    alloc = kni_alloc_or_default(alloc);
    kni_cuda_driver driver;
    int version, count;
    kn_status status = open_driver(library, &driver, &version, &count, err);
    if (status) return status;
    kn_gpus *gpus = kni_new(alloc, sizeof *gpus + (size_t)count * sizeof *gpus->items);
    if (!gpus) return kni_no_memory(err, "asking for GPUs");
    gpus->alloc = alloc;
    gpus->cuda = cuda_of(version);
    for (; (int)gpus->count < count && !status; gpus->count++)
        status = read_gpu(&driver, (int)gpus->count, &gpus->items[gpus->count], err);
    if (status)
        kn_gpus_free(gpus);
    else
        *out = gpus;
    return status;
}

size_t kn_gpus_count(const kn_gpus *gpus) { return gpus->count; }

void kn_gpus_get(const kn_gpus *gpus, size_t index, kn_gpu_about *out) {
    const gpu *g = &gpus->items[index];
    kn_gpu_about about = {
        .size = out->size, .name = g->name, .capability = g->capability, .memory = g->memory};
    memcpy(out, &about, out->size < sizeof about ? out->size : sizeof about);
}

int kn_gpus_cuda(const kn_gpus *gpus) { return gpus->cuda; }

void kn_gpus_free(kn_gpus *gpus) {
    if (gpus) kni_free(gpus->alloc, gpus);
}
