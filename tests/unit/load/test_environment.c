/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/environment.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/failing_alloc.h"
#include "support/scratch_folder.h"
#include "support/unit.h"

#define SITE "venv/lib/python3.11/site-packages"

static scratch_folder scratch;

static int set_up(void **state) {
    (void)state;
    scratch_folder_make(&scratch);
    scratch_file(&scratch, "venv/pyvenv.cfg",
                 "home = /no/such/place/bin\ninclude-system-site-packages = false\n"
                 "version = 3.11.2\n");
    scratch_file(&scratch, SITE "/torch/version.py",
                 "__version__ = '2.10.1+cu130'\ncuda: Optional[str] = '13.0'\n");
    scratch_file(&scratch, SITE "/torch/share/cmake/Torch/TorchConfig.cmake",
                 "set(TORCH_CXX_FLAGS \"-D_GLIBCXX_USE_CXX11_ABI=1\")\n");
    scratch_file(&scratch, SITE "/apache_tvm_ffi-0.1.5.dist-info/METADATA", "");
    scratch_file(&scratch, SITE "/tvm_ffi/lib/libtvm_ffi.so", "");
    scratch_directory(&scratch, SITE "/kernels");
    scratch_file(&scratch, "base/bin/python3.11", "");
    scratch_link(&scratch, "venv/bin/python", scratch_path(&scratch, "base/bin/python3.11"));
    return 0;
}

static int clean_up(void **state) {
    (void)state;
    scratch_folder_remove(&scratch);
    return 0;
}

static kn_environment *read_environment(const char *relative) {
    kn_environment *environment;
    kn_error err = KN_ERROR_INIT;
    kn_status status =
        kn_environment_read(NULL, scratch_path(&scratch, relative), &environment, &err);
    if (status) fail_msg("%s", err.message);
    return environment;
}

static void assert_is_the_venv(const char *named) {
    kn_environment *environment = read_environment(named);
    kn_environment_info info = {.size = sizeof info};
    kn_environment_get(environment, &info);
    assert_string_equal(info.prefix, scratch_path(&scratch, "venv"));
    assert_string_equal(info.python, "3.11");
    assert_string_equal(info.torch, "2.10.1+cu130");
    assert_string_equal(info.tvm_ffi, "0.1.5");
    assert_string_equal(info.tvm_ffi_library,
                        scratch_path(&scratch, SITE "/tvm_ffi/lib/libtvm_ffi.so"));
    assert_string_equal(info.packages, scratch_path(&scratch, SITE));
    assert_string_equal(info.kernels, scratch_path(&scratch, SITE "/kernels"));
    assert_int_equal(info.system.torch_major, 2);
    assert_int_equal(info.system.torch_minor, 10);
    assert_int_equal(info.system.torch_cxx11_abi, 1);
    assert_int_equal(info.system.tvm_ffi_major, 0);
    assert_int_equal(info.system.tvm_ffi_minor, 1);
    assert_string_equal(info.system.backend, "cu130");
    assert_string_equal(info.system.os, "linux");
    assert_string_equal(info.system.python, "3.11");
    assert_false(info.system.free_threaded);
    kn_environment_free(environment);
}

static void test_a_prefix_and_an_interpreter_name_the_same(void **state) {
    (void)state;
    assert_is_the_venv("venv");
    assert_is_the_venv("venv/bin/python"); /* a link to elsewhere */
    kn_environment *environment;
    kn_environment_info info = {.size = sizeof info};
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_environment_read(NULL, "python3.11x", &environment, &err),
                     KN_ERR_NOT_FOUND);
    assert_contains(err.message, "'python3.11x'");
    setenv("PATH", scratch_path(&scratch, "venv/bin"), 1);
    assert_int_equal(kn_environment_read(NULL, "python", &environment, &err), KN_OK);
    kn_environment_get(environment, &info);
    assert_string_equal(info.prefix, scratch_path(&scratch, "venv"));
    kn_environment_free(environment);
}

static void test_what_is_no_environment_is_named(void **state) {
    (void)state;
    kn_environment *environment;
    kn_error err = KN_ERROR_INIT;
    scratch_directory(&scratch, "empty");
    assert_int_equal(kn_environment_read(NULL, scratch_path(&scratch, "empty"), &environment, &err),
                     KN_ERR_NOT_FOUND);
    assert_contains(err.message, "empty' is no Python environment");
    assert_contains(err.message, "--python");
    assert_null(environment);
    assert_int_equal(
        kn_environment_read(NULL, scratch_path(&scratch, "absent/python"), &environment, &err),
        KN_ERR_NOT_FOUND);
    assert_contains(err.message, "absent/python");
}

static void test_without_torch_it_is_a_processor(void **state) {
    (void)state;
    scratch_directory(&scratch, "bare/lib/python3.9/site-packages");
    scratch_directory(&scratch, "bare/lib/python3.12/site-packages");
    kn_environment *environment = read_environment("bare");
    kn_environment_info info = {.size = sizeof info};
    kn_environment_get(environment, &info);
    assert_string_equal(info.python, "3.12");
    assert_null(info.torch);
    assert_null(info.tvm_ffi);
    assert_int_equal(info.system.torch_major, -1);
    assert_int_equal(info.system.torch_cxx11_abi, -1);
    assert_string_equal(info.system.backend, "cpu");
    kn_environment_free(environment);
}

static void test_torch_of_the_base_where_the_venv_includes_it(void **state) {
    (void)state;
    scratch_file(&scratch, "base/lib/python3.11/site-packages/torch/version.py",
                 "__version__ = '2.9.0'\n");
    scratch_directory(&scratch, "inside/lib/python3.11/site-packages");
    char config[SCRATCH_PATH_MAX + 64];
    snprintf(config, sizeof config, "home = %s\ninclude-system-site-packages = %s\n",
             scratch_path(&scratch, "base/bin"), "true");
    scratch_file(&scratch, "inside/pyvenv.cfg", config);
    kn_environment *environment = read_environment("inside");
    kn_environment_info info = {.size = sizeof info};
    kn_environment_get(environment, &info);
    assert_string_equal(info.torch, "2.9.0");
    kn_environment_free(environment);
    snprintf(config, sizeof config, "home = %s\ninclude-system-site-packages = %s\n",
             scratch_path(&scratch, "base/bin"), "false");
    scratch_file(&scratch, "inside/pyvenv.cfg", config);
    environment = read_environment("inside");
    kn_environment_get(environment, &info);
    assert_null(info.torch);
    kn_environment_free(environment);
}

static void assert_abi(const char *torch, int expected) {
    char text[64];
    snprintf(text, sizeof text, "__version__ = '%s'\n", torch);
    scratch_file(&scratch, "abi/lib/python3.11/site-packages/torch/version.py", text);
    kn_environment *environment = read_environment("abi");
    kn_environment_info info = {.size = sizeof info};
    kn_environment_get(environment, &info);
    assert_int_equal(info.system.torch_cxx11_abi, expected);
    kn_environment_free(environment);
}

static void test_the_abi_where_torch_does_not_say_it(void **state) {
    (void)state;
    assert_abi("2.6.0+cu124", -1);
    assert_abi("2.7.0+cu126", 1);
    assert_abi("2.13.0+cpu", 1);
}

static void test_a_free_threaded_python(void **state) {
    (void)state;
    scratch_directory(&scratch, "free/lib/python3.14t/site-packages");
    kn_environment *environment = read_environment("free");
    kn_environment_info info = {.size = sizeof info};
    kn_environment_get(environment, &info);
    assert_string_equal(info.python, "3.14");
    assert_true(info.system.free_threaded);
    kn_environment_free(environment);
}

static kn_status read_once(const kn_alloc *alloc, void *ctx, kn_error *err) {
    kn_environment *environment;
    kn_status status = kn_environment_read(alloc, ctx, &environment, err);
    kn_environment_free(environment);
    return status;
}

static void test_each_allocation_fails_once(void **state) {
    (void)state;
    char path[SCRATCH_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/venv/bin/python", scratch.path);
    assert_true(fault_sweep(read_once, path) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_prefix_and_an_interpreter_name_the_same),
        cmocka_unit_test(test_what_is_no_environment_is_named),
        cmocka_unit_test(test_without_torch_it_is_a_processor),
        cmocka_unit_test(test_torch_of_the_base_where_the_venv_includes_it),
        cmocka_unit_test(test_the_abi_where_torch_does_not_say_it),
        cmocka_unit_test(test_a_free_threaded_python),
        cmocka_unit_test(test_each_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, set_up, clean_up);
}
