/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/device.h>

#include "support/unit.h"

static const struct {
    const char *name;
    kn_device_type type;
} types[] = {
    {"cpu", KN_DEVICE_CPU},       {"cuda", KN_DEVICE_CUDA}, {"mps", KN_DEVICE_MPS},
    {"neuron", KN_DEVICE_NEURON}, {"npu", KN_DEVICE_NPU},   {"rocm", KN_DEVICE_ROCM},
    {"tpu", KN_DEVICE_TPU},       {"xpu", KN_DEVICE_XPU},
};

static void test_every_device_type_is_parsed_and_named(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        kn_device_type type = KN_DEVICE_OTHER;
        assert_int_equal(kn_device_type_parse(types[i].name, &type, NULL), KN_OK);
        assert_int_equal(type, types[i].type);
        assert_int_equal(kn_device_type_find(types[i].name), types[i].type);
        assert_string_equal(kn_device_type_name(types[i].type), types[i].name);
    }
    assert_int_equal(sizeof types / sizeof *types, KN_DEVICE_TYPES - 1);
}

static void test_an_unknown_device_type_is_refused_with_the_list(void **state) {
    (void)state;
    const char *names[] = {"meta", "gpu", "CPU", "cpu ", "cuda:0", "", "other", "hpu"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        kn_device_type type = KN_DEVICE_CPU;
        kn_error err = KN_ERROR_INIT;
        assert_int_equal(kn_device_type_parse(names[i], &type, &err), KN_ERR_VALUE);
        assert_int_equal(type, KN_DEVICE_OTHER);
        assert_int_equal(err.status, KN_ERR_VALUE);
        assert_contains(err.message, names[i]);
        assert_contains(err.message,
                        "Supported device types are: cpu, cuda, mps, neuron, npu, rocm, tpu, xpu");
        assert_int_equal(kn_device_type_find(names[i]), KN_DEVICE_OTHER);
    }
}

static void test_what_is_no_type_is_called_other(void **state) {
    (void)state;
    assert_string_equal(kn_device_type_name(KN_DEVICE_OTHER), "other");
    assert_string_equal(kn_device_type_name((kn_device_type)KN_DEVICE_TYPES), "other");
    assert_string_equal(kn_device_type_name((kn_device_type)1000), "other");
}

static void test_only_cuda_and_rocm_have_capabilities(void **state) {
    (void)state;
    assert_false(kn_device_type_has_capability(KN_DEVICE_OTHER));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        bool expected = types[i].type == KN_DEVICE_CUDA || types[i].type == KN_DEVICE_ROCM;
        assert_int_equal(kn_device_type_has_capability(types[i].type), expected);
    }
}

static void test_a_range_may_be_one_capability_or_all(void **state) {
    (void)state;
    const kn_capability_range ranges[] = {
        {90, 90}, {80, 89}, {0, KN_CAPABILITY_MAX}, {0, 0}, {KN_CAPABILITY_MAX, KN_CAPABILITY_MAX}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        assert_int_equal(kn_capability_range_check(ranges[i], NULL), KN_OK);
    }
}

static void test_a_range_with_min_above_max_is_refused(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_capability_range_check((kn_capability_range){90, 89}, &err), KN_ERR_VALUE);
    assert_string_equal(err.message, "min_capability (90) must be <= max_capability (89)");
    assert_int_equal(kn_capability_range_check((kn_capability_range){0, -1}, NULL), KN_ERR_VALUE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_device_type_is_parsed_and_named),
        cmocka_unit_test(test_an_unknown_device_type_is_refused_with_the_list),
        cmocka_unit_test(test_what_is_no_type_is_called_other),
        cmocka_unit_test(test_only_cuda_and_rocm_have_capabilities),
        cmocka_unit_test(test_a_range_may_be_one_capability_or_all),
        cmocka_unit_test(test_a_range_with_min_above_max_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
