/* SPDX-License-Identifier: Apache-2.0 */
#include "load/archs.h"

#include <stdio.h>

#include "support/failing_alloc.h"
#include "support/unit.h"

static kn_metadata *with_backend(const char *backend) {
    char text[500];
    int length =
        snprintf(text, sizeof text, "{\"id\": \"x\", \"name\": \"a-b\", \"backend\": %s}", backend);
    kn_metadata *metadata;
    kn_error err = KN_ERROR_INIT;
    if (kn_metadata_parse(NULL, text, (size_t)length, "m", &metadata, &err))
        fail_msg("%s", err.message);
    return metadata;
}

static kn_status check(const char *backend, int64_t capability, const char *gcn_arch,
                       kn_error *err) {
    kn_metadata *metadata = with_backend(backend);
    kn_gpu gpu = {.size = sizeof gpu, .capability = capability, .gcn_arch = gcn_arch};
    kn_status status = kni_archs_check(NULL, metadata, "torch-cuda", &gpu, err);
    kn_metadata_free(metadata);
    return status;
}

static void test_a_build_for_other_devices_is_refused_with_both_named(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(check("{\"type\": \"cuda\", \"archs\": [\"8.0\", \"9.0a\"]}", 100, NULL, &err),
                     KN_ERR_RUNTIME);
    assert_string_equal(
        err.message,
        "Kernel 'a-b' variant 'torch-cuda' does not support the current device: CUDA capability 10.0 "
        "of the current device is not supported by the architectures of the build: 8.0, 9.0a. The "
        "declared architectures can be incomplete (e.g. when a kernel has a Triton fallback), pass "
        "`check_arch=False` to skip this check. Warning: the kernel may fail or crash the process at "
        "run time when it does not support the device.");
    assert_int_equal(check("{\"type\": \"rocm\", \"archs\": [\"gfx942\"]}", KN_CAPABILITY_UNKNOWN,
                           "gfx90a:sramecc+:xnack-", &err),
                     KN_ERR_RUNTIME);
    assert_contains(err.message, "ROCm arch gfx90a of the current device is not supported by the "
                                 "architectures of the build: gfx942.");
}

static void test_one_architecture_that_fits_is_enough(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(
        check("{\"type\": \"cuda\", \"archs\": [\"7.5\", \"8.0\", \"new\"]}", 89, NULL, &err),
        KN_OK);
    assert_int_equal(check("{\"type\": \"rocm\", \"archs\": [\"gfx942\", \"gfx90a\"]}",
                           KN_CAPABILITY_UNKNOWN, "gfx90a:xnack-", &err),
                     KN_OK);
}

static void test_what_cannot_be_known_is_not_refused(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(check("{\"type\": \"cuda\", \"archs\": [\"sm_new\"]}", 90, NULL, &err), KN_OK);
    assert_int_equal(check("{\"type\": \"cuda\", \"archs\": []}", 90, NULL, &err), KN_OK);
    assert_int_equal(check("{\"type\": \"cuda\"}", 90, NULL, &err), KN_OK);
    assert_int_equal(
        check("{\"type\": \"cuda\", \"archs\": [\"8.0\"]}", KN_CAPABILITY_UNKNOWN, NULL, &err),
        KN_OK);
    assert_int_equal(check("{\"type\": \"rocm\", \"archs\": [\"gfx942\"]}", 90, NULL, &err), KN_OK);
    assert_int_equal(check("{\"type\": \"cpu\", \"archs\": [\"8.0\"]}", 90, "gfx90a", &err), KN_OK);
    assert_int_equal(check("null", 90, "gfx90a", &err), KN_OK);
    kn_metadata *metadata = with_backend("{\"type\": \"cuda\", \"archs\": [\"8.0\"]}");
    assert_int_equal(kni_archs_check(NULL, metadata, "torch-cuda", NULL, &err), KN_OK);
    kn_metadata_free(metadata);
}

static kn_status check_metadata(const kn_alloc *alloc, void *metadata, kn_error *err) {
    kn_gpu gpu = {.size = sizeof gpu, .capability = 90};
    return kni_archs_check(alloc, metadata, "torch-cuda", &gpu, err);
}

static void test_refusing_without_memory_fails_cleanly(void **state) {
    (void)state;
    kn_metadata *metadata = with_backend("{\"type\": \"cuda\", \"archs\": [\"8.0\"]}");
    assert_true(fault_sweep_expecting(check_metadata, metadata, KN_ERR_RUNTIME) >= 2);
    kn_metadata_free(metadata);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_build_for_other_devices_is_refused_with_both_named),
        cmocka_unit_test(test_one_architecture_that_fits_is_enough),
        cmocka_unit_test(test_what_cannot_be_known_is_not_refused),
        cmocka_unit_test(test_refusing_without_memory_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
