/* SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700

#include "os/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/failing_alloc.h"
#include "support/scratch_folder.h"
#include "support/unit.h"

static scratch_folder scratch;
static int folder; /* scratch/inside */

static int set_up(void **state) {
    (void)state;
    scratch_folder_make(&scratch);
    scratch_file(&scratch, "secret", "secret");
    scratch_file(&scratch, "inside/a/file", "content");
    folder = open(scratch_path(&scratch, "inside"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder < 0;
}

static int tear_down(void **state) {
    (void)state;
    close(folder);
    scratch_folder_remove(&scratch);
    return 0;
}

#define beneath_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static void assert_nothing(const char *path) {
    errno = 0;
    assert_int_equal(kni_beneath_file(folder, path, NULL), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(kni_beneath_folder(folder, path, NULL), -1);
    assert_int_equal(errno, ENOENT);
}

static void assert_content(const char *path, const char *expected) {
    const kn_alloc *alloc = kni_alloc_or_default(NULL);
    char *text;
    size_t length;
    assert_true(kni_beneath_read(alloc, folder, path, 100, &text, &length));
    assert_non_null(text);
    assert_string_equal(text, expected);
    assert_int_equal(length, strlen(expected));
    kni_free(alloc, text);
}

static void test_a_file_is_read_with_its_facts(void **state) {
    (void)state;
    kni_file_facts facts, again;
    assert_int_equal(kni_beneath_check(folder, NULL), KN_OK);
    int file = kni_beneath_file(folder, "a/file", &facts);
    assert_true(file >= 0);
    assert_true(facts.there && facts.regular);
    assert_int_equal(facts.size, 7);
    assert_true(fcntl(file, F_GETFD) & FD_CLOEXEC);
    kni_beneath_close(file);
    kni_beneath_close(kni_beneath_file(folder, "a/file", &again));
    assert_true(kni_file_facts_equal(&facts, &again));
    assert_content("a/file", "content");
}

static void test_no_path_leads_outside(void **state) {
    (void)state;
    assert_nothing("../secret");
    assert_nothing("a/../../secret");
    assert_nothing(scratch_path(&scratch, "secret"));
    assert_nothing("/etc/passwd");
    assert_nothing("..");
}

static void test_no_link_leads_outside(void **state) {
    (void)state;
    scratch_link(&scratch, "inside/out", "../secret");
    scratch_link(&scratch, "inside/up", "..");
    scratch_link(&scratch, "inside/absolute", scratch_path(&scratch, "inside/a/file"));
    scratch_link(&scratch, "inside/round", "round");
    assert_nothing("out");
    assert_nothing("up/secret");
    assert_nothing("absolute");
    assert_nothing("round");
    scratch_link(&scratch, "inside/b/in", "../a/file");
    assert_content("b/in", "content");
}

static void test_what_is_no_file_is_not_waited_for(void **state) {
    (void)state;
    assert_int_equal(mkfifo(scratch_path(&scratch, "inside/pipe"), 0600), 0);
    assert_int_equal(kni_beneath_file(folder, "pipe", NULL), -1);
    assert_int_equal(kni_beneath_file(folder, "a", NULL), -1);
    assert_int_equal(kni_beneath_folder(folder, "a/file", NULL), -1);
}

static void test_a_file_beyond_the_limit_is_none(void **state) {
    (void)state;
    char *text;
    size_t length;
    assert_true(kni_beneath_read(kni_alloc_or_default(NULL), folder, "a/file", 6, &text, &length));
    assert_null(text);
    assert_true(kni_beneath_read(kni_alloc_or_default(NULL), folder, "none", 6, &text, &length));
    assert_null(text);
}

static bool count_name(void *ctx, const char *name) {
    assert_true(name[0] != '.');
    ++*(int *)ctx;
    return true;
}

static void test_the_names_in_a_folder(void **state) {
    (void)state;
    int count = 0;
    scratch_file(&scratch, "inside/b", "");
    assert_true(kni_beneath_each(folder, ".", count_name, &count));
    assert_int_equal(count, 2);
    assert_false(kni_beneath_each(folder, "..", count_name, &count));
    assert_int_equal(count, 2);
}

static void test_reading_needs_memory(void **state) {
    (void)state;
    failing_alloc failing;
    char *text;
    size_t length;
    failing_alloc_init(&failing, 0);
    assert_false(kni_beneath_read(&failing.alloc, folder, "a/file", 100, &text, &length));
    assert_null(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        beneath_test(test_a_file_is_read_with_its_facts),
        beneath_test(test_no_path_leads_outside),
        beneath_test(test_no_link_leads_outside),
        beneath_test(test_what_is_no_file_is_not_waited_for),
        beneath_test(test_a_file_beyond_the_limit_is_none),
        beneath_test(test_the_names_in_a_folder),
        beneath_test(test_reading_needs_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
