/* SPDX-License-Identifier: Apache-2.0 */
#include "support/unit.h"
#include "variant/variant_name.h"

static kni_variant_name parse(const char *name) {
    kni_variant_name parsed;
    if (!kni_variant_name_parse(name, &parsed)) fail_msg("'%s' is no variant name", name);
    return parsed;
}

static void assert_refused(const char *name) {
    kni_variant_name parsed;
    if (kni_variant_name_parse(name, &parsed)) fail_msg("'%s' is a variant name", name);
}

static void assert_arch(const kni_variant_name *parsed, const char *backend, const char *arch,
                        const char *os) {
    char text[KNI_BACKEND_TEXT_MAX];
    assert_string_equal(kni_backend_text(parsed->backend, text), backend);
    assert_true(kni_part_is(parsed->arch, arch));
    assert_true(kni_part_is(parsed->os, os));
}

static void test_torch_names(void **state) {
    (void)state;
    kni_variant_name parsed = parse("torch29-cxx11-cu128-x86_64-linux");
    assert_int_equal(parsed.framework, KNI_FRAMEWORK_TORCH);
    assert_int_equal(parsed.version.major, 2);
    assert_int_equal(parsed.version.minor, 9);
    assert_int_equal(parsed.cxx11_abi, 1);
    assert_arch(&parsed, "cu128", "x86_64", "linux");

    parsed = parse("torch210-cxx98-cpu-aarch64-linux");
    assert_int_equal(parsed.version.minor, 10);
    assert_int_equal(parsed.cxx11_abi, 0);
    assert_arch(&parsed, "cpu", "aarch64", "linux");

    parsed = parse("torch211-metal-aarch64-darwin");
    assert_int_equal(parsed.version.minor, 11);
    assert_int_equal(parsed.cxx11_abi, -1);
    assert_arch(&parsed, "metal", "aarch64", "darwin");
}

static void test_stable_abi_names(void **state) {
    (void)state;
    kni_variant_name parsed = parse("torch-stable-abi210-cu130-x86_64-linux");
    assert_int_equal(parsed.framework, KNI_FRAMEWORK_STABLE_ABI);
    assert_int_equal(parsed.version.major, 2);
    assert_int_equal(parsed.version.minor, 10);
    assert_int_equal(parsed.cxx11_abi, -1);
    assert_arch(&parsed, "cu130", "x86_64", "linux");
}

static void test_tvm_ffi_names(void **state) {
    (void)state;
    kni_variant_name parsed = parse("tvm-ffi01-xpu20252-x86_64-linux");
    assert_int_equal(parsed.framework, KNI_FRAMEWORK_TVM_FFI);
    assert_int_equal(parsed.version.major, 0);
    assert_int_equal(parsed.version.minor, 1);
    assert_arch(&parsed, "xpu20252", "x86_64", "linux");
    parsed = parse("tvm-ffi112-cpu-x86_64-windows");
    assert_int_equal(parsed.version.major, 1);
    assert_int_equal(parsed.version.minor, 12);
}

static void test_noarch_names_take_any_backend(void **state) {
    (void)state;
    kni_variant_name parsed = parse("torch-cuda");
    assert_int_equal(parsed.framework, KNI_FRAMEWORK_NOARCH);
    assert_true(kni_part_is(parsed.noarch_backend, "cuda"));
    parsed = parse("torch-universal");
    assert_true(kni_part_is(parsed.noarch_backend, "universal"));
    parsed = parse("torch-stable-cpu");
    assert_true(kni_part_is(parsed.noarch_backend, "stable-cpu"));
    parsed = parse("torch-");
    assert_true(kni_part_is(parsed.noarch_backend, ""));
    parsed = parse("torch");
    assert_true(kni_part_is(parsed.noarch_backend, ""));
}

static void assert_backend(const char *text, kni_backend_kind kind, int major, int minor) {
    kni_backend backend;
    assert_true(kni_backend_parse(text, strlen(text), &backend));
    assert_int_equal(backend.kind, kind);
    assert_int_equal(backend.version.major, major);
    assert_int_equal(backend.version.minor, minor);
}

static void test_the_last_digit_of_a_backend_is_its_minor_version(void **state) {
    (void)state;
    assert_backend("cu118", KNI_BACKEND_CUDA, 11, 8);
    assert_backend("cu92", KNI_BACKEND_CUDA, 9, 2);
    assert_backend("cu1300", KNI_BACKEND_CUDA, 130, 0);
    assert_backend("rocm64", KNI_BACKEND_ROCM, 6, 4);
    assert_backend("xpu20252", KNI_BACKEND_XPU, 2025, 2);
    assert_backend("cann83", KNI_BACKEND_CANN, 8, 3);
    assert_backend("cpu", KNI_BACKEND_CPU, 0, 0);
    assert_backend("metal", KNI_BACKEND_METAL, 0, 0);
    assert_backend("neuron", KNI_BACKEND_NEURON, 0, 0);
    assert_backend("tpu", KNI_BACKEND_TPU, 0, 0);
}

static void test_what_is_no_backend_is_refused(void **state) {
    (void)state;
    const char *const texts[] = {"",       "cu",     "cu1",   "cuda",           "cu12x", "cu-12",
                                 "rocm",   "rocm6",  "CPU",   "cpu1",           "mps",   "cu12.8",
                                 " cu128", "cu128 ", "can83", "metal3",         "xpu2",  "cann8",
                                 "npu8",   "cu+12",  "hip64", "cu9999999999999"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        kni_backend backend;
        if (kni_backend_parse(texts[i], strlen(texts[i]), &backend))
            fail_msg("'%s' is a backend", texts[i]);
    }
}

static void test_what_is_no_variant_name_is_refused(void **state) {
    (void)state;
    const char *const names[] = {
        "",
        "build",
        "jax29-cpu-x86_64-linux",
        "Torch29-cpu-x86_64-linux",
        "torch2-cpu-x86_64-linux",
        "torchx9-cpu-x86_64-linux",
        "torch2.9-cpu-x86_64-linux",
        "torch29",
        "torch29-cpu",
        "torch29-cpu-x86_64",
        "torch29-cpu-x86_64-linux-gnu",
        "torch29-cpu-x86_64-linux-",
        "torch29-cxx11",
        "torch29-cxx17-cpu-x86_64-linux",
        "torch29-cxx11-cxx98-cpu-x86_64-linux",
        "torch29-cuda-x86_64-linux",
        "torch29--x86_64-linux",
        "torch_29-cpu-x86_64-linux",
        "torch-stable-abi",
        "torch-stable-abi2-cpu-x86_64-linux",
        "torch-stable-abi29",
        "torch-stable-abi29-cxx11-cpu-x86_64-linux",
        "torch-stable-abi29-cpu-x86_64",
        "tvm",
        "tvm-ffi",
        "tvm-ffi0-cpu-x86_64-linux",
        "tvm-ffi01",
        "tvm-ffi01-cxx11-cpu-x86_64-linux",
        "tvm-01-cpu-x86_64-linux",
        "torch29999999999-cpu-x86_64-linux",
        "torch2\xD9\xA3-cpu-x86_64-linux", /* an Arabic-Indic digit */
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) assert_refused(names[i]);
}

static void test_leading_zeros_are_no_part_of_a_number(void **state) {
    (void)state;
    char text[KNI_BACKEND_TEXT_MAX];
    kni_variant_name parsed = parse("torch2009-cu0128-x86_64-linux");
    assert_int_equal(parsed.version.minor, 9);
    assert_string_equal(kni_backend_text(parsed.backend, text), "cu128");
}

static void test_numbers_have_nine_digits_at_most(void **state) {
    (void)state;
    kni_variant_name parsed = parse("torch2999999999-cu9999999998-x86_64-linux");
    assert_int_equal(parsed.version.minor, 999999999);
    assert_int_equal(parsed.backend.version.major, 999999999);
    assert_refused("torch21000000000-cpu-x86_64-linux");
}

static void test_noarch_variants_name_backends_by_their_kind(void **state) {
    (void)state;
    assert_string_equal(kni_backend_noarch_name(KNI_BACKEND_CUDA), "cuda");
    assert_string_equal(kni_backend_noarch_name(KNI_BACKEND_ROCM), "rocm");
    assert_string_equal(kni_backend_noarch_name(KNI_BACKEND_XPU), "xpu");
    assert_string_equal(kni_backend_noarch_name(KNI_BACKEND_CANN), "npu");
    assert_string_equal(kni_backend_noarch_name(KNI_BACKEND_CPU), "cpu");
    assert_string_equal(kni_backend_noarch_name(KNI_BACKEND_METAL), "metal");
    assert_string_equal(kni_backend_noarch_name(KNI_BACKEND_NEURON), "neuron");
    assert_string_equal(kni_backend_noarch_name(KNI_BACKEND_TPU), "tpu");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_torch_names),
        cmocka_unit_test(test_stable_abi_names),
        cmocka_unit_test(test_tvm_ffi_names),
        cmocka_unit_test(test_noarch_names_take_any_backend),
        cmocka_unit_test(test_the_last_digit_of_a_backend_is_its_minor_version),
        cmocka_unit_test(test_what_is_no_backend_is_refused),
        cmocka_unit_test(test_what_is_no_variant_name_is_refused),
        cmocka_unit_test(test_leading_zeros_are_no_part_of_a_number),
        cmocka_unit_test(test_numbers_have_nine_digits_at_most),
        cmocka_unit_test(test_noarch_variants_name_backends_by_their_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
