/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/fatbin.h"

#include <stdio.h>

#define MAGIC 0xBA55ED50u
#define ALIGNMENT 8
#define ENTRIES_MAX 1000000

enum { HEADER_SIZE = 16, ENTRY_SIZE = 48 }; /* what is looked at of both */
enum { KIND_PTX = 1, KIND_ELF = 2 };
enum { FLAG_SPECIFIC = 1 << 20, FLAG_FAMILY = 1 << 21 };

kni_fatbin kni_fatbin_open(const kni_input *input, uint64_t offset, uint64_t size) {
    return (kni_fatbin){
        .input = input, .start = offset, .at = offset, .end = offset + size, .inner_end = offset};
}

static kn_status get(const kni_fatbin *f, unsigned char *out, size_t length, uint64_t end,
                     bool *there, kn_error *err) {
    *there = end - f->at >= length;
    return *there ? f->input->get(f->input->ctx, f->at, out, length, err) : KN_OK;
}

/* Goes on to the first entry of the fat binary that begins here. */
static kn_status enter(kni_fatbin *f, kni_fatbin_step *step, kn_error *err) {
    unsigned char header[HEADER_SIZE];
    bool there;
    kn_status status = get(f, header, sizeof header, f->end, &there, err);
    if (status) return status;
    uint64_t length = there ? kni_little16(header + 6) : 0,
             size = there ? kni_little64(header + 8) : 0;
    bool is_known = there && kni_little32(header) == MAGIC && kni_little16(header + 4) == 1 &&
                    length >= HEADER_SIZE && length <= f->end - f->at &&
                    size <= f->end - f->at - length;
    if (!is_known) {
        *step = KNI_FATBIN_UNKNOWN;
        return KN_OK;
    }
    f->at += length;
    f->inner_end = f->at + size;
    return KN_OK;
}

static void write_arch(const unsigned char *entry, char out[KNI_FATBIN_ARCH_MAX]) {
    uint32_t arch = kni_little32(entry + 28);
    uint64_t flags = kni_little64(entry + 40);
    const char *kind = flags & FLAG_SPECIFIC ? "a" : flags & FLAG_FAMILY ? "f" : "";
    snprintf(out, KNI_FATBIN_ARCH_MAX, "%u.%u%s%s", arch / 10, arch % 10, kind,
             kni_little16(entry) == KIND_PTX ? "+PTX" : "");
}

static kn_status read_entry(kni_fatbin *f, char arch[KNI_FATBIN_ARCH_MAX], kni_fatbin_step *step,
                            kn_error *err) {
    unsigned char entry[ENTRY_SIZE];
    bool there;
    kn_status status = get(f, entry, sizeof entry, f->inner_end, &there, err);
    if (status) return status;
    *step = KNI_FATBIN_UNKNOWN;
    if (!there || ++f->count > ENTRIES_MAX) return KN_OK;
    uint64_t left = f->inner_end - f->at, length = kni_little32(entry + 4);
    uint64_t content = kni_little64(entry + 8);
    unsigned kind = kni_little16(entry);
    if ((kind != KIND_PTX && kind != KIND_ELF) || length < ENTRY_SIZE || length > left ||
        content > left - length)
        return KN_OK;
    f->at += length + content;
    write_arch(entry, arch);
    *step = KNI_FATBIN_CODE;
    return KN_OK;
}

kn_status kni_fatbin_next(kni_fatbin *f, char arch[KNI_FATBIN_ARCH_MAX], kni_fatbin_step *step,
                          kn_error *err) {
    *step = KNI_FATBIN_END;
    arch[0] = '\0';
    while (f->at == f->inner_end) {
        uint64_t beyond = (f->at - f->start) % ALIGNMENT;
        if (beyond) f->at += ALIGNMENT - beyond;
        if (f->at >= f->end) return KN_OK;
        kn_status status = enter(f, step, err);
        if (status || *step == KNI_FATBIN_UNKNOWN) return status;
    }
    return read_entry(f, arch, step, err);
}
