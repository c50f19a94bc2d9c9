/* SPDX-License-Identifier: Apache-2.0 */
#include "load/minver.h"

#include "support/unit.h"

static void test_releases_are_compared_number_by_number(void **state) {
    (void)state;
    static const struct {
        const char *release, *minimum;
        bool enough;
    } rows[] = {
        {"0.17.2", "0.17.2", true},
        {"0.17.2", "0.17.3", false},
        {"0.17.2", "0.9.30", true},
        {"0.9.30", "0.17.2", false},
        {"0.17", "0.17.0", true},
        {"0.17", "0.17.0.1", false},
        {"1", "0.99", true},
        {"2.17.2+0.3.0", "2.17.2", true},
        {"0.17.2+9.9.9", "0.17.3", false},
        {"0.17.2rc1", "0.17.2", true},
        {"0.17.2", "", true},
        {"0.17.2", "new", true},
        {"0.17.2", "99999999999999999999999999", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(kni_release_is_at_least(rows[i].release, rows[i].minimum), rows[i].enough);
    }
}

static void test_a_kernel_that_asks_for_more_is_refused_with_both_versions(void **state) {
    (void)state;
    kn_metadata_info metadata = {.size = sizeof metadata, .name = "fast", .kernels_minver = "99.1"};
    kn_error err;
    kn_error_init(&err);
    assert_int_equal(kni_minver_check(&metadata, "torch-cpu", &err), KN_ERR_RUNTIME);
    assert_contains(err.message,
                    "Kernel 'fast' variant 'torch-cpu' requires kernels>=99.1, but version ");
    assert_contains(err.message, kn_version());
    metadata.kernels_minver = NULL;
    assert_int_equal(kni_minver_check(&metadata, "torch-cpu", &err), KN_OK);
    metadata.kernels_minver = "0.1";
    assert_int_equal(kni_minver_check(&metadata, "torch-cpu", &err), KN_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_releases_are_compared_number_by_number),
        cmocka_unit_test(test_a_kernel_that_asks_for_more_is_refused_with_both_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
