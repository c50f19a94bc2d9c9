/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/text.h"
#include "support/failing_alloc.h"
#include "support/unit.h"

static void test_text_grows_by_what_is_added(void **state) {
    (void)state;
    const kn_alloc *alloc = kni_alloc_or_default(NULL);
    kni_text text;
    kni_text_init(&text, alloc);
    kni_text_add(&text, "torch");
    kni_text_add_n(&text, "-stable-x", 7);
    kni_text_addf(&text, " %d.%d", 2, 10);
    assert_int_equal(text.length, 17);
    char *bytes = kni_text_take(&text);
    assert_string_equal(bytes, "torch-stable 2.10");
    assert_int_equal(text.length, 0);
    assert_null(text.bytes);
    kni_free(alloc, bytes);
}

static void test_taking_nothing_gives_empty_text(void **state) {
    (void)state;
    const kn_alloc *alloc = kni_alloc_or_default(NULL);
    kni_text text;
    kni_text_init(&text, alloc);
    char *bytes = kni_text_take(&text);
    assert_string_equal(bytes, "");
    kni_free(alloc, bytes);
}

static void test_text_is_terminated_at_any_time(void **state) {
    (void)state;
    kni_text text;
    kni_text_init(&text, kni_alloc_or_default(NULL));
    for (int i = 0; i < 300; i++) {
        kni_text_add(&text, "a");
        assert_int_equal(strlen(text.bytes), i + 1);
    }
    kni_text_clear(&text);
    assert_null(text.bytes);
    kni_text_clear(&text);
}

static void test_formatted_text_of_any_length_is_whole(void **state) {
    (void)state;
    kni_text text;
    kni_text_init(&text, kni_alloc_or_default(NULL));
    kni_text_addf(&text, "%05000d", 7);
    assert_int_equal(text.length, 5000);
    assert_int_equal(text.bytes[4999], '7');
    kni_text_clear(&text);
}

static void test_after_a_failed_append_nothing_is_added_and_take_gives_null(void **state) {
    (void)state;
    failing_alloc failing;
    failing_alloc_init(&failing, 1);
    kni_text text;
    kni_text_init(&text, &failing.alloc);
    kni_text_add(&text, "abc");
    kni_text_add(&text, "a text that needs more room");
    assert_true(text.failed);
    kni_text_add(&text, "");
    assert_string_equal(text.bytes, "abc");
    assert_null(kni_text_take(&text));
    assert_int_equal(failing.live, 0);
    kni_text_add(&text, "again");
    assert_string_equal(text.bytes, "again");
    kni_text_clear(&text);
    assert_int_equal(failing.live, 0);
}

static kn_status build_text(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    kni_text text;
    kni_text_init(&text, alloc);
    for (int i = 0; i < 100; i++) kni_text_addf(&text, "%d,", i);
    char *bytes = kni_text_take(&text);
    if (!bytes) return kni_no_memory(err, "building");
    kni_free(alloc, bytes);
    return KN_OK;
}

static void test_every_failing_allocation_is_noticed_once_at_the_end(void **state) {
    (void)state;
    assert_true(fault_sweep(build_text, NULL) > 3);
}

static void test_glob_without_marks_is_equality(void **state) {
    (void)state;
    assert_true(kni_glob_match("model.layers.0", "model.layers.0"));
    assert_false(kni_glob_match("model.layers.0", "model.layers.01"));
    assert_false(kni_glob_match("model.layers.0", "model.layers"));
    assert_false(kni_glob_match("model", "Model"));
    assert_true(kni_glob_match("", ""));
    assert_false(kni_glob_match("", "a"));
    assert_false(kni_glob_match("a", ""));
}

static void test_glob_star_is_any_run_of_characters_dots_too(void **state) {
    (void)state;
    assert_true(kni_glob_match("*", ""));
    assert_true(kni_glob_match("*", "model.layers.0.mlp"));
    assert_true(kni_glob_match("model.*.mlp", "model.layers.0.mlp"));
    assert_true(kni_glob_match("*.mlp*", "a.mlp"));
    assert_true(kni_glob_match("*norm", "layer.norm.norm"));
    assert_true(kni_glob_match("a**b", "ab"));
    assert_true(kni_glob_match("*a*b*c*", "xxaxxbxxcxx"));
    assert_false(kni_glob_match("*a*b*c", "xxaxxcxxb"));
    assert_false(kni_glob_match("model.*.mlp", "model.mlp"));
}

static void test_glob_question_mark_is_one_character(void **state) {
    (void)state;
    assert_true(kni_glob_match("layers.?", "layers.7"));
    assert_false(kni_glob_match("layers.?", "layers."));
    assert_false(kni_glob_match("layers.?", "layers.10"));
    assert_true(kni_glob_match("*.??.x", "layers.10.x"));
}

static void test_glob_sets(void **state) {
    (void)state;
    assert_true(kni_glob_match("layers.[02]", "layers.2"));
    assert_false(kni_glob_match("layers.[02]", "layers.1"));
    assert_true(kni_glob_match("layers.[3-5]", "layers.4"));
    assert_false(kni_glob_match("layers.[3-5]", "layers.6"));
    assert_true(kni_glob_match("layers.[!3-5]", "layers.6"));
    assert_false(kni_glob_match("layers.[!3-5]", "layers.4"));
    assert_true(kni_glob_match("[]x]", "]"));
    assert_true(kni_glob_match("[!]x]", "y"));
    assert_false(kni_glob_match("[!]x]", "]"));
    assert_true(kni_glob_match("[a-]", "-"));
    assert_true(kni_glob_match("[-a]", "-"));
    assert_true(kni_glob_match("[*]", "*"));
    assert_false(kni_glob_match("[*]", "a"));
    assert_true(kni_glob_match("*[0-9].mlp", "layers.12.mlp"));
    assert_false(kni_glob_match("[z-a]", "m"));
    assert_false(kni_glob_match("[a]", ""));
}

static void test_glob_set_that_is_not_closed_stands_for_itself(void **state) {
    (void)state;
    assert_true(kni_glob_match("[abc", "[abc"));
    assert_false(kni_glob_match("[abc", "a"));
    assert_true(kni_glob_match("a[", "a["));
    assert_true(kni_glob_match("[]", "[]"));
    assert_true(kni_glob_match("[!", "[!"));
    assert_true(kni_glob_match("[!]", "[!]"));
    assert_true(kni_glob_match("[a-", "[a-"));
    assert_true(kni_glob_match("*[", "xx["));
}

static void test_glob_many_stars_do_not_take_for_ever(void **state) {
    (void)state;
    char pattern[201], text[4001];
    for (size_t i = 0; i < 200; i += 2) memcpy(pattern + i, "a*", 2);
    pattern[200] = '\0';
    pattern[199] = 'b';
    memset(text, 'a', sizeof text - 1);
    text[4000] = '\0';
    assert_false(kni_glob_match(pattern, text));
}

static void test_utf8_sequences_are_measured(void **state) {
    (void)state;
    assert_int_equal(kni_utf8_sequence("a"), 1);
    assert_int_equal(kni_utf8_sequence("\xC3\xA9"), 2);
    assert_int_equal(kni_utf8_sequence("\xE2\x82\xAC"), 3);
    assert_int_equal(kni_utf8_sequence("\xF0\x9F\x98\x80"), 4);
    const char *const malformed[] = {"\x80",
                                     "\xC3",
                                     "\xC3z",
                                     "\xC0\x80",
                                     "\xE2\x82",
                                     "\xE0\x9F\xBF",
                                     "\xED\xA0\x80",
                                     "\xF0\x8F\xBF\xBF",
                                     "\xF4\x90\x80\x80",
                                     "\xF5\x80\x80\x80",
                                     "\xFF"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        assert_int_equal(kni_utf8_sequence(malformed[i]), 0);
}

static void test_text_is_shown_harmless_and_cut_between_characters(void **state) {
    (void)state;
    char out[8];
    assert_ptr_equal(kni_text_shown("", out, sizeof out), out);
    assert_string_equal(out, "");
    assert_string_equal(kni_text_shown("a\nb\x1B\x7F", out, sizeof out), "a b  ");
    assert_string_equal(kni_text_shown("\xFFz\xE2\x82", out, sizeof out), "?z??");
    assert_string_equal(kni_text_shown("\xC2\x9Bz\xC2\xA0", out, sizeof out), " z\xC2\xA0");
    assert_string_equal(kni_text_shown("1234567", out, sizeof out), "1234567");
    assert_string_equal(kni_text_shown("12345678", out, sizeof out), "1234567");
    assert_string_equal(kni_text_shown("12345\xE2\x82\xAC", out, sizeof out), "12345");
    assert_string_equal(kni_text_shown("a", out, 1), "");
}

static void test_hashes_differ_by_content_and_length(void **state) {
    (void)state;
    assert_int_equal(kni_hash_text("silu"), kni_hash_bytes("silu", 4));
    assert_true(kni_hash_text("silu") != kni_hash_text("silv"));
    assert_true(kni_hash_bytes("\0", 1) != kni_hash_bytes("\0\0", 2));
    assert_true(kni_hash_mix(1, 2) != kni_hash_mix(2, 1));
}

static void test_names_of_releases(void **state) {
    (void)state;
    assert_true(kni_text_is_version("v1.2"));
    assert_true(kni_text_is_version("1.2.3rc1"));
    assert_false(kni_text_is_version("v1"));
    assert_false(kni_text_is_version("main"));
    assert_false(kni_text_is_version("1."));
    assert_false(kni_text_is_version(""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_grows_by_what_is_added),
        cmocka_unit_test(test_taking_nothing_gives_empty_text),
        cmocka_unit_test(test_text_is_terminated_at_any_time),
        cmocka_unit_test(test_formatted_text_of_any_length_is_whole),
        cmocka_unit_test(test_after_a_failed_append_nothing_is_added_and_take_gives_null),
        cmocka_unit_test(test_every_failing_allocation_is_noticed_once_at_the_end),
        cmocka_unit_test(test_glob_without_marks_is_equality),
        cmocka_unit_test(test_glob_star_is_any_run_of_characters_dots_too),
        cmocka_unit_test(test_glob_question_mark_is_one_character),
        cmocka_unit_test(test_glob_sets),
        cmocka_unit_test(test_glob_set_that_is_not_closed_stands_for_itself),
        cmocka_unit_test(test_glob_many_stars_do_not_take_for_ever),
        cmocka_unit_test(test_utf8_sequences_are_measured),
        cmocka_unit_test(test_text_is_shown_harmless_and_cut_between_characters),
        cmocka_unit_test(test_hashes_differ_by_content_and_length),
        cmocka_unit_test(test_names_of_releases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
