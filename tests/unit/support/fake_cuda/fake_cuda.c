/* SPDX-License-Identifier: Apache-2.0 */
/* A CUDA driver for machines that have none. FAKE_CUDA names its devices by their capabilities,
 * "80 90"; FAKE_CUDA_INIT is what cuInit comes to. As in the true one, nothing works before it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES_MAX 8

static int is_ready;

static int devices(int capabilities[DEVICES_MAX]) {
    const char *at = getenv("FAKE_CUDA");
    int count = 0;
    while (at && *at && count < DEVICES_MAX) {
        char *end;
        long value = strtol(at, &end, 10);
        if (end == at) break;
        capabilities[count++] = (int)value;
        at = end;
    }
    return count;
}

int cuInit(unsigned flags) {
    const char *result = getenv("FAKE_CUDA_INIT");
    int code = result ? (int)strtol(result, NULL, 10) : 0;
    is_ready = code == 0 && flags == 0;
    return code;
}

int cuDriverGetVersion(int *version) {
    *version = 12080;
    return 0;
}

int cuDeviceGetCount(int *count) {
    int capabilities[DEVICES_MAX];
    if (!is_ready) return 3;
    *count = devices(capabilities);
    return 0;
}

int cuDeviceGet(int *device, int ordinal) {
    int capabilities[DEVICES_MAX];
    if (!is_ready) return 3;
    if (ordinal < 0 || ordinal >= devices(capabilities)) return 101;
    *device = 40 + ordinal; /* no number of a device is its place */
    return 0;
}

int cuDeviceGetName(char *name, int length, int device) {
    snprintf(name, (size_t)length, "Fake GPU %d", device - 40);
    return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    int capabilities[DEVICES_MAX];
    int count = devices(capabilities), at = device - 40;
    if (at < 0 || at >= count) return 101;
    if (attribute != 75 && attribute != 76) return 1;
    *value = attribute == 75 ? capabilities[at] / 10 : capabilities[at] % 10;
    return 0;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    *bytes = (size_t)(device - 39) << 30;
    return 0;
}

int cuGetErrorName(int error, const char **name) {
    *name = error == 3 ? "CUDA_ERROR_NOT_INITIALIZED" : error == 999 ? "CUDA_ERROR_UNKNOWN" : NULL;
    return *name ? 0 : 1;
}
