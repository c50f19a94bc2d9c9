/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_ISA_H
#define KB_ISA_H

/* Instruction sets that a kernel has a version for. */
typedef enum kb_isa { KB_ISA_SERIAL = 0, KB_ISA_AVX2 = 1 } kb_isa;

/* The best one this CPU has; KERNELS_CPU_ISA (serial or avx2) lowers it, never raises it. */
kb_isa kb_isa_choose(void);

/* True where this CPU can run `isa`. */
int kb_isa_is_available(kb_isa isa);

/* "serial" or "avx2": a literal. */
const char *kb_isa_name(kb_isa isa);

#endif
