/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/serve_parts.h"
#include "support/unit.h"

static kni_scratch scratch;

static int set_up(void **state) {
    (void)state;
    kni_scratch_init(&scratch, kni_alloc_or_default(NULL));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    kni_scratch_clear(&scratch);
    return 0;
}

#define address_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static const char *path_of(const char *address) {
    kni_parts parts;
    kni_parts_of(&scratch, address, &parts);
    return kni_path_of_parts(&scratch, &parts);
}

static const char *revision_of(const char *address, size_t expected) {
    kni_parts parts;
    size_t used;
    kni_parts_of(&scratch, address, &parts);
    const char *revision = kni_revision_of(&scratch, &parts, &used);
    assert_int_equal(used, expected);
    return revision;
}

static void test_a_path_is_unescaped(void **state) {
    (void)state;
    assert_string_equal(path_of("build/a%20b%2B.txt"), "build/a b+.txt");
    assert_string_equal(path_of("//build/torch"), "build/torch");
    assert_string_equal(path_of("a%2Fb"), "a/b");
    assert_string_equal(path_of("100%"), "100%");
    assert_string_equal(path_of("%4"), "%4");
    assert_string_equal(path_of(""), "");
}

static void test_a_path_that_leads_elsewhere_is_none(void **state) {
    (void)state;
    static const char *const hostile[] = {
        "..",          "a/../b", "%2e%2e/b", "..%2f..%2frepo.json",
        "a%2f..%2f..", ".",      "%2fetc",   "a%00b",
        "a%5Cb",       "a\\b",   "a%0Ab",    "a//b",
        "a%2f%2fb",    "%00",    "..%5c",
    };
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        if (path_of(hostile[i])) fail_msg("'%s' was taken", hostile[i]);
    }
}

static void test_a_path_of_too_many_parts_is_none(void **state) {
    (void)state;
    char address[2 * 80 + 1];
    kni_parts parts;
    for (size_t i = 0; i < 80; i++) memcpy(address + 2 * i, "a/", 2);
    address[160] = '\0';
    kni_parts_of(&scratch, address, &parts);
    assert_int_equal(parts.count, 0);
}

static void test_a_revision_is_one_part_or_a_whole_ref(void **state) {
    (void)state;
    assert_string_equal(revision_of("main/a/b", 1), "main");
    assert_string_equal(revision_of("feature%2Fx/a", 1), "feature/x");
    assert_string_equal(revision_of("refs%2Fpr%2F1/a", 1), "refs/pr/1");
    assert_string_equal(revision_of("refs/pr/1/a", 3), "refs/pr/1");
    assert_null(revision_of("..%2f..%2fetc/a", 1));
    assert_null(revision_of("refs/pr/%2e%2e/a", 3));
    assert_null(revision_of("", 0));
}

static void test_names_are_those_that_the_hub_allows(void **state) {
    (void)state;
    assert_true(kni_is_served_name("kernels-community"));
    assert_true(kni_is_served_name("flash_attn.3"));
    static const char *const wrong[] = {"",     ".",   "..",    ".hidden", "-a",
                                        "a--b", "a/b", "a%2fb", "a b"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (kni_is_served_name(wrong[i])) fail_msg("'%s' was taken", wrong[i]);
    }
}

static void test_a_query_is_read(void **state) {
    (void)state;
    const char *query = "recursive=true&cursor=a%3D%3D%3A3&empty=&recursively=no";
    assert_string_equal(kni_query_get(&scratch, query, "recursive"), "true");
    assert_string_equal(kni_query_get(&scratch, query, "cursor"), "a==:3");
    assert_string_equal(kni_query_get(&scratch, query, "empty"), "");
    assert_null(kni_query_get(&scratch, query, "limit"));
    assert_null(kni_query_get(&scratch, "a=%00", "a"));
}

static void test_what_was_escaped_comes_back(void **state) {
    (void)state;
    const char *escaped = kni_escape(&scratch, "a b/\xC3\xA4%", false);
    assert_string_equal(escaped, "a%20b%2F%C3%A4%25");
    assert_string_equal(kni_unescape(&scratch, escaped, strlen(escaped)), "a b/\xC3\xA4%");
    assert_string_equal(kni_escape(&scratch, "a b/c", true), "a%20b/c");
}

static void check_range(const char *text, int64_t size, int64_t first, int64_t count) {
    kni_byte_range range = kni_range_parse(text, size);
    assert_true(range.asked);
    assert_false(range.wrong);
    assert_int_equal(range.first, first);
    assert_int_equal(range.count, count);
}

static void test_ranges(void **state) {
    (void)state;
    check_range("bytes=0-9", 100, 0, 10);
    check_range("bytes=90-", 100, 90, 10);
    check_range("bytes=-4", 100, 96, 4);
    check_range("bytes=-400", 100, 0, 100);
    check_range("bytes=5-999999999999999999999", 100, 5, 95);
    static const char *const whole[] = {"",           "lines=1-2",     "bytes=",    "bytes=-",
                                        "bytes=1-2,", "bytes=1-2,4-5", "bytes=a-b", "bytes=--1"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        if (kni_range_parse(whole[i], 100).asked) fail_msg("'%s' was taken", whole[i]);
    }
    static const char *const wrong[] = {"bytes=100-", "bytes=9-3", "bytes=-0",
                                        "bytes=999999999999999999999-"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (!kni_range_parse(wrong[i], 100).wrong) fail_msg("'%s' was taken", wrong[i]);
    }
    assert_true(kni_range_parse("bytes=0-", 0).wrong);
    assert_false(kni_range_parse(NULL, 100).asked);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        address_test(test_a_path_is_unescaped),
        address_test(test_a_path_that_leads_elsewhere_is_none),
        address_test(test_a_path_of_too_many_parts_is_none),
        address_test(test_a_revision_is_one_part_or_a_whole_ref),
        address_test(test_names_are_those_that_the_hub_allows),
        address_test(test_a_query_is_read),
        address_test(test_what_was_escaped_comes_back),
        address_test(test_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
