/* SPDX-License-Identifier: Apache-2.0 */
#include "os/parallel.h"

#include "os/clock.h"
#include "support/unit.h"

static void mark(void *ctx, size_t index) { ((unsigned char *)ctx)[index]++; }

static void test_each_number_comes_once(void **state) {
    (void)state;
    static const size_t counts[] = {0, 1, 15, 16, 17, 1000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        unsigned char seen[1001] = {0};
        kni_parallel(counts[i], mark, seen);
        for (size_t k = 0; k < sizeof seen; k++) assert_int_equal(seen[k], k < counts[i]);
    }
}

typedef struct crowd {
    int now, most;
} crowd;

static void stay(void *ctx, size_t index) {
    crowd *c = ctx;
    (void)index;
    int now = __atomic_add_fetch(&c->now, 1, __ATOMIC_SEQ_CST);
    int most = __atomic_load_n(&c->most, __ATOMIC_SEQ_CST);
    while (now > most && !__atomic_compare_exchange_n(&c->most, &most, now, false, __ATOMIC_SEQ_CST,
                                                      __ATOMIC_SEQ_CST)) {
    }
    kni_sleep_ms(20);
    __atomic_sub_fetch(&c->now, 1, __ATOMIC_SEQ_CST);
}

static void test_calls_run_side_by_side(void **state) {
    (void)state;
    crowd c = {0};
    kni_parallel(64, stay, &c);
    assert_int_equal(c.now, 0);
    assert_in_range(c.most, 2, KNI_PARALLEL_MAX);
}

static void test_clocks(void **state) {
    (void)state;
    assert_true(kni_clock_seconds() > 1700000000);
    assert_true(kni_process_id() > 0);
    const char *version = kni_libc_version();
    assert_true(!version || version[0] == '2');
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_number_comes_once),
        cmocka_unit_test(test_calls_run_side_by_side),
        cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
