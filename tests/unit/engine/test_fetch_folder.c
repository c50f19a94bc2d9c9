/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of a repository beside its builds: fetched, verified and trusted as a build is. */
#include <stdio.h>
#include <stdlib.h>

#include "support/failing_alloc.h"
#include "support/fetch_scene.h"
#include "support/unit.h"

#define SCRIPT "print('timed')\n"

static int set_benchmarks(void **state) {
    if (set_scene(state)) return -1;
    scene *s = *state;
    scripted_hub_benchmark(&s->hub, "org/timed", SCRIPT);
    scripted_hub_benchmark(&s->hub, "other/timed", SCRIPT);
    return 0;
}
#define folder_test(test) cmocka_unit_test_setup_teardown(test, set_benchmarks, clear_scene)

static kn_status fetch_info(scene *s, const kn_alloc *alloc, const kn_repo_info *info,
                            const char *name, char folder[SCRATCH_PATH_MAX], kn_error *err) {
    kn_status status;
    kn_engine *engine = new_engine(s, alloc, &status, err);
    kn_fetched fetched = {.folder = NULL};
    folder[0] = '\0';
    if (!status) {
        status = kn_engine_fetch_folder(engine, &s->host->table, info, name, &fetched, err);
        assert_int_equal(fetched.folder != NULL, status == KN_OK);
        if (fetched.commit) {
            char commit[65];
            scripted_hub_commit(fetched.repo, commit);
            assert_string_equal(fetched.commit, commit);
        }
        if (!status) snprintf(folder, SCRATCH_PATH_MAX, "%s", fetched.folder);
        kn_fetched_clear(engine, &fetched);
        assert_null(fetched.folder);
    }
    kn_engine_free(engine, &s->host->table);
    return status;
}

static kn_status fetch(scene *s, const char *repo, const char *name, kn_error *err) {
    char folder[SCRATCH_PATH_MAX];
    const kn_repo_info info = {
        .size = sizeof info, .kind = KN_REPO_HUB, .id = repo, .version = "1"};
    return fetch_info(s, NULL, &info, name, folder, err);
}

/* How many requests it took; the folder has to have the script as the Hub has it. */
static size_t requests_of_folder(scene *s, const char *repo) {
    char folder[SCRATCH_PATH_MAX], path[SCRATCH_PATH_MAX + 16], text[64] = "";
    kn_error err = KN_ERROR_INIT;
    size_t before = s->hub.requests;
    const kn_repo_info info = {
        .size = sizeof info, .kind = KN_REPO_HUB, .id = repo, .version = "1"};
    if (fetch_info(s, NULL, &info, "benchmarks", folder, &err)) fail_msg("%s", err.message);
    snprintf(path, sizeof path, "%s/benchmark.py", folder);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    assert_string_equal(text, SCRIPT);
    return s->hub.requests - before;
}

static void fetch_fails(scene *s, const char *repo, kn_status expected, const char *part) {
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(fetch(s, repo, "benchmarks", &err), expected);
    assert_contains(err.message, part);
}

static void test_the_folder_alone_is_fetched_and_once(void **state) {
    scene *s = *state;
    assert_int_equal(requests_of_folder(s, "org/timed"), 3 + 1);
    assert_int_equal(requests_of_folder(s, "org/timed"), 0);
    assert_int_equal(requests_of(s, "org/timed", "1"), 3); /* the build: its files and no more */
    setenv("HF_HUB_OFFLINE", "1", 1);
    assert_int_equal(requests_of_folder(s, "org/timed"), 0);
    unsetenv("HF_HUB_OFFLINE");
}

static void test_nothing_of_untrusted_publishers_is_fetched(void **state) {
    scene *s = *state;
    char folder[SCRATCH_PATH_MAX];
    kn_error err = KN_ERROR_INIT;
    fetch_fails(s, "other/timed", KN_ERR_UNTRUSTED, "trust_remote_code");
    const kn_repo_info allowed = {
        .size = sizeof allowed, .kind = KN_REPO_HUB, .id = "other/timed", .allowed = "*"};
    if (fetch_info(s, NULL, &allowed, "benchmarks", folder, &err)) fail_msg("%s", err.message);
    assert_contains(folder, "kernels--other--timed/snapshots/");
}

static void test_a_folder_that_is_not_there_is_told(void **state) {
    scene *s = *state;
    fetch_fails(s, "org/base", KN_ERR_NOT_FOUND, "has no folder 'benchmarks'");
    fetch_fails(s, "org/nothing", KN_ERR_REPOSITORY, "org/nothing");
    setenv("HF_HUB_OFFLINE", "1", 1);
    fetch_fails(s, "org/timed", KN_ERR_NOT_FOUND, "unset HF_HUB_OFFLINE");
    unsetenv("HF_HUB_OFFLINE");
    assert_int_equal(requests_of(s, "org/timed", "1"), 3 + 3);
    setenv("HF_HUB_OFFLINE", "1", 1);
    fetch_fails(s, "org/timed", KN_ERR_NOT_FOUND, "'benchmarks/benchmark.py' is of 'org/timed'");
    unsetenv("HF_HUB_OFFLINE");
    static const char *const names[] = {"", "..", ".kernels", "a/b"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        kn_error err = KN_ERROR_INIT;
        assert_int_equal(fetch(s, "org/timed", names[i], &err), KN_ERR_VALUE);
    }
}

static void test_damaged_files_are_fetched_again_and_never_given(void **state) {
    scene *s = *state;
    char folder[SCRATCH_PATH_MAX], path[SCRATCH_PATH_MAX + 16];
    kn_error err = KN_ERROR_INIT;
    const kn_repo_info info = {
        .size = sizeof info, .kind = KN_REPO_HUB, .id = "org/timed", .version = "1"};
    if (fetch_info(s, NULL, &info, "benchmarks", folder, &err)) fail_msg("%s", err.message);
    snprintf(path, sizeof path, "%s/benchmark.py", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("print('others')\n", file);
    fclose(file);
    setenv("HF_HUB_OFFLINE", "1", 1);
    fetch_fails(s, "org/timed", KN_ERR_INTEGRITY, "'benchmarks/benchmark.py' of 'org/timed'");
    unsetenv("HF_HUB_OFFLINE");
    assert_int_equal(requests_of_folder(s, "org/timed"), 1);
}

static void test_a_directory_has_the_folder_or_not(void **state) {
    scene *s = *state;
    char folder[SCRATCH_PATH_MAX];
    kn_error err = KN_ERROR_INIT;
    scratch_directory(&s->scratch, "clone/benchmarks");
    const kn_repo_info info = {
        .size = sizeof info, .kind = KN_REPO_LOCAL, .id = scratch_path(&s->scratch, "clone")};
    if (fetch_info(s, NULL, &info, "benchmarks", folder, &err)) fail_msg("%s", err.message);
    assert_contains(folder, "/clone/benchmarks");
    assert_int_equal(fetch_info(s, NULL, &info, "tests", folder, &err), KN_ERR_NOT_FOUND);
    assert_contains(err.message, "has no folder 'tests'");
}

/* A sweep over the allocations of a call; `warm`: of one whose files are all there. */
static void sweep(scene *s, bool warm) {
    const kn_repo_info info = {
        .size = sizeof info, .kind = KN_REPO_HUB, .id = "org/timed", .version = "1"};
    for (size_t n = 0;; n += n < 60 ? 1 : 7) {
        char folder[SCRATCH_PATH_MAX];
        if (!warm) new_cache(s);
        failing_alloc memory;
        failing_alloc_init(&memory, n);
        kn_error err = KN_ERROR_INIT;
        kn_status status = fetch_info(s, &memory.alloc, &info, "benchmarks", folder, &err);
        assert_int_equal(memory.live, 0);
        if (status && status != KN_ERR_NOMEM) fail_msg("allocation %zu: %s", n, err.message);
        assert_true(status == KN_OK || memory.failed);
        if (!memory.failed) break;
    }
}

static void test_each_allocation_fails_once(void **state) {
    sweep(*state, false);
    requests_of_folder(*state, "org/timed");
    sweep(*state, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        folder_test(test_the_folder_alone_is_fetched_and_once),
        folder_test(test_nothing_of_untrusted_publishers_is_fetched),
        folder_test(test_a_folder_that_is_not_there_is_told),
        folder_test(test_damaged_files_are_fetched_again_and_never_given),
        folder_test(test_a_directory_has_the_folder_or_not),
        folder_test(test_each_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
