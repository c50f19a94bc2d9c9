/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/placed.h"

#include "support/unit.h"

static kni_json *parse(const char *text) {
    kni_json *document;
    kn_error err = KN_ERROR_INIT;
    if (kni_json_parse(text, strlen(text), "x.toml", &document, &err)) fail_msg("%s", err.message);
    return document;
}

static void test_members_and_items_come_with_their_places(void **state) {
    (void)state;
    kni_json *document = parse("{\"a\":[3,1,[[3,6,\"one\"],[4,2,true]]]}");
    kni_placed table = kni_placed_document(document, "x.toml"), list;
    const char *key = kni_placed_next(&table, NULL, &list);
    assert_string_equal(key, "a");
    assert_string_equal(list.at.file, "x.toml");
    assert_int_equal(list.at.line, 3);
    assert_int_equal(list.at.column, 1);
    kni_placed item = kni_placed_item(&list, 0);
    assert_string_equal(kni_json_text(item.value), "one");
    assert_int_equal(item.at.line, 3);
    assert_int_equal(item.at.column, 6);
    item = kni_placed_item(&list, 1);
    assert_int_equal(item.at.line, 4);
    assert_null(kni_placed_next(&table, key, &list));
    kni_json_free(document);
}

static void assert_unknown(const char *key, const char *expected) {
    const kni_place at = {"x.toml", 7, 2};
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_placed_fail_key(&at, key, "[trust]", "digests organizations", &err),
                     KN_ERR_VALUE);
    assert_string_equal(err.message, expected);
}

static void test_an_unknown_key_is_told_with_the_one_that_was_meant(void **state) {
    (void)state;
    assert_unknown("digest",
                   "x.toml:7:2: unknown key 'digest' in [trust]; did you mean 'digests'?");
    assert_unknown("organisations",
                   "x.toml:7:2: unknown key 'organisations' in [trust]; did you mean "
                   "'organizations'?");
    assert_unknown("dgiests",
                   "x.toml:7:2: unknown key 'dgiests' in [trust]; did you mean 'digests'?");
    assert_unknown("publishers",
                   "x.toml:7:2: unknown key 'publishers' in [trust]; there are: digests "
                   "organizations");
    assert_unknown(
        "a-key-that-is-longer-than-all-words-that-are-compared",
        "x.toml:7:2: unknown key 'a-key-that-is-longer-than-all-words-that-are-compared' "
        "in [trust]; there are: digests organizations");
}

static void test_a_key_is_one_of_the_known_as_a_whole(void **state) {
    (void)state;
    assert_true(kni_placed_is_key("pin deny", "pin"));
    assert_true(kni_placed_is_key("pin deny", "deny"));
    assert_false(kni_placed_is_key("pin deny", "de"));
    assert_false(kni_placed_is_key("pin deny", "pin deny"));
    assert_false(kni_placed_is_key("pin deny", ""));
}

static void test_a_text_is_one_line(void **state) {
    (void)state;
    kni_json *document = parse("[[1,1,\"good\"],[2,5,\"\"],[3,5,7],[4,5,\"two\\nlines\"]]");
    kni_placed list = kni_placed_document(document, "x.toml");
    const char *text;
    kn_error err = KN_ERROR_INIT;
    kni_placed item = kni_placed_item(&list, 0);
    assert_int_equal(kni_placed_text(&item, "deny", &text, &err), KN_OK);
    assert_string_equal(text, "good");
    const char *const expected[] = {"x.toml:2:5: deny: expected a text of one line",
                                    "x.toml:3:5: deny: expected a text of one line",
                                    "x.toml:4:5: deny: expected a text of one line"};
    for (size_t i = 0; i < 3; i++) {
        item = kni_placed_item(&list, i + 1);
        assert_int_equal(kni_placed_text(&item, "deny", &text, &err), KN_ERR_VALUE);
        assert_string_equal(err.message, expected[i]);
    }
    kni_json_free(document);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_and_items_come_with_their_places),
        cmocka_unit_test(test_an_unknown_key_is_told_with_the_one_that_was_meant),
        cmocka_unit_test(test_a_key_is_one_of_the_known_as_a_whole),
        cmocka_unit_test(test_a_text_is_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
