/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "net/net_parts.h"
#include "support/failing_alloc.h"
#include "support/unit.h"

static void assert_json(const char *toml, const char *expected) {
    char *json;
    kn_error err = KN_ERROR_INIT;
    kn_status status = kni_toml_to_json(NULL, toml, strlen(toml), "x.toml", &json, &err);
    if (status) fail_msg("%s: %s", toml, err.message);
    assert_string_equal(json, expected);
    kni_free(kni_alloc_or_default(NULL), json);
}

static void assert_refused_n(const char *toml, size_t length, const char *part) {
    char *json;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_toml_to_json(NULL, toml, length, "x.toml", &json, &err), KN_ERR_VALUE);
    assert_null(json);
    assert_true(strncmp(err.message, "x.toml: ", 8) == 0);
    assert_contains(err.message, part);
    for (const char *at = err.message; *at; at++) assert_true((unsigned char)*at >= 0x20);
}

static void assert_refused(const char *toml, const char *part) {
    assert_refused_n(toml, strlen(toml), part);
}

static void test_tables_and_arrays_nest(void **state) {
    (void)state;
    assert_json("", "{}");
    assert_json("# nothing\n", "{}");
    assert_json("b = 1\na = 2\n", "{\"a\":2,\"b\":1}");
    assert_json("[t]\nx = 1\n[t.u]\ny = 2\n", "{\"t\":{\"u\":{\"y\":2},\"x\":1}}");
    assert_json("a.b.c = 1\na.d = 2\n", "{\"a\":{\"b\":{\"c\":1},\"d\":2}}");
    assert_json("p = {x = 1, y = {}}", "{\"p\":{\"x\":1,\"y\":{}}}");
    assert_json("a = [1, [2, \"three\"], {b = 4},\n]", "{\"a\":[1,[2,\"three\"],{\"b\":4}]}");
    assert_json("[[s]]\nn = 1\n[[s]]\n[[s.t]]\n", "{\"s\":[{\"n\":1},{\"t\":[{}]}]}");
    assert_json("\"a.b\".'c d' = 1\n1234 = 2\n", "{\"1234\":2,\"a.b\":{\"c d\":1}}");
    assert_json("\xEF\xBB\xBF"
                "a = 1\r\nb = 2\r\n",
                "{\"a\":1,\"b\":2}");
}

static void assert_places(const char *toml, const char *expected) {
    char *json;
    kn_error err = KN_ERROR_INIT;
    kn_status status = kni_toml_to_places(NULL, toml, strlen(toml), "x.toml", &json, &err);
    if (status) fail_msg("%s: %s", toml, err.message);
    assert_string_equal(json, expected);
    kni_free(kni_alloc_or_default(NULL), json);
}

static void test_places_are_those_of_keys_and_items(void **state) {
    (void)state;
    assert_places("", "{}");
    assert_places("b = 1\n  a = \"x\"\n", "{\"a\":[2,3,\"x\"],\"b\":[1,1,1]}");
    assert_places("\n[t]\nx = true\n", "{\"t\":[2,2,{\"x\":[3,1,true]}]}");
    assert_places("a = [1,\n 2]\n", "{\"a\":[1,1,[[1,6,1],[2,2,2]]]}");
    assert_places("p = {x = 1}\n", "{\"p\":[1,1,{\"x\":[1,6,1]}]}");
    assert_places("[[s]]\nn = 1\n[[s]]\n", "{\"s\":[1,3,[[1,1,{\"n\":[2,1,1]}],[3,1,{}]]]}");
    assert_places("a.b = 1\n", "{\"a\":[1,1,{\"b\":[1,3,1]}]}");
}

static void test_text_comes_through(void **state) {
    (void)state;
    assert_json("a = \"\"", "{\"a\":\"\"}");
    assert_json("a = \"t\\t n\\n q\\\" b\\\\ \\u00e9 \\U0001F600\"",
                "{\"a\":\"t\\u0009 n\\u000a q\\u0022 b\\u005c \xC3\xA9 \xF0\x9F\x98\x80\"}");
    assert_json("a = \"nul \\u0000.\"", "{\"a\":\"nul \\u0000.\"}");
    assert_json("a = \"\"\"\\\n\xC2\xA1\xE2\x82\xAC\"\"\"", "{\"a\":\"\xC2\xA1\xE2\x82\xAC\"}");
    assert_json("a = 1 # \xC2\xA1\n", "{\"a\":1}");
    assert_json("a = 'C:\\x'", "{\"a\":\"C:\\u005cx\"}");
    assert_json("a = \"\"\"\none \\\n   two\"\"\"\"\"", "{\"a\":\"one two\\u0022\\u0022\"}");
    assert_json("a = '''\n'it''s [[[ \"\"\" '''\nb = 1", /* brackets in texts do not nest */
                "{\"a\":\"'it''s [[[ \\u0022\\u0022\\u0022 \",\"b\":1}");
    assert_json("\"\xC3\xA9\" = \"\xE2\x82\xAC\"", "{\"\xC3\xA9\":\"\xE2\x82\xAC\"}");
}

static void test_numbers_and_booleans_come_through(void **state) {
    (void)state;
    assert_json("a = [0, -0, +7, 1_000, 0xDEAD_beef, 0o17, 0b101]",
                "{\"a\":[0,0,7,1000,3735928559,15,5]}");
    assert_json("a = [9223372036854775807, -9223372036854775808]",
                "{\"a\":[9223372036854775807,-9223372036854775808]}");
    assert_json("a = [1.0, -0.5, 0.1, 1e5, 6.626e-34, 5e+22, 1_0.5]",
                "{\"a\":[1.0,-0.5,0.1,1e+05,6.626e-34,5e+22,10.5]}");
    assert_json("a = [true, false]", "{\"a\":[true,false]}");
}

static void test_what_json_has_no_word_for_becomes_text(void **state) {
    (void)state;
    assert_json("a = [inf, +inf, -inf, nan, +nan, -nan]",
                "{\"a\":[\"inf\",\"inf\",\"-inf\",\"nan\",\"nan\",\"nan\"]}");
    assert_json("a = 1979-05-27T07:32:00Z", "{\"a\":\"1979-05-27T07:32:00Z\"}");
    assert_json("a = 1979-05-27T00:32:00.999999-07:00",
                "{\"a\":\"1979-05-27T00:32:00.999999-07:00\"}");
    assert_json("a = 1979-05-27 07:32:00", "{\"a\":\"1979-05-27T07:32:00\"}");
    assert_json("a = 1979-05-27", "{\"a\":\"1979-05-27\"}");
    assert_json("a = 07:32:00.5", "{\"a\":\"07:32:00.5\"}");
}

static void test_what_is_no_toml_is_told_with_its_place(void **state) {
    (void)state;
    assert_refused("a = 1\nb = \n", "line 2");
    assert_refused("a = 1\na = 2\n", "line 2");
    assert_refused("[a]\n[a]\n", "line 2");
    assert_refused("a = {b = 1}\n[a.c]\n", "line 2");
    assert_refused("a = [1]\n[[a]]\n", "line 2");
    assert_refused("a.b = 1\na = 2\n", "line 2");
    assert_refused("a", "not valid TOML: line 1");
    assert_refused("a = \"open", "not valid TOML");
    assert_refused("a = \"\\q\"", "not valid TOML");
    assert_refused("a = \"\x01\"", "not valid TOML");
    assert_refused("a = \"\xFF\"", "not valid TOML");
    assert_refused("a = \"\xED\xA0\x80\"", "not valid TOML");
    assert_refused("a = 01", "not valid TOML");
    assert_refused("a = 9223372036854775808", "not valid TOML");
    assert_refused("a = 2021-02-30", "not valid TOML");
    assert_refused("a = \"\\uD800\"", "not valid TOML");
    assert_refused("= 1", "not valid TOML");
    assert_refused("a = [ }", "not valid TOML");
    assert_refused("\xC3\xA9 = 1", "not valid TOML");
    assert_refused("\xC2\xA1 = 1", "not valid TOML");
    assert_refused("a = \xC2\xA1", "not valid TOML");
    assert_refused("a = [1, }", "not valid TOML");
    assert_refused_n("a = 1\0", 6, "not valid TOML");
}

/* `head`, then `part` over and over up to the limit. */
static char *repeated(const char *head, const char *part, size_t length) {
    char *text = malloc(length + 1);
    assert_non_null(text);
    size_t used = strlen(head), more = strlen(part);
    memcpy(text, head, used);
    for (; used < length; used += more)
        memcpy(text + used, part, more < length - used ? more : length - used);
    text[length] = '\0';
    return text;
}

static void test_bombs_are_refused_soon(void **state) {
    (void)state;
    const struct {
        const char *head, *part;
    } bombs[] = {{"a = ", "["},        {"a = ", "{a="},     {"a", ".a"},       {"[a", ".a"},
                 {"a", " . \"b\""},    {"[[a", ".a"},       {"a = [", "[],["}, {"a = ", "[{a.b="},
                 {"a = {a", ".'x.y'"}, {"a = \"\"\"", "\""}};
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        char *toml = repeated(bombs[i].head, bombs[i].part, KNI_TOML_LIMIT);
        clock_t start = clock();
        assert_refused(toml, "TOML");
        assert_true(clock() - start < CLOCKS_PER_SEC);
        free(toml);
    }
    char *large = repeated("a = 1 #", "x", KNI_TOML_LIMIT + 1);
    assert_refused(large, "1048577 bytes are too many");
    free(large);
}

static void test_depth_counts_keys_and_brackets_together(void **state) {
    (void)state;
    char *dots = repeated("[a", ".a", 2 + 2 * 62); /* 63 tables, and the document */
    char toml[1024];
    snprintf(toml, sizeof toml, "%s]\nx = 1\n", dots);
    char *json;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_toml_to_json(NULL, toml, strlen(toml), "x", &json, &err), KN_OK);
    kni_free(kni_alloc_or_default(NULL), json);
    snprintf(toml, sizeof toml, "%s]\nx = []\n", dots);
    assert_refused(toml, "nested deeper than 64 levels");
    snprintf(toml, sizeof toml, "%s]\nx.y.z = 1\n", dots);
    assert_refused(toml, "nested deeper than 64 levels");
    free(dots);
}

static void test_a_megabyte_is_read_soon(void **state) {
    (void)state;
    char *toml = malloc(KNI_TOML_LIMIT);
    assert_non_null(toml);
    size_t used = 0;
    for (int i = 0; used < KNI_TOML_LIMIT - 64; i++)
        used += (size_t)snprintf(toml + used, 64, "[t%d.u]\nk = [%d, \"x\"]\n", i, i);
    char *json;
    kn_error err = KN_ERROR_INIT;
    clock_t start = clock();
    assert_int_equal(kni_toml_to_json(NULL, toml, used, "x", &json, &err), KN_OK);
    assert_true(clock() - start < 10 * CLOCKS_PER_SEC); /* under sanitizers */
    kni_free(kni_alloc_or_default(NULL), json);
    free(toml);
}

static kn_status convert(const kn_alloc *alloc, void *ctx, kn_error *err) {
    const char *toml = ctx;
    char *json;
    kn_status status = kni_toml_to_json(alloc, toml, strlen(toml), "x", &json, err);
    if (status) assert_null(json);
    kni_free(alloc, json);
    return status;
}

static void test_without_memory_it_fails_cleanly(void **state) {
    (void)state;
    char toml[] = "a = \"a text that is long enough to let the answer grow more than once\"\n"
                  "b = [1, 2.5, 1979-05-27, {c = true}]\n";
    assert_true(fault_sweep(convert, toml) >= 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_and_arrays_nest),
        cmocka_unit_test(test_places_are_those_of_keys_and_items),
        cmocka_unit_test(test_text_comes_through),
        cmocka_unit_test(test_numbers_and_booleans_come_through),
        cmocka_unit_test(test_what_json_has_no_word_for_becomes_text),
        cmocka_unit_test(test_what_is_no_toml_is_told_with_its_place),
        cmocka_unit_test(test_bombs_are_refused_soon),
        cmocka_unit_test(test_depth_counts_keys_and_brackets_together),
        cmocka_unit_test(test_a_megabyte_is_read_soon),
        cmocka_unit_test(test_without_memory_it_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
