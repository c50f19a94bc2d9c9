/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/version.h>

#include "support/unit.h"

#define TAGS_MAX 16

/* Of `tags`, with spaces between, the specifier selects `expected`; NULL: none. */
static void assert_selects(const char *specifier, const char *tags, const char *expected) {
    char text[512];
    const char *items[TAGS_MAX];
    size_t count = 0, best;
    assert_true(strlen(tags) < sizeof text);
    memcpy(text, tags, strlen(tags) + 1);
    for (char *at = text; *at; count++) {
        assert_true(count < TAGS_MAX);
        items[count] = at;
        at += strcspn(at, " ");
        if (*at) *at++ = '\0';
    }
    kn_error err = KN_ERROR_INIT;
    if (kn_specifier_select(specifier, items, count, &best, &err))
        fail_msg("'%s': %s", specifier, err.message);
    if (!expected) {
        if (best != SIZE_MAX) fail_msg("'%s' selects '%s'", specifier, items[best]);
        return;
    }
    if (best == SIZE_MAX) fail_msg("'%s' selects none of '%s'", specifier, tags);
    assert_string_equal(items[best], expected);
}

static void assert_contains_version(const char *specifier, const char *version, bool expected) {
    assert_selects(specifier, version, expected ? version : NULL);
}

static const char releases[] = "v0.1.0 v0.1.9 v0.1.10 v0.2.0 v1.0.0 v1.1.0";

static void test_the_newest_that_matches_is_selected(void **state) {
    (void)state;
    assert_selects(">=0.1,<0.2", releases, "v0.1.10");
    assert_selects("", releases, "v1.1.0");
    assert_selects(" , ,", releases, "v1.1.0");
    assert_selects("==0.1.*", releases, "v0.1.10");
    assert_selects("!=1.*", releases, "v0.2.0");
    assert_selects("~=0.1.2", releases, "v0.1.10");
    assert_selects("~=0.1", releases, "v0.2.0");
    assert_selects("<=1", releases, "v1.0.0");
    assert_selects("<1", releases, "v0.2.0");
    assert_selects(">1.1", releases, NULL);
    assert_selects("==0.1.9", releases, "v0.1.9");
    assert_selects("===1.0.0", releases, "v1.0.0");
    assert_selects("===1.0", releases, NULL);
    assert_selects(">=0.1", "", NULL);
}

static void test_tags_that_are_no_versions_are_left_out(void **state) {
    (void)state;
    assert_selects("", "main latest v release-3 0.1 v-2", "0.1");
    assert_selects("", "main", NULL);
    assert_selects("===main", "main", NULL);
}

static void test_of_tags_for_one_version_that_with_v_is_selected(void **state) {
    (void)state;
    assert_selects("", "1.0 v1.0.0 v1.0 1.0.0", "v1.0");
    assert_selects("", "v1.0 1.0.0 1.0 v1.0.0", "v1.0");
    assert_selects("", "1.0.0 1.0", "1.0");
}

static void test_prereleases_wait_until_they_are_asked_for(void **state) {
    (void)state;
    assert_selects("", "1.0 1.1rc1 1.2.dev0", "1.0");
    assert_selects(">=1", "1.0 1.1rc1", "1.0");
    assert_selects(">=1.0.dev0", "1.0 1.1rc1", "1.1rc1");
    assert_selects("!=1.0.dev0", "1.0 1.1rc1", "1.0");
    assert_selects(">=0.1,<1.2a1", "1.0 1.1rc1", "1.1rc1");
    assert_selects("===1.1RC1", "1.0 1.1rc1", "1.1rc1");
}

static void test_prereleases_are_taken_where_nothing_else_matches(void **state) {
    (void)state;
    assert_selects(">1.0", "1.0 1.1rc1 1.1a1", "1.1rc1");
    assert_selects("", "1.1rc1 1.2.dev0", "1.2.dev0");
    assert_selects("==1.1.*", "1.0 1.1rc1", "1.1rc1");
}

static void test_less_than_a_release_leaves_its_prereleases_out(void **state) {
    (void)state;
    assert_contains_version("<1.0", "1.0a1", false);
    assert_contains_version("<1.0", "1.0.dev0", false);
    assert_contains_version("<1.0", "0.9.post1", true);
    assert_contains_version("<1.0rc1", "1.0a1", true);
    assert_contains_version("<1.0.post1", "1.0.post1.dev0", false);
    assert_contains_version("<1.0.post1", "1.0", true);
    assert_contains_version("<1.0.post1.dev1", "1.0.post1.dev0", true);
    assert_contains_version("<0.dev0", "0.dev0", false);
    assert_contains_version("<1!0", "9", true);
}

static void test_more_than_a_release_leaves_its_postreleases_and_locals_out(void **state) {
    (void)state;
    assert_contains_version(">1.0", "1.0.post1", false);
    assert_contains_version(">1.0", "1.0.post1.dev0", false);
    assert_contains_version(">1.0", "1.0+a", false);
    assert_contains_version(">1.0", "1.0.1", true);
    assert_contains_version(">1.0", "1.0.0.post1", false);
    assert_contains_version(">1.0a1", "1.0a1.post1", false);
    assert_contains_version(">1.0a1", "1.0a2", true);
    assert_contains_version(">1.0.post1", "1.0.post2", true);
    assert_contains_version(">1.0.post1", "1.0.post1+a", false);
    assert_contains_version(">1.0.dev1", "1.0.dev1+a", false);
    assert_contains_version(">1.0.dev1", "1.0", true);
    assert_contains_version(">9", "1!0", true);
}

static void test_local_parts_count_only_where_they_are_written(void **state) {
    (void)state;
    assert_contains_version("==1.0", "1.0+a", true);
    assert_contains_version("!=1.0", "1.0+a", false);
    assert_contains_version("==1.0+a", "1.0", false);
    assert_contains_version("==1.0+A.01", "1.0+a.1", true);
    assert_contains_version("!=1.0+a", "1.0+b", true);
    assert_contains_version("<=1.0", "1.0+a", true);
    assert_contains_version(">=1.0", "1.0+a", true);
}

static void test_zeros_at_the_end_of_a_release_do_not_count(void **state) {
    (void)state;
    assert_contains_version("==1.0.0", "1", true);
    assert_contains_version("==1.0.*", "1", true);
    assert_contains_version("==1.0.0.*", "1.dev0", true);
    assert_contains_version("==1.1.*", "1", false);
    assert_contains_version("!=1.0.*", "1", false);
    assert_contains_version("~=1.0.0", "1", true);
    assert_contains_version("===1.0", "1", false);
}

static void test_a_prefix_is_one_of_numbers(void **state) {
    (void)state;
    assert_contains_version("==1.1.*", "1.10", false);
    assert_contains_version("==1.1.*", "1.1.9+a", true);
    assert_contains_version("==1.1.*", "1.1rc1.post2.dev3", true);
    assert_contains_version("==1!1.*", "1.0", false);
    assert_contains_version("==v1!01.*", "1!1.7", true);
    assert_contains_version("==18446744073709551616.*", "18446744073709551616.1", true);
}

static void test_compatible_means_at_least_and_of_one_series(void **state) {
    (void)state;
    assert_contains_version("~=1.4.5", "1.4.5", true);
    assert_contains_version("~=1.4.5", "1.4.4", false);
    assert_contains_version("~=1.4.5", "1.5.dev0", false);
    assert_contains_version("~=1.4.5a4", "1.4.5a4", true);
    assert_contains_version("~=1.4.5a4", "1.4.5a3", false);
    assert_contains_version("~=1.4", "1.99", true);
    assert_contains_version("~=1.4", "2.dev0", false);
    assert_contains_version("~=1!1.4", "1.5", false);
    assert_contains_version("~=1.4.post2", "1.4.post1", false);
}

static void test_identity_compares_texts_without_case(void **state) {
    (void)state;
    assert_contains_version("===1.0RC1", "1.0.rc.1", true);
    assert_contains_version("=== 1.0+Ab ", "v1.0+aB", true);
    assert_contains_version("===v1.0", "v1.0", false);
    assert_contains_version("===", "1.0", false);
    assert_contains_version("====1.0", "1.0", false);
}

static void test_white_space_and_case_are_free(void **state) {
    (void)state;
    assert_selects("\t>= 0.1 ,\n< 0.2\xC2\xA0", releases, "v0.1.10");
    assert_selects(">=V0.1,<0.2", releases, "v0.1.10");
}

static void assert_refused(const char *specifier, const char *quoted) {
    kn_error err = KN_ERROR_INIT;
    if (kn_specifier_check(specifier, &err) != KN_ERR_VALUE)
        fail_msg("'%s' was accepted", specifier);
    assert_contains(err.message, quoted);
    const char *tag = "1.0";
    size_t best = 0;
    assert_int_equal(kn_specifier_select(specifier, &tag, 1, &best, NULL), KN_ERR_VALUE);
    assert_int_equal(best, SIZE_MAX);
}

static void test_a_clause_that_is_none_is_quoted(void **state) {
    (void)state;
    assert_refused(">=0.1, 0.2", "version specifier '>=0.1, 0.2': '0.2' is no clause of PEP 440;");
    assert_refused(">=", "'>=' is no clause");
    assert_refused("=1.0", "'=1.0' is no clause");
    assert_refused("= =1.0", "'= =1.0' is no clause");
    assert_refused(">=1.0.*", "'>=1.0.*' is no clause");
    assert_refused("~=1", "'~=1' is no clause");
    assert_refused("~=1!1", "'~=1!1' is no clause");
    assert_refused("~=1.0+a", "'~=1.0+a' is no clause");
    assert_refused(">1.0+a", "'>1.0+a' is no clause");
    assert_refused("==1.0a1.*", "'==1.0a1.*' is no clause");
    assert_refused("==1.0+a.*", "'==1.0+a.*' is no clause");
    assert_refused("==.*", "'==.*' is no clause");
    assert_refused("===1 0", "'===1 0' is no clause");
    assert_refused("===1\xE3\x80\x80"
                   "0",
                   "is no clause");
    assert_refused("===1;", "'===1;' is no clause");
    assert_refused("<1.0 >0.1", "'<1.0 >0.1' is no clause");
    assert_refused("latest", "'latest' is no clause");
}

static void test_a_long_clause_is_quoted_in_part(void **state) {
    (void)state;
    char text[1000];
    for (size_t i = 0; i + 2 < sizeof text; i += 2) memcpy(text + i, "\xC3\xA9", 3);
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_specifier_check(text, &err), KN_ERR_VALUE);
    assert_true(strlen(err.message) < 500);
    assert_contains(err.message, "\xC3\xA9' is no clause");
}

static void test_a_set_has_at_most_64_clauses(void **state) {
    (void)state;
    char text[65 * 4 + 1] = {0};
    for (size_t i = 0; i < 65; i++) memcpy(text + i * 4, ">=1,", 4);
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_specifier_check(text, &err), KN_ERR_VALUE);
    assert_contains(err.message, "has more than 64 clauses");
    text[64 * 4] = '\0';
    assert_int_equal(kn_specifier_check(text, &err), KN_OK);
}

static void test_identity_has_the_length_of_a_version(void **state) {
    (void)state;
    char text[3 + KN_VERSION_LENGTH_MAX + 2] = "===";
    memset(text + 3, 'x', KN_VERSION_LENGTH_MAX);
    assert_int_equal(kn_specifier_check(text, NULL), KN_OK);
    text[3 + KN_VERSION_LENGTH_MAX] = 'x';
    assert_int_equal(kn_specifier_check(text, NULL), KN_ERR_VALUE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_newest_that_matches_is_selected),
        cmocka_unit_test(test_tags_that_are_no_versions_are_left_out),
        cmocka_unit_test(test_of_tags_for_one_version_that_with_v_is_selected),
        cmocka_unit_test(test_prereleases_wait_until_they_are_asked_for),
        cmocka_unit_test(test_prereleases_are_taken_where_nothing_else_matches),
        cmocka_unit_test(test_less_than_a_release_leaves_its_prereleases_out),
        cmocka_unit_test(test_more_than_a_release_leaves_its_postreleases_and_locals_out),
        cmocka_unit_test(test_local_parts_count_only_where_they_are_written),
        cmocka_unit_test(test_zeros_at_the_end_of_a_release_do_not_count),
        cmocka_unit_test(test_a_prefix_is_one_of_numbers),
        cmocka_unit_test(test_compatible_means_at_least_and_of_one_series),
        cmocka_unit_test(test_identity_compares_texts_without_case),
        cmocka_unit_test(test_white_space_and_case_are_free),
        cmocka_unit_test(test_a_clause_that_is_none_is_quoted),
        cmocka_unit_test(test_a_long_clause_is_quoted_in_part),
        cmocka_unit_test(test_a_set_has_at_most_64_clauses),
        cmocka_unit_test(test_identity_has_the_length_of_a_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
