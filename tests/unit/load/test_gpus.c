/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/device.h>
#include <stdlib.h>

#include "support/failing_alloc.h"
#include "support/unit.h"

static kn_status read_gpus(const char *devices, const char *init, kn_gpus **out, kn_error *err) {
    setenv("FAKE_CUDA", devices, 1);
    setenv("FAKE_CUDA_INIT", init, 1);
    kn_error_init(err);
    return kn_gpus_read(NULL, KN_FAKE_CUDA, out, err);
}

static void test_the_devices_of_the_driver_are_described(void **state) {
    (void)state;
    kn_gpus *gpus;
    kn_error err;
    assert_int_equal(read_gpus("80 103", "0", &gpus, &err), KN_OK);
    assert_int_equal(kn_gpus_count(gpus), 2);
    assert_int_equal(kn_gpus_cuda(gpus), 128);
    kn_gpu_about about = {.size = sizeof about};
    kn_gpus_get(gpus, 1, &about);
    assert_string_equal(about.name, "Fake GPU 1");
    assert_int_equal(about.capability, 103);
    assert_int_equal(about.memory, (uint64_t)2 << 30);
    kn_gpus_get(gpus, 0, &about);
    assert_int_equal(about.capability, 80);
    kn_gpus_free(gpus);
    kn_gpus_free(NULL);
}

static void test_no_device_is_no_failure(void **state) {
    (void)state;
    kn_gpus *gpus;
    kn_error err;
    assert_int_equal(read_gpus("", "0", &gpus, &err), KN_OK);
    assert_int_equal(kn_gpus_count(gpus), 0);
    kn_gpus_free(gpus);
    assert_int_equal(read_gpus("80", "100", &gpus, &err), KN_OK); /* CUDA_ERROR_NO_DEVICE */
    assert_int_equal(kn_gpus_count(gpus), 0);
    kn_gpus_free(gpus);
}

static void test_a_driver_that_fails_is_told_with_its_own_name_for_it(void **state) {
    (void)state;
    kn_gpus *gpus;
    kn_error err;
    assert_int_equal(read_gpus("80", "999", &gpus, &err), KN_ERR_RUNTIME);
    assert_null(gpus);
    assert_contains(err.message, "the CUDA driver failed in cuInit: CUDA_ERROR_UNKNOWN (999); see");
    assert_int_equal(read_gpus("80", "12345", &gpus, &err), KN_ERR_RUNTIME);
    assert_contains(err.message, "cuInit: an unknown error (12345)");
}

static void test_no_driver_is_not_found(void **state) {
    (void)state;
    kn_gpus *gpus;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_gpus_read(NULL, "/nowhere/libcuda.so.1", &gpus, &err), KN_ERR_NOT_FOUND);
    assert_contains(err.message, "there is no CUDA driver: /nowhere/libcuda.so.1:");
    assert_null(gpus);
}

static void test_a_library_that_is_no_driver_is_told(void **state) {
    (void)state;
    kn_gpus *gpus;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_gpus_read(NULL, KN_NET_LIBRARY, &gpus, &err), KN_ERR_UNSUPPORTED);
    assert_contains(err.message, "has no function cuInit");
}

static kn_status read_with(const kn_alloc *alloc, void *ctx, kn_error *err) {
    kn_gpus *gpus;
    kn_status status = kn_gpus_read(alloc, KN_FAKE_CUDA, &gpus, err);
    kn_gpus_free(gpus);
    (void)ctx;
    return status;
}

static void test_memory_that_runs_out_is_told(void **state) {
    (void)state;
    setenv("FAKE_CUDA_INIT", "0", 1);
    assert_int_equal(fault_sweep(read_with, NULL), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_devices_of_the_driver_are_described),
        cmocka_unit_test(test_no_device_is_no_failure),
        cmocka_unit_test(test_a_driver_that_fails_is_told_with_its_own_name_for_it),
        cmocka_unit_test(test_no_driver_is_not_found),
        cmocka_unit_test(test_a_library_that_is_no_driver_is_told),
        cmocka_unit_test(test_memory_that_runs_out_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
