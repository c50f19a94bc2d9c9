/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/version.h>

#include "support/unit.h"

/* `text` is the version that is normalized to `expected`. */
static void assert_version(const char *text, const char *expected) {
    kn_version_info info = {.size = sizeof info};
    kn_error err = KN_ERROR_INIT;
    if (kn_version_parse(text, &info, &err)) fail_msg("'%s': %s", text, err.message);
    assert_string_equal(info.text, expected);
}

static void assert_no_version(const char *text) {
    kn_version_info info = {.size = sizeof info, .text = "x", .release = {1, 1}};
    kn_error err = KN_ERROR_INIT;
    if (kn_version_parse(text, &info, &err) != KN_ERR_VALUE) fail_msg("'%s' is a version", text);
    assert_int_equal(err.status, KN_ERR_VALUE);
    assert_true(err.message[0] != '\0');
    assert_string_equal(info.text, "");
    assert_int_equal(info.release.length, 0);
}

static void test_versions_are_normalized(void **state) {
    (void)state;
    assert_version("1", "1");
    assert_version("v1.02.0", "1.2.0");
    assert_version("0!1", "1");
    assert_version("007!1.00", "7!1.0");
    assert_version("1.0ALPHA", "1.0a0");
    assert_version("1.0-beta_2", "1.0b2");
    assert_version("1.0c1", "1.0rc1");
    assert_version("1.0pre.1", "1.0rc1");
    assert_version("1.0preview", "1.0rc0");
    assert_version("1.0-1", "1.0.post1");
    assert_version("1.0rev2", "1.0.post2");
    assert_version("1.0r", "1.0.post0");
    assert_version("1.0_POST-3", "1.0.post3");
    assert_version("1.0DEV", "1.0.dev0");
    assert_version("1.0a-", "1.0a0");
    assert_version("1.0a.-1", "1.0a0.post1");
    assert_version("1.0.post.dev", "1.0.post0.dev0");
    assert_version("1.0+Ubuntu-0010_x", "1.0+ubuntu.10.x");
    assert_version("1!2.0RC1.post02-dev3+a", "1!2.0rc1.post2.dev3+a");
}

static void test_white_space_around_a_version_is_passed_over(void **state) {
    (void)state;
    assert_version(" \t\r\n\v\f\x1C\x1D\x1E\x1F"
                   "1.0 ",
                   "1.0");
    assert_version("\xC2\x85\xC2\xA0\xE1\x9A\x80\xE2\x80\x80\xE2\x80\x8A"
                   "1.0\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xAF\xE2\x81\x9F\xE3\x80\x80",
                   "1.0");
    assert_no_version("1. 0");
    assert_no_version("\xE2\x80\x8B"
                      "1.0"); /* of no width: no white space */
    assert_no_version("\xE2\x80");
    assert_no_version("1\x80\x80");
}

static void test_other_text_is_no_version(void **state) {
    (void)state;
    const char *const texts[] = {"",      " ",       "v",      "main",   "vv1",   "v 1",  "1.",
                                 ".1",    "1..2",    "1!",     "!1",     "1!2!3", "1a1b", "1.0alph",
                                 "1.0+",  "1.0+a.",  "1.0+.a", "1.0+a!", "1+a+b", "1-",   "1.0-a-b",
                                 "1.0.x", "1post1r", "1dev1a", "-1",     "1,0",   "1.0.*"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) assert_no_version(texts[i]);
}

static void assert_span(const kn_version_info *info, kn_version_span span, const char *expected) {
    assert_int_equal(span.length, strlen(expected));
    assert_memory_equal(info->text + span.start, expected, span.length);
}

static void test_the_parts_of_a_version_are_told(void **state) {
    (void)state;
    kn_version_info info = {.size = sizeof info};
    assert_int_equal(kn_version_parse("01!2.0c1-2.dev03+Ubuntu.04", &info, NULL), KN_OK);
    assert_string_equal(info.text, "1!2.0rc1.post2.dev3+ubuntu.4");
    assert_span(&info, info.epoch, "1");
    assert_span(&info, info.release, "2.0");
    assert_span(&info, info.pre_kind, "rc");
    assert_span(&info, info.pre, "1");
    assert_span(&info, info.post, "2");
    assert_span(&info, info.dev, "3");
    assert_span(&info, info.local, "ubuntu.4");

    assert_int_equal(kn_version_parse("2.0", &info, NULL), KN_OK);
    assert_span(&info, info.release, "2.0");
    assert_int_equal(info.epoch.length + info.pre_kind.length + info.pre.length, 0);
    assert_int_equal(info.post.length + info.dev.length + info.local.length, 0);
}

static void test_a_caller_of_an_older_version_gets_the_fields_that_it_knows(void **state) {
    (void)state;
    kn_version_info info = {.size = offsetof(kn_version_info, local), .local = {7, 7}};
    assert_int_equal(kn_version_parse("1.0+a", &info, NULL), KN_OK);
    assert_string_equal(info.text, "1.0+a");
    assert_int_equal(info.local.start, 7);
    assert_int_equal(info.size, offsetof(kn_version_info, local));
}

static int order_of(const char *a, const char *b) {
    int order = 7;
    kn_error err = KN_ERROR_INIT;
    if (kn_version_compare(a, b, &order, &err)) fail_msg("%s", err.message);
    return order;
}

static void test_versions_are_in_the_order_of_pep_440(void **state) {
    (void)state;
    const char *const in_order[] = {
        "0.dev0",
        "0",
        "1.dev1",
        "1.0a1.dev1",
        "1.0a1",
        "1.0a1.post1.dev1",
        "1.0a1.post1",
        "1.0a2",
        "1.0b0",
        "1.0rc1",
        "1.0",
        "1.0+a",
        "1.0+a.a",
        "1.0+a.1",
        "1.0+b",
        "1.0+2",
        "1.0+10",
        "1.0.post0.dev1",
        "1.0.post0",
        "1.0.post0+a",
        "1.0.post1",
        "1.0.0.1",
        "1.1",
        "1.9",
        "1.10",
        "9.18446744073709551615",
        "9.18446744073709551616",
        "9.100000000000000000000000000000000000000",
        "10",
        "1!0",
        "2!0",
        "18446744073709551616!0",
    };
    int count = sizeof in_order / sizeof *in_order;
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < count; j++)
            assert_int_equal(order_of(in_order[i], in_order[j]), (i > j) - (i < j));
    }
}

static void test_spellings_of_one_version_are_equal(void **state) {
    (void)state;
    assert_int_equal(order_of("1", "1.0.0"), 0);
    assert_int_equal(order_of("1.0", " v0!1 "), 0);
    assert_int_equal(order_of("1.0c0", "1-PREVIEW"), 0);
    assert_int_equal(order_of("1-0", "1.r"), 0);
    assert_int_equal(order_of("1+A_01", "1.0+a.1"), 0);
    assert_int_equal(order_of("0", "0.0"), 0);
}

static void test_what_is_no_version_has_no_order(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    int order = 7;
    assert_int_equal(kn_version_compare("1", "two", &order, &err), KN_ERR_VALUE);
    assert_int_equal(order, 0);
    assert_contains(err.message, "'two' is no version, expected one as in PEP 440");
    assert_int_equal(kn_version_compare("", "2", &order, NULL), KN_ERR_VALUE);
}

static void test_a_version_has_at_most_256_bytes(void **state) {
    (void)state;
    char text[KN_VERSION_LENGTH_MAX + 2] = "v";
    memset(text + 1, '9', KN_VERSION_LENGTH_MAX - 1);
    assert_version(text, text + 1);
    text[KN_VERSION_LENGTH_MAX] = '9';
    kn_version_info info = {.size = sizeof info};
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_version_parse(text, &info, &err), KN_ERR_VALUE);
    assert_contains(err.message, "999...' has 257 bytes, expected at most 256");
}

/* Each of these grows by being normalized, the longest of them by nine bytes. */
static void test_a_long_version_has_room_for_its_normalized_text(void **state) {
    (void)state;
    char text[KN_VERSION_LENGTH_MAX + 1] = {0}, expected[KN_VERSION_TEXT_MAX] = {0};
    size_t digits = KN_VERSION_LENGTH_MAX - strlen("crdev");
    memset(text, '7', digits);
    memcpy(expected, text, digits);
    memcpy(text + digits, "crdev", 5);
    memcpy(expected + digits, "rc0.post0.dev0", 14);
    assert_version(text, expected);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions_are_normalized),
        cmocka_unit_test(test_white_space_around_a_version_is_passed_over),
        cmocka_unit_test(test_other_text_is_no_version),
        cmocka_unit_test(test_the_parts_of_a_version_are_told),
        cmocka_unit_test(test_a_caller_of_an_older_version_gets_the_fields_that_it_knows),
        cmocka_unit_test(test_versions_are_in_the_order_of_pep_440),
        cmocka_unit_test(test_spellings_of_one_version_are_equal),
        cmocka_unit_test(test_what_is_no_version_has_no_order),
        cmocka_unit_test(test_a_version_has_at_most_256_bytes),
        cmocka_unit_test(test_a_long_version_has_room_for_its_normalized_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
