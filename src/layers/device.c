/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/device.h>

#include <string.h>

#include "base/error.h"

static const char *const type_names[KN_DEVICE_TYPES] = {
    [KN_DEVICE_OTHER] = "other", [KN_DEVICE_CPU] = "cpu",       [KN_DEVICE_CUDA] = "cuda",
    [KN_DEVICE_MPS] = "mps",     [KN_DEVICE_NEURON] = "neuron", [KN_DEVICE_NPU] = "npu",
    [KN_DEVICE_ROCM] = "rocm",   [KN_DEVICE_TPU] = "tpu",       [KN_DEVICE_XPU] = "xpu",
};

kn_device_type kn_device_type_find(const char *name) {
    for (int type = KN_DEVICE_OTHER + 1; type < KN_DEVICE_TYPES; type++) {
        if (strcmp(type_names[type], name) == 0) return (kn_device_type)type;
    }
    return KN_DEVICE_OTHER;
}

kn_status kn_device_type_parse(const char *name, kn_device_type *out, kn_error *err) {
    *out = kn_device_type_find(name);
    if (*out != KN_DEVICE_OTHER) return KN_OK;
    return kni_fail(
        err, KN_ERR_VALUE,
        "Unsupported device type '%s'. Supported device types are: cpu, cuda, mps, neuron, npu, rocm, "
        "tpu, xpu",
        name);
}

const char *kn_device_type_name(kn_device_type type) {
    int index = (int)type;
    return type_names[index > 0 && index < KN_DEVICE_TYPES ? index : KN_DEVICE_OTHER];
}

bool kn_device_type_has_capability(kn_device_type type) {
    return type == KN_DEVICE_CUDA || type == KN_DEVICE_ROCM;
}

kn_status kn_capability_range_check(kn_capability_range range, kn_error *err) {
    if (range.min <= range.max) return KN_OK;
    return kni_fail(err, KN_ERR_VALUE, "min_capability (%lld) must be <= max_capability (%lld)",
                    (long long)range.min, (long long)range.max);
}
