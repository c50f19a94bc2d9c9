/* SPDX-License-Identifier: Apache-2.0 */
#include "load/objects.h"

#include <stdio.h>

#include "support/elf_image.h"
#include "support/failing_alloc.h"
#include "support/unit.h"

#define SASS 2
#define PTX 1

typedef struct machine {
    int64_t capability;
    bool known;
    int asked;
} machine;

static kn_status gpu_of(void *ctx, kn_gpu *out, bool *known, kn_error *err) {
    machine *m = ctx;
    (void)err;
    m->asked++;
    out->capability = m->capability;
    *known = m->known;
    return KN_OK;
}

static kni_objects_ask ask_about(const scratch_folder *scratch, machine *m) {
    return (kni_objects_ask){.folder = scratch->path, .gpu = m ? gpu_of : NULL, .ctx = m};
}

static void write_object(const scratch_folder *scratch, const char *path,
                         const elf_recipe *recipe) {
    elf_image image;
    elf_image_make(&image, recipe);
    elf_image_write(&image, scratch, path);
}

static kn_status check(const scratch_folder *scratch, machine *m, kn_error *err) {
    kni_objects_ask ask = ask_about(scratch, m);
    kn_error_init(err);
    return kni_objects_check(NULL, &ask, err);
}

static void test_a_build_without_shared_objects_is_not_refused(void **state) {
    (void)state;
    scratch_folder scratch;
    scratch_folder_make(&scratch);
    kn_error err;
    scratch_file(&scratch, "__init__.py", "");
    assert_int_equal(check(&scratch, NULL, &err), KN_OK);
    kni_objects_ask ask = {.folder = scratch_path(&scratch, "none")};
    assert_int_equal(kni_objects_check(NULL, &ask, &err), KN_OK); /* who opens it tells */
    scratch_folder_remove(&scratch);
}

static void test_a_build_that_no_loader_here_takes_is_refused(void **state) {
    (void)state;
    scratch_folder scratch;
    scratch_folder_make(&scratch);
    kn_error err;
    write_object(&scratch, "_relu.abi3.so",
                 &(elf_recipe){.needs = {{"libc.so.6", "GLIBC_2.999", false}}});
    assert_int_equal(check(&scratch, NULL, &err), KN_ERR_NOT_FOUND);
    assert_contains(err.message,
                    "its shared object '_relu.abi3.so' needs glibc 2.999 or newer and this system "
                    "has 2.");
    write_object(&scratch, "lib/helper.so.1", &(elf_recipe){.machine = 243});
    assert_int_equal(check(&scratch, NULL, &err), KN_ERR_NOT_FOUND);
    assert_contains(err.message, ", and none of 1 others can be loaded either");
    scratch_folder_remove(&scratch);
}

static void test_one_object_that_fits_leaves_the_rest_to_the_loader(void **state) {
    (void)state;
    scratch_folder scratch;
    scratch_folder_make(&scratch);
    kn_error err;
    write_object(&scratch, "_relu.so", &(elf_recipe){.needed = {"libnowhere.so.1"}});
    write_object(&scratch, "other.so", &(elf_recipe){.machine = 243});
    scratch_file(&scratch, "text.so", "INPUT(libm.so.6)");
    assert_int_equal(check(&scratch, NULL, &err), KN_OK);
    scratch_folder_remove(&scratch);
}

static void test_an_object_that_is_cut_off_is_refused_whatever_else_there_is(void **state) {
    (void)state;
    scratch_folder scratch;
    scratch_folder_make(&scratch);
    kn_error err;
    elf_image image;
    write_object(&scratch, "a.so", &(elf_recipe){0});
    elf_image_make(&image, &(elf_recipe){0});
    image.length = 200;
    elf_image_write(&image, &scratch, "b.so");
    kni_objects_ask ask = ask_about(&scratch, NULL);
    kn_error_init(&err);
    assert_int_equal(kni_objects_check(NULL, &ask, &err), KN_ERR_INTEGRITY);
    assert_string_equal(err.message,
                        "its shared object 'b.so' is cut off: its end is missing; download or "
                        "build the kernel again");
    scratch_folder_remove(&scratch);
}

static void test_what_is_no_shared_object_at_all_is_damage(void **state) {
    (void)state;
    scratch_folder scratch;
    scratch_folder_make(&scratch);
    kn_error err;
    scratch_file(&scratch, "_relu.so", "version https://git-lfs.github.com/spec/v1\n");
    assert_int_equal(check(&scratch, NULL, &err), KN_ERR_INTEGRITY);
    assert_contains(err.message, "'_relu.so' is a pointer of Git LFS");
    scratch_folder_remove(&scratch);
}

static kn_status check_code(int64_t capability, elf_code first, elf_code second, kn_error *err) {
    scratch_folder scratch;
    scratch_folder_make(&scratch);
    machine m = {.capability = capability, .known = true};
    write_object(&scratch, "a.so", &(elf_recipe){.code = {first}});
    write_object(&scratch, "b.so", &(elf_recipe){.code = {second}});
    kn_status status = check(&scratch, &m, err);
    assert_int_equal(m.asked, 1);
    scratch_folder_remove(&scratch);
    return status;
}

static void test_code_for_the_gpu_in_any_object_is_enough(void **state) {
    (void)state;
    kn_error err;
    elf_code sm80 = {SASS, 80, 0}, sm90a = {SASS, 90, 0x100000}, ptx90 = {PTX, 90, 0},
             other = {64, 80, 0};
    assert_int_equal(check_code(80, sm80, sm90a, &err), KN_OK);
    assert_int_equal(check_code(89, sm80, sm90a, &err), KN_OK); /* same generation */
    assert_int_equal(check_code(90, sm80, sm90a, &err), KN_OK);
    assert_int_equal(check_code(120, sm80, ptx90, &err), KN_OK); /* compiled by the driver */
    assert_int_equal(check_code(75, sm80, other, &err), KN_OK);  /* nobody knows */
}

static void test_no_code_for_the_gpu_is_refused_with_what_there_is(void **state) {
    (void)state;
    kn_error err;
    elf_code sm80 = {SASS, 80, 0}, sm90a = {SASS, 90, 0x100000}, ptx90 = {PTX, 90, 0};
    assert_int_equal(check_code(75, sm80, ptx90, &err), KN_ERR_RUNTIME);
    assert_string_equal(
        err.message,
        "there is no code for a GPU of compute capability 7.5: its shared objects have it for 8.0, "
        "9.0+PTX; take a version of the kernel that was built for this GPU, or pass "
        "`check_arch=False` if it brings its code in another way");
    assert_int_equal(check_code(103, sm80, sm90a, &err), KN_ERR_RUNTIME);
}

static void test_a_gpu_is_asked_for_only_where_there_is_code_for_one(void **state) {
    (void)state;
    scratch_folder scratch;
    scratch_folder_make(&scratch);
    kn_error err;
    machine m = {.capability = 90, .known = true};
    write_object(&scratch, "_relu.so", &(elf_recipe){0});
    assert_int_equal(check(&scratch, &m, &err), KN_OK);
    assert_int_equal(m.asked, 0);
    write_object(&scratch, "_relu.so", &(elf_recipe){.code = {{SASS, 80, 0}}});
    assert_int_equal(check(&scratch, &m, &err), KN_ERR_RUNTIME);
    m.known = false;
    assert_int_equal(check(&scratch, &m, &err), KN_OK);
    m = (machine){.capability = KN_CAPABILITY_UNKNOWN, .known = true};
    assert_int_equal(check(&scratch, &m, &err), KN_OK);
    scratch_folder_remove(&scratch);
}

static void test_a_loaded_library_that_is_too_old_is_seen(void **state) {
    (void)state;
    scratch_folder scratch;
    scratch_folder_make(&scratch);
    kn_error err;
    /* Loaded in every process that links shared objects, with versions of its own. */
    write_object(&scratch, "_relu.so",
                 &(elf_recipe){.needs = {{"ld-linux-x86-64.so.2", "GLIBC_9.9", false}}});
    assert_int_equal(check(&scratch, NULL, &err), KN_ERR_NOT_FOUND);
    assert_contains(err.message, "needs GLIBC_9.9 of ld-linux-x86-64.so.2, which the one that this "
                                 "process has loaded, '/");
    write_object(&scratch, "_relu.so",
                 &(elf_recipe){.needs = {{"ld-linux-x86-64.so.2", "GLIBC_2.3", false}}});
    assert_int_equal(check(&scratch, NULL, &err), KN_OK);
    scratch_folder_remove(&scratch);
}

static void test_the_objects_of_a_folder_are_described(void **state) {
    (void)state;
    scratch_folder scratch;
    scratch_folder_make(&scratch);
    write_object(&scratch, "_relu.so",
                 &(elf_recipe){.needed = {"libtorch.so", "libcudart.so.13"},
                               .needs = {{"libc.so.6", "GLIBC_2.17", false}},
                               .code = {{SASS, 80, 0}, {SASS, 80, 0}, {PTX, 90, 0}}});
    write_object(&scratch, "sub/lib.so.2", &(elf_recipe){.machine = 183, .code = {{9, 80, 0}}});
    scratch_file(&scratch, "notes.so.txt/README", "");
    kn_objects *objects;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_objects_read(NULL, scratch.path, &objects, &err), KN_OK);
    assert_int_equal(kn_objects_count(objects), 2);
    kn_object_info info = {.size = sizeof info};
    kn_objects_get(objects, 0, &info);
    assert_string_equal(info.path, "_relu.so");
    assert_null(info.problem);
    assert_string_equal(info.machine, "x86_64");
    assert_int_equal(info.glibc_major, 2);
    assert_int_equal(info.glibc_minor, 17);
    assert_int_equal(info.needed_count, 2);
    assert_string_equal(kn_objects_needed(objects, 0, 1), "libcudart.so.13");
    assert_int_equal(info.arch_count, 2);
    assert_string_equal(kn_objects_arch(objects, 0, 0), "8.0");
    assert_string_equal(kn_objects_arch(objects, 0, 1), "9.0+PTX");
    assert_false(info.has_other_code);
    kn_objects_get(objects, 1, &info);
    assert_string_equal(info.path, "sub/lib.so.2");
    assert_contains(info.problem, "was built for aarch64");
    assert_int_equal(info.glibc_major, -1);
    assert_true(info.has_other_code);
    kn_objects_free(objects);
    assert_int_equal(kn_objects_read(NULL, scratch_path(&scratch, "none"), &objects, &err),
                     KN_ERR_OS);
    assert_null(objects);
    kn_objects_free(NULL);
    scratch_folder_remove(&scratch);
}

static void test_real_shared_objects_can_be_loaded(void **state) {
    (void)state;
    scratch_folder scratch;
    scratch_folder_make(&scratch);
    scratch_link(&scratch, "libkernels_net.so", KN_NET_LIBRARY);
    kn_objects *objects;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_objects_read(NULL, scratch.path, &objects, &err), KN_OK);
    kn_object_info info = {.size = sizeof info};
    kn_objects_get(objects, 0, &info);
    assert_null(info.problem);
    assert_int_equal(info.glibc_major, 2);
    assert_true(info.needed_count > 2);
    kn_objects_free(objects);
    scratch_folder_remove(&scratch);
}

static kn_status check_with(const kn_alloc *alloc, void *ctx, kn_error *err) {
    machine m = {.capability = 75, .known = true};
    kni_objects_ask ask = ask_about(ctx, &m);
    return kni_objects_check(alloc, &ask, err);
}

static kn_status read_with(const kn_alloc *alloc, void *ctx, kn_error *err) {
    kn_objects *objects;
    kn_status status = kn_objects_read(alloc, ((scratch_folder *)ctx)->path, &objects, err);
    kn_objects_free(objects);
    return status;
}

static void test_memory_that_runs_out_is_told(void **state) {
    (void)state;
    scratch_folder scratch;
    scratch_folder_make(&scratch);
    write_object(&scratch, "_relu.so",
                 &(elf_recipe){.needs = {{"ld-linux-x86-64.so.2", "GLIBC_2.3", false}},
                               .code = {{SASS, 80, 0}}});
    assert_true(fault_sweep_expecting(check_with, &scratch, KN_ERR_RUNTIME) > 10);
    write_object(&scratch, "other.so", &(elf_recipe){.machine = 183});
    assert_true(fault_sweep(read_with, &scratch) > 10);
    scratch_folder_remove(&scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_build_without_shared_objects_is_not_refused),
        cmocka_unit_test(test_a_build_that_no_loader_here_takes_is_refused),
        cmocka_unit_test(test_one_object_that_fits_leaves_the_rest_to_the_loader),
        cmocka_unit_test(test_an_object_that_is_cut_off_is_refused_whatever_else_there_is),
        cmocka_unit_test(test_what_is_no_shared_object_at_all_is_damage),
        cmocka_unit_test(test_code_for_the_gpu_in_any_object_is_enough),
        cmocka_unit_test(test_no_code_for_the_gpu_is_refused_with_what_there_is),
        cmocka_unit_test(test_a_gpu_is_asked_for_only_where_there_is_code_for_one),
        cmocka_unit_test(test_a_loaded_library_that_is_too_old_is_seen),
        cmocka_unit_test(test_the_objects_of_a_folder_are_described),
        cmocka_unit_test(test_real_shared_objects_can_be_loaded),
        cmocka_unit_test(test_memory_that_runs_out_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
