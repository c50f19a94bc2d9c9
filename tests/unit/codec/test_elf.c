/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/elf.h"

#include "support/elf_image.h"
#include "support/failing_alloc.h"
#include "support/unit.h"

static const elf_recipe whole = {
    .needed = {"libtorch.so", "libc.so.6"},
    .soname = "_relu.so",
    .runpath = "$ORIGIN/lib",
    .needs = {{"libstdc++.so.6", "GLIBCXX_3.4.29", false},
              {"libstdc++.so.6", "CXXABI_1.3", false},
              {"libc.so.6", "GLIBC_2.34", false},
              {"libc.so.6", "GLIBC_2.17", true}},
    .versions = {"RELU_1", "RELU_2"},
    .code = {{2, 90, 0}},
};

static void read_image(elf_image *image, kni_elf *out) {
    kni_input input = elf_image_input(image);
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_elf_read(NULL, &input, out, &err), KN_OK);
}

static void test_what_a_shared_object_says_is_read(void **state) {
    (void)state;
    elf_image image;
    kni_elf elf;
    elf_image_make(&image, &whole);
    read_image(&image, &elf);
    assert_null(elf.problem);
    assert_int_equal(elf.bits, 64);
    assert_false(elf.is_big_endian);
    assert_int_equal(elf.type, 3);
    assert_int_equal(elf.machine, 62);
    assert_string_equal(elf.soname, "_relu.so");
    assert_string_equal(elf.runpath, "$ORIGIN/lib");
    assert_null(elf.rpath);
    assert_int_equal(elf.needed.count, 2);
    assert_string_equal(elf.needed.items[0], "libtorch.so");
    assert_string_equal(elf.needed.items[1], "libc.so.6");
    assert_int_equal(elf.need_count, 4);
    assert_string_equal(elf.needs[1].library, "libstdc++.so.6");
    assert_string_equal(elf.needs[1].version, "CXXABI_1.3");
    assert_false(elf.needs[2].is_weak);
    assert_string_equal(elf.needs[3].library, "libc.so.6");
    assert_string_equal(elf.needs[3].version, "GLIBC_2.17");
    assert_true(elf.needs[3].is_weak);
    assert_int_equal(elf.versions.count, 2);
    assert_string_equal(elf.versions.items[1], "RELU_2");
    assert_int_equal(elf.fatbin_offset, image.fatbin);
    assert_int_equal(elf.fatbin_size, 16 + 72);
    kni_elf_clear(&elf);
}

static void test_a_file_whose_end_is_missing_is_cut_off(void **state) {
    (void)state;
    elf_image image;
    elf_image_make(&image, &(elf_recipe){.needed = {"libc.so.6"}});
    size_t sections = 2 * 64, all = image.length;
    for (size_t length = 4; length < all; length++) {
        kni_elf elf;
        image.length = length;
        read_image(&image, &elf);
        /* Sections are behind all that a loader needs. */
        bool is_whole = length >= all - sections;
        assert_int_equal(elf.is_cut_off, !is_whole);
        assert_true((elf.problem != NULL) == !is_whole);
        kni_elf_clear(&elf);
    }
}

static void expect_problem(const char *content, size_t length, const char *problem) {
    elf_image image = {.length = length};
    kni_elf elf;
    memcpy(image.bytes, content, length);
    read_image(&image, &elf);
    assert_non_null(elf.problem);
    assert_contains(elf.problem, problem);
    assert_false(elf.is_cut_off);
    kni_elf_clear(&elf);
}

static void test_what_is_no_elf_file_is_told_with_what_it_is(void **state) {
    (void)state;
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:0\n";
    expect_problem("", 0, "is empty");
    expect_problem("\177EL", 3, "does not begin as an ELF file does");
    expect_problem("INPUT(libm.so.6)", 16, "does not begin as an ELF file does");
    expect_problem(pointer, sizeof pointer - 1, "pointer of Git LFS");
}

static void test_files_of_other_kinds_tell_their_machine(void **state) {
    (void)state;
    elf_image image;
    kni_elf elf;
    elf_image_make(&image, &whole);
    image.bytes[4] = 1; /* 32 bits, big-endian, PowerPC */
    image.bytes[5] = 2;
    image.bytes[18] = 0;
    image.bytes[19] = 20;
    read_image(&image, &elf);
    assert_null(elf.problem);
    assert_int_equal(elf.bits, 32);
    assert_true(elf.is_big_endian);
    assert_int_equal(elf.machine, 20);
    assert_int_equal(elf.needed.count, 0);
    kni_elf_clear(&elf);
}

static void test_no_program_headers_is_a_problem(void **state) {
    (void)state;
    elf_image image;
    kni_elf elf;
    elf_image_make(&image, &whole);
    image.bytes[56] = 0; /* as in an object file */
    read_image(&image, &elf);
    assert_contains(elf.problem, "no program headers");
    kni_elf_clear(&elf);
}

static void test_a_chain_that_runs_into_itself_ends(void **state) {
    (void)state;
    elf_image image;
    kni_elf elf;
    elf_image_make(&image, &whole);
    size_t needs = 64 + 2 * 56;
    image.bytes[needs + 12] = 1; /* the next library: a byte further on, and so forth */
    for (size_t i = needs + 16; i < needs + 200; i++) image.bytes[i] = 1;
    read_image(&image, &elf);
    assert_true(elf.need_count <= 4096);
    kni_elf_clear(&elf);
}

static kn_status read_with(const kn_alloc *alloc, void *ctx, kn_error *err) {
    kni_elf elf;
    kni_input input = elf_image_input(ctx);
    kn_status status = kni_elf_read(alloc, &input, &elf, err);
    kni_elf_clear(&elf);
    return status;
}

static void test_memory_that_runs_out_is_told(void **state) {
    (void)state;
    elf_image image;
    elf_image_make(&image, &whole);
    assert_true(fault_sweep(read_with, &image) >= 14);
}

static void test_machines_have_the_names_that_variants_use(void **state) {
    (void)state;
    assert_string_equal(kni_elf_machine_name(62), "x86_64");
    assert_string_equal(kni_elf_machine_name(183), "aarch64");
    assert_null(kni_elf_machine_name(9999));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_shared_object_says_is_read),
        cmocka_unit_test(test_a_file_whose_end_is_missing_is_cut_off),
        cmocka_unit_test(test_what_is_no_elf_file_is_told_with_what_it_is),
        cmocka_unit_test(test_files_of_other_kinds_tell_their_machine),
        cmocka_unit_test(test_no_program_headers_is_a_problem),
        cmocka_unit_test(test_a_chain_that_runs_into_itself_ends),
        cmocka_unit_test(test_memory_that_runs_out_is_told),
        cmocka_unit_test(test_machines_have_the_names_that_variants_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
