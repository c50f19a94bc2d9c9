/* SPDX-License-Identifier: Apache-2.0 */
#include "support/elf_image.h"

#include <stdio.h>

#include "support/unit.h"

#define ADDRESS 0x10000 /* where the file's first byte is loaded */

static void put(elf_image *image, size_t at, uint64_t value, size_t bytes) {
    assert_true(at + bytes <= ELF_IMAGE_MAX);
    for (size_t i = 0; i < bytes; i++) image->bytes[at + i] = (unsigned char)(value >> 8 * i);
    if (at + bytes > image->length) image->length = at + bytes;
}

static void add(elf_image *image, uint64_t value, size_t bytes) {
    put(image, image->length, value, bytes);
}

static void align(elf_image *image) {
    while (image->length % 8) add(image, 0, 1);
}

/* ---- texts: one table for all ---- */

typedef struct texts {
    char bytes[1024];
    size_t length;
} texts;

static uint32_t text(texts *t, const char *value) {
    size_t length = strlen(value) + 1, at = t->length;
    assert_true(at + length <= sizeof t->bytes);
    memcpy(t->bytes + at, value, length);
    t->length += length;
    return (uint32_t)at;
}

/* ---- parts ---- */

static size_t add_needs(elf_image *image, const elf_recipe *recipe, texts *t) {
    align(image);
    size_t at = image->length, i = 0;
    while (i < ELF_LIST_MAX && recipe->needs[i].library) {
        const char *library = recipe->needs[i].library;
        size_t end = i, entry = image->length;
        while (end < ELF_LIST_MAX && recipe->needs[end].library &&
               strcmp(recipe->needs[end].library, library) == 0)
            end++;
        bool is_last = end == ELF_LIST_MAX || !recipe->needs[end].library;
        add(image, 1, 2);
        add(image, end - i, 2);
        add(image, text(t, library), 4);
        add(image, 16, 4);
        add(image, is_last ? 0 : 16 + 16 * (end - i), 4);
        for (; i < end; i++) {
            add(image, 0, 4);
            add(image, recipe->needs[i].is_weak ? 2 : 0, 2);
            add(image, 2, 2);
            add(image, text(t, recipe->needs[i].version), 4);
            add(image, i + 1 < end ? 16 : 0, 4);
        }
        assert_true(image->length > entry);
    }
    return i ? at : 0;
}

static void add_version(elf_image *image, const char *name, bool is_base, bool is_last, texts *t) {
    add(image, 1, 2);
    add(image, is_base, 2);
    add(image, 1, 2);
    add(image, 1, 2);
    add(image, 0, 4);
    add(image, 20, 4);
    add(image, is_last ? 0 : 28, 4);
    add(image, text(t, name), 4);
    add(image, 0, 4);
}

static size_t add_versions(elf_image *image, const elf_recipe *recipe, texts *t) {
    align(image);
    size_t at = image->length;
    if (!recipe->versions[0]) return 0;
    add_version(image, "base", true, false, t);
    for (size_t i = 0; i < ELF_LIST_MAX && recipe->versions[i]; i++) {
        bool is_last = i + 1 == ELF_LIST_MAX || !recipe->versions[i + 1];
        add_version(image, recipe->versions[i], false, is_last, t);
    }
    return at;
}

/* Each entry has a content of 8 bytes. */
static size_t add_fatbin(elf_image *image, const elf_recipe *recipe) {
    align(image);
    size_t at = image->length, count = 0;
    while (count < ELF_LIST_MAX && recipe->code[count].kind) count++;
    if (!count) return 0;
    add(image, 0xBA55ED50u, 4);
    add(image, 1, 2);
    add(image, 16, 2);
    add(image, count * 72, 8);
    for (size_t i = 0; i < count; i++) {
        size_t entry = image->length;
        put(image, entry + 71, 0, 1);
        put(image, entry, recipe->code[i].kind, 2);
        put(image, entry + 2, 0x101, 2);
        put(image, entry + 4, 64, 4);
        put(image, entry + 8, 8, 8);
        put(image, entry + 28, recipe->code[i].arch, 4);
        put(image, entry + 40, recipe->code[i].flags, 8);
    }
    return at;
}

static void add_section(elf_image *image, uint32_t name, uint64_t offset, uint64_t size) {
    size_t at = image->length;
    put(image, at + 63, 0, 1);
    put(image, at, name, 4);
    put(image, at + 24, offset, 8);
    put(image, at + 32, size, 8);
}

static void add_tag(elf_image *image, uint64_t tag, uint64_t value) {
    add(image, tag, 8);
    add(image, value, 8);
}

static void put_program(elf_image *image, size_t at, uint32_t type, uint64_t offset,
                        uint64_t size) {
    put(image, at, type, 4);
    put(image, at + 8, offset, 8);
    put(image, at + 16, ADDRESS + offset, 8);
    put(image, at + 32, size, 8);
    put(image, at + 40, size, 8);
}

void elf_image_make(elf_image *image, const elf_recipe *recipe) {
    static const unsigned char start[] = {0x7F, 'E', 'L', 'F', 2, 1, 1};
    texts t = {.length = 1};
    *image = (elf_image){.length = 64 + 2 * 56};
    memcpy(image->bytes, start, sizeof start);
    size_t needs = add_needs(image, recipe, &t), versions = add_versions(image, recipe, &t);
    image->fatbin = add_fatbin(image, recipe);
    size_t fatbin_end = image->length;

    align(image);
    size_t dynamic = image->length;
    for (size_t i = 0; i < ELF_LIST_MAX && recipe->needed[i]; i++)
        add_tag(image, 1, text(&t, recipe->needed[i]));
    if (recipe->soname) add_tag(image, 14, text(&t, recipe->soname));
    if (recipe->runpath) add_tag(image, 29, text(&t, recipe->runpath));
    if (needs) add_tag(image, 0x6ffffffe, ADDRESS + needs);
    if (versions) add_tag(image, 0x6ffffffc, ADDRESS + versions);
    size_t names_tag = image->length;
    add_tag(image, 5, 0);
    add_tag(image, 0, 0);
    size_t dynamic_end = image->length;
    uint32_t fatbin_name = text(&t, ".nv_fatbin"), table_name = text(&t, ".shstrtab");

    size_t table = image->length;
    put(image, names_tag + 8, ADDRESS + table, 8);
    for (size_t i = 0; i < t.length; i++) add(image, (unsigned char)t.bytes[i], 1);
    align(image);
    size_t sections = image->length;
    add_section(image, 0, 0, 0);
    add_section(image, table_name, table, t.length);
    if (image->fatbin) add_section(image, fatbin_name, image->fatbin, fatbin_end - image->fatbin);

    put(image, 16, 3, 2);
    put(image, 18, recipe->machine ? recipe->machine : 62, 2);
    put(image, 32, 64, 8);
    put(image, 40, sections, 8);
    put(image, 54, 56, 2);
    put(image, 56, 2, 2);
    put(image, 58, 64, 2);
    put(image, 60, image->fatbin ? 3 : 2, 2);
    put(image, 62, 1, 2);
    put_program(image, 64, 1, 0, sections);
    put_program(image, 64 + 56, 2, dynamic, dynamic_end - dynamic);
}

static kn_status get_bytes(void *ctx, uint64_t offset, void *out, size_t length, kn_error *err) {
    const elf_image *image = ctx;
    (void)err;
    assert_true(offset <= image->length && length <= image->length - offset);
    memcpy(out, image->bytes + offset, length);
    return KN_OK;
}

kni_input elf_image_input(elf_image *image) { return (kni_input){image, image->length, get_bytes}; }

void elf_image_write(const elf_image *image, const scratch_folder *scratch, const char *relative) {
    scratch_file(scratch, relative, "");
    FILE *file = fopen(scratch_path(scratch, relative), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(image->bytes, 1, image->length, file), image->length);
    assert_int_equal(fclose(file), 0);
}
