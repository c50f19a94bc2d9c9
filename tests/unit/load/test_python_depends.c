/* SPDX-License-Identifier: Apache-2.0 */
#include "load/python_depends.h"

#include <stdio.h>

#include "support/unit.h"

static kn_metadata *with_depends(const char *list) {
    char text[500];
    int length = snprintf(text, sizeof text,
                          "{\"id\": \"x\", \"name\": \"my-kernel\", \"python-depends\": %s}", list);
    kn_metadata *metadata;
    kn_error err = KN_ERROR_INIT;
    if (kn_metadata_parse(NULL, text, (size_t)length, "m", &metadata, &err))
        fail_msg("%s", err.message);
    return metadata;
}

/* Finds what stands in `there`, and notes what it was asked for. */
typedef struct fake_python {
    const char *there;
    char asked[200];
} fake_python;

static bool can_import(void *ctx, const char *import_name) {
    fake_python *python = ctx;
    size_t length = strlen(python->asked);
    snprintf(python->asked + length, sizeof python->asked - length, "%s,", import_name);
    return strstr(python->there, import_name) != NULL;
}

static kn_status check(const char *list, const char *backend, fake_python *python, kn_error *err) {
    kn_metadata *metadata = with_depends(list);
    kn_status status = kni_python_depends_check(metadata, backend, can_import, python, err);
    kn_metadata_free(metadata);
    return status;
}

static void test_every_package_is_looked_for_by_the_name_to_import(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    fake_python python = {.there = "einops helion tvm_ffi cutlass"};
    assert_int_equal(
        check("[\"nvidia-cutlass-dsl\", \"tvm-ffi\", \"einops\", \"helion\", \"einops\"]", "cuda",
              &python, &err),
        KN_OK);
    assert_string_equal(python.asked, "einops,helion,tvm_ffi,cutlass,");
    fake_python neuron = {.there = "nki"};
    assert_int_equal(check("[\"nki\"]", "neuron", &neuron, &err), KN_OK);
    assert_string_equal(neuron.asked, "nki,");
}

static void test_libraries_without_python_code_are_not_looked_for(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    fake_python python = {.there = ""};
    assert_int_equal(check("[\"onednn\"]", "xpu", &python, &err), KN_OK);
    assert_int_equal(check("[]", "cpu", &python, &err), KN_OK);
    assert_string_equal(python.asked, "");
}

static void test_a_name_that_is_unknown_under_the_backend_is_refused(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    fake_python python = {.there = ""};
    assert_int_equal(check("[\"einops\", \"numpy\"]", "cpu", &python, &err), KN_ERR_VALUE);
    assert_contains(err.message,
                    "Kernel module `my_kernel` uses unsupported kernel dependency: numpy");
    assert_int_equal(check("[\"nvidia-cutlass-dsl\"]", "cpu", &python, &err), KN_ERR_VALUE);
    assert_contains(err.message, "nvidia-cutlass-dsl (for the backend cpu)");
    assert_int_equal(check("[\"nki\"]", "cuda", &python, &err), KN_ERR_VALUE);
    assert_int_equal(check("[\"onednn\"]", "cpu", &python, &err), KN_ERR_VALUE);
    assert_string_equal(python.asked, "");
}

static void test_a_missing_package_is_named_with_its_pip_command(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    fake_python python = {.there = "einops"};
    assert_int_equal(check("[\"tvm-ffi\", \"einops\"]", "cpu", &python, &err), KN_ERR_DEPENDENCY);
    assert_string_equal(err.message,
                        "Kernel module `my_kernel` requires Python dependency `apache-tvm-ffi`. "
                        "Please install with: pip install apache-tvm-ffi");
}

static void test_one_command_installs_all_that_are_missing(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    fake_python python = {.there = "helion"};
    assert_int_equal(
        check("[\"nvidia-cutlass-dsl\", \"helion\", \"einops\"]", "cuda", &python, &err),
        KN_ERR_DEPENDENCY);
    assert_string_equal(
        err.message,
        "Kernel module `my_kernel` requires Python dependencies `einops`, `nvidia-cutlass-dsl`. "
        "Please install with: pip install einops nvidia-cutlass-dsl");
}

static void test_names_are_found_by_backend(void **state) {
    (void)state;
    assert_string_equal(kni_python_package_find("tvm-ffi", "cpu")->package, "apache-tvm-ffi");
    assert_string_equal(kni_python_package_find("nvidia-cutlass-dsl", "cuda")->import_name,
                        "cutlass");
    assert_string_equal(kni_python_package_find("onednn", "xpu")->package, "onednn-devel");
    assert_null(kni_python_package_find("onednn", "xpu")->import_name);
    assert_null(kni_python_package_find("onednn", "cuda"));
    assert_null(kni_python_package_find("", "cuda"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_package_is_looked_for_by_the_name_to_import),
        cmocka_unit_test(test_libraries_without_python_code_are_not_looked_for),
        cmocka_unit_test(test_a_name_that_is_unknown_under_the_backend_is_refused),
        cmocka_unit_test(test_a_missing_package_is_named_with_its_pip_command),
        cmocka_unit_test(test_one_command_installs_all_that_are_missing),
        cmocka_unit_test(test_names_are_found_by_backend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
