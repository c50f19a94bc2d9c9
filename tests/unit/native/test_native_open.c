/* SPDX-License-Identifier: Apache-2.0 */
/* Which build of a kernel is opened, which libtvm_ffi with it, and what is said where it cannot be.
 * What is loaded stays, so the order of the tests counts: libtvm_ffi is missing at first. */
#define _POSIX_C_SOURCE 200809L

#include <kernels/native.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/native_scene.h"
#include "support/unit.h"

static void test_a_kernel_that_needs_nothing_opens_without_libtvm_ffi(void **state) {
    native_scene *scene = *state;
    native_scene_write(scene, "plain", NATIVE_VARIANT, KN_FIXTURE_PLAIN);
    kn_native *native = native_scene_open(scene, "plain");
    kn_native_info info = {.size = sizeof info};
    kn_native_get(native, &info);
    assert_string_equal(info.name, "plain");
    assert_string_equal(info.variant, NATIVE_VARIANT);
    assert_string_equal(info.folder, scratch_path(&scene->scratch, "plain/build/" NATIVE_VARIANT));
    assert_string_equal(info.library, scratch_path(&scene->scratch, "plain/build/" NATIVE_VARIANT
                                                                    "/_plain_cpu_1.so"));
    assert_ptr_equal(native_scene_open(scene, "plain"), native);
    native_scene_find(native, "nothing");
}

static void test_a_function_that_is_not_there_is_named_with_its_symbol(void **state) {
    native_scene *scene = *state;
    native_scene_write(scene, "plain", NATIVE_VARIANT, KN_FIXTURE_PLAIN);
    kn_native *native = native_scene_open(scene, "plain");
    const kn_function *function;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_native_find(native, "matmul", &function, &err), KN_ERR_NOT_FOUND);
    assert_null(function);
    assert_contains(err.message, "the kernel 'plain' (" NATIVE_VARIANT
                                 ") has no function 'matmul': there is no symbol "
                                 "__tvm_ffi_matmul in '");
}

static kn_status open_and_find(const kn_alloc *alloc, void *ctx, kn_error *err) {
    const kn_engine_options options = {.size = sizeof options, .alloc = alloc};
    const kn_repo_info info = {.size = sizeof info, .kind = KN_REPO_LOCAL, .id = ctx};
    kn_engine *engine;
    kn_native *native;
    const kn_function *function;
    kn_value value = kn_value_none();
    kn_status status = kn_engine_new(&options, &engine, err);
    if (status) return status;
    status = kn_engine_get_native(engine, NULL, &info, &native, err);
    if (!status) status = kn_native_find(native, "nothing", &function, err);
    if (!status) status = kn_function_value(function, &value, err);
    kn_value_release(&value);
    kn_engine_free(engine, NULL);
    return status;
}

static void test_every_allocation_may_fail(void **state) {
    native_scene *scene = *state;
    native_scene_write(scene, "plain", NATIVE_VARIANT, KN_FIXTURE_PLAIN);
    char path[SCRATCH_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/plain", scene->scratch.path);
    assert_true(fault_sweep_expecting(open_and_find, path, KN_OK) > 40);
}

static void test_without_libtvm_ffi_it_is_said_what_to_install(void **state) {
    native_scene *scene = *state;
    native_scene_write(scene, "linked", NATIVE_VARIANT, KN_FIXTURE_LINKED);
    native_scene_open_fails(scene, "linked", KN_ERR_NOT_FOUND, "pip install apache-tvm-ffi");
    kn_error err = KN_ERROR_INIT;
    const kn_tensor_device device = {KN_TENSOR_CUDA, 0};
    assert_int_equal(kn_engine_set_stream(scene->engine, device, NULL, NULL, &err),
                     KN_ERR_NOT_FOUND);
}

/* Though the library does not name it. */
static void test_a_library_with_modules_needs_libtvm_ffi(void **state) {
    native_scene *scene = *state;
    native_scene_write(scene, "context", NATIVE_VARIANT, KN_FIXTURE_CONTEXT);
    native_scene_open_fails(scene, "context", KN_ERR_NOT_FOUND, "pip install apache-tvm-ffi");
}

static void test_a_libtvm_ffi_that_is_named_has_to_be_there(void **state) {
    native_scene *scene = *state;
    native_scene_name_tvm_ffi("/no/such/libtvm_ffi.so");
    native_scene_write(scene, "plain", NATIVE_VARIANT, KN_FIXTURE_PLAIN);
    native_scene_open_fails(scene, "plain", KN_ERR_NOT_FOUND,
                            "there is no libtvm_ffi '/no/such/libtvm_ffi.so', which "
                            "KERNELS_TVM_FFI_LIBRARY names");
}

static void test_only_native_builds_are_taken(void **state) {
    native_scene *scene = *state;
    native_scene_write(scene, "both", "torch-cpu", NULL);
    native_scene_open_fails(scene, "both", KN_ERR_NOT_FOUND,
                            "torch-cpu: not a native (tvm-ffi) build");
    native_scene_write(scene, "both", "tvm-ffi02-cpu-x86_64-linux", KN_FIXTURE_PLAIN);
    native_scene_open_fails(scene, "both", KN_ERR_NOT_FOUND,
                            "tvm-ffi version (0.2) does not match environment tvm-ffi version "
                            "(0.1)");
    native_scene_write(scene, "both", NATIVE_VARIANT, KN_FIXTURE_PLAIN);
    native_scene_open(scene, "both");
}

/* What it depends on is there for its Python code. */
static void test_what_a_kernel_depends_on_is_not_looked_for(void **state) {
    native_scene *scene = *state;
    native_scene_write(scene, "plain", NATIVE_VARIANT, KN_FIXTURE_PLAIN);
    scratch_file(
        &scene->scratch, "plain/build/" NATIVE_VARIANT "/metadata.json",
        "{\"id\": \"_plain_cpu_1\", \"name\": \"plain\", \"python-depends\": [\"einops\"], "
        "\"kernel-depends\": [{\"repo-id\": \"no/such\", \"version\": 1}]}");
    native_scene_open(scene, "plain");
}

static void test_a_build_has_one_library(void **state) {
    native_scene *scene = *state;
    native_scene_write(scene, "none", NATIVE_VARIANT, NULL);
    native_scene_open_fails(scene, "none", KN_ERR_NOT_FOUND, "has no shared object ('*.so')");
    scratch_link(&scene->scratch, "none/build/" NATIVE_VARIANT "/other.so", KN_FIXTURE_PLAIN);
    native_scene_open(scene, "none");

    native_scene_write(scene, "two", NATIVE_VARIANT, NULL);
    scratch_link(&scene->scratch, "two/build/" NATIVE_VARIANT "/a.so", KN_FIXTURE_PLAIN);
    scratch_link(&scene->scratch, "two/build/" NATIVE_VARIANT "/b.so", KN_FIXTURE_PLAIN);
    scratch_file(&scene->scratch, "two/build/" NATIVE_VARIANT "/lib/c.so", "");
    native_scene_open_fails(scene, "two", KN_ERR_VALUE,
                            "has 2 shared objects, and none is '_two_cpu_1.so'");
}

static void test_a_library_that_is_none_is_refused_before_it_is_opened(void **state) {
    native_scene *scene = *state;
    native_scene_write(scene, "text", NATIVE_VARIANT, NULL);
    scratch_file(&scene->scratch, "text/build/" NATIVE_VARIANT "/text.so", "not a library\n");
    native_scene_open_fails(scene, "text", KN_ERR_INTEGRITY,
                            "'text.so' does not begin as an ELF file does");
}

static void test_a_program_without_python_is_described(void **state) {
    native_scene *scene = *state;
    kn_system system;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_engine_native_system(scene->engine, &system, &err), KN_OK);
    assert_int_equal(system.torch_major, -1);
    assert_int_equal(system.tvm_ffi_major, 0);
    assert_int_equal(system.tvm_ffi_minor, 1);
    assert_string_equal(system.backend, "cpu");
    assert_string_equal(system.os, "linux");
    assert_null(system.python);
}

/* An environment with the package says its version by its files. */
static void test_the_version_is_that_of_the_package_and_nothing_is_loaded(void **state) {
    native_scene *scene = *state;
    scratch_file(&scene->scratch, "venv/pyvenv.cfg", "version = 3.11.2\n");
    scratch_file(&scene->scratch,
                 "venv/lib/python3.11/site-packages/apache_tvm_ffi-0.4.2.dist-info/METADATA", "");
    scratch_file(&scene->scratch, "venv/lib/python3.11/site-packages/tvm_ffi/lib/libtvm_ffi.so",
                 "not a library");
    setenv("VIRTUAL_ENV", scratch_path(&scene->scratch, "venv"), 1);
    kn_system system;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_engine_native_system(scene->engine, &system, &err), KN_OK);
    assert_int_equal(system.tvm_ffi_minor, 4);
}

/* From here on one is loaded. */
static void test_a_kernel_gets_the_libtvm_ffi_that_the_program_names(void **state) {
    native_scene *scene = *state;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_engine_use_tvm_ffi(scene->engine, KN_FAKE_TVM_FFI, &err), KN_OK);
    native_scene_write(scene, "linked", NATIVE_VARIANT, KN_FIXTURE_LINKED);
    native_scene_find(native_scene_open(scene, "linked"), "raise");
}

static void test_what_is_in_the_process_is_taken_whatever_is_named(void **state) {
    native_scene *scene = *state;
    native_scene_name_tvm_ffi("/no/such/libtvm_ffi.so");
    native_scene_write(scene, "linked", NATIVE_VARIANT, KN_FIXTURE_LINKED);
    native_scene_open(scene, "linked");
}

static void test_a_libtvm_ffi_without_a_loader_of_modules_is_told(void **state) {
    native_scene *scene = *state;
    native_scene_write(scene, "context", NATIVE_VARIANT, KN_FIXTURE_CONTEXT);
    native_scene_open_fails(scene, "context", KN_ERR_UNSUPPORTED,
                            "this kernel needs the function 'ffi.ModuleLoadFromFile' of "
                            "libtvm_ffi, which is not there");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        native_test(test_a_kernel_that_needs_nothing_opens_without_libtvm_ffi),
        native_test(test_a_function_that_is_not_there_is_named_with_its_symbol),
        native_test(test_every_allocation_may_fail),
        native_test(test_without_libtvm_ffi_it_is_said_what_to_install),
        native_test(test_a_library_with_modules_needs_libtvm_ffi),
        native_test(test_a_libtvm_ffi_that_is_named_has_to_be_there),
        native_test(test_only_native_builds_are_taken),
        native_test(test_what_a_kernel_depends_on_is_not_looked_for),
        native_test(test_a_build_has_one_library),
        native_test(test_a_library_that_is_none_is_refused_before_it_is_opened),
        native_test(test_a_program_without_python_is_described),
        native_test(test_the_version_is_that_of_the_package_and_nothing_is_loaded),
        native_test(test_a_kernel_gets_the_libtvm_ffi_that_the_program_names),
        native_test(test_what_is_in_the_process_is_taken_whatever_is_named),
        native_test(test_a_libtvm_ffi_without_a_loader_of_modules_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
