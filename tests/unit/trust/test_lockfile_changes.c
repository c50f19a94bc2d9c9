/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/lockfile.h>
#include <stdio.h>

#include "support/failing_alloc.h"
#include "support/unit.h"

#define COMMIT "94986c119039ea0cb65592c210c57255de1089eb"
#define OTHER "4f593f99ef250e10e9377b5c10109351b418f318"
#define ENTRY(name, at, commit) \
    "{\"dependency\": {\"repo-id\": \"" name "\", " at "}, \"lock\": {\"commit\": \"" commit "\"}}"
#define ONE "\"version\": 1"
#define DIGESTS(oid) "\"revision\": \"~digests of " COMMIT "\\n" oid "  build/torch-cpu/a.py\""

static kn_lockfile *parse(const char *text) {
    kn_lockfile *file;
    kn_error err = KN_ERROR_INIT;
    if (kn_lockfile_parse(NULL, text, strlen(text), "kernels.lock", &file, &err))
        fail_msg("%s", err.message);
    return file;
}

/* The changes as text, one a line. */
static const char *changes_of(const char *before, const char *after) {
    static char out[1000];
    static const char *const kinds[] = {"added", "removed", "moved", "digests"};
    kn_lockfile *old = before ? parse(before) : NULL, *new = parse(after);
    kn_lock_changes *changes;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_lockfile_compare(NULL, old, new, &changes, &err), KN_OK);
    out[0] = '\0';
    for (size_t i = 0; i < kn_lock_changes_count(changes); i++) {
        kn_lock_change change = {.size = sizeof change};
        kn_lock_changes_get(changes, i, &change);
        size_t used = strlen(out);
        snprintf(out + used, sizeof out - used, "%s %s %d %s %.4s %.4s\n", kinds[change.kind],
                 change.repo_id, (int)change.version, change.revision ? change.revision : "-",
                 change.before ? change.before : "-", change.after ? change.after : "-");
    }
    kn_lock_changes_free(changes);
    kn_lockfile_free(old);
    kn_lockfile_free(new);
    return out;
}

static void test_what_differs_is_told_in_order(void **state) {
    (void)state;
    const char *before = "[" ENTRY("o/b", ONE, COMMIT) "," ENTRY("o/a", ONE, COMMIT) "," ENTRY(
        "o/c", "\"revision\": \"main\"", COMMIT) "," ENTRY("o/same", ONE, COMMIT) "]";
    const char *after = "[" ENTRY("o/same", ONE, COMMIT) "," ENTRY("o/a", ONE, OTHER) "," ENTRY(
        "o/b", "\"version\": 2", COMMIT) "]";
    assert_string_equal(changes_of(before, after), "moved o/a 1 - 9498 4f59\n"
                                                   "removed o/b 1 - 9498 -\n"
                                                   "added o/b 2 - - 9498\n"
                                                   "removed o/c -1 main 9498 -\n");
    assert_string_equal(changes_of(before, before), "");
}

static void test_without_a_lock_file_everything_is_new(void **state) {
    (void)state;
    assert_string_equal(changes_of(NULL, "[" ENTRY("o/a", ONE, COMMIT) "]"),
                        "added o/a 1 - - 9498\n");
}

static void test_digests_that_come_go_or_change_are_told(void **state) {
    (void)state;
    const char *plain = "[" ENTRY("o/a", ONE, COMMIT) "]";
    const char *one = "[" ENTRY("o/a", ONE, COMMIT) "," ENTRY("o/a", DIGESTS(COMMIT), COMMIT) "]";
    const char *two = "[" ENTRY("o/a", ONE, COMMIT) "," ENTRY("o/a", DIGESTS(OTHER), COMMIT) "]";
    assert_string_equal(changes_of(plain, one), "digests o/a 1 - 9498 9498\n");
    assert_string_equal(changes_of(one, plain), "digests o/a 1 - 9498 9498\n");
    assert_string_equal(changes_of(one, two), "digests o/a 1 - 9498 9498\n");
    assert_string_equal(changes_of(one, one), "");
}

static kn_status compare_once(const kn_alloc *alloc, void *ctx, kn_error *err) {
    kn_lock_changes *changes;
    kn_status status = kn_lockfile_compare(alloc, ctx, ctx, &changes, err);
    kn_lock_changes_free(changes);
    return status;
}

static void test_no_memory_leaves_nothing_behind(void **state) {
    (void)state;
    kn_lockfile *file = parse("[" ENTRY("o/a", ONE, COMMIT) "]");
    assert_int_equal(fault_sweep(compare_once, file), 3);
    kn_lockfile_free(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_differs_is_told_in_order),
        cmocka_unit_test(test_without_a_lock_file_everything_is_new),
        cmocka_unit_test(test_digests_that_come_go_or_change_are_told),
        cmocka_unit_test(test_no_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
