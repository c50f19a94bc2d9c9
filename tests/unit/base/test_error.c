/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "support/unit.h"

static void test_the_status_comes_back_with_the_message(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_fail(&err, KN_ERR_VALUE, "layer '%s' is %d", "SiLU", 3), KN_ERR_VALUE);
    assert_int_equal(err.status, KN_ERR_VALUE);
    assert_string_equal(err.message, "layer 'SiLU' is 3");
}

static void test_a_caller_may_take_no_error(void **state) {
    (void)state;
    assert_int_equal(kni_fail(NULL, KN_ERR_OS, "no disk"), KN_ERR_OS);
    assert_int_equal(kni_no_memory(NULL, "reading"), KN_ERR_NOMEM);
}

static void test_memory_that_ran_out_says_while_doing_what(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_no_memory(&err, "reading 'x'"), KN_ERR_NOMEM);
    assert_string_equal(err.message, "out of memory while reading 'x'");
}

static void test_a_long_message_is_cut(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    char text[KN_ERROR_TEXT_MAX + 100];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    kni_fail(&err, KN_ERR_VALUE, "%s", text);
    assert_int_equal(strlen(err.message), 4095);
}

/* U+20AC has three bytes; at each offset the cut falls elsewhere in it. */
static void test_a_cut_never_splits_a_character(void **state) {
    (void)state;
    for (size_t before = 0; before < 3; before++) {
        kn_error err = KN_ERROR_INIT;
        char text[KN_ERROR_TEXT_MAX + 100];
        memset(text, 'a', before);
        size_t length = before;
        for (; length + 4 < sizeof text; length += 3) memcpy(text + length, "\xE2\x82\xAC", 3);
        text[length] = '\0';
        kni_fail(&err, KN_ERR_VALUE, "%s", text);
        size_t kept = strlen(err.message);
        assert_true(kept > 4088);
        assert_int_equal((kept - before) % 3, 0);
        assert_memory_equal(err.message, text, kept);
    }
}

static void test_a_message_that_fits_exactly_is_whole(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    char text[KN_ERROR_TEXT_MAX];
    memset(text, 'a', sizeof text - 1);
    memcpy(text + sizeof text - 4, "\xE2\x82\xAC", 4);
    kni_fail(&err, KN_ERR_VALUE, "%s", text);
    assert_string_equal(err.message, text);
}

static void test_the_version_is_that_of_the_build(void **state) {
    (void)state;
    assert_string_equal(kn_version(), KN_VERSION);
}

static void test_a_status_has_a_text_for_ever(void **state) {
    (void)state;
    static const char *const texts[] = {"ok",         "no-memory",  "value",   "type",
                                        "not-found",  "os",         "runtime", "unsupported",
                                        "host",       "cancelled",  "network", "timeout",
                                        "repository", "revision",   "gated",   "integrity",
                                        "untrusted",  "dependency", "denied"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_string_equal(kn_status_text((kn_status)i), texts[i]);
    assert_string_equal(kn_status_text((kn_status)1000), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_status_comes_back_with_the_message),
        cmocka_unit_test(test_a_caller_may_take_no_error),
        cmocka_unit_test(test_memory_that_ran_out_says_while_doing_what),
        cmocka_unit_test(test_a_long_message_is_cut),
        cmocka_unit_test(test_a_cut_never_splits_a_character),
        cmocka_unit_test(test_a_message_that_fits_exactly_is_whole),
        cmocka_unit_test(test_a_status_has_a_text_for_ever),
        cmocka_unit_test(test_the_version_is_that_of_the_build),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
