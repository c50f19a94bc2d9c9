/* SPDX-License-Identifier: Apache-2.0 */
/* What a shared object says of itself: for which machine it is, and what it needs of others. By the
 * System V ABI (ELF header, program headers, dynamic section) and, for versions of symbols, the
 * Linux Standard Base (Core, "Symbol Versioning"). Pure. */
#ifndef KNI_CODEC_ELF_H
#define KNI_CODEC_ELF_H

#include "base/alloc.h"
#include "codec/input.h"

/* A version of symbols ("GLIBC_2.34") that is needed of a library ("libc.so.6"). */
typedef struct kni_elf_need {
    char *library;
    char *version;
    bool is_weak; /* it may be missing */
} kni_elf_need;

typedef struct kni_elf_names {
    char **items;
    size_t count, capacity;
} kni_elf_names;

typedef struct kni_elf {
    const kn_alloc *alloc;
    /* Why no loader takes it, to go on after "it "; static text. NULL: nothing is known. */
    const char *problem;
    bool is_cut_off; /* the problem is that its end is missing */
    int bits;        /* 32, 64 */
    bool is_big_endian;
    uint16_t type, machine; /* e_type, e_machine */
    /* The rest is read of files of 64 bits, little-endian, alone, and stays empty as far as it
     * makes no sense. NULL: none. */
    char *soname, *rpath, *runpath;
    kni_elf_names needed; /* DT_NEEDED */
    kni_elf_need *needs;
    size_t need_count, need_capacity;
    kni_elf_names versions;              /* that it has itself */
    uint64_t fatbin_offset, fatbin_size; /* code for CUDA devices, see codec/fatbin.h; size 0: none
                                          */
} kni_elf;

/* Reads what a file says. What is malformed is no failure. Fails where `input` does, and with
 * KN_ERR_NOMEM; `out` is empty then, else the caller frees with kni_elf_clear. */
kn_status kni_elf_read(const kn_alloc *alloc, const kni_input *input, kni_elf *out, kn_error *err);
void kni_elf_clear(kni_elf *elf);

/* "x86-64" for the number of a machine (e_machine), as the registry of the System V ABI has them;
 * NULL for those that nobody builds kernels for. Static text. */
const char *kni_elf_machine_name(uint16_t machine);

#endif
