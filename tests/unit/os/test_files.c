/* SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700

#include <stdlib.h>
#include <sys/stat.h>

#include "base/error.h"
#include "os/files.h"
#include "support/failing_alloc.h"
#include "support/scratch_folder.h"
#include "support/unit.h"

static scratch_folder scratch;

static int make_scratch(void **state) {
    (void)state;
    scratch_folder_make(&scratch);
    return 0;
}

static int remove_scratch(void **state) {
    (void)state;
    scratch_folder_remove(&scratch);
    return 0;
}

static kn_status read_file(const char *path, size_t limit, char **out, size_t *length,
                           kn_error *err) {
    *err = (kn_error)KN_ERROR_INIT;
    *out = (char *)1;
    *length = 99;
    return kni_file_read(NULL, path, limit, out, length, err);
}

static void assert_reading_fails(const char *path, size_t limit, kn_status expected,
                                 const char *part) {
    kn_error err;
    char *bytes;
    size_t length;
    assert_int_equal(read_file(path, limit, &bytes, &length, &err), expected);
    assert_null(bytes);
    assert_int_equal(length, 0);
    assert_contains(err.message, path);
    assert_contains(err.message, part);
}

static void test_a_file_is_read_whole_and_terminated(void **state) {
    (void)state;
    kn_error err;
    char *bytes;
    size_t length;
    scratch_file(&scratch, "a", "one\ntwo");
    assert_int_equal(read_file(scratch_path(&scratch, "a"), 100, &bytes, &length, &err), KN_OK);
    assert_int_equal(length, 7);
    assert_string_equal(bytes, "one\ntwo");
    kni_free(kni_alloc_or_default(NULL), bytes);
}

static void test_an_empty_file_is_empty_text(void **state) {
    (void)state;
    kn_error err;
    char *bytes;
    size_t length;
    scratch_file(&scratch, "a", "");
    assert_int_equal(read_file(scratch_path(&scratch, "a"), 0, &bytes, &length, &err), KN_OK);
    assert_int_equal(length, 0);
    assert_string_equal(bytes, "");
    kni_free(kni_alloc_or_default(NULL), bytes);
}

static void test_a_file_may_have_the_limit_and_no_byte_more(void **state) {
    (void)state;
    kn_error err;
    char *bytes;
    size_t length;
    scratch_file(&scratch, "a", "12345");
    const char *path = scratch_path(&scratch, "a");
    assert_int_equal(read_file(path, 5, &bytes, &length, &err), KN_OK);
    kni_free(kni_alloc_or_default(NULL), bytes);
    assert_reading_fails(path, 4, KN_ERR_VALUE, "more than 4 bytes");
}

/* Files of /proc say that they have no bytes. */
static void test_a_file_that_is_longer_than_it_says_is_read_whole(void **state) {
    (void)state;
    kn_error err;
    char *bytes;
    size_t length;
    assert_int_equal(read_file("/proc/self/status", 1 << 20, &bytes, &length, &err), KN_OK);
    assert_true(length > 100);
    assert_int_equal(strlen(bytes), length);
    assert_contains(bytes, "Threads:");
    kni_free(kni_alloc_or_default(NULL), bytes);
    assert_reading_fails("/proc/self/status", 100, KN_ERR_VALUE, "more than 100 bytes");
}

static void test_what_is_no_file_is_refused(void **state) {
    (void)state;
    scratch_directory(&scratch, "folder");
    scratch_file(&scratch, "file", "");
    assert_int_equal(mkfifo(scratch_path(&scratch, "pipe"), 0600), 0);
    assert_reading_fails(scratch_path(&scratch, "none"), 9, KN_ERR_NOT_FOUND,
                         "nothing at this path");
    assert_reading_fails(scratch_path(&scratch, "file/x"), 9, KN_ERR_NOT_FOUND,
                         "nothing at this path");
    assert_reading_fails(scratch_path(&scratch, "folder"), 9, KN_ERR_OS, "not a regular file");
    assert_reading_fails(scratch_path(&scratch, "pipe"), 9, KN_ERR_OS, "not a regular file");
}

static void test_the_systems_refusal_is_told(void **state) {
    (void)state;
    scratch_link(&scratch, "loop", "loop");
    assert_reading_fails(scratch_path(&scratch, "loop"), 9, KN_ERR_OS, "errno 40");
}

static kn_status read_status(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    char *bytes;
    size_t length;
    kn_status status = kni_file_read(alloc, "/proc/self/status", 1 << 20, &bytes, &length, err);
    kni_free(alloc, bytes);
    return status;
}

static void test_reading_without_memory_fails_cleanly(void **state) {
    (void)state;
    assert_int_equal(fault_sweep(read_status, NULL), 2); /* the first buffer and one that is larger
                                                          */
}

static void test_paths_are_asked_for_their_kind(void **state) {
    (void)state;
    scratch_file(&scratch, "folder/file", "");
    scratch_link(&scratch, "to-file", "folder/file");
    scratch_link(&scratch, "to-folder", "folder");
    scratch_link(&scratch, "to-nothing", "none");
    assert_true(kni_path_is_file(scratch_path(&scratch, "folder/file")));
    assert_true(kni_path_is_file(scratch_path(&scratch, "to-file")));
    assert_false(kni_path_is_file(scratch_path(&scratch, "folder")));
    assert_false(kni_path_is_file(scratch_path(&scratch, "to-nothing")));
    assert_true(kni_path_is_directory(scratch_path(&scratch, "folder")));
    assert_true(kni_path_is_directory(scratch_path(&scratch, "to-folder")));
    assert_false(kni_path_is_directory(scratch_path(&scratch, "to-file")));
    assert_false(kni_path_is_directory(scratch_path(&scratch, "none")));
    assert_false(kni_path_is_directory(""));
}

static void assert_joined(const char *folder, const char *name, const char *expected) {
    char *path = kni_path_join(kni_alloc_or_default(NULL), folder, name);
    assert_string_equal(path, expected);
    kni_free(kni_alloc_or_default(NULL), path);
}

static void test_paths_are_joined_with_one_slash(void **state) {
    (void)state;
    assert_joined("a", "b", "a/b");
    assert_joined("a/", "b/c", "a/b/c");
    assert_joined("/", "b", "/b");
    assert_joined("a", "/b", "/b");
    assert_joined("", "b", "b");
    assert_joined("a", "", "a/");
    failing_alloc failing;
    failing_alloc_init(&failing, 0);
    assert_null(kni_path_join(&failing.alloc, "a", "b"));
}

static void test_a_resolved_path_is_absolute_and_has_no_links(void **state) {
    (void)state;
    scratch_directory(&scratch, "a");
    scratch_directory(&scratch, "a/b");
    scratch_link(&scratch, "link", "a");
    char *path;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_path_resolve(NULL, scratch_path(&scratch, "link/./b/../b/"), &path, &err),
                     KN_OK);
    assert_string_equal(path, scratch_path(&scratch, "a/b"));
    kni_free(kni_alloc_or_default(NULL), path);
}

static void test_what_is_not_there_is_not_resolved(void **state) {
    (void)state;
    scratch_link(&scratch, "loop", "loop");
    char *path;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_path_resolve(NULL, scratch_path(&scratch, "none"), &path, &err),
                     KN_ERR_NOT_FOUND);
    assert_null(path);
    assert_contains(err.message, scratch_path(&scratch, "none"));
    assert_int_equal(kni_path_resolve(NULL, "", &path, &err), KN_ERR_NOT_FOUND);
    assert_int_equal(kni_path_resolve(NULL, scratch_path(&scratch, "loop"), &path, &err),
                     KN_ERR_OS);
    failing_alloc failing;
    failing_alloc_init(&failing, 0);
    assert_int_equal(kni_path_resolve(&failing.alloc, "/", &path, &err), KN_ERR_NOMEM);
    assert_null(path);
}

static void test_folders_are_listed_sorted_without_files_and_hidden_ones(void **state) {
    (void)state;
    scratch_directory(&scratch, "b");
    scratch_directory(&scratch, "a10");
    scratch_directory(&scratch, "a2");
    scratch_directory(&scratch, "C");
    scratch_directory(&scratch, ".hidden");
    scratch_file(&scratch, "file", "");
    scratch_link(&scratch, "linked", "b");
    scratch_link(&scratch, "broken", "none");
    kni_names names;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_directory_folders(NULL, scratch.path, &names, &err), KN_OK);
    assert_int_equal(names.count, 5);
    assert_string_equal(names.items[0], "C");
    assert_string_equal(names.items[1], "a10");
    assert_string_equal(names.items[2], "a2");
    assert_string_equal(names.items[3], "b");
    assert_string_equal(names.items[4], "linked");
    kni_names_clear(&names);
    assert_int_equal(names.count, 0);
    assert_null(names.items);
}

static void test_listing_what_is_no_directory_fails(void **state) {
    (void)state;
    kni_names names;
    kn_error err = KN_ERROR_INIT;
    scratch_file(&scratch, "file", "");
    const char *none = scratch_path(&scratch, "none"), *file = scratch_path(&scratch, "file");
    assert_int_equal(kni_directory_folders(NULL, none, &names, &err), KN_ERR_NOT_FOUND);
    assert_contains(err.message, none);
    assert_int_equal(names.count, 0);
    assert_int_equal(kni_directory_folders(NULL, file, &names, &err), KN_ERR_NOT_FOUND);
}

static kn_status list_scratch(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    kni_names names;
    kn_status status = kni_directory_folders(alloc, scratch.path, &names, err);
    if (status) assert_int_equal(names.count, 0);
    kni_names_clear(&names);
    return status;
}

static void test_listing_without_memory_fails_cleanly(void **state) {
    (void)state;
    const char *folders[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < 5; i++) scratch_directory(&scratch, folders[i]);
    assert_int_equal(fault_sweep(list_scratch, NULL), 6); /* five names and the array */
}

static void test_an_empty_variable_is_as_one_that_is_not_set(void **state) {
    (void)state;
    setenv("KN_TEST_VARIABLE", "value", 1);
    assert_string_equal(kni_environment("KN_TEST_VARIABLE"), "value");
    setenv("KN_TEST_VARIABLE", "", 1);
    assert_null(kni_environment("KN_TEST_VARIABLE"));
    unsetenv("KN_TEST_VARIABLE");
    assert_null(kni_environment("KN_TEST_VARIABLE"));
}

#define in_scratch(test) cmocka_unit_test_setup_teardown(test, make_scratch, remove_scratch)

int main(void) {
    const struct CMUnitTest tests[] = {
        in_scratch(test_a_file_is_read_whole_and_terminated),
        in_scratch(test_an_empty_file_is_empty_text),
        in_scratch(test_a_file_may_have_the_limit_and_no_byte_more),
        cmocka_unit_test(test_a_file_that_is_longer_than_it_says_is_read_whole),
        in_scratch(test_what_is_no_file_is_refused),
        in_scratch(test_the_systems_refusal_is_told),
        cmocka_unit_test(test_reading_without_memory_fails_cleanly),
        in_scratch(test_paths_are_asked_for_their_kind),
        cmocka_unit_test(test_paths_are_joined_with_one_slash),
        in_scratch(test_a_resolved_path_is_absolute_and_has_no_links),
        in_scratch(test_what_is_not_there_is_not_resolved),
        in_scratch(test_folders_are_listed_sorted_without_files_and_hidden_ones),
        in_scratch(test_listing_what_is_no_directory_fails),
        in_scratch(test_listing_without_memory_fails_cleanly),
        cmocka_unit_test(test_an_empty_variable_is_as_one_that_is_not_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
