/* SPDX-License-Identifier: Apache-2.0 */
/* Layouts of tensors, and the threads of the variants for tvm-ffi. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka needs those before */
#include <cmocka.h>

#include "kb_layout.h"
#include "kb_parallel.h"

enum { COUNT = 10007 };

static void mark(int64_t begin, int64_t end, void *context) {
    unsigned char *seen = context;
    for (int64_t i = begin; i < end; i++) seen[i]++;
}

/* Whether all of [0, COUNT) is run once. */
static int runs_all_once(void) {
    static const int64_t costs[] = {1, 100, 1000, 1000000};
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++) {
        unsigned char seen[COUNT] = {0};
        kb_parallel(COUNT, costs[i], mark, seen);
        for (int k = 0; k < COUNT; k++)
            if (seen[k] != 1) return 0;
    }
    return 1;
}

static void test_every_element_is_computed_once(void **state) {
    (void)state;
    assert_true(runs_all_once());
}

static void *call_often(void *result) {
    int right = 1;
    for (int i = 0; i < 50; i++) right &= runs_all_once();
    *(int *)result = right;
    return NULL;
}

static void test_callers_at_a_time_do_not_disturb_each_other(void **state) {
    (void)state;
    enum { CALLERS = 4 };
    pthread_t callers[CALLERS];
    int right[CALLERS] = {0};
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&callers[i], NULL, call_often, &right[i]), 0);
    for (int i = 0; i < CALLERS; i++) assert_int_equal(pthread_join(callers[i], NULL), 0);
    for (int i = 0; i < CALLERS; i++) assert_int_equal(right[i], 1);
}

static void test_a_child_of_a_fork_starts_threads_of_its_own(void **state) {
    (void)state;
    assert_true(runs_all_once());
    pid_t child = fork();
    if (child == 0) _exit(runs_all_once() ? 7 : 1);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    assert_true(runs_all_once());
}

static void test_rows_are_evenly_spaced_or_refused(void **state) {
    (void)state;
    const int64_t sizes[] = {2, 3, 4};
    const int64_t whole[] = {12, 4, 1}, gaps[] = {24, 8, 1}, uneven[] = {30, 8, 1};
    const int64_t scattered[] = {24, 8, 2};
    int64_t step = 0;
    assert_true(kb_layout_rows(3, sizes, whole, 1, &step));
    assert_int_equal(step, 4);
    assert_true(kb_layout_rows(3, sizes, whole, 2, &step));
    assert_int_equal(step, 12);
    assert_true(kb_layout_rows(3, sizes, gaps, 1, &step));
    assert_int_equal(step, 8);
    assert_false(kb_layout_rows(3, sizes, gaps, 2, &step));
    assert_false(kb_layout_rows(3, sizes, uneven, 1, &step));
    assert_false(kb_layout_rows(3, sizes, scattered, 1, &step));
    assert_true(kb_layout_rows(0, NULL, NULL, 0, &step));
    assert_int_equal(step, 1);
}

static void test_dense_is_without_gaps_in_any_order(void **state) {
    (void)state;
    const int64_t sizes[] = {2, 1, 3}, turned[] = {1, 99, 2}, gaps[] = {1, 1, 3};
    assert_true(kb_layout_is_dense(3, sizes, turned));
    assert_false(kb_layout_is_dense(3, sizes, gaps));
    assert_false(kb_layout_is_contiguous(3, sizes, turned));
    const int64_t none[] = {0, 1, 3};
    assert_true(kb_layout_is_contiguous(3, none, gaps));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_element_is_computed_once),
        cmocka_unit_test(test_callers_at_a_time_do_not_disturb_each_other),
        cmocka_unit_test(test_a_child_of_a_fork_starts_threads_of_its_own),
        cmocka_unit_test(test_rows_are_evenly_spaced_or_refused),
        cmocka_unit_test(test_dense_is_without_gaps_in_any_order),
    };
    if (setenv("KERNELS_NUM_THREADS", "4", 1)) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
