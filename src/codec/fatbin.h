/* SPDX-License-Identifier: Apache-2.0 */
/* Fat binaries: the code for CUDA devices in the section .nv_fatbin of a shared object. NVIDIA
 * documents the section (fatbinary_section.h of the CUDA toolkit) and not what is in it; the format
 * is as nvcc 13.0 writes it, read beside `cuobjdump --list-elf --list-ptx`:
 *
 *     fat binary   u32 0xBA55ED50, u16 version 1, u16 size of this header, u64 size of the entries
 *     entry        u16 kind (1 PTX, 2 ELF), u16, u32 size of this header, u64 size of the content,
 *                  12 bytes, u32 architecture (90) at 28, u64 flags at 40: 1 << 20 for "sm_90a",
 *                  1 << 21 for "sm_100f"
 *
 * A section has one fat binary after the other, each at a multiple of 8 from its start. Contents
 * may be compressed; they are not looked at. Pure. */
#ifndef KNI_CODEC_FATBIN_H
#define KNI_CODEC_FATBIN_H

#include "codec/input.h"

#define KNI_FATBIN_ARCH_MAX 24

typedef struct kni_fatbin {
    const kni_input *input;
    uint64_t start, at, end; /* of the section */
    uint64_t inner_end;      /* of the fat binary that `at` is in */
    size_t count;            /* of entries so far */
} kni_fatbin;

typedef enum kni_fatbin_step {
    KNI_FATBIN_END,
    KNI_FATBIN_CODE,
    KNI_FATBIN_UNKNOWN /* code of a kind or in a form that is not known; nothing follows */
} kni_fatbin_step;

/* `size` bytes from `offset` on are within `input`, which is borrowed. */
kni_fatbin kni_fatbin_open(const kni_input *input, uint64_t offset, uint64_t size);

/* The next piece of code: `arch` as kn_archs_support takes it ("9.0", "9.0a", "10.0f+PTX").
 * Fails only where `input` does. */
kn_status kni_fatbin_next(kni_fatbin *fatbin, char arch[KNI_FATBIN_ARCH_MAX], kni_fatbin_step *step,
                          kn_error *err);

#endif
