/* SPDX-License-Identifier: Apache-2.0 */
/* Input: torch/version.py; the same bytes as TorchConfig.cmake. */
#include "fuzz_target.h"
#include "load/torch_text.h"

static void check_value(const char *value) {
    size_t length = strnlen(value, KNI_TORCH_TEXT_MAX);
    FUZZ_CHECK(length < KNI_TORCH_TEXT_MAX);
    for (size_t i = 0; i < length; i++) FUZZ_CHECK(value[i] >= 0x20 && value[i] < 0x7F);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    kni_torch_text torch;
    char backend[KNI_TORCH_TEXT_MAX];
    int major, minor;
    kni_torch_text_read((const char *)data, size, &torch);
    check_value(torch.version);
    check_value(torch.cuda);
    check_value(torch.hip);
    check_value(torch.xpu);
    kni_torch_backend(&torch, backend);
    FUZZ_CHECK(backend[0] && strlen(backend) < KNI_TORCH_TEXT_MAX);
    bool is_version = kni_major_minor(torch.version, &major, &minor);
    FUZZ_CHECK(is_version == (major >= 0 && minor >= 0));
    int abi = kni_torch_cxx11_abi((const char *)data, size);
    FUZZ_CHECK(abi >= -1 && abi <= 1);
    return 0;
}
