/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "support/failing_alloc.h"
#include "support/unit.h"

static void test_no_allocator_means_one_over_malloc(void **state) {
    (void)state;
    const kn_alloc *alloc = kni_alloc_or_default(NULL);
    char *bytes = alloc->resize(alloc->ctx, NULL, 3);
    assert_non_null(bytes);
    memcpy(bytes, "ab", 3);
    bytes = alloc->resize(alloc->ctx, bytes, 4000);
    assert_string_equal(bytes, "ab");
    assert_null(alloc->resize(alloc->ctx, bytes, 0));
}

static void test_a_given_allocator_is_used(void **state) {
    (void)state;
    failing_alloc counting;
    failing_alloc_init(&counting, SIZE_MAX);
    assert_ptr_equal(kni_alloc_or_default(&counting.alloc), &counting.alloc);
    void *block = kni_new(&counting.alloc, 8);
    assert_int_equal(counting.live, 1);
    kni_free(&counting.alloc, block);
    assert_int_equal(counting.live, 0);
}

static void test_new_memory_is_zero(void **state) {
    (void)state;
    const kn_alloc *alloc = kni_alloc_or_default(NULL);
    unsigned char *bytes = kni_new(alloc, 64);
    assert_non_null(bytes);
    for (size_t i = 0; i < 64; i++) assert_int_equal(bytes[i], 0);
    kni_free(alloc, bytes);
}

static void test_freeing_null_is_fine(void **state) {
    (void)state;
    failing_alloc counting;
    failing_alloc_init(&counting, SIZE_MAX);
    kni_free(&counting.alloc, NULL);
    assert_int_equal(counting.requests, 0);
}

static void test_copies_of_text(void **state) {
    (void)state;
    const kn_alloc *alloc = kni_alloc_or_default(NULL);
    char *whole = kni_text_copy(alloc, "layer"), *part = kni_text_copy_n(alloc, "layer", 3);
    char *empty = kni_text_copy(alloc, "");
    assert_string_equal(whole, "layer");
    assert_string_equal(part, "lay");
    assert_string_equal(empty, "");
    assert_null(kni_text_copy(alloc, NULL));
    kni_free(alloc, whole);
    kni_free(alloc, part);
    kni_free(alloc, empty);
}

static void test_no_memory_gives_null(void **state) {
    (void)state;
    failing_alloc failing;
    failing_alloc_init(&failing, 0);
    assert_null(kni_new(&failing.alloc, 8));
    failing_alloc_init(&failing, 0);
    assert_null(kni_text_copy(&failing.alloc, "text"));
}

static void test_reserve_keeps_items_and_doubles(void **state) {
    (void)state;
    failing_alloc counting;
    failing_alloc_init(&counting, SIZE_MAX);
    int *items = NULL;
    size_t capacity = 0;
    for (int i = 0; i < 1000; i++) {
        assert_true(kni_reserve(&counting.alloc, &items, &capacity, (size_t)i + 1, sizeof *items));
        items[i] = i;
    }
    for (int i = 0; i < 1000; i++) assert_int_equal(items[i], i);
    assert_int_equal(capacity, 1024);
    assert_int_equal(counting.requests, 7); /* 16, 32, ... 1024 */
    kni_free(&counting.alloc, items);
    assert_int_equal(counting.live, 0);
}

static void test_reserve_without_memory_changes_nothing(void **state) {
    (void)state;
    failing_alloc failing;
    failing_alloc_init(&failing, 1);
    int *items = NULL;
    size_t capacity = 0;
    assert_true(kni_reserve(&failing.alloc, &items, &capacity, 1, sizeof *items));
    items[0] = 7;
    int *before = items;
    assert_false(kni_reserve(&failing.alloc, &items, &capacity, 17, sizeof *items));
    assert_ptr_equal(items, before);
    assert_int_equal(capacity, 16);
    assert_int_equal(items[0], 7);
    kni_free(&failing.alloc, items);
}

static void test_reserve_refuses_a_size_that_overflows(void **state) {
    (void)state;
    failing_alloc counting;
    failing_alloc_init(&counting, SIZE_MAX);
    void *items = NULL;
    size_t capacity = 0;
    assert_false(kni_reserve(&counting.alloc, &items, &capacity, SIZE_MAX / 4, 16));
    assert_false(kni_reserve(&counting.alloc, &items, &capacity, SIZE_MAX, 1));
    assert_null(items);
    assert_int_equal(counting.requests, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_allocator_means_one_over_malloc),
        cmocka_unit_test(test_a_given_allocator_is_used),
        cmocka_unit_test(test_new_memory_is_zero),
        cmocka_unit_test(test_freeing_null_is_fine),
        cmocka_unit_test(test_copies_of_text),
        cmocka_unit_test(test_no_memory_gives_null),
        cmocka_unit_test(test_reserve_keeps_items_and_doubles),
        cmocka_unit_test(test_reserve_without_memory_changes_nothing),
        cmocka_unit_test(test_reserve_refuses_a_size_that_overflows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
