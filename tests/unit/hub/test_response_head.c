/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/response_head.h"

#include "support/failing_alloc.h"
#include "support/unit.h"

static void test_the_first_line_of_a_name_is_found(void **state) {
    (void)state;
    const kn_http_header headers[] = {{"etag", "a"}, {"link", "b"}, {"etag", "c"}};
    assert_string_equal(kni_head_find(headers, 3, "etag"), "a");
    assert_string_equal(kni_head_find(headers, 3, "link"), "b");
    assert_null(kni_head_find(headers, 3, "location"));
    assert_null(kni_head_find(NULL, 0, "etag"));
}

static void test_where_a_part_begins_is_read(void **state) {
    (void)state;
    assert_int_equal(kni_head_range_start("bytes 0-4/5"), 0);
    assert_int_equal(kni_head_range_start("bytes 1073741824-1073741900/*"), 1073741824);
    const char *none[] = {"",           "bytes */5",
                          "bytes -4/5", "items 0-4/5",
                          "bytes 4",    "bytes 99999999999999999999-1/2",
                          "bytes x-4/5"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(kni_head_range_start(none[i]), -1);
    assert_int_equal(kni_head_range_start(NULL), -1);
}

static void test_a_length_is_a_number_and_nothing_else(void **state) {
    (void)state;
    assert_int_equal(kni_head_length("0"), 0);
    assert_int_equal(kni_head_length("1234567890123"), 1234567890123);
    const char *none[] = {"", "-1", "1 ", "1, 1", "0x10", "9999999999999999999999"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(kni_head_length(none[i]), -1);
    assert_int_equal(kni_head_length(NULL), -1);
}

static kn_status next_of(const kn_alloc *alloc, const char *link, char **out, bool *found) {
    const kn_http_header headers[] = {{"date", "<x>; rel=next"}, {"link", link}};
    return kni_head_next(alloc, headers, 2, out, found);
}

static void test_the_next_page_is_found_among_links(void **state) {
    (void)state;
    const struct {
        const char *link, *next;
    } cases[] = {
        {"<https://h/p?cursor=a%3D>; rel=\"next\"", "https://h/p?cursor=a%3D"},
        {"</p>; rel=next", "/p"},
        {"</p>;rel=next;title=x", "/p"},
        {"</first>; rel=\"first\", </p,q>; title=\"a, <b>\"; rel=\"next\"", "/p,q"},
        {"</p>; rel=\"last\"", NULL},
        {"</p>; rel=\"nextish\"", NULL},
        {"</p>; rel=nextish", NULL},
        {"</p>", NULL},
        {"<", NULL},
        {"", NULL},
        {"</a>; title=\"open, </b>; rel=next", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *next;
        bool found;
        const kn_alloc *alloc = kni_alloc_or_default(NULL);
        assert_int_equal(next_of(alloc, cases[i].link, &next, &found), KN_OK);
        assert_int_equal(found, cases[i].next != NULL);
        if (found) assert_string_equal(next, cases[i].next);
        if (!found) assert_null(next);
        kni_free(alloc, next);
    }
}

static void test_a_link_needs_memory(void **state) {
    (void)state;
    failing_alloc failing;
    failing_alloc_init(&failing, 0);
    char *next;
    bool found;
    assert_int_equal(next_of(&failing.alloc, "</p>; rel=next", &next, &found), KN_ERR_NOMEM);
    assert_null(next);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_line_of_a_name_is_found),
        cmocka_unit_test(test_where_a_part_begins_is_read),
        cmocka_unit_test(test_a_length_is_a_number_and_nothing_else),
        cmocka_unit_test(test_the_next_page_is_found_among_links),
        cmocka_unit_test(test_a_link_needs_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
