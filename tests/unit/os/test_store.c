/* SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700

#include "os/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

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

#define store_test(test) cmocka_unit_test_setup_teardown(test, make_scratch, remove_scratch)

static void assert_content(const char *path, const char *text) {
    char *bytes;
    size_t length;
    assert_int_equal(kni_file_read(NULL, path, 1 << 20, &bytes, &length, NULL), KN_OK);
    assert_string_equal(bytes, text);
    free(bytes);
}

static void assert_names(const char *base, const char *name, const char *expected) {
    kni_names names;
    char all[1024] = "";
    assert_int_equal(kni_store_files(NULL, base, name, 1000, &names, NULL), KN_OK);
    for (size_t i = 0; i < names.count; i++) {
        size_t length = strlen(all);
        snprintf(all + length, sizeof all - length, "%s ", names.items[i]);
    }
    kni_names_clear(&names);
    assert_string_equal(all, expected);
}

static void test_only_paths_below_a_folder_stay_inside(void **state) {
    (void)state;
    assert_true(kni_path_stays_inside("a"));
    assert_true(kni_path_stays_inside("build/torch-cpu/__init__.py"));
    assert_true(kni_path_stays_inside("..."));
    assert_true(kni_path_stays_inside("a/..b/.c"));
    assert_true(kni_path_stays_inside("\xC3\xA4/ x"));
    static const char *const hostile[] = {"",     "/",      "/a",    ".",    "..",   "a/..",
                                          "../a", "a/../b", "a//b",  "a/",   "./a",  "a/.",
                                          "a\\b", "a\nb",   "a\x01", "\x7F", "a/./b"};
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        assert_false(kni_path_stays_inside(hostile[i]));
    }
}

static void test_overlong_paths_are_refused(void **state) {
    (void)state;
    char path[2 * KNI_PATH_MAX];
    memset(path, 'a', sizeof path);
    path[255] = '\0';
    assert_true(kni_path_stays_inside(path));
    path[255] = 'a';
    path[256] = '\0';
    assert_false(kni_path_stays_inside(path));
    memset(path, 'a', sizeof path);
    for (size_t i = 1; i < sizeof path; i += 2) path[i] = '/';
    path[4095] = '\0';
    assert_true(kni_path_stays_inside(path));
    path[4095] = '/';
    path[4097] = '\0';
    assert_false(kni_path_stays_inside(path));
}

static void test_a_file_is_written_with_all_folders_and_nothing_else(void **state) {
    (void)state;
    const char *base = scratch_path(&scratch, "not/yet/there");
    assert_int_equal(kni_store_write(base, "a/b/c", "text", 4, NULL), KN_OK);
    assert_content(scratch_path(&scratch, "not/yet/there/a/b/c"), "text");
    assert_int_equal(kni_store_write(base, "a/b/c", "", 0, NULL), KN_OK);
    assert_content(scratch_path(&scratch, "not/yet/there/a/b/c"), "");
    assert_names(scratch.path, "not", "yet/there/a/b/c ");
}

static void test_a_base_that_is_a_link_is_followed(void **state) {
    (void)state;
    scratch_directory(&scratch, "disk");
    scratch_link(&scratch, "cache", "disk");
    assert_int_equal(kni_store_write(scratch_path(&scratch, "cache"), "a/b", "x", 1, NULL), KN_OK);
    assert_content(scratch_path(&scratch, "disk/a/b"), "x");
}

static void test_links_below_the_base_are_not_followed(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    bool supported;
    scratch_directory(&scratch, "outside");
    scratch_file(&scratch, "outside/file", "kept");
    scratch_link(&scratch, "base/in", "../outside");
    scratch_link(&scratch, "base/file", "../outside/file");
    const char *base = scratch_path(&scratch, "base");
    assert_int_equal(kni_store_write(base, "in/x", "x", 1, &err), KN_ERR_OS);
    assert_contains(err.message, "base/in/x");
    assert_int_equal(kni_store_link(base, "in/x", "y", &supported, &err), KN_ERR_OS);
    assert_int_equal(kni_store_copy(base, "in/x", "/proc/self/status", &err), KN_ERR_OS);
    assert_int_equal(kni_store_remove(base, "in/file", &err), KN_ERR_OS);
    assert_int_equal(kni_store_write(base, "file", "new", 3, &err), KN_OK); /* replaces the link */
    assert_content(scratch_path(&scratch, "outside/file"), "kept");
    assert_content(scratch_path(&scratch, "base/file"), "new");
    assert_names(scratch.path, "outside", "file ");
}

static void test_hostile_names_touch_nothing(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    bool supported;
    const char *base = scratch_path(&scratch, "base");
    assert_int_equal(kni_store_write(base, "../x", "x", 1, &err), KN_ERR_VALUE);
    assert_int_equal(kni_store_write(base, "/x", "x", 1, &err), KN_ERR_VALUE);
    assert_int_equal(kni_store_link(base, "../x", "y", &supported, &err), KN_ERR_VALUE);
    assert_int_equal(kni_store_remove(base, "../x", &err), KN_ERR_OS);
    assert_false(kni_store_is_link_to(base, "../x", "y"));
    assert_names(scratch.path, "", "");
    assert_false(kni_path_is_directory(base));
}

static void test_what_stands_in_the_way_is_told(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    scratch_file(&scratch, "file", "");
    scratch_directory(&scratch, "folder/inner");
    assert_int_equal(kni_store_write(scratch_path(&scratch, "file"), "a", "x", 1, &err), KN_ERR_OS);
    assert_contains(err.message, "is a file or a link");
    assert_int_equal(kni_store_write(scratch_path(&scratch, "file/below"), "a", "x", 1, &err),
                     KN_ERR_OS);
    assert_int_equal(kni_store_write(scratch_path(&scratch, "folder"), "inner", "x", 1, &err),
                     KN_ERR_OS);
    assert_names(scratch.path, "", "file ");
}

static void test_a_link_replaces_what_is_there(void **state) {
    (void)state;
    bool supported;
    const char *base = scratch_path(&scratch, "base");
    scratch_file(&scratch, "base/a", "text");
    assert_int_equal(kni_store_link(base, "a", "x/y", &supported, NULL), KN_OK);
    assert_true(supported);
    assert_true(kni_store_is_link_to(base, "a", "x/y"));
    assert_false(kni_store_is_link_to(base, "a", "x/yz"));
    assert_false(kni_store_is_link_to(base, "a", "x/"));
    assert_int_equal(kni_store_link(base, "a", "z", &supported, NULL), KN_OK);
    assert_true(kni_store_is_link_to(base, "a", "z"));
    assert_false(kni_store_is_link_to(base, "none", "z"));
    assert_names(scratch.path, "", "");
}

static void test_a_copy_is_whole(void **state) {
    (void)state;
    char text[40000];
    memset(text, 'q', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    scratch_file(&scratch, "from", text);
    const char *from = scratch_path(&scratch, "from");
    assert_int_equal(kni_store_copy(scratch.path, "b/to", from, NULL), KN_OK);
    assert_content(scratch_path(&scratch, "b/to"), text);
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_store_copy(scratch.path, "b/no", scratch_path(&scratch, "none"), &err),
                     KN_ERR_OS);
    assert_int_equal(kni_store_copy(scratch.path, "b/no", scratch.path, &err), KN_ERR_OS);
    assert_names(scratch.path, "", "b/to from ");
}

static void test_removing_what_is_not_there_is_fine(void **state) {
    (void)state;
    assert_int_equal(kni_store_remove(scratch_path(&scratch, "none"), "a", NULL), KN_OK);
    assert_int_equal(kni_store_remove(scratch.path, "a/b", NULL), KN_OK);
    scratch_file(&scratch, "a/b", "x");
    assert_int_equal(kni_store_remove(scratch.path, "a/b", NULL), KN_OK);
    assert_names(scratch.path, "", "");
    assert_int_equal(kni_store_remove(scratch.path, "a", NULL), KN_ERR_OS);
}

static void test_only_old_temporary_files_are_swept(void **state) {
    (void)state;
    struct utimbuf old = {.actime = 1000, .modtime = 1000};
    scratch_file(&scratch, ".tmp-0000000000000001", "x");
    scratch_file(&scratch, ".tmp-0000000000000002", "x");
    scratch_file(&scratch, "a", "x");
    assert_int_equal(utime(scratch_path(&scratch, ".tmp-0000000000000001"), &old), 0);
    assert_int_equal(utime(scratch_path(&scratch, "a"), &old), 0);
    kni_store_sweep(scratch.path, 3600);
    kni_store_sweep(scratch_path(&scratch, "none"), 3600);
    assert_names(scratch.path, "", ".tmp-0000000000000002 a ");
}

static void test_files_are_listed_without_links_and_within_a_limit(void **state) {
    (void)state;
    scratch_file(&scratch, "r/main", "");
    scratch_file(&scratch, "r/refs/pr/1", "");
    scratch_file(&scratch, "r/refs/pr/2", "");
    scratch_link(&scratch, "r/loop", ".");
    scratch_link(&scratch, "r/link", "main");
    assert_int_equal(mkfifo(scratch_path(&scratch, "r/pipe"), 0600), 0);
    assert_names(scratch.path, "r", "main refs/pr/1 refs/pr/2 ");
    assert_names(scratch.path, "none", "");
    assert_names(scratch.path, "r/main", "");
    kni_names names;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_store_files(NULL, scratch.path, "r", 5, &names, &err), KN_OK);
    kni_names_clear(&names);
    assert_int_equal(kni_store_files(NULL, scratch.path, "r", 4, &names, &err), KN_ERR_VALUE);
    assert_int_equal(names.count, 0);
    assert_contains(err.message, "more than 4");
}

static kn_status list_files(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    kni_names names;
    kn_status status = kni_store_files(alloc, scratch.path, "r", 100, &names, err);
    kni_names_clear(&names);
    return status;
}

static bool count_bytes(void *ctx, const void *bytes, size_t length) {
    (void)bytes;
    *(size_t *)ctx += length;
    return *(size_t *)ctx < 1000000;
}

static kn_status read_each(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    kni_file_facts facts;
    size_t sum = 0;
    int folder = kni_folder_open(scratch.path, false);
    kn_status status = kni_file_each(alloc, folder, "r/a", count_bytes, &sum, &facts, err);
    kni_folder_close(folder);
    return status;
}

static void test_every_allocation_may_fail(void **state) {
    (void)state;
    scratch_file(&scratch, "r/a", "x");
    scratch_file(&scratch, "r/b/c", "");
    assert_true(fault_sweep(list_files, NULL) >= 8);
    assert_int_equal(fault_sweep(read_each, NULL), 1);
}

static void test_facts_follow_links_and_each_byte_is_given(void **state) {
    (void)state;
    struct stat about;
    kni_file_facts facts;
    size_t sum = 0;
    scratch_file(&scratch, "a", "12345");
    scratch_link(&scratch, "link", "a");
    scratch_link(&scratch, "broken", "none");
    int folder = kni_folder_open(scratch.path, false);
    assert_true(folder >= 0);
    kni_file_look(folder, "link", &facts);
    assert_int_equal(stat(scratch_path(&scratch, "a"), &about), 0);
    assert_true(facts.there && facts.regular);
    assert_int_equal(facts.size, 5);
    assert_int_equal(facts.inode, about.st_ino);
    assert_int_equal(facts.mtime_ns / 1000000000, about.st_mtim.tv_sec);
    assert_int_equal(facts.mtime_ns % 1000000000, about.st_mtim.tv_nsec);
    kni_file_look(folder, "broken", &facts);
    assert_false(facts.there);
    kni_file_look(folder, ".", &facts);
    assert_true(facts.there && !facts.regular);

    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_file_each(NULL, folder, "link", count_bytes, &sum, &facts, &err), KN_OK);
    assert_int_equal(sum, 5);
    assert_int_equal(facts.size, 5);
    assert_int_equal(kni_file_each(NULL, folder, ".", count_bytes, &sum, &facts, &err), KN_ERR_OS);
    assert_int_equal(kni_file_each(NULL, folder, "broken", count_bytes, &sum, &facts, &err),
                     KN_ERR_OS);
    sum = 2000000;
    assert_int_equal(kni_file_each(NULL, folder, "a", count_bytes, &sum, &facts, &err),
                     KN_ERR_RUNTIME);
    kni_folder_close(folder);
    kni_folder_close(-1);
}

static void test_a_full_disk_says_what_to_do(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    errno = ENOSPC;
    assert_int_equal(kni_fail_errno(&err, "write", "/cache", "a/b"), KN_ERR_OS);
    assert_string_equal(err.message,
                        "cannot write '/cache/a/b': No space left on device (errno 28); free some "
                        "space there, or use another folder");
    errno = ENOMEM;
    assert_int_equal(kni_fail_errno(&err, "writing", "/cache", NULL), KN_ERR_NOMEM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_paths_below_a_folder_stay_inside),
        cmocka_unit_test(test_overlong_paths_are_refused),
        store_test(test_a_file_is_written_with_all_folders_and_nothing_else),
        store_test(test_a_base_that_is_a_link_is_followed),
        store_test(test_links_below_the_base_are_not_followed),
        store_test(test_hostile_names_touch_nothing),
        store_test(test_what_stands_in_the_way_is_told),
        store_test(test_a_link_replaces_what_is_there),
        store_test(test_a_copy_is_whole),
        store_test(test_removing_what_is_not_there_is_fine),
        store_test(test_only_old_temporary_files_are_swept),
        store_test(test_files_are_listed_without_links_and_within_a_limit),
        store_test(test_every_allocation_may_fail),
        store_test(test_facts_follow_links_and_each_byte_is_given),
        cmocka_unit_test(test_a_full_disk_says_what_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
