/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/table.h"
#include "base/text.h"
#include "support/failing_alloc.h"
#include "support/unit.h"

static bool number_is(const void *ctx, uint32_t item, const void *key) {
    const int *numbers = ctx;
    return numbers[item] == *(const int *)key;
}

static uint32_t find(const kni_index *index, const int *numbers, uint64_t hash, int key) {
    return kni_index_find(index, hash, &key, number_is, numbers);
}

static void test_an_empty_index_finds_nothing(void **state) {
    (void)state;
    kni_index index;
    kni_index_init(&index, kni_alloc_or_default(NULL));
    assert_int_equal(find(&index, NULL, 1, 1), KNI_NONE);
    kni_index_clear(&index);
}

static void test_what_was_added_is_found_again(void **state) {
    (void)state;
    static int numbers[5000];
    kni_index index;
    kni_index_init(&index, kni_alloc_or_default(NULL));
    for (uint32_t i = 0; i < 5000; i++) {
        numbers[i] = (int)i * 7;
        assert_true(kni_index_add(&index, kni_hash_mix(i, 3), i));
    }
    assert_int_equal(index.count, 5000);
    for (uint32_t i = 0; i < 5000; i++) {
        assert_int_equal(find(&index, numbers, kni_hash_mix(i, 3), (int)i * 7), i);
    }
    assert_int_equal(find(&index, numbers, kni_hash_mix(4, 3), 1), KNI_NONE);
    assert_int_equal(find(&index, numbers, kni_hash_mix(5001, 3), 5001 * 7), KNI_NONE);
    kni_index_clear(&index);
    assert_int_equal(index.count, 0);
    assert_int_equal(find(&index, numbers, kni_hash_mix(0, 3), 0), KNI_NONE);
}

static void test_items_of_one_hash_are_told_apart_by_their_key(void **state) {
    (void)state;
    static int numbers[40];
    kni_index index;
    kni_index_init(&index, kni_alloc_or_default(NULL));
    for (uint32_t i = 0; i < 40; i++) {
        numbers[i] = (int)i;
        assert_true(kni_index_add(&index, 99, i));
    }
    for (int i = 0; i < 40; i++) assert_int_equal(find(&index, numbers, 99, i), i);
    assert_int_equal(find(&index, numbers, 99, 40), KNI_NONE);
    kni_index_clear(&index);
}

static void test_an_index_that_cannot_grow_stays_as_it_was(void **state) {
    (void)state;
    static int numbers[16];
    failing_alloc failing;
    failing_alloc_init(&failing, 1);
    kni_index index;
    kni_index_init(&index, &failing.alloc);
    uint32_t added = 0;
    while (kni_index_add(&index, added, added)) {
        numbers[added] = (int)added;
        added++;
    }
    assert_int_equal(added, 12); /* three quarters of 16 */
    assert_int_equal(index.count, 12);
    for (int i = 0; i < 12; i++) assert_int_equal(find(&index, numbers, (uint64_t)i, i), i);
    kni_index_clear(&index);
    assert_int_equal(failing.live, 0);
}

static void test_an_address_is_new_once(void **state) {
    (void)state;
    static char bytes[16 * 3000];
    kni_seen seen;
    kni_seen_init(&seen, kni_alloc_or_default(NULL));
    for (size_t i = 0; i < sizeof bytes; i += 16) {
        assert_int_equal(kni_seen_add(&seen, bytes + i), 1);
    }
    for (size_t i = 0; i < sizeof bytes; i += 16) {
        assert_int_equal(kni_seen_add(&seen, bytes + i), 0);
    }
    assert_int_equal(seen.count, 3000);
    kni_seen_clear(&seen);
    assert_int_equal(kni_seen_add(&seen, bytes), 1);
    kni_seen_clear(&seen);
}

static void test_addresses_side_by_side_are_told_apart(void **state) {
    (void)state;
    static char bytes[64];
    kni_seen seen;
    kni_seen_init(&seen, kni_alloc_or_default(NULL));
    for (size_t i = 0; i < sizeof bytes; i++) assert_int_equal(kni_seen_add(&seen, bytes + i), 1);
    for (size_t i = 0; i < sizeof bytes; i++) assert_int_equal(kni_seen_add(&seen, bytes + i), 0);
    kni_seen_clear(&seen);
}

static kn_status see_many(const kn_alloc *alloc, void *ctx, kn_error *err) {
    const char *bytes = ctx;
    kni_seen seen;
    kni_seen_init(&seen, alloc);
    kn_status status = KN_OK;
    for (size_t i = 0; i < 3000 && !status; i++) {
        size_t before = seen.count;
        if (kni_seen_add(&seen, bytes + i) < 0) {
            assert_int_equal(seen.count, before);
            if (i > 0) assert_int_equal(kni_seen_add(&seen, bytes), 0);
            status = kni_no_memory(err, "seeing");
        }
    }
    kni_seen_clear(&seen);
    return status;
}

static void test_a_set_that_cannot_grow_stays_as_it_was(void **state) {
    (void)state;
    static char bytes[3000];
    assert_int_equal(fault_sweep(see_many, bytes), 3); /* 1024, 2048, 4096 */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_index_finds_nothing),
        cmocka_unit_test(test_what_was_added_is_found_again),
        cmocka_unit_test(test_items_of_one_hash_are_told_apart_by_their_key),
        cmocka_unit_test(test_an_index_that_cannot_grow_stays_as_it_was),
        cmocka_unit_test(test_an_address_is_new_once),
        cmocka_unit_test(test_addresses_side_by_side_are_told_apart),
        cmocka_unit_test(test_a_set_that_cannot_grow_stays_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
