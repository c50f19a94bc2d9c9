/* SPDX-License-Identifier: Apache-2.0 */
/* Small shared objects, made in memory: headers, a dynamic section, versions, fat binaries. */
#ifndef TEST_ELF_IMAGE_H
#define TEST_ELF_IMAGE_H

#include "codec/input.h"
#include "support/scratch_folder.h"

#define ELF_LIST_MAX 8
#define ELF_IMAGE_MAX 8192

typedef struct elf_code { /* an entry of a fat binary; `kind` 0 ends the list */
    uint16_t kind;
    uint32_t arch;
    uint64_t flags;
} elf_code;

typedef struct elf_recipe {
    uint16_t machine; /* 0: x86_64 */
    const char *needed[ELF_LIST_MAX];
    const char *soname, *runpath;
    struct {
        const char *library, *version;
        bool is_weak;
    } needs[ELF_LIST_MAX]; /* those of one library stand together */
    const char *versions[ELF_LIST_MAX];
    elf_code code[ELF_LIST_MAX];
} elf_recipe;

typedef struct elf_image {
    unsigned char bytes[ELF_IMAGE_MAX];
    size_t length;
    size_t fatbin; /* where it begins */
} elf_image;

void elf_image_make(elf_image *image, const elf_recipe *recipe);

/* The image as a parser reads it; a read beyond `length` fails the test. */
kni_input elf_image_input(elf_image *image);

void elf_image_write(const elf_image *image, const scratch_folder *scratch, const char *relative);

#endif
