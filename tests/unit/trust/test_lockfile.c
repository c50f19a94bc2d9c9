/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/lockfile.h>
#include <stdio.h>

#include "support/failing_alloc.h"
#include "support/scratch_folder.h"
#include "support/unit.h"

#define COMMIT "94986c119039ea0cb65592c210c57255de1089eb"
#define OTHER "4f593f99ef250e10e9377b5c10109351b418f318"
#define HASH "sha256-0e1bcc84b4cbb1d3ad7ef4e6e7e3fdc0b1d1e8e7cc0fb8ab7b2b50c5d4d8c3a1"

#define ENTRY(dependency, lock) "{\"dependency\": {" dependency "}, \"lock\": {" lock "}}"
#define LOCK "\"commit\": \"" COMMIT "\""
#define FIRST "\"repo-id\": \"o/first\", \"version\": 1"
#define OLDER                                     \
    "{\"repo_id\": \"o/old\", \"sha\": \"" COMMIT \
    "\", \"variants\": {\"torch-cpu\": {\"hash\": \"" HASH "\"}}}"

static kn_lockfile *parse(const char *text) {
    kn_lockfile *file;
    kn_error err = KN_ERROR_INIT;
    if (kn_lockfile_parse(NULL, text, strlen(text), "kernels.lock", &file, &err))
        fail_msg("%s", err.message);
    return file;
}

static void assert_refused(const char *text, const char *part) {
    kn_lockfile *file;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_lockfile_parse(NULL, text, strlen(text), "kernels.lock", &file, &err),
                     KN_ERR_VALUE);
    assert_null(file);
    assert_contains(err.message, "kernels.lock: ");
    assert_contains(err.message, part);
}

static void test_each_entry_has_its_kernel_and_its_commit(void **state) {
    (void)state;
    kn_lockfile *file = parse("[" ENTRY(FIRST, LOCK) "," ENTRY(
        "\"repo-id\": \"o/second\", \"revision\": \"main\"",
        "\"commit\": \"" OTHER "\", \"hash\": \"sha256-Zm9v\"") "]");
    assert_int_equal(kn_lockfile_count(file), 2);
    kn_locked entry = {.size = sizeof entry};
    kn_lockfile_get(file, 0, &entry);
    assert_string_equal(entry.repo_id, "o/first");
    assert_int_equal(entry.version, 1);
    assert_null(entry.revision);
    assert_string_equal(entry.commit, COMMIT);
    assert_null(entry.hash);
    assert_int_equal(entry.variant_count, 0);
    kn_lockfile_get(file, 1, &entry);
    assert_string_equal(entry.repo_id, "o/second");
    assert_int_equal(entry.version, -1);
    assert_string_equal(entry.revision, "main");
    assert_string_equal(entry.commit, OTHER);
    assert_string_equal(entry.hash, "sha256-Zm9v");
    kn_lockfile_free(file);
}

static void test_the_older_form_has_hashes_of_variants(void **state) {
    (void)state;
    kn_lockfile *file = parse("[" OLDER "]");
    kn_locked entry = {.size = sizeof entry};
    kn_lockfile_get(file, 0, &entry);
    assert_string_equal(entry.repo_id, "o/old");
    assert_int_equal(entry.version, -1);
    assert_null(entry.revision);
    assert_string_equal(entry.commit, COMMIT);
    assert_int_equal(entry.variant_count, 1);
    kn_locked_variant variant = {.size = sizeof variant};
    kn_lockfile_variant(file, 0, 0, &variant);
    assert_string_equal(variant.name, "torch-cpu");
    assert_string_equal(variant.hash, HASH);
    assert_string_equal(variant.hash_type, "git_lfs_concat");
    kn_lockfile_free(file);
}

static void test_a_commit_in_capitals_is_the_same_commit(void **state) {
    (void)state;
    kn_lockfile *file =
        parse("[" ENTRY(FIRST, "\"commit\": \"94986C119039EA0CB65592C210C57255DE1089EB\"") "]");
    kn_locked entry = {.size = sizeof entry};
    kn_lockfile_get(file, 0, &entry);
    assert_string_equal(entry.commit, COMMIT);
    kn_lockfile_free(file);
}

static void test_an_empty_lock_file_locks_nothing(void **state) {
    (void)state;
    kn_lockfile *file = parse("[]");
    size_t index;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_lockfile_count(file), 0);
    assert_int_equal(kn_lockfile_find(file, "o/first", -1, NULL, &index, &err), KN_ERR_VALUE);
    assert_int_equal(index, SIZE_MAX);
    assert_contains(err.message, "Kernel `o/first` is not locked. Please lock it with");
    kn_lockfile_free(file);
}

static void test_what_is_malformed_is_refused_and_named(void **state) {
    (void)state;
    assert_refused("{}", "expected a JSON list");
    assert_refused("[1]", "entry 1 is no object");
    assert_refused("[{}]", "entry 1 has no 'dependency'");
    assert_refused("[{\"dependency\": {" FIRST "}}]", "entry 1 has no 'lock'");
    assert_refused("[" ENTRY(FIRST, "") "]", "no commit of 40 or 64");
    assert_refused("[" ENTRY(FIRST, "\"commit\": \"94986c1\"") "]", "no commit of 40 or 64");
    assert_refused("[" ENTRY("\"repo-id\": \"o/n\"", LOCK) "]", "needs either a 'version'");
    assert_refused("[" ENTRY("\"version\": 1", LOCK) "]", "has no text 'repo-id'");
    assert_refused("[" OLDER ", {\"repo_id\": \"o/n\", \"sha\": \"" COMMIT "\"}]",
                   "entry 2 has no 'variants'");
    assert_refused("[{\"repo_id\": \"o/n\", \"sha\": \"" COMMIT
                   "\", \"variants\": {\"torch-cpu\": {\"hash\": \"md5-1\"}}}]",
                   "a variant without a hash 'sha256-...'");
}

static void test_a_field_that_nobody_knows_is_not_passed_over(void **state) {
    (void)state;
    assert_refused("[" ENTRY(FIRST, LOCK ", \"tree\": 1") "]", "a field 'tree'");
    assert_refused("[" ENTRY(FIRST ", \"backend\": \"cpu\"", LOCK) "]", "a field 'backend'");
    assert_refused("[{\"dependency\": {" FIRST "}, \"lock\": {" LOCK "}, \"more\": 1}]",
                   "a field 'more'");
}

static void test_one_kernel_is_locked_once(void **state) {
    (void)state;
    assert_refused("[" ENTRY(FIRST, LOCK) "," ENTRY(FIRST, "\"commit\": \"" OTHER "\"") "]",
                   "entry 2 is a duplicate dependency");
    kn_lockfile *file = parse(
        "[" ENTRY(FIRST, LOCK) "," ENTRY("\"repo-id\": \"o/first\", \"version\": 2", LOCK) "]");
    assert_int_equal(kn_lockfile_count(file), 2);
    kn_lockfile_free(file);
}

static void test_a_kernel_is_found_by_its_version_its_revision_or_its_name(void **state) {
    (void)state;
    kn_lockfile *file = parse("[" ENTRY(FIRST, LOCK) "," ENTRY(
        "\"repo-id\": \"o/first\", \"version\": 2",
        LOCK) "," ENTRY("\"repo-id\": \"o/first\", \"revision\": \"main\"", LOCK) "," OLDER "]");
    size_t index;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_lockfile_find(file, "o/first", 2, NULL, &index, &err), KN_OK);
    assert_int_equal(index, 1);
    assert_int_equal(kn_lockfile_find(file, "o/first", -1, "main", &index, &err), KN_OK);
    assert_int_equal(index, 2);
    assert_int_equal(kn_lockfile_find(file, "o/first", -1, NULL, &index, &err), KN_OK);
    assert_int_equal(index, 0);
    assert_int_equal(kn_lockfile_find(file, "o/old", 7, NULL, &index, &err), KN_OK);
    assert_int_equal(index, 3);
    assert_int_equal(kn_lockfile_find(file, "o/first", 3, NULL, &index, &err), KN_ERR_VALUE);
    assert_contains(err.message, "Kernel `o/first` (version: 3) is not locked");
    assert_int_equal(kn_lockfile_find(file, "o/first", -1, "v9", &index, &err), KN_ERR_VALUE);
    assert_contains(err.message, "Kernel `o/first` (revision: v9) is not locked");
    kn_lockfile_free(file);
}

static void test_of_a_name_alone_the_lowest_version_is_found(void **state) {
    (void)state;
    kn_lockfile *file =
        parse("[" ENTRY("\"repo-id\": \"o/n\", \"revision\": \"a\"", LOCK) "," ENTRY(
            "\"repo-id\": \"o/n\", \"version\": 3",
            LOCK) "," ENTRY("\"repo-id\": \"o/n\", \"version\": 2", LOCK) "]");
    size_t index;
    assert_int_equal(kn_lockfile_find(file, "o/n", -1, NULL, &index, NULL), KN_OK);
    assert_int_equal(index, 2);
    kn_lockfile_free(file);
}

static void test_a_file_is_read_and_named_in_messages(void **state) {
    (void)state;
    scratch_folder scratch;
    scratch_folder_make(&scratch);
    scratch_file(&scratch, "kernels.lock", "[" OLDER "]");
    scratch_file(&scratch, "broken.lock", "[");
    kn_lockfile *file;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_lockfile_read(NULL, scratch_path(&scratch, "kernels.lock"), &file, &err),
                     KN_OK);
    assert_int_equal(kn_lockfile_count(file), 1);
    kn_lockfile_free(file);
    assert_int_equal(kn_lockfile_read(NULL, scratch_path(&scratch, "broken.lock"), &file, &err),
                     KN_ERR_VALUE);
    assert_contains(err.message, "broken.lock: not valid JSON");
    assert_int_equal(kn_lockfile_read(NULL, scratch_path(&scratch, "no.lock"), &file, &err),
                     KN_ERR_NOT_FOUND);
    assert_null(file);
    scratch_folder_remove(&scratch);
}

static kn_status parse_with(const kn_alloc *alloc, void *ctx, kn_error *err) {
    kn_lockfile *file;
    kn_status status = kn_lockfile_parse(alloc, ctx, strlen(ctx), "l", &file, err);
    assert_int_equal(file == NULL, status != KN_OK);
    kn_lockfile_free(file);
    return status;
}

static void test_memory_that_runs_out_leaves_nothing_behind(void **state) {
    (void)state;
    char text[] = "[" ENTRY(FIRST, LOCK) "," OLDER "]";
    assert_true(fault_sweep(parse_with, text) > 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_entry_has_its_kernel_and_its_commit),
        cmocka_unit_test(test_the_older_form_has_hashes_of_variants),
        cmocka_unit_test(test_a_commit_in_capitals_is_the_same_commit),
        cmocka_unit_test(test_an_empty_lock_file_locks_nothing),
        cmocka_unit_test(test_what_is_malformed_is_refused_and_named),
        cmocka_unit_test(test_a_field_that_nobody_knows_is_not_passed_over),
        cmocka_unit_test(test_one_kernel_is_locked_once),
        cmocka_unit_test(test_a_kernel_is_found_by_its_version_its_revision_or_its_name),
        cmocka_unit_test(test_of_a_name_alone_the_lowest_version_is_found),
        cmocka_unit_test(test_a_file_is_read_and_named_in_messages),
        cmocka_unit_test(test_memory_that_runs_out_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
