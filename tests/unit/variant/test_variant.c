/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/variant.h>

#include "support/failing_alloc.h"
#include "support/unit.h"

static const kn_system cuda_system = {
    .size = sizeof(kn_system),
    .torch_major = 2,
    .torch_minor = 10,
    .torch_cxx11_abi = 1,
    .tvm_ffi_major = 0,
    .tvm_ffi_minor = 1,
    .backend = "cu129",
    .arch = "x86_64",
    .os = "linux",
};

static kn_system with_backend(const char *backend) {
    kn_system system = cuda_system;
    system.backend = backend;
    return system;
}

static kn_system without_frameworks(void) {
    kn_system system = cuda_system;
    system.torch_major = system.torch_minor = system.torch_cxx11_abi = -1;
    system.tvm_ffi_major = system.tvm_ffi_minor = -1;
    return system;
}

static kn_variants *rank(const char *const *names, size_t count, const kn_system *system) {
    kn_variants *variants;
    kn_error err = KN_ERROR_INIT;
    if (kn_variants_rank(NULL, names, count, system, &variants, &err)) fail_msg("%s", err.message);
    return variants;
}

/* The one variant `name` is refused for `reason`, or accepted where that is NULL. */
static void assert_decision(kn_system system, const char *name, const char *reason) {
    kn_variants *variants = rank(&name, 1, &system);
    assert_int_equal(kn_variants_count(variants), 1);
    kn_variant variant = {.size = sizeof variant};
    kn_variants_get(variants, 0, &variant);
    assert_string_equal(variant.name, name);
    if (reason) {
        assert_false(variant.accepted);
        assert_non_null(variant.reason);
        assert_string_equal(variant.reason, reason);
    } else {
        if (variant.reason) fail_msg("%s: %s", name, variant.reason);
        assert_true(variant.accepted);
    }
    kn_variants_free(variants);
}

static void test_another_cpu_is_refused(void **state) {
    (void)state;
    assert_decision(cuda_system, "torch210-cu129-aarch64-linux",
                    "CPU (aarch64) does not match system CPU (x86_64)");
}

static void test_another_os_is_refused(void **state) {
    (void)state;
    assert_decision(cuda_system, "torch210-cu129-x86_64-windows",
                    "OS (windows) does not match system OS (linux)");
}

static void test_torch_must_be_the_same_in_major_and_minor(void **state) {
    (void)state;
    assert_decision(cuda_system, "torch210-cu129-x86_64-linux", NULL);
    assert_decision(cuda_system, "torch29-cu129-x86_64-linux",
                    "Torch version (2.9) does not match environment Torch version (2.10)");
    assert_decision(cuda_system, "torch211-cu129-x86_64-linux",
                    "Torch version (2.11) does not match environment Torch version (2.10)");
    assert_decision(cuda_system, "torch110-cu129-x86_64-linux",
                    "Torch version (1.10) does not match environment Torch version (2.10)");
    assert_decision(without_frameworks(), "torch210-cu129-x86_64-linux",
                    "Torch version (2.10) does not match environment Torch version (None)");
}

static void test_a_cxx11_abi_tag_must_be_that_of_torch(void **state) {
    (void)state;
    kn_system old = cuda_system, elsewhere = cuda_system;
    old.torch_cxx11_abi = 0;
    elsewhere.torch_cxx11_abi = -1;
    assert_decision(cuda_system, "torch210-cxx11-cu129-x86_64-linux", NULL);
    assert_decision(cuda_system, "torch210-cxx98-cu129-x86_64-linux",
                    "Torch CXX11 ABI (False) does not match environment Torch CXX11 ABI (True)");
    assert_decision(old, "torch210-cxx98-cu129-x86_64-linux", NULL);
    assert_decision(old, "torch210-cu129-x86_64-linux", NULL);
    assert_decision(elsewhere, "torch210-cxx11-cu129-x86_64-linux",
                    "Torch CXX11 ABI (True) does not match environment Torch CXX11 ABI (None)");
}

static void test_a_stable_abi_must_not_be_newer_than_torch(void **state) {
    (void)state;
    assert_decision(cuda_system, "torch-stable-abi210-cu129-x86_64-linux", NULL);
    assert_decision(cuda_system, "torch-stable-abi29-cu129-x86_64-linux", NULL);
    assert_decision(cuda_system, "torch-stable-abi111-cu129-x86_64-linux", NULL);
    assert_decision(
        cuda_system, "torch-stable-abi211-cu129-x86_64-linux",
        "Torch stable ABI version (2.11) is too new for environment Torch version (2.10)");
    assert_decision(
        cuda_system, "torch-stable-abi30-cu129-x86_64-linux",
        "Torch stable ABI version (3.0) is too new for environment Torch version (2.10)");
    assert_decision(
        without_frameworks(), "torch-stable-abi29-cu129-x86_64-linux",
        "Torch stable ABI version (2.9) is too new for environment Torch version (None)");
}

static void test_tvm_ffi_must_be_the_same_and_needs_no_torch(void **state) {
    (void)state;
    kn_system no_torch = without_frameworks();
    no_torch.tvm_ffi_major = 0;
    no_torch.tvm_ffi_minor = 1;
    assert_decision(no_torch, "tvm-ffi01-cu129-x86_64-linux", NULL);
    assert_decision(cuda_system, "tvm-ffi02-cu129-x86_64-linux",
                    "tvm-ffi version (0.2) does not match environment tvm-ffi version (0.1)");
    assert_decision(without_frameworks(), "tvm-ffi01-cu129-x86_64-linux",
                    "tvm-ffi version (0.1) does not match environment tvm-ffi version (None)");
}

static void test_cuda_must_have_the_same_major_and_not_be_newer(void **state) {
    (void)state;
    assert_decision(cuda_system, "torch210-cu120-x86_64-linux", NULL);
    assert_decision(cuda_system, "torch210-cu129-x86_64-linux", NULL);
    assert_decision(cuda_system, "torch210-cu118-x86_64-linux",
                    "CUDA version (11.8) is not compatible with system CUDA version (12.9)");
    assert_decision(with_backend("cu130"), "torch210-cu128-x86_64-linux",
                    "CUDA version (12.8) is not compatible with system CUDA version (13.0)");
    assert_decision(with_backend("cu126"), "torch210-cu128-x86_64-linux",
                    "CUDA version (12.8) is not compatible with system CUDA version (12.6)");
}

static void test_other_backends_must_be_the_very_same(void **state) {
    (void)state;
    assert_decision(with_backend("rocm64"), "torch210-rocm64-x86_64-linux", NULL);
    assert_decision(with_backend("rocm64"), "torch210-rocm63-x86_64-linux",
                    "backend (rocm63) does not match selected backend (rocm64)");
    assert_decision(with_backend("xpu20252"), "torch210-xpu20251-x86_64-linux",
                    "backend (xpu20251) does not match selected backend (xpu20252)");
    assert_decision(with_backend("cann83"), "torch210-cann83-x86_64-linux", NULL);
    assert_decision(with_backend("neuron"), "torch210-neuron-x86_64-linux", NULL);
    assert_decision(with_backend("tpu"), "torch210-tpu-x86_64-linux", NULL);
    assert_decision(with_backend("cpu"), "torch210-cpu-x86_64-linux", NULL);
    assert_decision(with_backend("cpu"), "torch210-cu129-x86_64-linux",
                    "backend (cu129) does not match selected backend (cpu)");
    assert_decision(cuda_system, "torch210-cpu-x86_64-linux",
                    "backend (cpu) does not match selected backend (cu129)");
}

static void test_metal_is_refused_while_the_version_of_macos_is_unknown(void **state) {
    (void)state;
    assert_decision(with_backend("metal"), "torch210-metal-x86_64-linux",
                    "Metal kernels require macOS 26.0 or later, system macOS version is None");
    assert_decision(with_backend("metal"), "torch-metal", NULL);
}

static void test_noarch_variants_need_the_backend_by_name(void **state) {
    (void)state;
    assert_decision(cuda_system, "torch-cuda", NULL);
    assert_decision(with_backend("cpu"), "torch-cpu", NULL);
    assert_decision(with_backend("rocm64"), "torch-rocm", NULL);
    assert_decision(with_backend("cann83"), "torch-npu", NULL);
    assert_decision(with_backend("cann83"), "torch-cann",
                    "backend (cann) does not match system backend (npu) and is not universal");
    assert_decision(cuda_system, "torch-cpu",
                    "backend (cpu) does not match system backend (cuda) and is not universal");
    assert_decision(cuda_system, "torch-cu129",
                    "backend (cu129) does not match system backend (cuda) and is not universal");
    assert_decision(cuda_system, "torch-ext",
                    "backend (ext) does not match system backend (cuda) and is not universal");
    assert_decision(cuda_system, "torch",
                    "backend () does not match system backend (cuda) and is not universal");
}

static void test_universal_variants_fit_everywhere(void **state) {
    (void)state;
    assert_decision(cuda_system, "torch-universal", NULL);
    assert_decision(without_frameworks(), "torch-universal", NULL);
    assert_decision(with_backend("cann83"), "torch-universal", NULL);
}

static void test_free_threaded_python_takes_no_arch_variant(void **state) {
    (void)state;
    kn_system system = cuda_system;
    system.free_threaded = true;
    const char *reason = "arch kernel not supported on free-threaded Python <3.15";
    assert_decision(system, "torch210-cu129-x86_64-linux", reason);
    assert_decision(system, "torch-stable-abi210-cu129-x86_64-linux", reason);
    assert_decision(system, "tvm-ffi01-cu129-aarch64-linux", reason);
    assert_decision(system, "torch-cuda", NULL);
    assert_decision(system, "torch-universal", NULL);
}

static void test_the_cpu_is_told_before_all_else_and_the_backend_last(void **state) {
    (void)state;
    assert_decision(cuda_system, "torch29-cxx98-rocm64-aarch64-windows",
                    "CPU (aarch64) does not match system CPU (x86_64)");
    assert_decision(cuda_system, "torch29-cxx98-rocm64-x86_64-windows",
                    "OS (windows) does not match system OS (linux)");
    assert_decision(cuda_system, "torch29-cxx98-rocm64-x86_64-linux",
                    "Torch version (2.9) does not match environment Torch version (2.10)");
    assert_decision(cuda_system, "torch210-cxx98-rocm64-x86_64-linux",
                    "Torch CXX11 ABI (False) does not match environment Torch CXX11 ABI (True)");
    assert_decision(cuda_system, "torch210-rocm64-x86_64-linux",
                    "backend (rocm64) does not match selected backend (cu129)");
}

/* Best first; those from `accepted` on are refused. */
static const char *const in_order[] = {
    "torch-stable-abi210-cu128-x86_64-linux",
    "torch-stable-abi210-cu126-x86_64-linux",
    "torch-stable-abi29-cu129-x86_64-linux",
    "torch210-cu128-x86_64-linux",
    "torch210-cu126-x86_64-linux",
    "torch210-cxx11-cu129-x86_64-linux",
    "torch210-cxx11-cu128-x86_64-linux",
    "tvm-ffi01-cu129-x86_64-linux",
    "tvm-ffi01-cu120-x86_64-linux",
    "torch-cuda",
    "torch-universal",
    "torch-cpu",
    "torch-stable-abi211-cu128-x86_64-linux",
    "torch210-cu130-x86_64-linux",
    "torch210-cxx98-cu128-x86_64-linux",
    "torch29-cu128-x86_64-linux",
    "tvm-ffi01-cu129-aarch64-linux",
};
enum { in_order_count = sizeof in_order / sizeof *in_order, in_order_accepted = 11 };

static void assert_in_order(const char *const *names) {
    kn_variants *variants = rank(names, in_order_count, &cuda_system);
    assert_int_equal(kn_variants_count(variants), in_order_count);
    for (size_t i = 0; i < in_order_count; i++) {
        kn_variant variant = {.size = sizeof variant};
        kn_variants_get(variants, i, &variant);
        assert_string_equal(variant.name, in_order[i]);
        assert_int_equal(variant.accepted, i < in_order_accepted);
    }
    kn_variants_free(variants);
}

static void test_what_fits_is_sorted_by_preference_and_the_rest_by_name(void **state) {
    (void)state;
    assert_in_order(in_order);
}

static void test_the_ranking_does_not_depend_on_the_order_of_the_names(void **state) {
    (void)state;
    const char *names[in_order_count];
    for (size_t i = 0; i < in_order_count; i++) names[i] = in_order[in_order_count - 1 - i];
    assert_in_order(names);
    for (size_t step = 2; step < in_order_count; step++) { /* 17 is prime: each step visits all */
        for (size_t i = 0; i < in_order_count; i++) names[i] = in_order[i * step % in_order_count];
        assert_in_order(names);
    }
}

static void test_names_of_one_meaning_are_sorted_by_name(void **state) {
    (void)state;
    const char *const names[] = {"torch210-cu128-x86_64-linux", "torch210-cu0128-x86_64-linux"};
    kn_variants *variants = rank(names, 2, &cuda_system);
    kn_variant variant = {.size = sizeof variant};
    kn_variants_get(variants, 0, &variant);
    assert_string_equal(variant.name, "torch210-cu0128-x86_64-linux");
    kn_variants_free(variants);
}

static void test_what_is_no_variant_name_is_left_out(void **state) {
    (void)state;
    const char *const names[] = {"docs", "torch-cpu", ".git", "torch29"};
    kn_variants *variants = rank(names, 4, &cuda_system);
    assert_int_equal(kn_variants_count(variants), 1);
    kn_variants_free(variants);
    variants = rank(NULL, 0, &cuda_system);
    assert_int_equal(kn_variants_count(variants), 0);
    kn_variants_free(variants);
    kn_variants_free(NULL);
}

static void test_names_are_copied(void **state) {
    (void)state;
    char name[] = "torch-cuda";
    const char *names = name;
    kn_variants *variants = rank(&names, 1, &cuda_system);
    memset(name, 'x', sizeof name - 1);
    kn_variant variant = {.size = sizeof variant};
    kn_variants_get(variants, 0, &variant);
    assert_string_equal(variant.name, "torch-cuda");
    kn_variants_free(variants);
}

static void assert_system_refused(const kn_system *system, const char *part) {
    kn_variants *variants = (kn_variants *)1;
    kn_error err = KN_ERROR_INIT;
    const char *name = "torch-cpu";
    assert_int_equal(kn_variants_rank(NULL, &name, 1, system, &variants, &err), KN_ERR_VALUE);
    assert_null(variants);
    assert_contains(err.message, part);
}

static void test_a_system_that_is_not_described_is_refused(void **state) {
    (void)state;
    kn_system system = with_backend("mps");
    assert_system_refused(&system, "not 'mps'");
    system = with_backend(NULL);
    assert_system_refused(&system, "unknown backend");
    system = cuda_system;
    system.arch = NULL;
    assert_system_refused(&system, "arch or os");
    system = cuda_system;
    system.size = 4;
    assert_system_refused(&system, "valid size");
    assert_system_refused(NULL, "valid size");
}

static void test_a_caller_of_an_older_version_gets_the_fields_that_it_knows(void **state) {
    (void)state;
    const char *name = "torch-cpu";
    kn_variants *variants = rank(&name, 1, &cuda_system);
    kn_variant variant = {.size = offsetof(kn_variant, reason), .reason = "untouched"};
    kn_variants_get(variants, 0, &variant);
    assert_int_equal(variant.size, offsetof(kn_variant, reason));
    assert_string_equal(variant.name, "torch-cpu");
    assert_string_equal(variant.reason, "untouched");
    kn_variants_free(variants);
}

static void test_names_are_told_from_other_text(void **state) {
    (void)state;
    assert_true(kn_variant_name_is_valid("torch29-cxx11-cu128-x86_64-linux"));
    assert_true(kn_variant_name_is_valid("torch-universal"));
    assert_false(kn_variant_name_is_valid("build"));
    assert_false(kn_variant_name_is_valid(""));
    assert_false(kn_variant_name_is_valid(NULL));
}

static void assert_place(const kn_variants *variants, size_t index, const char *name,
                         const char *reason) {
    kn_variant variant = {.size = sizeof variant};
    kn_variants_get(variants, index, &variant);
    assert_string_equal(variant.name, name);
    assert_int_equal(variant.accepted, reason == NULL);
    if (reason) assert_string_equal(variant.reason, reason);
}

static void test_what_is_passed_over_follows_what_fits_best_first(void **state) {
    (void)state;
    const char *const names[] = {"torch-universal", "torch-cuda", "torch-aaa",
                                 "torch-stable-abi210-cu129-x86_64-linux"};
    kn_error err = KN_ERROR_INIT;
    kn_variants *variants = rank(names, 4, &cuda_system);
    assert_int_equal(kn_variants_refuse(variants, "torch-cuda", "too new", &err), KN_OK);
    assert_int_equal(kn_variants_refuse(variants, names[3], "no code", &err), KN_OK);
    assert_int_equal(kn_variants_refuse(variants, "torch-metal", "not there", &err), KN_OK);
    assert_int_equal(kn_variants_count(variants), 4);
    assert_place(variants, 0, "torch-universal", NULL);
    assert_place(variants, 1, names[3], "no code");
    assert_place(variants, 2, "torch-cuda", "too new");
    kn_variant variant = {.size = sizeof variant};
    kn_variants_get(variants, 2, &variant);
    assert_true(variant.is_passed_over);
    kn_variants_get(variants, 3, &variant);
    assert_false(variant.accepted || variant.is_passed_over);
    kn_variants_free(variants);
}

static kn_status rank_all(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    kn_variants *variants;
    kn_status status =
        kn_variants_rank(alloc, in_order, in_order_count, &cuda_system, &variants, err);
    if (status) assert_null(variants);
    if (!status) status = kn_variants_refuse(variants, in_order[0], "why", err);
    kn_variants_free(variants);
    return status;
}

static void test_ranking_without_memory_fails_cleanly(void **state) {
    (void)state;
    assert_true(fault_sweep(rank_all, NULL) > in_order_count);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_cpu_is_refused),
        cmocka_unit_test(test_another_os_is_refused),
        cmocka_unit_test(test_torch_must_be_the_same_in_major_and_minor),
        cmocka_unit_test(test_a_cxx11_abi_tag_must_be_that_of_torch),
        cmocka_unit_test(test_a_stable_abi_must_not_be_newer_than_torch),
        cmocka_unit_test(test_tvm_ffi_must_be_the_same_and_needs_no_torch),
        cmocka_unit_test(test_cuda_must_have_the_same_major_and_not_be_newer),
        cmocka_unit_test(test_other_backends_must_be_the_very_same),
        cmocka_unit_test(test_metal_is_refused_while_the_version_of_macos_is_unknown),
        cmocka_unit_test(test_noarch_variants_need_the_backend_by_name),
        cmocka_unit_test(test_universal_variants_fit_everywhere),
        cmocka_unit_test(test_free_threaded_python_takes_no_arch_variant),
        cmocka_unit_test(test_the_cpu_is_told_before_all_else_and_the_backend_last),
        cmocka_unit_test(test_what_fits_is_sorted_by_preference_and_the_rest_by_name),
        cmocka_unit_test(test_the_ranking_does_not_depend_on_the_order_of_the_names),
        cmocka_unit_test(test_names_of_one_meaning_are_sorted_by_name),
        cmocka_unit_test(test_what_is_no_variant_name_is_left_out),
        cmocka_unit_test(test_names_are_copied),
        cmocka_unit_test(test_a_system_that_is_not_described_is_refused),
        cmocka_unit_test(test_a_caller_of_an_older_version_gets_the_fields_that_it_knows),
        cmocka_unit_test(test_names_are_told_from_other_text),
        cmocka_unit_test(test_what_is_passed_over_follows_what_fits_best_first),
        cmocka_unit_test(test_ranking_without_memory_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
