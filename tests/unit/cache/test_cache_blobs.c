/* SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cache_fixture.h"
#include "support/plain_digest.h"
#include "support/unit.h"

#define LARGE ((size_t)9 << 20) /* hashed by a thread */

static const kni_content hello = {.oid = HELLO_GIT, .size = 12};
static const kni_content hello_lfs = {.oid = HELLO_SHA256, .size = 12};

static kni_blob *open_blob(cache_fixture *fx, const kni_content *content) {
    kni_blob *blob;
    kn_error err = KN_ERROR_INIT;
    if (kni_blob_open(&fx->cache, plain_digests(), content, &blob, &err)) {
        fail_msg("%s", err.message);
    }
    return blob;
}

static void write_blob(kni_blob *blob, const void *bytes, size_t length) {
    assert_int_equal(kni_blob_write(blob, bytes, length, NULL), KN_OK);
}

static char *large_bytes(char oid[65]) {
    char *bytes = malloc(LARGE);
    assert_non_null(bytes);
    uint32_t number = 1;
    for (size_t i = 0; i < LARGE; i++) {
        number = number * 1664525 + 1013904223;
        bytes[i] = (char)(number >> 24);
    }
    plain_sha256(bytes, LARGE, oid);
    return bytes;
}

static void write_large(kni_blob *blob, const char *bytes, size_t from, size_t to) {
    for (; from < to; from += 100000) {
        write_blob(blob, bytes + from, to - from < 100000 ? to - from : 100000);
    }
}

static void test_digests_are_those_of_git_and_sha256(void **state) {
    (void)state;
    char hex[65];
    plain_git_oid(HELLO, 12, hex);
    assert_string_equal(hex, HELLO_GIT);
    plain_sha256(HELLO, 12, hex);
    assert_string_equal(hex, HELLO_SHA256);
}

static void test_a_blob_gets_its_name_when_it_is_whole(void **state) {
    cache_fixture *fx = *state;
    assert_false(kni_cache_blob_exists(&fx->cache, &hello));
    kni_blob *blob = open_blob(fx, &hello);
    write_blob(blob, "hello ", 6);
    assert_int_equal(kni_blob_length(blob), 6);
    assert_false(kni_cache_blob_exists(&fx->cache, &hello));
    write_blob(blob, "", 0);
    write_blob(blob, "world\n", 6);
    assert_int_equal(kni_blob_finish(blob, NULL), KN_OK);
    assert_file(cache_file(fx, "blobs/" HELLO_GIT), HELLO);
    assert_file(cache_file(fx, "blobs/" HELLO_GIT ".incomplete"), NULL);
    assert_true(kni_cache_blob_exists(&fx->cache, &hello));
    assert_int_equal(put_blob(&fx->cache, &hello_lfs, HELLO, 12, NULL), KN_OK);
    assert_file(cache_file(fx, "blobs/" HELLO_SHA256), HELLO);
}

static void test_an_empty_file_is_a_blob(void **state) {
    cache_fixture *fx = *state;
    kni_content empty = {.oid = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", .size = 0};
    assert_int_equal(put_blob(&fx->cache, &empty, "", 0, NULL), KN_OK);
    assert_true(kni_cache_blob_exists(&fx->cache, &empty));
    assert_int_equal(put_blob(&fx->cache, &empty, "x", 1, NULL), KN_ERR_INTEGRITY);
}

static bool is_good(cache_fixture *fx, const kni_content *content) {
    bool good = true;
    assert_int_equal(kni_cache_blob_check(&fx->cache, plain_digests(), content, &good, NULL),
                     KN_OK);
    return good;
}

static void test_a_blob_is_good_when_it_is_what_its_name_says(void **state) {
    cache_fixture *fx = *state;
    assert_false(is_good(fx, &hello));
    assert_int_equal(put_blob(&fx->cache, &hello, HELLO, 12, NULL), KN_OK);
    assert_true(is_good(fx, &hello));
    static const char wrong[][13] = {"Hello world\n", "hello world.", "hello world", ""};
    for (size_t i = 0; i < 4; i++) {
        scratch_file(&fx->scratch, "cache/kernels--org--name/blobs/" HELLO_GIT, wrong[i]);
        assert_false(is_good(fx, &hello));
    }
    assert_int_equal(unlink(cache_file(fx, "blobs/" HELLO_GIT)), 0);
    scratch_file(&fx->scratch, "cache/blobs/a9/shared", HELLO);
    scratch_link(&fx->scratch, "cache/kernels--org--name/blobs/" HELLO_GIT,
                 "../../blobs/a9/shared");
    assert_true(is_good(fx, &hello));
    assert_int_equal(unlink(cache_file(fx, "blobs/" HELLO_GIT)), 0);
    scratch_directory(&fx->scratch, "cache/kernels--org--name/blobs/" HELLO_GIT);
    assert_false(is_good(fx, &hello));
}

/* Renamed over, at no moment is there none. */
static void test_a_damaged_blob_is_replaced(void **state) {
    cache_fixture *fx = *state;
    scratch_file(&fx->scratch, "cache/kernels--org--name/blobs/" HELLO_GIT, "Hello world\n");
    assert_int_equal(put_blob(&fx->cache, &hello, HELLO, 12, NULL), KN_OK);
    assert_file(cache_file(fx, "blobs/" HELLO_GIT), HELLO);
}

static void test_what_is_discarded_is_gone(void **state) {
    cache_fixture *fx = *state;
    kni_blob *blob = open_blob(fx, &hello);
    write_blob(blob, "hello", 5);
    kni_blob_discard(blob);
    assert_file(cache_file(fx, "blobs/" HELLO_GIT ".incomplete"), NULL);
    kni_blob_discard(NULL);
}

static void test_an_interrupted_one_goes_on(void **state) {
    cache_fixture *fx = *state;
    kni_blob *blob = open_blob(fx, &hello);
    write_blob(blob, "hello w", 7);
    kni_blob_close(blob);
    assert_file(cache_file(fx, "blobs/" HELLO_GIT ".incomplete"), "hello w");
    blob = open_blob(fx, &hello);
    assert_int_equal(kni_blob_length(blob), 7);
    write_blob(blob, "orld\n", 5);
    assert_int_equal(kni_blob_finish(blob, NULL), KN_OK);
    assert_file(cache_file(fx, "blobs/" HELLO_GIT), HELLO);
    kni_blob_close(NULL);
}

static void test_a_whole_partial_file_needs_no_more_bytes(void **state) {
    cache_fixture *fx = *state;
    scratch_file(&fx->scratch, "cache/kernels--org--name/blobs/" HELLO_GIT ".incomplete", HELLO);
    kni_blob *blob = open_blob(fx, &hello);
    assert_int_equal(kni_blob_length(blob), 12);
    assert_int_equal(kni_blob_finish(blob, NULL), KN_OK);
    assert_file(cache_file(fx, "blobs/" HELLO_GIT), HELLO);
}

static void test_a_partial_file_that_is_too_long_is_dropped(void **state) {
    cache_fixture *fx = *state;
    scratch_file(&fx->scratch, "cache/kernels--org--name/blobs/" HELLO_GIT ".incomplete",
                 HELLO "x");
    kni_blob *blob = open_blob(fx, &hello);
    assert_int_equal(kni_blob_length(blob), 0);
    kni_blob_close(blob);
}

static void test_a_restart_drops_what_is_there(void **state) {
    cache_fixture *fx = *state;
    kni_blob *blob = open_blob(fx, &hello);
    write_blob(blob, "something", 9);
    assert_int_equal(kni_blob_restart(blob, NULL), KN_OK);
    assert_int_equal(kni_blob_length(blob), 0);
    write_blob(blob, HELLO, 12);
    assert_int_equal(kni_blob_finish(blob, NULL), KN_OK);
    assert_file(cache_file(fx, "blobs/" HELLO_GIT), HELLO);
}

static void test_what_is_wrong_is_refused_and_gone(void **state) {
    cache_fixture *fx = *state;
    const char *partial = cache_file(fx, "blobs/" HELLO_GIT ".incomplete");
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(put_blob(&fx->cache, &hello, "hello World\n", 12, &err), KN_ERR_INTEGRITY);
    assert_contains(err.message, HELLO_GIT ": what arrived has another digest");
    assert_file(partial, NULL);

    assert_int_equal(put_blob(&fx->cache, &hello, "hello", 5, &err), KN_ERR_INTEGRITY);
    assert_contains(err.message, "5 bytes arrived, its repository says it has 12");
    assert_file(partial, NULL);

    assert_int_equal(put_blob(&fx->cache, &hello, HELLO "!", 13, &err), KN_ERR_INTEGRITY);
    assert_contains(err.message, "more than the 12 bytes");
    assert_file(partial, NULL);
    assert_false(kni_cache_blob_exists(&fx->cache, &hello));
}

static void test_a_flip_or_a_cut_anywhere_is_found(void **state) {
    cache_fixture *fx = *state;
    const kni_content contents[] = {hello, hello_lfs};
    for (size_t at = 0; at < 12; at++) {
        for (size_t c = 0; c < 2; c++) {
            char bytes[] = HELLO;
            bytes[at] ^= 1;
            assert_int_equal(put_blob(&fx->cache, &contents[c], bytes, 12, NULL), KN_ERR_INTEGRITY);
            assert_int_equal(put_blob(&fx->cache, &contents[c], HELLO, at, NULL), KN_ERR_INTEGRITY);
            assert_false(kni_cache_blob_exists(&fx->cache, &contents[c]));
        }
    }
}

static void test_damage_to_a_partial_file_is_found(void **state) {
    cache_fixture *fx = *state;
    scratch_file(&fx->scratch, "cache/kernels--org--name/blobs/" HELLO_GIT ".incomplete", "hellO");
    kni_blob *blob = open_blob(fx, &hello);
    write_blob(blob, " world\n", 7);
    assert_int_equal(kni_blob_finish(blob, NULL), KN_ERR_INTEGRITY);
    assert_false(kni_cache_blob_exists(&fx->cache, &hello));
    assert_int_equal(put_blob(&fx->cache, &hello, HELLO, 12, NULL), KN_OK);
}

static void test_what_is_no_object_id_is_refused(void **state) {
    cache_fixture *fx = *state;
    static const kni_content wrong[] = {{NULL, 1},
                                        {"", 1},
                                        {"../../x", 1},
                                        {HELLO_GIT "00", 1},
                                        {HELLO_SHA256 "/", 1},
                                        {"3B18E512DBA79E4C8300DD08AEB37F8E728B8DAD", 1},
                                        {HELLO_GIT, -1}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        kni_blob *blob;
        kn_error err = KN_ERROR_INIT;
        assert_int_equal(kni_blob_open(&fx->cache, plain_digests(), &wrong[i], &blob, &err),
                         KN_ERR_VALUE);
        assert_null(blob);
        assert_false(kni_cache_blob_exists(&fx->cache, &wrong[i]));
    }
}

static void test_a_large_blob_is_hashed_beside_the_writing(void **state) {
    cache_fixture *fx = *state;
    char oid[65];
    char *bytes = large_bytes(oid);
    kni_content content = {.oid = oid, .size = (int64_t)LARGE};
    kni_blob *blob = open_blob(fx, &content);
    write_large(blob, bytes, 0, LARGE);
    assert_int_equal(kni_blob_finish(blob, NULL), KN_OK);
    assert_true(kni_cache_blob_exists(&fx->cache, &content));
    free(bytes);
}

static void test_a_large_blob_goes_on_and_starts_again(void **state) {
    cache_fixture *fx = *state;
    char oid[65];
    char *bytes = large_bytes(oid);
    kni_content content = {.oid = oid, .size = (int64_t)LARGE};
    kni_blob *blob = open_blob(fx, &content);
    write_large(blob, bytes, 0, LARGE / 2 + 5);
    assert_int_equal(kni_blob_length(blob), LARGE / 2 + 5);
    kni_blob_close(blob);
    blob = open_blob(fx, &content);
    assert_int_equal(kni_blob_length(blob), LARGE / 2 + 5);
    write_large(blob, bytes, LARGE / 2 + 5, LARGE);
    kni_blob_close(blob);
    blob = open_blob(fx, &content);
    assert_int_equal(kni_blob_length(blob), LARGE);
    assert_int_equal(kni_blob_finish(blob, NULL), KN_OK);
    blob = open_blob(fx, &content);
    write_large(blob, bytes, 0, LARGE / 4); /* not what goes there */
    assert_int_equal(kni_blob_restart(blob, NULL), KN_OK);
    write_large(blob, bytes, 0, LARGE);
    assert_int_equal(kni_blob_finish(blob, NULL), KN_OK);
    assert_true(kni_cache_blob_exists(&fx->cache, &content));
    free(bytes);
}

static void test_a_forked_child_writes_nothing(void **state) {
    cache_fixture *fx = *state;
    char oid[65];
    char *bytes = large_bytes(oid);
    kni_content content = {.oid = oid, .size = (int64_t)LARGE};
    kni_blob *blob = open_blob(fx, &content);
    write_large(blob, bytes, 0, 100000);
    pid_t child = fork();
    if (!child) {
        alarm(20);
        kni_blob_close(blob);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct stat about;
    char partial[128];
    snprintf(partial, sizeof partial, "blobs/%s.incomplete", oid);
    assert_int_equal(stat(cache_file(fx, partial), &about), 0);
    assert_int_equal(about.st_size, 0); /* what is pending is the parent's */
    write_large(blob, bytes, 100000, LARGE);
    assert_int_equal(kni_blob_finish(blob, NULL), KN_OK);
    free(bytes);
}

static void test_a_flipped_byte_in_a_large_blob_is_found(void **state) {
    cache_fixture *fx = *state;
    char oid[65];
    char *bytes = large_bytes(oid);
    kni_content content = {.oid = oid, .size = (int64_t)LARGE};
    bytes[LARGE - 5] ^= 1;
    kni_blob *blob = open_blob(fx, &content);
    write_large(blob, bytes, 0, LARGE);
    assert_int_equal(kni_blob_finish(blob, NULL), KN_ERR_INTEGRITY);
    assert_false(kni_cache_blob_exists(&fx->cache, &content));
    free(bytes);
}

static void test_a_blob_may_lie_in_the_shared_store(void **state) {
    cache_fixture *fx = *state;
    scratch_file(&fx->scratch, "cache/blobs/a9/shared", HELLO);
    scratch_link(&fx->scratch, "cache/kernels--org--name/blobs/" HELLO_GIT,
                 "../../blobs/a9/shared");
    assert_true(kni_cache_blob_exists(&fx->cache, &hello));
    assert_int_equal(unlink(scratch_path(&fx->scratch, "cache/blobs/a9/shared")), 0);
    assert_false(kni_cache_blob_exists(&fx->cache, &hello));
    assert_int_equal(put_blob(&fx->cache, &hello, HELLO, 12, NULL), KN_OK);
    assert_file(cache_file(fx, "blobs/" HELLO_GIT), HELLO);
    assert_file(scratch_path(&fx->scratch, "cache/blobs/a9/shared"), NULL);
}

static void test_others_partial_files_are_left_alone(void **state) {
    cache_fixture *fx = *state;
    scratch_file(&fx->scratch, "cache/kernels--org--name/blobs/" HELLO_GIT ".0123abcd.incomplete",
                 "theirs");
    assert_int_equal(put_blob(&fx->cache, &hello, HELLO, 12, NULL), KN_OK);
    assert_file(cache_file(fx, "blobs/" HELLO_GIT ".0123abcd.incomplete"), "theirs");
}

static void test_a_partial_file_that_is_a_link_is_not_followed(void **state) {
    cache_fixture *fx = *state;
    kni_blob *blob;
    kn_error err = KN_ERROR_INIT;
    scratch_file(&fx->scratch, "outside", "kept");
    scratch_link(&fx->scratch, "cache/kernels--org--name/blobs/" HELLO_GIT ".incomplete",
                 "../../../outside");
    assert_int_equal(kni_blob_open(&fx->cache, plain_digests(), &hello, &blob, &err), KN_ERR_OS);
    assert_file(scratch_path(&fx->scratch, "outside"), "kept");
}

/* The largest file that may be written stands in for a full disk. */
static void limit_files(size_t bytes) {
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_what_was_written_before_a_failure_is_kept(void **state) {
    cache_fixture *fx = *state;
    kn_error err = KN_ERROR_INIT;
    kni_blob *blob = open_blob(fx, &hello);
    limit_files(8);
    assert_int_equal(kni_blob_write(blob, HELLO, 12, &err), KN_ERR_OS);
    limit_files(0);
    assert_contains(err.message, HELLO_GIT ".incomplete");
    assert_int_equal(kni_blob_length(blob), 8);
    kni_blob_close(blob);
    blob = open_blob(fx, &hello);
    assert_int_equal(kni_blob_length(blob), 8);
    write_blob(blob, "rld\n", 4);
    assert_int_equal(kni_blob_finish(blob, NULL), KN_OK);
}

static void test_a_large_blob_that_a_full_disk_stopped_goes_on(void **state) {
    cache_fixture *fx = *state;
    char oid[65];
    char *bytes = large_bytes(oid);
    kni_content content = {.oid = oid, .size = (int64_t)LARGE};
    kn_error err = KN_ERROR_INIT;
    kni_blob *blob = open_blob(fx, &content);
    write_large(blob, bytes, 0, 1000000);
    limit_files(1000000);
    assert_int_equal(kni_blob_write(blob, bytes + 1000000, 500000, &err), KN_ERR_OS);
    limit_files(0);
    assert_contains(err.message, ".incomplete");
    assert_int_equal(kni_blob_length(blob), 1000000);
    kni_blob_close(blob);

    blob = open_blob(fx, &content);
    write_large(blob, bytes, 1000000, LARGE);
    limit_files(LARGE - 1); /* the last block is written at the end */
    assert_int_equal(kni_blob_finish(blob, &err), KN_ERR_OS);
    limit_files(0);
    blob = open_blob(fx, &content);
    assert_int_equal(kni_blob_length(blob), LARGE - 1);
    write_blob(blob, bytes + LARGE - 1, 1);
    assert_int_equal(kni_blob_finish(blob, NULL), KN_OK);
    assert_true(kni_cache_blob_exists(&fx->cache, &content));
    free(bytes);
}

static kn_status write_in_parts(const kn_alloc *alloc, void *ctx, kn_error *err) {
    cache_fixture *fx = ctx;
    kni_cache cache = fx->cache;
    cache.alloc = alloc;
    kni_blob *blob;
    kn_status status = kni_blob_open(&cache, plain_digests(), &hello, &blob, err);
    if (status) return status;
    status = kni_blob_restart(blob, err);
    if (!status) status = kni_blob_write(blob, "hello ", 6, err);
    kni_blob_close(blob);
    if (status) return status;
    status = kni_blob_open(&cache, plain_digests(), &hello, &blob, err);
    if (status) return status;
    status = kni_blob_write(blob, "world\n", 6, err);
    if (!status) return kni_blob_finish(blob, err);
    kni_blob_close(blob);
    return status;
}

static void test_every_allocation_may_fail(void **state) {
    cache_fixture *fx = *state;
    assert_true(fault_sweep(write_in_parts, fx) >= 8);
    assert_file(cache_file(fx, "blobs/" HELLO_GIT), HELLO);
}

/* Without memory for the thread a large blob is hashed by the writer. */
static void test_a_large_blob_needs_no_thread(void **state) {
    cache_fixture *fx = *state;
    char oid[65];
    char *bytes = large_bytes(oid);
    kni_content content = {.oid = oid, .size = (int64_t)LARGE};
    size_t finished = 0;
    for (size_t n = 0;; n++) {
        failing_alloc failing;
        failing_alloc_init(&failing, n);
        kni_cache cache = fx->cache;
        cache.alloc = &failing.alloc;
        kni_blob *blob;
        kn_error err = KN_ERROR_INIT;
        kn_status status = kni_blob_open(&cache, plain_digests(), &content, &blob, &err);
        if (!status) {
            write_large(blob, bytes, (size_t)kni_blob_length(blob), LARGE);
            assert_int_equal(kni_blob_finish(blob, &err), KN_OK);
            finished++;
        } else {
            assert_int_equal(status, KN_ERR_NOMEM);
        }
        assert_int_equal(failing.live, 0);
        if (!failing.failed) break;
    }
    assert_true(finished >= 3); /* the last, and without each of the thread's two blocks */
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests_are_those_of_git_and_sha256),
        cache_test(test_a_blob_gets_its_name_when_it_is_whole),
        cache_test(test_an_empty_file_is_a_blob),
        cache_test(test_a_blob_is_good_when_it_is_what_its_name_says),
        cache_test(test_a_damaged_blob_is_replaced),
        cache_test(test_what_is_discarded_is_gone),
        cache_test(test_an_interrupted_one_goes_on),
        cache_test(test_a_whole_partial_file_needs_no_more_bytes),
        cache_test(test_a_partial_file_that_is_too_long_is_dropped),
        cache_test(test_a_restart_drops_what_is_there),
        cache_test(test_what_is_wrong_is_refused_and_gone),
        cache_test(test_a_flip_or_a_cut_anywhere_is_found),
        cache_test(test_damage_to_a_partial_file_is_found),
        cache_test(test_what_is_no_object_id_is_refused),
        cache_test(test_a_large_blob_is_hashed_beside_the_writing),
        cache_test(test_a_large_blob_goes_on_and_starts_again),
        cache_test(test_a_forked_child_writes_nothing),
        cache_test(test_a_flipped_byte_in_a_large_blob_is_found),
        cache_test(test_a_blob_may_lie_in_the_shared_store),
        cache_test(test_others_partial_files_are_left_alone),
        cache_test(test_a_partial_file_that_is_a_link_is_not_followed),
        cache_test(test_what_was_written_before_a_failure_is_kept),
        cache_test(test_a_large_blob_that_a_full_disk_stopped_goes_on),
        cache_test(test_every_allocation_may_fail),
        cache_test(test_a_large_blob_needs_no_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
