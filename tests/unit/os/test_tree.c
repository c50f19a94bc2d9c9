/* SPDX-License-Identifier: Apache-2.0 */
#include "os/tree.h"

#include <stdio.h>
#include <sys/stat.h>

#include "support/failing_alloc.h"
#include "support/scratch_folder.h"
#include "support/unit.h"

static scratch_folder scratch;

static int set_up(void **state) {
    (void)state;
    scratch_folder_make(&scratch);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    scratch_folder_remove(&scratch);
    return 0;
}

static void assert_files(const char *folder, const char *const *expected, size_t count) {
    kni_names names;
    kn_error err = KN_ERROR_INIT;
    if (kni_tree_files(NULL, folder, 100, &names, &err)) fail_msg("%s", err.message);
    assert_int_equal(names.count, count);
    for (size_t i = 0; i < count; i++) assert_string_equal(names.items[i], expected[i]);
    kni_names_clear(&names);
}

static void test_all_files_below_are_listed_in_the_order_of_bytes(void **state) {
    (void)state;
    scratch_file(&scratch, "b/z.py", "");
    scratch_file(&scratch, "b/deep/er/x", "");
    scratch_file(&scratch, "b.py", "");
    scratch_file(&scratch, "a", "");
    scratch_file(&scratch, ".hidden/.f", "");
    scratch_file(&scratch, "Z", "");
    scratch_directory(&scratch, "empty");
    const char *const expected[] = {".hidden/.f", "Z", "a", "b.py", "b/deep/er/x", "b/z.py"};
    assert_files(scratch.path, expected, 6);
}

static void test_links_to_files_count_and_links_to_folders_do_not(void **state) {
    (void)state;
    scratch_file(&scratch, "blob", "");
    scratch_file(&scratch, "v/sub/f", "");
    scratch_link(&scratch, "v/file", "../blob");
    scratch_link(&scratch, "v/again", "file");
    scratch_link(&scratch, "v/folder", "sub");
    scratch_link(&scratch, "v/loop", "..");
    scratch_link(&scratch, "v/nothing", "nowhere");
    const char *const expected[] = {"again", "file", "nothing", "sub/f"};
    assert_files(scratch_path(&scratch, "v"), expected, 4);
    scratch_link(&scratch, "w", "v");
    assert_files(scratch_path(&scratch, "w"), expected, 4);
}

static void test_pipes_are_left_out(void **state) {
    (void)state;
    scratch_file(&scratch, "v/f", "");
    assert_int_equal(mkfifo(scratch_path(&scratch, "v/pipe"), 0600), 0);
    const char *const expected[] = {"f"};
    assert_files(scratch_path(&scratch, "v"), expected, 1);
}

static void test_more_than_the_limit_is_refused(void **state) {
    (void)state;
    kni_names names;
    kn_error err = KN_ERROR_INIT;
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        scratch_file(&scratch, name, "");
    }
    assert_int_equal(kni_tree_files(NULL, scratch.path, 3, &names, &err), KN_OK);
    assert_int_equal(names.count, 3);
    kni_names_clear(&names);
    assert_int_equal(kni_tree_files(NULL, scratch.path, 2, &names, &err), KN_ERR_VALUE);
    assert_int_equal(names.count, 0);
    scratch_directory(&scratch, "d/e/f/g");
    assert_int_equal(kni_tree_files(NULL, scratch.path, 3, &names, &err), KN_ERR_VALUE);
    assert_contains(err.message, "more than 3");
}

static void test_a_folder_that_is_not_there_is_an_error(void **state) {
    (void)state;
    kni_names names;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_tree_files(NULL, scratch_path(&scratch, "nowhere"), 9, &names, &err),
                     KN_ERR_OS);
    assert_contains(err.message, "nowhere");
    assert_int_equal(names.count, 0);
    scratch_file(&scratch, "f", "");
    assert_int_equal(kni_tree_files(NULL, scratch_path(&scratch, "f"), 9, &names, &err), KN_ERR_OS);
}

static kn_status list(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    kni_names names;
    kn_status status = kni_tree_files(alloc, scratch.path, 100, &names, err);
    kni_names_clear(&names);
    return status;
}

static void test_listing_without_memory_fails_cleanly(void **state) {
    (void)state;
    scratch_file(&scratch, "a/b/c", "");
    scratch_file(&scratch, "d", "");
    assert_true(fault_sweep(list, NULL) > 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_files_below_are_listed_in_the_order_of_bytes,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_links_to_files_count_and_links_to_folders_do_not,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pipes_are_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_more_than_the_limit_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_folder_that_is_not_there_is_an_error, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_listing_without_memory_fails_cleanly, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
