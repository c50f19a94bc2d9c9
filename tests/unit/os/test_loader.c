/* SPDX-License-Identifier: Apache-2.0 */
#include "os/loader.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/failing_alloc.h"
#include "support/unit.h"

static void test_the_loader_of_this_process_is_described(void **state) {
    (void)state;
    kni_loader about = kni_loader_about();
    assert_int_equal(about.bits, 64);
    assert_false(about.is_big_endian);
    assert_int_equal(about.machine, 62);
    assert_memory_equal(about.glibc, "2.", 2);
}

static void test_a_loaded_library_is_found_by_its_name(void **state) {
    (void)state;
    char *path;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_loader_find(NULL, "libc.so.6", &path, &err), KN_OK);
    assert_non_null(path);
    assert_int_equal(path[0], '/');
    assert_contains(path, "/libc.so.6");
    free(path);
}

static void test_what_is_not_loaded_is_not_loaded_for_that(void **state) {
    (void)state;
    char *path = NULL;
    kn_error err = KN_ERROR_INIT;
    for (int i = 0; i < 2; i++) { /* of glibc, and linked by nothing */
        assert_int_equal(kni_loader_find(NULL, "libnss_compat.so.2", &path, &err), KN_OK);
        assert_null(path);
    }
}

static kn_status find_with(const kn_alloc *alloc, void *ctx, kn_error *err) {
    char *path;
    kn_status status = kni_loader_find(alloc, "libc.so.6", &path, err);
    if (path) alloc->resize(alloc->ctx, path, 0);
    (void)ctx;
    return status;
}

static void test_memory_that_runs_out_is_told(void **state) {
    (void)state;
    assert_int_equal(fault_sweep(find_with, NULL), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_loader_of_this_process_is_described),
        cmocka_unit_test(test_a_loaded_library_is_found_by_its_name),
        cmocka_unit_test(test_what_is_not_loaded_is_not_loaded_for_that),
        cmocka_unit_test(test_memory_that_runs_out_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
