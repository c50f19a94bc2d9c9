/* SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "cache/record.h"
#include "support/cache_fixture.h"
#include "support/unit.h"

#define VARIANT "torch-cpu"
#define RECEIPT ".kernels/receipts/" COMMIT_A "/" VARIANT ".json"

/* Three files in the snapshot. */
typedef struct variant {
    char oids[3][65];
    kni_checked files[3];
} variant;

static void put_variant(cache_fixture *fx, variant *v) {
    static const char *const paths[] = {"build/torch-cpu/__init__.py", "build/torch-cpu/ops.py",
                                        "build/torch-cpu/metadata.json"};
    static const char *const texts[] = {"import ops\n", "x = 1\n", "{}\n"};
    for (int i = 0; i < 3; i++) {
        v->files[i] = (kni_checked){
            .path = paths[i],
            .content = put_text(fx, COMMIT_A, paths[i], texts[i], v->oids[i]),
        };
    }
}

/* Checks, and tells what was found and how often files had to be hashed (the digests were asked
 * for): "GGG 0". */
static const char *check_with(const kni_cache *cache, variant *v, bool always) {
    static char text[16];
    size_t asked = 0;
    kn_error err = KN_ERROR_INIT;
    if (kni_cache_check(cache, COMMIT_A, VARIANT, v->files, 3, always, give_digests, &asked,
                        &err)) {
        fail_msg("%s", err.message);
    }
    for (int i = 0; i < 3; i++) text[i] = "GMD"[v->files[i].found];
    snprintf(text + 3, sizeof text - 3, " %zu", asked);
    return text;
}

static const char *check_variant(cache_fixture *fx, variant *v) {
    return check_with(&fx->cache, v, false);
}

static void test_files_are_hashed_once(void **state) {
    cache_fixture *fx = *state;
    variant v;
    put_variant(fx, &v);
    assert_string_equal(check_variant(fx, &v), "GGG 1");
    assert_string_equal(check_variant(fx, &v), "GGG 0");
    assert_string_equal(check_with(&fx->cache, &v, true), "GGG 1");
    assert_string_equal(check_variant(fx, &v), "GGG 0");
}

static void test_what_arrived_verified_is_not_hashed(void **state) {
    cache_fixture *fx = *state;
    variant v;
    put_variant(fx, &v);
    assert_int_equal(kni_cache_receipt_write(&fx->cache, COMMIT_A, VARIANT, v.files, 3, NULL),
                     KN_OK);
    assert_string_equal(check_variant(fx, &v), "GGG 0");
}

static void test_only_what_is_good_is_recorded(void **state) {
    cache_fixture *fx = *state;
    variant v;
    put_variant(fx, &v);
    v.files[1].found = KNI_FILE_DAMAGED;
    assert_int_equal(kni_cache_receipt_write(&fx->cache, COMMIT_A, VARIANT, v.files, 3, NULL),
                     KN_OK);
    assert_string_equal(check_variant(fx, &v), "GGG 1");
    assert_string_equal(check_variant(fx, &v), "GGG 0");
}

/* Damage since the check is not taken for what was checked. */
static void test_a_file_is_recorded_as_it_was_when_it_was_checked(void **state) {
    cache_fixture *fx = *state;
    variant v;
    put_variant(fx, &v);
    assert_string_equal(check_variant(fx, &v), "GGG 1");
    const char *ops = cache_file(fx, "snapshots/" COMMIT_A "/build/torch-cpu/ops.py");
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    scratch_file(&fx->scratch,
                 "cache/kernels--org--name/snapshots/" COMMIT_A "/build/torch-cpu/ops.py",
                 "x = 2\n");
    assert_int_equal(utimensat(AT_FDCWD, ops, old, 0), 0);
    assert_int_equal(kni_cache_receipt_write(&fx->cache, COMMIT_A, VARIANT, v.files, 3, NULL),
                     KN_OK);
    assert_string_equal(check_variant(fx, &v), "GDG 1");
}

static void write_at(const char *path, off_t at, char byte) {
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void test_a_flipped_byte_is_found_and_healed(void **state) {
    cache_fixture *fx = *state;
    variant v;
    put_variant(fx, &v);
    assert_string_equal(check_variant(fx, &v), "GGG 1");
    const char *ops = cache_file(fx, "snapshots/" COMMIT_A "/build/torch-cpu/ops.py");
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    write_at(ops, 4, '2');
    assert_int_equal(utimensat(AT_FDCWD, ops, old, 0), 0);
    assert_string_equal(check_variant(fx, &v), "GDG 1");
    assert_string_equal(check_variant(fx, &v), "GDG 1");
    put_text(fx, COMMIT_A, "build/torch-cpu/ops.py", "x = 1\n", v.oids[1]);
    assert_string_equal(check_variant(fx, &v), "GGG 1");
    assert_string_equal(check_variant(fx, &v), "GGG 0");
}

static void test_size_time_and_inode_count(void **state) {
    cache_fixture *fx = *state;
    variant v;
    put_variant(fx, &v);
    char ops[2 * SCRATCH_PATH_MAX], other[2 * SCRATCH_PATH_MAX];
    snprintf(ops, sizeof ops, "%s",
             cache_file(fx, "snapshots/" COMMIT_A "/build/torch-cpu/ops.py"));
    assert_string_equal(check_variant(fx, &v), "GGG 1");
    assert_int_equal(truncate(ops, 5), 0);
    assert_string_equal(check_variant(fx, &v), "GDG 0");
    assert_int_equal(truncate(ops, 6), 0);
    write_at(ops, 5, '\n');
    assert_string_equal(check_variant(fx, &v), "GGG 1");

    struct timespec times[2] = {{.tv_sec = 1000, .tv_nsec = 7}, {.tv_sec = 1000, .tv_nsec = 7}};
    assert_int_equal(utimensat(AT_FDCWD, ops, times, 0), 0);
    assert_string_equal(check_variant(fx, &v), "GGG 1");
    times[1].tv_nsec = 8;
    assert_int_equal(utimensat(AT_FDCWD, ops, times, 0), 0);
    assert_string_equal(check_variant(fx, &v), "GGG 1");
    assert_string_equal(check_variant(fx, &v), "GGG 0");

    /* Another file of the same size and time, with other bytes. */
    scratch_file(&fx->scratch, "other", "y = 1\n");
    snprintf(other, sizeof other, "%s", scratch_path(&fx->scratch, "other"));
    assert_int_equal(utimensat(AT_FDCWD, other, times, 0), 0);
    assert_int_equal(rename(other, ops), 0);
    assert_string_equal(check_variant(fx, &v), "GDG 1");
}

static void test_another_object_id_counts(void **state) {
    cache_fixture *fx = *state;
    variant v;
    put_variant(fx, &v);
    assert_string_equal(check_variant(fx, &v), "GGG 1");
    v.files[2].content.oid = HELLO_GIT;
    assert_string_equal(check_variant(fx, &v), "GGD 1");
}

static void test_what_is_missing_or_no_file_is_told(void **state) {
    cache_fixture *fx = *state;
    variant v;
    put_variant(fx, &v);
    char path[2 * SCRATCH_PATH_MAX];
    snprintf(path, sizeof path, "%s",
             cache_file(fx, "snapshots/" COMMIT_A "/build/torch-cpu/ops.py"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("nowhere", path), 0);
    assert_string_equal(check_variant(fx, &v), "GMG 1");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_string_equal(check_variant(fx, &v), "GDG 0");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_string_equal(check_variant(fx, &v), "GDG 0");

    kni_cache elsewhere = fx->cache;
    elsewhere.folder = (char[]){"/nonexistent"};
    assert_string_equal(check_with(&elsewhere, &v, false), "MMM 0");
}

static void test_a_private_receipt_is_enough(void **state) {
    cache_fixture *fx = *state;
    variant v;
    put_variant(fx, &v);
    scratch_file(&fx->scratch, "cache/kernels--org--name/.kernels", "in the way");
    assert_string_equal(check_variant(fx, &v), "GGG 1");
    assert_string_equal(check_variant(fx, &v), "GGG 0");
    kni_cache without = fx->cache;
    without.private = NULL;
    assert_string_equal(check_with(&without, &v, false), "GGG 1");
    assert_string_equal(check_with(&without, &v, false), "GGG 1");
}

static void test_a_damaged_receipt_is_none(void **state) {
    cache_fixture *fx = *state;
    static const char *const damaged[] = {"",
                                          "{",
                                          "[]",
                                          "{\"files\": []}",
                                          "{\"files\": {\"build/torch-cpu/ops.py\": [1, 2]}}",
                                          "{\"files\": {\"build/torch-cpu/ops.py\": {}}}"};
    variant v;
    put_variant(fx, &v);
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        scratch_file(&fx->scratch, "cache/kernels--org--name/" RECEIPT, damaged[i]);
        assert_string_equal(check_variant(fx, &v), "GGG 1");
        assert_string_equal(check_variant(fx, &v), "GGG 0");
    }
}

static void test_hostile_names_are_refused(void **state) {
    cache_fixture *fx = *state;
    static const char *const names[] = {"..", "../x", "/etc/passwd", "", "a\nb"};
    variant v;
    put_variant(fx, &v);
    for (size_t i = 0; i < 5; i++) {
        kn_error err = KN_ERROR_INIT;
        kni_checked file = v.files[0];
        assert_int_equal(kni_cache_check(&fx->cache, COMMIT_A, names[i], &file, 1, false,
                                         give_digests, NULL, &err),
                         KN_ERR_VALUE);
        assert_int_equal(kni_cache_receipt_write(&fx->cache, COMMIT_A, names[i], &file, 1, &err),
                         KN_ERR_VALUE);
        file.path = names[i];
        assert_int_equal(kni_cache_check(&fx->cache, COMMIT_A, VARIANT, &file, 1, false,
                                         give_digests, NULL, &err),
                         KN_ERR_VALUE);
        assert_int_equal(kni_cache_receipt_write(&fx->cache, COMMIT_A, VARIANT, &file, 1, &err),
                         KN_ERR_VALUE);
    }
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(
        kni_cache_check(&fx->cache, "main", VARIANT, v.files, 3, false, give_digests, NULL, &err),
        KN_ERR_VALUE);
}

static kn_status give_nothing(void *ctx, const kni_net **out, kn_error *err) {
    (void)ctx;
    *out = NULL;
    return kni_fail(err, KN_ERR_UNSUPPORTED, "no digests here");
}

static void test_digests_that_cannot_be_had_are_an_error(void **state) {
    cache_fixture *fx = *state;
    kn_error err = KN_ERROR_INIT;
    variant v;
    put_variant(fx, &v);
    assert_int_equal(
        kni_cache_check(&fx->cache, COMMIT_A, VARIANT, v.files, 3, false, give_nothing, NULL, &err),
        KN_ERR_UNSUPPORTED);
    assert_string_equal(err.message, "no digests here");
}

static void test_no_files_need_nothing(void **state) {
    cache_fixture *fx = *state;
    assert_int_equal(
        kni_cache_check(&fx->cache, COMMIT_A, VARIANT, NULL, 0, false, give_nothing, NULL, NULL),
        KN_OK);
    assert_int_equal(kni_cache_receipt_write(&fx->cache, COMMIT_A, VARIANT, NULL, 0, NULL), KN_OK);
    assert_file(cache_file(fx, RECEIPT), NULL);
}

typedef struct sweep {
    cache_fixture *fx;
    variant v;
} sweep;

static kn_status check_and_record(const kn_alloc *alloc, void *ctx, kn_error *err) {
    sweep *s = ctx;
    kni_cache cache = s->fx->cache;
    cache.alloc = alloc;
    unlink(cache_file(s->fx, RECEIPT));
    for (int i = 0; i < 2; i++) {
        kn_status status = kni_cache_check(&cache, COMMIT_A, VARIANT, s->v.files, 3, false,
                                           give_digests, NULL, err);
        if (status) return status;
    }
    return kni_cache_receipt_write(&cache, COMMIT_A, VARIANT, s->v.files, 3, err);
}

static void test_every_allocation_may_fail(void **state) {
    sweep s = {.fx = *state};
    put_variant(s.fx, &s.v);
    assert_true(fault_sweep(check_and_record, &s) >= 20);
    assert_string_equal(check_variant(s.fx, &s.v), "GGG 0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cache_test(test_files_are_hashed_once),
        cache_test(test_what_arrived_verified_is_not_hashed),
        cache_test(test_only_what_is_good_is_recorded),
        cache_test(test_a_file_is_recorded_as_it_was_when_it_was_checked),
        cache_test(test_a_flipped_byte_is_found_and_healed),
        cache_test(test_size_time_and_inode_count),
        cache_test(test_another_object_id_counts),
        cache_test(test_what_is_missing_or_no_file_is_told),
        cache_test(test_a_private_receipt_is_enough),
        cache_test(test_a_damaged_receipt_is_none),
        cache_test(test_hostile_names_are_refused),
        cache_test(test_digests_that_cannot_be_had_are_an_error),
        cache_test(test_no_files_need_nothing),
        cache_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
