/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/mode.h>

#include "support/unit.h"

enum {
    I = KN_MODE_INFERENCE,
    T = KN_MODE_TRAINING,
    C = KN_MODE_TORCH_COMPILE,
    F = KN_MODE_FALLBACK
};

static void assert_tried(kn_mode requested, const kn_mode *expected, size_t count) {
    kn_mode tried[KN_MODE_CANDIDATES_MAX] = {0};
    assert_int_equal(kn_mode_candidates(requested, tried), count);
    for (size_t i = 0; i < count; i++) assert_int_equal(tried[i], expected[i]);
}

static void test_the_flags_have_upstreams_values(void **state) {
    (void)state;
    assert_int_equal(F, 1);
    assert_int_equal(T, 2);
    assert_int_equal(I, 4);
    assert_int_equal(C, 8);
}

static void test_inference_tries_every_mode(void **state) {
    (void)state;
    assert_tried(I, (const kn_mode[]){I, I | C, T, T | C, F}, 5);
}

static void test_inference_with_compile_tries_what_compiles(void **state) {
    (void)state;
    assert_tried(I | C, (const kn_mode[]){I | C, T | C, F}, 3);
}

static void test_training_tries_what_trains(void **state) {
    (void)state;
    assert_tried(T, (const kn_mode[]){T, T | C, F}, 3);
}

static void test_training_with_compile_tries_only_itself_and_fallback(void **state) {
    (void)state;
    assert_tried(T | C, (const kn_mode[]){T | C, F}, 2);
}

static void test_what_may_not_be_requested_has_no_candidates(void **state) {
    (void)state;
    const kn_mode modes[] = {0, F, C, I | T, I | T | C, F | I, F | T, F | C, F | I | C, 16, I | 16};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) assert_tried(modes[i], NULL, 0);
}

static void assert_refused(kn_status (*check)(kn_mode, kn_error *), kn_mode mode,
                           const char *message) {
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(check(mode, &err), KN_ERR_VALUE);
    assert_int_equal(err.status, KN_ERR_VALUE);
    assert_string_equal(err.message, message);
    assert_int_equal(check(mode, NULL), KN_ERR_VALUE);
}

#define EXCLUSIVE "Mode.INFERENCE and Mode.TRAINING are mutually exclusive."
#define ALONE "Mode.FALLBACK cannot be combined with other modes."
#define MAPPING_ONLY "Mode.FALLBACK can only be used to register kernel mappings."
#define NEEDED "kernelize mode must contain Mode.INFERENCE or Mode.TRAINING."
#define NONE_OF " is none of INFERENCE, TRAINING (each with or without TORCH_COMPILE) and FALLBACK"

static void test_these_modes_may_stand_in_a_mapping(void **state) {
    (void)state;
    const kn_mode modes[] = {I, T, I | C, T | C, F, C};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(kn_mode_check(modes[i], NULL), KN_OK);
    }
}

static void test_other_modes_are_refused_in_a_mapping(void **state) {
    (void)state;
    assert_refused(kn_mode_check, I | T, EXCLUSIVE);
    assert_refused(kn_mode_check, I | T | C, EXCLUSIVE);
    assert_refused(kn_mode_check, I | T | F, EXCLUSIVE);
    assert_refused(kn_mode_check, F | I, ALONE);
    assert_refused(kn_mode_check, F | T, ALONE);
    assert_refused(kn_mode_check, F | C, ALONE);
    assert_refused(kn_mode_check, 0, "mode 0" NONE_OF);
    assert_refused(kn_mode_check, 16, "mode 16" NONE_OF);
    assert_refused(kn_mode_check, I | 32, "mode 36" NONE_OF);
}

static void test_kernelize_may_be_asked_for_four_modes(void **state) {
    (void)state;
    const kn_mode modes[] = {I, T, I | C, T | C};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(kn_mode_check_request(modes[i], NULL), KN_OK);
    }
}

static void test_kernelize_may_not_be_asked_for_others(void **state) {
    (void)state;
    assert_refused(kn_mode_check_request, F, MAPPING_ONLY);
    assert_refused(kn_mode_check_request, C, NEEDED);
    assert_refused(kn_mode_check_request, 0, NEEDED);
    assert_refused(kn_mode_check_request, F | C, NEEDED);
    assert_refused(kn_mode_check_request, I | T, EXCLUSIVE);
    assert_refused(kn_mode_check_request, F | I, ALONE);
    assert_refused(kn_mode_check_request, F | T | C, ALONE);
    assert_refused(kn_mode_check_request, I | 16, "mode 20" NONE_OF);
}

static void test_modes_are_written_by_their_names(void **state) {
    (void)state;
    char text[KN_MODE_TEXT_MAX];
    assert_string_equal(kn_mode_text(I, text), "INFERENCE");
    assert_string_equal(kn_mode_text(T, text), "TRAINING");
    assert_string_equal(kn_mode_text(F, text), "FALLBACK");
    assert_string_equal(kn_mode_text(C, text), "TORCH_COMPILE");
    assert_string_equal(kn_mode_text(I | C, text), "INFERENCE|TORCH_COMPILE");
    assert_string_equal(kn_mode_text(T | C, text), "TRAINING|TORCH_COMPILE");
    assert_string_equal(kn_mode_text(F | T | I | C, text),
                        "FALLBACK|TRAINING|INFERENCE|TORCH_COMPILE");
    assert_string_equal(kn_mode_text(0, text), "");
    assert_ptr_equal(kn_mode_text(16, text), text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_flags_have_upstreams_values),
        cmocka_unit_test(test_inference_tries_every_mode),
        cmocka_unit_test(test_inference_with_compile_tries_what_compiles),
        cmocka_unit_test(test_training_tries_what_trains),
        cmocka_unit_test(test_training_with_compile_tries_only_itself_and_fallback),
        cmocka_unit_test(test_what_may_not_be_requested_has_no_candidates),
        cmocka_unit_test(test_these_modes_may_stand_in_a_mapping),
        cmocka_unit_test(test_other_modes_are_refused_in_a_mapping),
        cmocka_unit_test(test_kernelize_may_be_asked_for_four_modes),
        cmocka_unit_test(test_kernelize_may_not_be_asked_for_others),
        cmocka_unit_test(test_modes_are_written_by_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
