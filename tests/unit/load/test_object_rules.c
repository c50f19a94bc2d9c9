/* SPDX-License-Identifier: Apache-2.0 */
#include "load/object_rules.h"

#include <stdio.h>

#include "support/elf_image.h"
#include "support/unit.h"

static const kni_loader here = {.bits = 64, .machine = 62, .glibc = "2.36"};

/* Why an object is refused where `library` (NULL: none) is loaded; "" where it is not. */
static const char *reason_beside(const elf_recipe *recipe, const kni_loader *loader,
                                 const kni_loaded_library *library) {
    static char text[1024];
    elf_image image;
    elf_image_make(&image, recipe);
    kni_input input = elf_image_input(&image);
    kni_elf elf;
    assert_int_equal(kni_elf_read(NULL, &input, &elf, NULL), KN_OK);
    kni_object_place place = {loader, library, library ? 1 : 0};
    kni_text reason;
    kni_text_init(&reason, kni_alloc_or_default(NULL));
    kni_object_refuse(&reason, &elf, &place);
    snprintf(text, sizeof text, "%s", reason.length ? reason.bytes : "");
    kni_text_clear(&reason);
    kni_elf_clear(&elf);
    return text;
}

static const char *reason(const elf_recipe *recipe, const kni_loader *loader) {
    return reason_beside(recipe, loader, NULL);
}

static void test_an_object_for_this_machine_is_not_refused(void **state) {
    (void)state;
    elf_recipe recipe = {.needed = {"libnowhere.so.1"},
                         .needs = {{"libc.so.6", "GLIBC_2.36", false}}};
    assert_string_equal(reason(&recipe, &here), "");
    assert_string_equal(reason(&(elf_recipe){0}, &here), "");
}

static void test_another_machine_is_refused_with_both_named(void **state) {
    (void)state;
    assert_string_equal(
        reason(&(elf_recipe){.machine = 183}, &here),
        "was built for aarch64 and this process runs on x86_64; take a build for this machine");
    assert_contains(reason(&(elf_recipe){.machine = 9999}, &here), "for machine 9999 and");
    kni_loader unknown = {.bits = 64};
    assert_string_equal(reason(&(elf_recipe){.machine = 183}, &unknown), "");
}

static void test_a_bare_header_tells_its_machine(void **state) {
    (void)state;
    elf_image image;
    kni_elf elf;
    elf_image_make(&image, &(elf_recipe){.machine = 243});
    image.bytes[56] = 0; /* no program headers */
    kni_input input = elf_image_input(&image);
    assert_int_equal(kni_elf_read(NULL, &input, &elf, NULL), KN_OK);
    kni_object_place place = {.loader = &here};
    kni_text reason;
    kni_text_init(&reason, kni_alloc_or_default(NULL));
    assert_int_equal(kni_object_refuse(&reason, &elf, &place), KN_ERR_NOT_FOUND);
    assert_contains(reason.bytes, "was built for riscv64");
    kni_text_clear(&reason);
    kni_elf_clear(&elf);
}

static void test_a_newer_glibc_is_refused_with_both_named(void **state) {
    (void)state;
    elf_recipe recipe = {.needs = {{"libc.so.6", "GLIBC_2.38", false},
                                   {"libc.so.6", "GLIBC_2.9", false},
                                   {"libm.so.6", "GLIBC_2.37", false}}};
    assert_string_equal(reason(&recipe, &here),
                        "needs glibc 2.38 or newer and this system has 2.36; use a newer system (a "
                        "container will do), or a build that was made on an older one");
    kni_loader newer = here, other = here;
    newer.glibc = "2.38";
    other.glibc = NULL;
    assert_string_equal(reason(&recipe, &newer), "");
    assert_string_equal(reason(&recipe, &other), "");
}

static void test_versions_of_glibc_are_compared_as_numbers(void **state) {
    (void)state;
    kni_loader old = here;
    old.glibc = "2.4";
    elf_recipe recipe = {.needs = {{"libc.so.6", "GLIBC_2.17", false}}};
    assert_contains(reason(&recipe, &old), "needs glibc 2.17 or newer and this system has 2.4");
    old.glibc = "2.170";
    assert_string_equal(reason(&recipe, &old), "");
}

static void test_what_may_be_missing_is_not_refused(void **state) {
    (void)state;
    elf_recipe weak = {.needs = {{"libc.so.6", "GLIBC_2.99", true}}};
    elf_recipe private = {.needs = {{"libc.so.6", "GLIBC_PRIVATE", false}}};
    elf_recipe other = {.needs = {{"libodd.so.1", "GLIBC_2.99", false}}};
    assert_string_equal(reason(&weak, &here), "");
    assert_string_equal(reason(&private, &here), "");
    assert_string_equal(reason(&other, &here), "");
}

static void test_packed_relocations_need_the_glibc_that_knows_them(void **state) {
    (void)state;
    kni_loader old = here;
    old.glibc = "2.35";
    elf_recipe recipe = {.needs = {{"libc.so.6", "GLIBC_ABI_DT_RELR", false}}};
    assert_contains(reason(&recipe, &old), "needs glibc 2.36 or newer");
    assert_string_equal(reason(&recipe, &here), "");
}

static void test_a_loaded_library_that_lacks_a_version_is_told_with_its_file(void **state) {
    (void)state;
    char name[] = "libstdc++.so.6", path[] = "/opt/conda/lib/libstdc++.so.6",
         has[] = "GLIBCXX_3.4.29";
    char *versions[] = {has};
    kni_loaded_library loaded = {.name = name, .path = path, .elf = {.versions = {versions, 1, 1}}};
    elf_recipe newer = {.needs = {{"libstdc++.so.6", "GLIBCXX_3.4.32", false}}};
    elf_recipe same = {.needs = {{"libstdc++.so.6", "GLIBCXX_3.4.29", false}}};
    elf_recipe weak = {.needs = {{"libstdc++.so.6", "GLIBCXX_3.4.32", true}}};
    assert_string_equal(
        reason_beside(&newer, &here, &loaded),
        "needs GLIBCXX_3.4.32 of libstdc++.so.6, which the one that this process has loaded, "
        "'/opt/conda/lib/libstdc++.so.6', lacks; install a newer one there, or see to it that a "
        "newer one is loaded first (LD_LIBRARY_PATH)");
    assert_string_equal(reason_beside(&same, &here, &loaded), "");
    assert_string_equal(reason_beside(&weak, &here, &loaded), "");
    assert_string_equal(reason(&newer, &here), ""); /* which one it gets is not known */
    loaded.elf.versions.count = 0;
    assert_string_equal(reason_beside(&newer, &here, &loaded), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_object_for_this_machine_is_not_refused),
        cmocka_unit_test(test_another_machine_is_refused_with_both_named),
        cmocka_unit_test(test_a_bare_header_tells_its_machine),
        cmocka_unit_test(test_a_newer_glibc_is_refused_with_both_named),
        cmocka_unit_test(test_versions_of_glibc_are_compared_as_numbers),
        cmocka_unit_test(test_what_may_be_missing_is_not_refused),
        cmocka_unit_test(test_packed_relocations_need_the_glibc_that_knows_them),
        cmocka_unit_test(test_a_loaded_library_that_lacks_a_version_is_told_with_its_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
