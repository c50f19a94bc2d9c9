/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/variant.h>

#include "support/failing_alloc.h"
#include "support/unit.h"

static kn_gpu cuda_gpu(int64_t capability) {
    return (kn_gpu){.size = sizeof(kn_gpu), .capability = capability};
}

static kn_gpu rocm_gpu(const char *gcn_arch) {
    return (kn_gpu){sizeof(kn_gpu), KN_CAPABILITY_UNKNOWN, gcn_arch};
}

static bool cuda_supports(const char *arch, int64_t capability) {
    kn_gpu gpu = cuda_gpu(capability);
    return kn_archs_support("cuda", &arch, 1, &gpu);
}

static void test_code_for_a_capability_runs_up_to_the_next_generation(void **state) {
    (void)state;
    assert_true(cuda_supports("8.0", 80));
    assert_true(cuda_supports("8.0", 89));
    assert_false(cuda_supports("8.6", 80));
    assert_false(cuda_supports("8.0", 90));
    assert_false(cuda_supports("10.0", 90));
    assert_true(cuda_supports("10.0", 103));
    assert_true(cuda_supports("010.00", 100));
}

static void test_code_for_one_architecture_runs_on_that_only(void **state) {
    (void)state;
    assert_true(cuda_supports("9.0a", 90));
    assert_false(cuda_supports("10.0a", 103));
    assert_false(cuda_supports("9.0a+PTX", 100));
    assert_true(cuda_supports("9.0a+PTX", 90));
}

static void test_code_for_a_family_runs_in_its_generation(void **state) {
    (void)state;
    assert_true(cuda_supports("10.0f", 100));
    assert_true(cuda_supports("10.0f", 103));
    assert_false(cuda_supports("10.3f", 100));
    assert_false(cuda_supports("10.0f", 120));
    assert_false(cuda_supports("10.0f+PTX", 120));
}

static void test_ptx_runs_on_all_that_is_newer(void **state) {
    (void)state;
    assert_true(cuda_supports("8.0+PTX", 80));
    assert_true(cuda_supports("8.0+PTX", 121));
    assert_false(cuda_supports("8.0+PTX", 75));
    assert_false(cuda_supports("8.6+PTX", 80));
}

static void test_archs_of_other_formats_tell_nothing_by_themselves(void **state) {
    (void)state;
    const char *const unknown[] = {"",     ".",    "9",       "9.",    ".0",   "9.0b", "9.0af",
                                   "9.0 ", "9.0A", "9.0+ptx", "9.0.1", "+PTX", "sm_90"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_true(cuda_supports(unknown[i], 80));
    kn_gpu gpu = cuda_gpu(80);
    assert_true(kn_archs_support("cuda", unknown, 5, &gpu));
    const char *const with_other[] = {"sm_80", "9.0"}, *const with_same[] = {"sm_90", "8.0"};
    assert_false(kn_archs_support("cuda", with_other, 2, &gpu));
    assert_true(kn_archs_support("cuda", with_same, 2, &gpu));
}

static void test_numbers_beyond_all_bounds_are_no_gpus(void **state) {
    (void)state;
    assert_false(cuda_supports("99999999999999999999999.0", 90));
    assert_false(cuda_supports("9.99999999999999999999999", 90));
    assert_false(cuda_supports("99999999999999999999999.0+PTX", 90));
}

static void test_rocm_needs_the_name_without_features(void **state) {
    (void)state;
    const char *const archs[] = {"gfx90", "gfx942"};
    kn_gpu plain = rocm_gpu("gfx942"), featured = rocm_gpu("gfx942:sramecc+:xnack-");
    kn_gpu other = rocm_gpu("gfx90a");
    assert_true(kn_archs_support("rocm", archs, 2, &plain));
    assert_true(kn_archs_support("rocm", archs, 2, &featured));
    assert_false(kn_archs_support("rocm", archs, 2, &other));
}

static void test_what_is_not_known_is_no_reason_to_refuse(void **state) {
    (void)state;
    const char *const archs[] = {"9.0"};
    kn_gpu old = cuda_gpu(80), none = rocm_gpu(NULL);
    assert_true(kn_archs_support("cuda", archs, 1, NULL));
    assert_true(kn_archs_support("cuda", archs, 1, &none));
    assert_true(kn_archs_support("rocm", archs, 1, &none));
    assert_true(kn_archs_support("cuda", archs, 0, &old));
    assert_true(kn_archs_support("xpu", archs, 1, &old));
    assert_true(kn_archs_support(NULL, archs, 1, &old));
    assert_false(kn_archs_support("cuda", archs, 1, &old));
}

/* ---- ranking ---- */

static const char *const ampere[] = {"8.0"}, *const hopper[] = {"8.0", "9.0a"},
                         *const rocm[] = {"gfx942"};

static const kn_build builds[] = {
    {"torch29-cu126-x86_64-linux", ampere, 1},
    {"torch29-cu128-x86_64-linux", hopper, 2},
    {"torch-stable-abi29-cu128-x86_64-linux", ampere, 1},
    {"torch-cuda", NULL, 0},
    {"torch-universal", ampere, 1},
    {"docs", ampere, 1},
    {"torch29-rocm64-x86_64-linux", rocm, 1},
};
enum { build_count = sizeof builds / sizeof *builds };

static kn_system system_with(const char *backend) {
    return (kn_system){
        .size = sizeof(kn_system),
        .torch_major = 2,
        .torch_minor = 9,
        .torch_cxx11_abi = 1,
        .tvm_ffi_major = -1,
        .tvm_ffi_minor = -1,
        .backend = backend,
        .arch = "x86_64",
        .os = "linux",
    };
}

static void assert_variant(const kn_variants *variants, size_t index, const char *name,
                           const char *reason) {
    kn_variant variant = {.size = sizeof variant};
    kn_variants_get(variants, index, &variant);
    assert_string_equal(variant.name, name);
    assert_int_equal(variant.accepted, !reason);
    if (reason) assert_string_equal(variant.reason, reason);
}

static void test_builds_without_code_for_the_gpu_are_refused(void **state) {
    (void)state;
    kn_system system = system_with("cu128");
    kn_gpu gpu = cuda_gpu(90);
    kn_variants *variants;
    assert_int_equal(
        kn_variants_rank_builds(NULL, builds, build_count, &system, &gpu, &variants, NULL), KN_OK);
    assert_int_equal(kn_variants_count(variants), 6);
    assert_variant(variants, 0, "torch29-cu128-x86_64-linux", NULL);
    assert_variant(variants, 1, "torch-cuda", NULL);
    assert_variant(variants, 2, "torch-universal", NULL);
    assert_variant(variants, 3, "torch-stable-abi29-cu128-x86_64-linux",
                   "CUDA capability 9.0 is not supported by the architectures of the build: 8.0");
    assert_variant(variants, 4, "torch29-cu126-x86_64-linux",
                   "CUDA capability 9.0 is not supported by the architectures of the build: 8.0");
    assert_variant(variants, 5, "torch29-rocm64-x86_64-linux",
                   "backend (rocm64) does not match selected backend (cu128)");
    kn_variants_free(variants);

    gpu = cuda_gpu(100);
    assert_int_equal(kn_variants_rank_builds(NULL, &builds[1], 1, &system, &gpu, &variants, NULL),
                     KN_OK);
    assert_variant(
        variants, 0, "torch29-cu128-x86_64-linux",
        "CUDA capability 10.0 is not supported by the architectures of the build: 8.0, 9.0a");
    kn_variants_free(variants);
}

static void test_builds_for_rocm_are_held_against_its_names(void **state) {
    (void)state;
    kn_system system = system_with("rocm64");
    kn_gpu gpu = rocm_gpu("gfx90a:xnack-");
    kn_variants *variants;
    assert_int_equal(kn_variants_rank_builds(NULL, &builds[6], 1, &system, &gpu, &variants, NULL),
                     KN_OK);
    assert_variant(variants, 0, "torch29-rocm64-x86_64-linux",
                   "ROCm arch gfx90a is not supported by the architectures of the build: gfx942");
    kn_variants_free(variants);
}

static void test_without_a_gpu_archs_are_not_looked_at(void **state) {
    (void)state;
    kn_system system = system_with("cu128");
    kn_variants *variants;
    assert_int_equal(
        kn_variants_rank_builds(NULL, builds, build_count, &system, NULL, &variants, NULL), KN_OK);
    assert_variant(variants, 0, "torch-stable-abi29-cu128-x86_64-linux", NULL);
    kn_variants_free(variants);
}

static void test_a_system_that_is_not_described_is_refused(void **state) {
    (void)state;
    kn_system system = system_with("mps");
    kn_variants *variants = (kn_variants *)1;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_variants_rank_builds(NULL, builds, 1, &system, NULL, &variants, &err),
                     KN_ERR_VALUE);
    assert_null(variants);
    assert_contains(err.message, "not 'mps'");
}

static kn_status rank_all(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    kn_system system = system_with("cu128");
    kn_gpu gpu = cuda_gpu(90);
    kn_variants *variants;
    kn_status status =
        kn_variants_rank_builds(alloc, builds, build_count, &system, &gpu, &variants, err);
    if (status) assert_null(variants);
    kn_variants_free(variants);
    return status;
}

static void test_ranking_without_memory_fails_cleanly(void **state) {
    (void)state;
    assert_true(fault_sweep(rank_all, NULL) > build_count);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_code_for_a_capability_runs_up_to_the_next_generation),
        cmocka_unit_test(test_code_for_one_architecture_runs_on_that_only),
        cmocka_unit_test(test_code_for_a_family_runs_in_its_generation),
        cmocka_unit_test(test_ptx_runs_on_all_that_is_newer),
        cmocka_unit_test(test_archs_of_other_formats_tell_nothing_by_themselves),
        cmocka_unit_test(test_numbers_beyond_all_bounds_are_no_gpus),
        cmocka_unit_test(test_rocm_needs_the_name_without_features),
        cmocka_unit_test(test_what_is_not_known_is_no_reason_to_refuse),
        cmocka_unit_test(test_builds_without_code_for_the_gpu_are_refused),
        cmocka_unit_test(test_builds_for_rocm_are_held_against_its_names),
        cmocka_unit_test(test_without_a_gpu_archs_are_not_looked_at),
        cmocka_unit_test(test_a_system_that_is_not_described_is_refused),
        cmocka_unit_test(test_ranking_without_memory_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
