/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_ISA_H
#define KB_ISA_H

#include <stdbool.h>
#include <stdint.h>

/* Instruction sets that a kernel has a version for, each one with all that the one before has. */
typedef enum kb_isa {
    KB_ISA_SERIAL,
    KB_ISA_AVX2,        /* with FMA and F16C */
    KB_ISA_AVX512,      /* F, BW, DQ, VL */
    KB_ISA_AVX512_BF16, /* the same, rounding to bfloat16 in one instruction */
    KB_ISA_COUNT
} kb_isa;

/* "serial", "avx2", "avx512", "avx512_bf16": a literal. */
const char *kb_isa_name(kb_isa isa);

/* The one with this name; false where there is none. */
bool kb_isa_find(const char *name, kb_isa *isa);

/* True where this CPU can run `isa`. */
bool kb_isa_is_available(kb_isa isa);

/* Selects the best one that this CPU has, or the best up to the one that KERNELS_CPU_ISA names.
 * Returns the text of that variable where it names none; nothing is selected then. */
const char *kb_isa_choose(void);

/* The one in use: chosen at import, changed by tests only. */
kb_isa kb_isa_active(void);
void kb_isa_select(kb_isa isa);

/* Whether an output of so many bytes is better written past the cache. */
bool kb_streams(int64_t output_bytes);

/* After streaming stores, before another thread may read what was stored. */
static inline void kb_stream_fence(bool streamed) {
#ifdef __x86_64__
    if (streamed) __builtin_ia32_sfence();
#endif
    (void)streamed;
}

#endif
