/* SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700

#include "os/follow.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/partial.h"
#include "support/failing_alloc.h"
#include "support/scratch_folder.h"
#include "support/unit.h"

#define PIECE 70001

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

#define follow_test(test) cmocka_unit_test_setup_teardown(test, make_scratch, remove_scratch)

/* Sees whether the bytes are 0, 1, 2 ... 250, 0 ... */
typedef struct seen_bytes {
    int64_t count;
    int64_t fail_at; /* it refuses bytes from there on */
    bool wrong;
} seen_bytes;

static bool see(void *ctx, const void *bytes, size_t length) {
    seen_bytes *seen = ctx;
    const unsigned char *at = bytes;
    for (size_t i = 0; i < length; i++) {
        if (at[i] != (seen->count + (int64_t)i) % 251) seen->wrong = true;
    }
    seen->count += (int64_t)length;
    return seen->count < seen->fail_at;
}

static void fill(unsigned char *bytes, size_t length, int64_t from) {
    for (size_t i = 0; i < length; i++) bytes[i] = (unsigned char)((from + (int64_t)i) % 251);
}

static void append(kni_partial *partial, kni_follower *follower) {
    static unsigned char own[PIECE];
    unsigned char *bytes = follower ? (unsigned char *)kni_follower_block(follower) : own;
    fill(bytes, PIECE, partial->length);
    assert_int_equal(kni_partial_write(partial, bytes, PIECE, NULL), KN_OK);
    if (follower) kni_follower_pass(follower, PIECE);
}

static void open_partial(kni_partial *partial) {
    assert_int_equal(kni_partial_open(scratch.path, "x.incomplete", partial, NULL), KN_OK);
}

static void test_every_byte_is_seen_in_order_while_the_file_grows(void **state) {
    (void)state;
    kni_partial partial;
    seen_bytes seen = {.fail_at = INT64_MAX};
    open_partial(&partial);
    append(&partial, NULL); /* there before it starts */
    kni_follower *follower = kni_follower_start(NULL, partial.fd, partial.length, see, &seen);
    assert_non_null(follower);
    for (int i = 0; i < 99; i++) append(&partial, follower);
    assert_true(kni_follower_finish(follower));
    assert_int_equal(seen.count, 100 * PIECE);
    assert_false(seen.wrong);
    kni_partial_close(&partial);
}

/* The file has none of it. */
static void test_what_is_new_is_not_read_from_the_file(void **state) {
    (void)state;
    kni_partial partial;
    seen_bytes seen = {.fail_at = INT64_MAX};
    open_partial(&partial);
    kni_follower *follower = kni_follower_start(NULL, partial.fd, 0, see, &seen);
    for (int i = 0; i < 30; i++) {
        fill((unsigned char *)kni_follower_block(follower), PIECE, i * (int64_t)PIECE);
        kni_follower_pass(follower, PIECE);
    }
    kni_follower_pass(follower, 0);
    assert_true(kni_follower_finish(follower));
    assert_int_equal(seen.count, 30 * PIECE);
    assert_false(seen.wrong);
    kni_partial_close(&partial);
}

static void test_an_empty_file_has_nothing_to_see(void **state) {
    (void)state;
    kni_partial partial;
    seen_bytes seen = {.fail_at = INT64_MAX};
    open_partial(&partial);
    assert_true(
        kni_follower_finish(kni_follower_start(NULL, partial.fd, partial.length, see, &seen)));
    assert_int_equal(seen.count, 0);
    kni_partial_close(&partial);
}

static void test_a_failure_is_told_at_the_end_and_the_writer_goes_on(void **state) {
    (void)state;
    kni_partial partial;
    seen_bytes seen = {.fail_at = 300000};
    open_partial(&partial);
    kni_follower *follower = kni_follower_start(NULL, partial.fd, partial.length, see, &seen);
    for (int i = 0; i < 60; i++) append(&partial, follower);
    assert_false(kni_follower_finish(follower));
    assert_true(seen.count < 60 * PIECE);
    kni_partial_close(&partial);
}

static void test_a_file_that_was_cut_is_a_failure(void **state) {
    (void)state;
    kni_partial partial;
    seen_bytes seen = {.fail_at = INT64_MAX};
    open_partial(&partial);
    append(&partial, NULL);
    int64_t told = partial.length + ((int64_t)1 << 40); /* more than is ever written */
    kni_follower *follower = kni_follower_start(NULL, partial.fd, told, see, &seen);
    for (int i = 0; i < 60; i++) append(&partial, follower); /* the writer goes on */
    assert_false(kni_follower_finish(follower));
    kni_partial_close(&partial);
}

static void test_it_can_be_stopped_at_any_time(void **state) {
    (void)state;
    kni_partial partial;
    seen_bytes seen = {.fail_at = INT64_MAX};
    open_partial(&partial);
    for (int i = 0; i < 200; i++) {
        kni_follower *follower = kni_follower_start(NULL, partial.fd, partial.length, see, &seen);
        append(&partial, follower);
        kni_follower_stop(follower);
    }
    kni_follower_stop(NULL);
    kni_partial_close(&partial);
}

/* The thread that follows is not there, and what it held is held for ever. */
static void test_a_child_stops_what_it_has_not_got(void **state) {
    (void)state;
    kni_partial partial;
    open_partial(&partial);
    seen_bytes seen = {.fail_at = INT64_MAX};
    kni_follower *follower = kni_follower_start(NULL, partial.fd, partial.length, see, &seen);
    assert_non_null(follower);
    pid_t child = fork();
    if (!child) {
        alarm(20);
        bool here = kni_follower_is_here(follower);
        kni_follower_stop(follower);
        _exit(here);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(kni_follower_is_here(follower));
    kni_follower_stop(follower);
    kni_partial_remove(&partial);
}

static void test_without_memory_there_is_none(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        failing_alloc failing;
        failing_alloc_init(&failing, i);
        assert_null(kni_follower_start(&failing.alloc, 0, 0, see, NULL));
        assert_int_equal(failing.live, 0);
    }
}

static void test_a_partial_file_is_kept_emptied_and_removed(void **state) {
    (void)state;
    kni_partial partial;
    open_partial(&partial);
    append(&partial, NULL);
    kni_partial_close(&partial);
    open_partial(&partial);
    assert_int_equal(partial.length, PIECE);
    assert_int_equal(kni_partial_empty(&partial, NULL), KN_OK);
    assert_int_equal(partial.length, 0);
    assert_int_equal(kni_partial_write(&partial, "abc", 3, NULL), KN_OK);
    kni_partial_flush(&partial, 0, 3);
    assert_int_equal(kni_partial_keep(&partial, "x", NULL), KN_OK);
    assert_int_equal(partial.fd, -1);
    assert_true(kni_path_is_file(scratch_path(&scratch, "x")));
    assert_false(kni_path_is_file(scratch_path(&scratch, "x.incomplete")));
    open_partial(&partial);
    kni_partial_remove(&partial);
    kni_partial_remove(&partial);
    assert_false(kni_path_is_file(scratch_path(&scratch, "x.incomplete")));
}

static void test_another_that_wrote_the_same_first_is_no_failure(void **state) {
    (void)state;
    kni_partial first, second;
    open_partial(&first);
    open_partial(&second);
    assert_int_equal(kni_partial_write(&first, "abc", 3, NULL), KN_OK);
    assert_int_equal(kni_partial_write(&second, "abc", 3, NULL), KN_OK);
    assert_int_equal(kni_partial_keep(&first, "x", NULL), KN_OK);
    assert_int_equal(kni_partial_keep(&second, "x", NULL), KN_OK);

    kn_error err = KN_ERROR_INIT;
    open_partial(&first);
    assert_int_equal(unlink(scratch_path(&scratch, "x.incomplete")), 0);
    assert_int_equal(kni_partial_keep(&first, "x", &err), KN_ERR_OS); /* x is longer */
}

static void test_links_and_what_is_no_file_are_refused(void **state) {
    (void)state;
    kni_partial partial;
    kn_error err = KN_ERROR_INIT;
    scratch_file(&scratch, "target", "kept");
    scratch_link(&scratch, "x.incomplete", "target");
    scratch_directory(&scratch, "folder");
    assert_int_equal(kni_partial_open(scratch.path, "x.incomplete", &partial, &err), KN_ERR_OS);
    assert_int_equal(kni_partial_open(scratch.path, "folder", &partial, &err), KN_ERR_OS);
    assert_int_equal(kni_partial_open(scratch_path(&scratch, "target"), "a", &partial, &err),
                     KN_ERR_OS);
    assert_int_equal(partial.fd, -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        follow_test(test_every_byte_is_seen_in_order_while_the_file_grows),
        follow_test(test_what_is_new_is_not_read_from_the_file),
        follow_test(test_an_empty_file_has_nothing_to_see),
        follow_test(test_a_failure_is_told_at_the_end_and_the_writer_goes_on),
        follow_test(test_a_file_that_was_cut_is_a_failure),
        follow_test(test_it_can_be_stopped_at_any_time),
        follow_test(test_a_child_stops_what_it_has_not_got),
        cmocka_unit_test(test_without_memory_there_is_none),
        follow_test(test_a_partial_file_is_kept_emptied_and_removed),
        follow_test(test_another_that_wrote_the_same_first_is_no_failure),
        follow_test(test_links_and_what_is_no_file_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
