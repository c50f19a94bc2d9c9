/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels at the commits of a lock file, which commit a version is, and kernels that are forgotten.
 */
#include <stdio.h>

#include "support/fetch_scene.h"
#include "support/unit.h"

/* The content of a lock file for both kernels of the Hub, or for one. */
static const char *lock_text(bool with_base) {
    static char text[1000];
    char toy[65], base[65];
    scripted_hub_commit("org/toy", toy);
    scripted_hub_commit("org/base", base);
    int length = snprintf(text, sizeof text,
                          "[{\"dependency\": {\"repo-id\": \"org/toy\", \"version\": 1}, \"lock\": "
                          "{\"commit\": \"%s\"}}",
                          toy);
    if (with_base)
        snprintf(text + length, sizeof text - (size_t)length,
                 ", {\"dependency\": {\"repo-id\": \"org/base\", \"version\": 1}, \"lock\": "
                 "{\"commit\": \"%s\"}}]",
                 base);
    else
        snprintf(text + length, sizeof text - (size_t)length, "]");
    return text;
}

static kn_status install_locked(scene *s, const char *lock, const kn_alloc *alloc, kn_error *err) {
    const kn_repo_info info = {
        .size = sizeof info, .kind = KN_REPO_HUB, .id = "org/toy", .lock = lock};
    return install_info(s, alloc, &info, err);
}

static void test_what_is_locked_asks_for_no_branch(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    size_t before = s->hub.requests;
    if (install_locked(s, lock_text(true), NULL, &err)) fail_msg("%s", err.message);
    assert_int_equal(s->hub.requests - before, 2 * (2 + 3)); /* publisher, listing and files */
    before = s->hub.requests;
    assert_int_equal(install_locked(s, lock_text(true), NULL, &err), KN_OK);
    assert_int_equal(s->hub.requests, before);
}

static void test_a_dependency_that_is_not_locked_fails_the_kernel(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(install_locked(s, lock_text(false), NULL, &err), KN_ERR_VALUE);
    assert_contains(err.message, "Kernel `org/base` (version: 1) is not locked");
}

static void test_a_lock_file_that_is_broken_fails_the_call(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    size_t before = s->hub.requests;
    assert_int_equal(install_locked(s, "{}", NULL, &err), KN_ERR_VALUE);
    assert_contains(err.message, "kernels.lock: not a lock file");
    assert_int_equal(install_locked(s, "[]", NULL, &err), KN_ERR_VALUE);
    assert_contains(err.message, "Kernel `org/toy` is not locked");
    assert_int_equal(s->hub.requests, before);
}

static void test_the_commit_of_a_version_is_told(void **state) {
    scene *s = *state;
    kn_status status;
    kn_error err = KN_ERROR_INIT;
    kn_engine *engine = new_engine(s, NULL, &status, &err);
    kn_repo_info info = {
        .size = sizeof info, .kind = KN_REPO_HUB, .id = "org/base", .version = "1"};
    char *commit, expected[65];
    scripted_hub_commit("org/base", expected);
    assert_int_equal(kn_engine_resolve_commit(engine, &s->host->table, &info, &commit, &err),
                     KN_OK);
    assert_string_equal(commit, expected);
    kn_text_free(engine, commit);
    info.version = "9";
    assert_int_equal(kn_engine_resolve_commit(engine, &s->host->table, &info, &commit, &err),
                     KN_ERR_VALUE);
    assert_null(commit);
    assert_contains(err.message, "Version 9 not found, available versions: 1");
    kn_engine_free(engine, &s->host->table);
}

static void test_a_kernel_that_is_forgotten_is_imported_anew(void **state) {
    scene *s = *state;
    kn_status status;
    kn_error err = KN_ERROR_INIT;
    kn_engine *engine = new_engine(s, NULL, &status, &err);
    const kn_repo_info info = {
        .size = sizeof info, .kind = KN_REPO_HUB, .id = "org/base", .version = "1"};
    void *first = NULL, *second = NULL, *third = NULL;
    const kn_host *host = &s->host->table;
    assert_int_equal(kn_engine_get_kernel(engine, host, &info, &first, &err), KN_OK);
    kn_engine_forget_kernels(engine, "/another/folder");
    assert_int_equal(kn_engine_get_kernel(engine, host, &info, &second, &err), KN_OK);
    assert_ptr_equal(first, second);
    kn_engine_forget_kernels(engine, NULL);
    assert_int_equal(kn_engine_get_kernel(engine, host, &info, &third, &err), KN_OK);
    assert_int_equal(s->host->calls[FAKE_CALL_IMPORT], 2);
    host->release(first);
    host->release(second);
    host->release(third);
    kn_engine_free(engine, host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        fetch_test(test_what_is_locked_asks_for_no_branch),
        fetch_test(test_a_dependency_that_is_not_locked_fails_the_kernel),
        fetch_test(test_a_lock_file_that_is_broken_fails_the_call),
        fetch_test(test_the_commit_of_a_version_is_told),
        fetch_test(test_a_kernel_that_is_forgotten_is_imported_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
