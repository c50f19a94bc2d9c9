/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/fatbin.h"

#include "support/elf_image.h"
#include "support/unit.h"

/* What is in the fat binaries of the image, as "9.0 9.0+PTX", and " ?" for what is not known. */
static const char *list(elf_image *image, size_t size) {
    static char text[256];
    kni_input input = elf_image_input(image);
    kni_fatbin fatbin = kni_fatbin_open(&input, image->fatbin, size);
    char arch[KNI_FATBIN_ARCH_MAX];
    kni_fatbin_step step = KNI_FATBIN_CODE;
    text[0] = '\0';
    while (step == KNI_FATBIN_CODE) {
        assert_int_equal(kni_fatbin_next(&fatbin, arch, &step, NULL), KN_OK);
        if (step == KNI_FATBIN_END) break;
        strncat(text, *text ? " " : "", 2);
        strncat(text, step == KNI_FATBIN_UNKNOWN ? "?" : arch, 32);
    }
    return text;
}

static void make(elf_image *image, const elf_code *code, size_t count) {
    elf_recipe recipe = {0};
    memcpy(recipe.code, code, count * sizeof *code);
    elf_image_make(image, &recipe);
}

static void test_architectures_are_named_as_metadata_names_them(void **state) {
    (void)state;
    /* As `nvcc -gencode ...` of CUDA 13.0 writes them. */
    static const elf_code code[] = {{2, 80, 0x11},     {2, 90, 0x100011}, {2, 100, 0x1200011},
                                    {1, 90, 0x108011}, {1, 90, 0x8011},   {1, 100, 0x208011}};
    elf_image image;
    make(&image, code, 6);
    assert_string_equal(list(&image, 16 + 6 * 72), "8.0 9.0a 10.0f 9.0a+PTX 9.0+PTX 10.0f+PTX");
}

static void test_fat_binaries_follow_each_other(void **state) {
    (void)state;
    static const elf_code code[] = {{2, 80, 0}, {1, 120, 0}};
    elf_image image;
    make(&image, code, 2);
    size_t size = 16 + 2 * 72;
    memmove(image.bytes + image.fatbin + size, image.bytes + image.fatbin, size);
    assert_string_equal(list(&image, 2 * size), "8.0 12.0+PTX 8.0 12.0+PTX");
    assert_string_equal(list(&image, 0), "");
}

static void test_a_section_may_begin_anywhere(void **state) {
    (void)state;
    static const elf_code code[] = {{2, 80, 0}, {1, 90, 0}};
    elf_image image;
    make(&image, code, 2);
    size_t size = 16 + 2 * 72;
    memmove(image.bytes + image.fatbin + 3, image.bytes + image.fatbin, size);
    image.fatbin += 3;
    assert_string_equal(list(&image, size), "8.0 9.0+PTX");
}

static void test_code_of_another_kind_is_not_known(void **state) {
    (void)state;
    static const elf_code code[] = {{2, 80, 0}, {64, 90, 0}, {2, 100, 0}};
    elf_image image;
    make(&image, code, 3);
    assert_string_equal(list(&image, 16 + 3 * 72), "8.0 ?");
}

static void test_what_does_not_fit_into_its_section_is_not_known(void **state) {
    (void)state;
    static const elf_code code[] = {{2, 80, 0}, {2, 90, 0}};
    elf_image image;
    make(&image, code, 2);
    size_t size = 16 + 2 * 72;
    assert_string_equal(list(&image, size - 1), "?");
    assert_string_equal(list(&image, 8), "?");
    image.bytes[image.fatbin + 16 + 8] = 200; /* the first content */
    assert_string_equal(list(&image, size), "?");
    image.bytes[image.fatbin] = 0; /* the magic number */
    assert_string_equal(list(&image, size), "?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_architectures_are_named_as_metadata_names_them),
        cmocka_unit_test(test_fat_binaries_follow_each_other),
        cmocka_unit_test(test_a_section_may_begin_anywhere),
        cmocka_unit_test(test_code_of_another_kind_is_not_known),
        cmocka_unit_test(test_what_does_not_fit_into_its_section_is_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
