/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/lockfile_digests.h"

#include <stdio.h>

#include "support/failing_alloc.h"
#include "support/unit.h"

#define COMMIT "94986c119039ea0cb65592c210c57255de1089eb"
#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define LARGE "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
#define ENTRY(at, commit) \
    "{\"dependency\": {\"repo-id\": \"o/n\", " at "}, \"lock\": {\"commit\": \"" commit "\"}}"
#define DIGESTS(lines) ENTRY("\"revision\": \"~digests of " COMMIT lines "\"", COMMIT)
#define THREE                                                                        \
    "\\n" A "  build/torch-cpu/__init__.py\\n" LARGE "  build/torch-cpu/x y.so\\n" B \
    "  build/torch-cuda/__init__.py"
#define LOCK "[" ENTRY("\"version\": 1", COMMIT) "," DIGESTS(THREE) "]"

static kn_status parse(const kn_alloc *alloc, const char *text, kn_lockfile **out, kn_error *err) {
    return kn_lockfile_parse(alloc, text, strlen(text), "kernels.lock", out, err);
}

static kn_lockfile *parsed(const char *text) {
    kn_lockfile *file;
    kn_error err = KN_ERROR_INIT;
    if (parse(NULL, text, &file, &err)) fail_msg("%s", err.message);
    return file;
}

static void assert_refused(const char *text, const char *part) {
    kn_lockfile *file;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(parse(NULL, text, &file, &err), KN_ERR_VALUE);
    assert_contains(err.message, part);
}

static void test_digests_belong_to_the_kernel_at_that_commit(void **state) {
    (void)state;
    kn_lockfile *file = parsed(LOCK);
    kn_locked entry = {.size = sizeof entry};
    assert_int_equal(kn_lockfile_count(file), 1); /* they are no kernel */
    kn_lockfile_get(file, 0, &entry);
    assert_int_equal(entry.version, 1);
    assert_int_equal(entry.file_count, 3);
    assert_true(kn_lockfile_has_digests(file));
    assert_string_equal(kni_lockfile_digest_find(file, "o/n", COMMIT, "build/torch-cpu/x y.so"),
                        LARGE);
    assert_null(kni_lockfile_digest_find(file, "o/n", COMMIT, "build/torch-cpu/y"));
    assert_null(kni_lockfile_digest_find(file, "o/m", COMMIT, "build/torch-cpu/x y.so"));
    kn_lockfile_free(file);
}

static void test_what_is_written_is_read_again(void **state) {
    (void)state;
    kni_locked_file files[] = {{"build/torch-cpu/b", B}, {"build/torch-cpu/a", A}};
    kni_text out;
    kni_text_init(&out, kni_alloc_or_default(NULL));
    kni_lockfile_digests_text(COMMIT, files, 2, &out);
    assert_string_equal(out.bytes, "~digests of " COMMIT "\n" A "  build/torch-cpu/a\n" B
                                   "  build/torch-cpu/b");
    kni_text_clear(&out);
    kn_lockfile *file =
        parsed("[" DIGESTS("\\n" B "  build/torch-cpu/b\\n" A "  build/torch-cpu/a") "]");
    assert_string_equal(kni_lockfile_digest_find(file, "o/n", COMMIT, "build/torch-cpu/a"), A);
    kn_lockfile_free(file);
}

static void test_malformed_digests_are_refused(void **state) {
    (void)state;
    assert_refused("[" ENTRY("\"revision\": \"~sha3 of x\"", COMMIT) "]",
                   "entry 1 is of a form that this version does not know; upgrade the package");
    assert_refused("[" ENTRY("\"revision\": \"~digests of " A "\"", COMMIT) "]",
                   "digests of another commit");
    assert_refused("[" DIGESTS("\\n" A) "]", "a digest without a file's name");
    assert_refused("[" DIGESTS("\\n" A " build/v/a") "]", "a digest without a file's name");
    assert_refused("[" DIGESTS("\\nabc  build/v/a") "]", "not of 40 or 64 hexadecimal digits");
    assert_refused("[" DIGESTS("\\n" A "  src/a") "]", "a file that is not in 'build/'");
    assert_refused("[" DIGESTS("\\n" A "  build/../a") "]", "a file that is not in 'build/'");
    assert_refused("[" DIGESTS("\\n" A "  build/v/a\\n" B "  build/v/a") "]",
                   "two digests of one file");
    assert_refused("[" DIGESTS("") "," DIGESTS("") "]", "entry 2 has the digests of that kernel");
}

static kn_status check(const char *lock, const char *repo, kni_locked_file *files, size_t count,
                       kn_error *err) {
    kn_lockfile *file = parsed(lock);
    kn_status status = kni_lockfile_check_digests(kni_alloc_or_default(NULL), file, repo, COMMIT,
                                                  "build/torch-cpu/", files, count, err);
    kn_lockfile_free(file);
    return status;
}

static void test_files_that_were_locked_pass_in_any_order(void **state) {
    (void)state;
    kni_locked_file files[] = {{"x y.so", LARGE}, {"__init__.py", A}};
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(check(LOCK, "o/n", files, 2, &err), KN_OK);
    assert_int_equal(check("[" ENTRY("\"version\": 1", COMMIT) "]", "o/n", files, 1, &err), KN_OK);
}

static void test_a_file_that_differs_is_missing_or_is_extra_is_named(void **state) {
    (void)state;
    kni_locked_file files[] = {{"extra.py", A}, {"__init__.py", B}};
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(check(LOCK, "o/n", files, 2, &err), KN_ERR_INTEGRITY);
    assert_contains(err.message,
                    "Kernel `o/n` (commit " COMMIT ") is not what the lock file has digests of: "
                    "'build/torch-cpu/__init__.py' has another content, 'build/torch-cpu/extra.py' "
                    "is not in the lock file, 'build/torch-cpu/x y.so' is missing; do not use it");
}

static void test_long_lists_are_cut(void **state) {
    (void)state;
    kni_locked_file files[] = {{"a", A}, {"b", A}, {"c", A}, {"d", A}, {"e", A}};
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(check(LOCK, "o/n", files, 5, &err), KN_ERR_INTEGRITY);
    assert_contains(err.message, "'build/torch-cpu/d' is not in the lock file and 2 more; do not");
}

static void test_a_kernel_without_digests_among_those_with_is_refused(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(check(LOCK, "o/other", NULL, 0, &err), KN_ERR_VALUE);
    assert_contains(err.message, "Kernel `o/other`: the lock file has digests of other kernels'");
}

static kn_status parse_and_check(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    kn_lockfile *file;
    kni_locked_file files[] = {{"a", A}};
    kn_status status = parse(alloc, LOCK, &file, err);
    if (!status)
        status = kni_lockfile_check_digests(alloc, file, "o/n", COMMIT, "build/torch-cpu/", files,
                                            1, err);
    kn_lockfile_free(file);
    return status;
}

static void test_no_memory_leaves_nothing_behind(void **state) {
    (void)state;
    assert_true(fault_sweep_expecting(parse_and_check, NULL, KN_ERR_INTEGRITY) > 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests_belong_to_the_kernel_at_that_commit),
        cmocka_unit_test(test_what_is_written_is_read_again),
        cmocka_unit_test(test_malformed_digests_are_refused),
        cmocka_unit_test(test_files_that_were_locked_pass_in_any_order),
        cmocka_unit_test(test_a_file_that_differs_is_missing_or_is_extra_is_named),
        cmocka_unit_test(test_long_lists_are_cut),
        cmocka_unit_test(test_a_kernel_without_digests_among_those_with_is_refused),
        cmocka_unit_test(test_no_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
