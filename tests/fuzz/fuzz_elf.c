/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a shared object, with code for CUDA devices in it. */
#include "codec/elf.h"
#include "codec/fatbin.h"
#include "fuzz_target.h"

typedef struct memory {
    const uint8_t *data;
    size_t size;
} memory;

static kn_status get(void *ctx, uint64_t offset, void *out, size_t length, kn_error *err) {
    const memory *m = ctx;
    (void)err;
    FUZZ_CHECK(offset <= m->size && length <= m->size - offset);
    if (length) memcpy(out, m->data + offset, length);
    return KN_OK;
}

static void read_code(const kni_input *input, const kni_elf *elf) {
    FUZZ_CHECK(kni_input_has(input, elf->fatbin_offset, elf->fatbin_size));
    kni_fatbin fatbin = kni_fatbin_open(input, elf->fatbin_offset, elf->fatbin_size);
    kni_fatbin_step step = KNI_FATBIN_CODE;
    char arch[KNI_FATBIN_ARCH_MAX];
    uint64_t before = 0;
    while (step == KNI_FATBIN_CODE) {
        FUZZ_CHECK(kni_fatbin_next(&fatbin, arch, &step, NULL) == KN_OK);
        FUZZ_CHECK(memchr(arch, '\0', sizeof arch));
        FUZZ_CHECK(step != KNI_FATBIN_CODE || fatbin.at > before);
        before = fatbin.at;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    memory m = {data, size};
    kni_input input = {&m, size, get};
    kni_elf elf;
    FUZZ_CHECK(kni_elf_read(NULL, &input, &elf, NULL) == KN_OK);
    FUZZ_CHECK(!elf.is_cut_off || elf.problem);
    for (size_t i = 0; i < elf.need_count; i++)
        FUZZ_CHECK(elf.needs[i].library && elf.needs[i].version);
    for (size_t i = 0; i < elf.needed.count; i++) FUZZ_CHECK(elf.needed.items[i]);
    read_code(&input, &elf);
    kni_elf_clear(&elf);
    return 0;
}
