/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/json.h"

#include <stdlib.h>

#include "support/failing_alloc.h"
#include "support/unit.h"

static kni_json *parse(const char *text) {
    kni_json *document;
    kn_error err = KN_ERROR_INIT;
    if (kni_json_parse(text, strlen(text), "x.json", &document, &err)) fail_msg("%s", err.message);
    return document;
}

static void assert_refused_n(const char *bytes, size_t length, const char *part) {
    kni_json *document = (kni_json *)1;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_json_parse(bytes, length, "x.json", &document, &err), KN_ERR_VALUE);
    assert_null(document);
    assert_contains(err.message, "x.json: ");
    assert_contains(err.message, part);
    assert_null(strchr(err.message, '\n'));
}

static void assert_refused(const char *text, const char *part) {
    assert_refused_n(text, strlen(text), part);
}

static void test_values_are_read(void **state) {
    (void)state;
    kni_json *document =
        parse("{\"a\": \"text\", \"n\": -9007199254740993, \"l\": [1, \"two\", {}]}");
    assert_true(kni_json_is_object(document));
    assert_string_equal(kni_json_text(kni_json_member(document, "a")), "text");
    int64_t number = 0;
    assert_true(kni_json_integer(kni_json_member(document, "n"), &number));
    assert_int_equal(number, -9007199254740993);
    const kni_json *list = kni_json_member(document, "l");
    assert_int_equal(kni_json_length(list), 3);
    assert_string_equal(kni_json_text(kni_json_item(list, 1)), "two");
    assert_true(kni_json_is_object(kni_json_item(list, 2)));
    assert_null(kni_json_item(list, 3));
    kni_json_free(document);
}

static void test_values_of_another_kind_are_told(void **state) {
    (void)state;
    kni_json *document = parse("{\"real\": 1.5, \"text\": \"1\", \"none\": null}");
    int64_t number = 7;
    assert_false(kni_json_integer(kni_json_member(document, "real"), &number));
    assert_false(kni_json_integer(kni_json_member(document, "text"), &number));
    assert_false(kni_json_integer(NULL, &number));
    assert_int_equal(number, 7);
    assert_null(kni_json_text(kni_json_member(document, "real")));
    assert_null(kni_json_text(kni_json_member(document, "none")));
    assert_null(kni_json_text(NULL));
    assert_null(kni_json_member(document, "missing"));
    assert_null(kni_json_member(kni_json_member(document, "text"), "a"));
    assert_null(kni_json_member(NULL, "a"));
    assert_int_equal(kni_json_length(document), 0);
    assert_int_equal(kni_json_length(NULL), 0);
    assert_null(kni_json_item(NULL, 0));
    assert_false(kni_json_is_object(NULL));
    assert_false(kni_json_is_object(kni_json_member(document, "text")));
    kni_json_free(document);
    kni_json_free(NULL);
}

static void test_booleans_lists_and_null_are_told_apart(void **state) {
    (void)state;
    kni_json *document =
        parse("{\"yes\": true, \"no\": false, \"none\": null, \"one\": 1, \"l\": []}");
    bool value = false;
    assert_true(kni_json_boolean(kni_json_member(document, "yes"), &value) && value);
    assert_true(kni_json_boolean(kni_json_member(document, "no"), &value) && !value);
    value = true;
    assert_false(kni_json_boolean(kni_json_member(document, "none"), &value));
    assert_false(kni_json_boolean(kni_json_member(document, "one"), &value));
    assert_false(kni_json_boolean(NULL, &value));
    assert_true(value);
    assert_true(kni_json_is_null(kni_json_member(document, "none")));
    assert_false(kni_json_is_null(kni_json_member(document, "no")));
    assert_false(kni_json_is_null(kni_json_member(document, "missing")));
    assert_true(kni_json_is_array(kni_json_member(document, "l")));
    assert_false(kni_json_is_array(document));
    assert_false(kni_json_is_array(NULL));
    kni_json_free(document);
}

static void test_members_come_in_the_documents_order(void **state) {
    (void)state;
    kni_json *document = parse("{\"z\": 1, \"a\": \"two\", \"\": null}");
    const kni_json *value;
    int64_t number;
    const char *name = kni_json_next(document, NULL, &value);
    assert_string_equal(name, "z");
    assert_true(kni_json_integer(value, &number) && number == 1);
    name = kni_json_next(document, name, &value);
    assert_string_equal(name, "a");
    assert_string_equal(kni_json_text(value), "two");
    name = kni_json_next(document, name, &value);
    assert_string_equal(name, "");
    assert_true(kni_json_is_null(value));
    assert_null(kni_json_next(document, name, &value));
    assert_null(kni_json_next(kni_json_member(document, "z"), NULL, &value));
    assert_null(kni_json_next(NULL, NULL, &value));
    kni_json_free(document);
}

static void test_text_with_a_nul_is_no_text(void **state) {
    (void)state;
    kni_json *document = parse("[\"a\\u0000b\", \"ab\"]");
    assert_null(kni_json_text(kni_json_item(document, 0)));
    assert_string_equal(kni_json_text(kni_json_item(document, 1)), "ab");
    kni_json_free(document);
}

static void test_what_is_not_json_is_refused_with_its_place(void **state) {
    (void)state;
    assert_refused("", "not valid JSON: line 1");
    assert_refused("{\"a\": 1,\n \"b\": }", "line 2, column 7");
    assert_refused("{\"a\": 1} x", "end of file expected");
    assert_refused("{'a': 1}", "not valid JSON");
    assert_refused("{\"a\": 1,}", "not valid JSON");
    assert_refused("{\"a\": NaN}", "not valid JSON");
    assert_refused("{\"a\": 01}", "not valid JSON");
    assert_refused("3", "not valid JSON");
    assert_refused("\xEF\xBB\xBF{}", "not valid JSON");
    assert_refused("{\"a\": \"\n\"}", "unexpected newline");
    assert_refused("{\"a\": \"\x01\"}", "control character 0x1");
    assert_refused_n("{\"a\": 1}\0", 9, "not valid JSON");
}

static void test_a_repeated_key_is_refused(void **state) {
    (void)state;
    assert_refused("{\"id\": \"a\", \"id\": \"b\"}", "duplicate object key");
}

static void test_what_is_not_utf8_is_refused(void **state) {
    (void)state;
    assert_refused("{\"a\": \"\xFF\"}", "unable to decode byte 0xff");
    assert_refused("{\"a\": \"\xC0\x80\"}", "unable to decode");
    assert_refused("{\"a\": \"\\ud800\"}", "invalid Unicode");
}

static void test_64_levels_are_read_and_65_refused(void **state) {
    (void)state;
    char text[130];
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    text[128] = '\0';
    kni_json_free(parse(text));
    memset(text, '[', 65);
    memset(text + 65, ']', 64);
    assert_refused_n(text, 129, "nested deeper than 64 levels");
    memset(text, '{', 100);
    assert_refused_n(text, 100, "nested deeper than 64 levels");
}

static void test_brackets_in_text_are_no_levels(void **state) {
    (void)state;
    char text[204] = "[\"\\\"\\\\";
    size_t length = strlen(text);
    memset(text + length, '[', 150);
    memcpy(text + length + 150, "\"]", 3);
    kni_json *document = parse(text);
    assert_int_equal(strlen(kni_json_text(kni_json_item(document, 0))), 152);
    kni_json_free(document);
}

static void test_more_than_16_mib_are_refused(void **state) {
    (void)state;
    size_t length = ((size_t)16 << 20) + 1;
    char *bytes = malloc(length);
    assert_non_null(bytes);
    memset(bytes, ' ', length);
    memcpy(bytes, "[]", 2);
    assert_refused_n(bytes, length, "16777217 bytes are too many");
    kni_json *document;
    assert_int_equal(kni_json_parse(bytes, length - 1, "x.json", &document, NULL), KN_OK);
    kni_json_free(document);
    free(bytes);
}

static void test_a_million_values_are_read_and_no_more(void **state) {
    (void)state;
    enum { LENGTH = 2000000 };
    char *bytes = malloc(LENGTH + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < LENGTH; i += 2) memcpy(bytes + i, " 1,", 3);
    bytes[0] = '[';
    bytes[LENGTH] = ']'; /* a list of 1000000 numbers, and with it one value more */
    for (size_t i = 2; i < LENGTH; i += 2) bytes[i] = ',';
    assert_int_equal(bytes[LENGTH - 1], '1');
    kni_json *document;
    assert_int_equal(kni_json_parse(bytes, LENGTH + 1, "x.json", &document, NULL), KN_OK);
    assert_int_equal(kni_json_length(document), 1000000);
    kni_json_free(document);
    bytes[LENGTH - 1] = '[';
    assert_refused_n(bytes, LENGTH + 1, "more than 1000000 values");
    memset(bytes, ',', LENGTH);
    assert_refused_n(bytes, LENGTH, "more than 1000000 values");
    free(bytes);
}

static void assert_written(const char *text, const char *expected) {
    const kn_alloc *alloc = kni_alloc_or_default(NULL);
    kni_text out;
    kni_text_init(&out, alloc);
    kni_json_add_text(&out, text);
    char *written = kni_text_take(&out);
    assert_string_equal(written, expected);
    kni_free(alloc, written);
}

static void test_text_is_written_with_escapes(void **state) {
    (void)state;
    assert_written(NULL, "null");
    assert_written("", "\"\"");
    assert_written("model.layers.0", "\"model.layers.0\"");
    assert_written("say \"x\\y\"", "\"say \\\"x\\\\y\\\"\"");
    assert_written("a\nb\tc\rd\x01"
                   "e\x7F",
                   "\"a\\nb\\tc\\rd\\u0001e\x7F\"");
    assert_written("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80",
                   "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"");
}

static void test_bytes_that_are_not_utf8_are_replaced(void **state) {
    (void)state;
    assert_written("a\xFFz", "\"a\xEF\xBF\xBDz\"");
    assert_written("a\xE2\x82", "\"a\xEF\xBF\xBD\xEF\xBF\xBD\"");
    assert_written("\xC0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
    assert_written("\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
    assert_written("\xF4\x90\x80\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
    assert_written("\xE2\"", "\"\xEF\xBF\xBD\\\"\"");
}

static void test_what_is_written_reads_back(void **state) {
    (void)state;
    const kn_alloc *alloc = kni_alloc_or_default(NULL);
    char original[256];
    for (int i = 1; i < 0x80; i++) original[i - 1] = (char)i;
    memcpy(original + 0x7F, "\xC2\x80\xEF\xBF\xBF", 6);
    kni_text out;
    kni_text_init(&out, alloc);
    kni_text_add(&out, "[");
    kni_json_add_text(&out, original);
    kni_text_add(&out, "]");
    kni_json *document = parse(out.bytes);
    assert_string_equal(kni_json_text(kni_json_item(document, 0)), original);
    kni_json_free(document);
    kni_text_clear(&out);
}

static void test_a_value_is_written_compactly(void **state) {
    (void)state;
    kni_text out;
    kni_text_init(&out, kni_alloc_or_default(NULL));
    kni_json *document = parse("{\"a\": [1, true, null], \"b\": \"\\u00e4\"}");
    kni_json_add(&out, document);
    kni_json_add(&out, kni_json_member(document, "b"));
    kni_json_add(&out, NULL);
    assert_string_equal(out.bytes, "{\"a\":[1,true,null],\"b\":\"\xC3\xA4\"}\"\xC3\xA4\"null");
    kni_json_free(document);
    kni_text_clear(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_read),
        cmocka_unit_test(test_values_of_another_kind_are_told),
        cmocka_unit_test(test_booleans_lists_and_null_are_told_apart),
        cmocka_unit_test(test_members_come_in_the_documents_order),
        cmocka_unit_test(test_text_with_a_nul_is_no_text),
        cmocka_unit_test(test_what_is_not_json_is_refused_with_its_place),
        cmocka_unit_test(test_a_repeated_key_is_refused),
        cmocka_unit_test(test_what_is_not_utf8_is_refused),
        cmocka_unit_test(test_64_levels_are_read_and_65_refused),
        cmocka_unit_test(test_brackets_in_text_are_no_levels),
        cmocka_unit_test(test_more_than_16_mib_are_refused),
        cmocka_unit_test(test_a_million_values_are_read_and_no_more),
        cmocka_unit_test(test_text_is_written_with_escapes),
        cmocka_unit_test(test_bytes_that_are_not_utf8_are_replaced),
        cmocka_unit_test(test_what_is_written_reads_back),
        cmocka_unit_test(test_a_value_is_written_compactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
