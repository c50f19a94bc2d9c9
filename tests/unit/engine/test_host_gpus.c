/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <stdlib.h>

#include "engine/host.h"
#include "support/unit.h"

static kn_status says_90(void *ctx, kn_device_type type, int64_t *out, kn_error *err) {
    (void)ctx, (void)type, (void)err;
    *out = 90;
    return KN_OK;
}

/* A host with that callback (or none), completed; the driver has those devices. */
static kn_host complete(const char *devices,
                        kn_status (*capability)(void *, kn_device_type, int64_t *, kn_error *)) {
    setenv("FAKE_CUDA", devices, 1);
    kn_host host = {.size = sizeof host, .capability = capability}, room;
    return *kni_host_complete(&host, &room);
}

static void test_the_driver_tells_what_the_host_leaves_out(void **state) {
    (void)state;
    kn_host host;
    int64_t capability;
    bool unlike;
    kn_gpu gpu;
    host = complete("80 80", NULL);
    assert_int_equal(host.capability(NULL, KN_DEVICE_CUDA, &capability, NULL), KN_OK);
    assert_int_equal(capability, 80);
    assert_int_equal(host.has_unlike_devices(NULL, KN_DEVICE_CUDA, &unlike, NULL), KN_OK);
    assert_false(unlike);
    assert_int_equal(host.gpu(NULL, &gpu, NULL), KN_OK);
    assert_int_equal(gpu.capability, 80);
    assert_int_equal(host.capability(NULL, KN_DEVICE_ROCM, &capability, NULL), KN_OK);
    assert_int_equal(capability, KN_CAPABILITY_UNKNOWN);
}

static void test_which_of_unlike_devices_is_meant_is_not_known(void **state) {
    (void)state;
    kn_host host;
    bool unlike;
    kn_gpu gpu;
    host = complete("80 90", NULL);
    assert_int_equal(host.has_unlike_devices(NULL, KN_DEVICE_CUDA, &unlike, NULL), KN_OK);
    assert_true(unlike);
    assert_int_equal(host.gpu(NULL, &gpu, NULL), KN_OK);
    assert_int_equal(gpu.capability, KN_CAPABILITY_UNKNOWN);
}

static void test_no_device_is_no_failure(void **state) {
    (void)state;
    kn_host host;
    kn_gpu gpu;
    int64_t capability;
    host = complete("", NULL);
    assert_int_equal(host.capability(NULL, KN_DEVICE_CUDA, &capability, NULL), KN_OK);
    assert_int_equal(capability, KN_CAPABILITY_UNKNOWN);
    assert_int_equal(host.gpu(NULL, &gpu, NULL), KN_OK);
    assert_int_equal(gpu.capability, KN_CAPABILITY_UNKNOWN);
}

static void test_a_host_that_tells_is_the_one_that_counts(void **state) {
    (void)state;
    kn_host host;
    int64_t capability;
    bool unlike;
    host = complete("80 75", says_90);
    assert_int_equal(host.capability(NULL, KN_DEVICE_CUDA, &capability, NULL), KN_OK);
    assert_int_equal(capability, 90);
    assert_int_equal(host.has_unlike_devices(NULL, KN_DEVICE_CUDA, &unlike, NULL), KN_OK);
    assert_false(unlike);
    assert_null(host.gpu);
}

int main(void) {
    /* From now on it is what is loaded under the name libcuda.so.1. */
    if (!dlopen(KN_FAKE_CUDA, RTLD_NOW | RTLD_NODELETE)) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_driver_tells_what_the_host_leaves_out),
        cmocka_unit_test(test_which_of_unlike_devices_is_meant_is_not_known),
        cmocka_unit_test(test_no_device_is_no_failure),
        cmocka_unit_test(test_a_host_that_tells_is_the_one_that_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
