/* SPDX-License-Identifier: Apache-2.0 */
/* A project's lock file, against a Hub in memory. */
#include <kernels/lock.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/files.h"
#include "support/failing_alloc.h"
#include "support/fetch_scene.h"
#include "support/unit.h"

#define PROJECT(kernels) "[tool.kernels.dependencies]\n" kernels
#define OLD "1111111111111111111111111111111111111111"

static void write_project(scene *s, const char *text) {
    scratch_file(&s->scratch, "project/pyproject.toml", text);
}

/* What `request`, whose project is the scene's, comes to; *written: and is written. */
static kn_status lock_with(scene *s, const kn_alloc *alloc, kn_lock_request request, bool write,
                           kn_error *err) {
    kn_status status;
    kn_engine *engine = new_engine(s, alloc, &status, err);
    kn_lock *lock = NULL;
    char project[SCRATCH_PATH_MAX + 16];
    snprintf(project, sizeof project, "%s/project", s->scratch.path);
    request.size = sizeof request;
    request.project = project;
    if (!status) status = kn_engine_lock(engine, &s->host->table, &request, &lock, err);
    if (!status && write) status = kn_lock_write(lock, err);
    kn_lock_free(lock);
    kn_engine_free(engine, &s->host->table);
    return status;
}

static kn_status lock_project(scene *s, kn_error *err) {
    return lock_with(s, NULL, (kn_lock_request){0}, true, err);
}

/* The project's lock file; NULL: there is none. In a static buffer. */
static const char *lock_text(scene *s) {
    static char out[10000];
    char *bytes;
    size_t length;
    if (kni_file_read(NULL, scratch_path(&s->scratch, "project/kernels.lock"), sizeof out - 1,
                      &bytes, &length, NULL))
        return NULL;
    memcpy(out, bytes, length + 1);
    free(bytes);
    return out;
}

static const char *entry_of(const char *repo, const char *commit) {
    static char texts[2][400];
    static unsigned next;
    char *out = texts[next++ % 2], known[65];
    if (!commit) scripted_hub_commit(repo, known);
    snprintf(
        out, sizeof texts[0],
        "  {\n    \"dependency\": {\n      \"repo-id\": \"%s\",\n      \"version\": 1\n    },\n"
        "    \"lock\": {\n      \"commit\": \"%s\"\n    }\n  }",
        repo, commit ? commit : known);
    return out;
}

static const char *both_locked(void) {
    static char out[1000];
    snprintf(out, sizeof out, "[\n%s,\n%s\n]", entry_of("org/base", NULL),
             entry_of("org/toy", NULL));
    return out;
}

static void assert_fails(scene *s, kn_status expected, const char *part) {
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(lock_project(s, &err), expected);
    assert_contains(err.message, part);
}

static void test_a_project_is_locked_with_what_its_kernels_depend_on(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    write_project(s, PROJECT("\"org/toy\" = 1\n"));
    size_t before = s->hub.requests;
    if (lock_project(s, &err)) fail_msg("%s", err.message);
    assert_string_equal(err.message, "");
    assert_string_equal(lock_text(s), both_locked());
    /* for each the publisher (once for both waves), refs, the listing and metadata.json */
    assert_int_equal(s->hub.requests - before, 2 * 4);
}

static void test_what_is_locked_keeps_its_commit(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    char kept[1000], again[1000];
    write_project(s, PROJECT("\"org/base\" = 1\n"));
    if (lock_project(s, &err)) fail_msg("%s", err.message);
    snprintf(again, sizeof again, "%s", lock_text(s));
    size_t before = s->hub.requests;
    if (lock_project(s, &err)) fail_msg("%s", err.message);
    assert_int_equal(s->hub.requests, before);
    assert_string_equal(lock_text(s), again);

    /* another commit of the same content is what it is asked for by */
    snprintf(kept, sizeof kept, "[\n%s\n]", entry_of("org/base", OLD));
    scratch_file(&s->scratch, "project/kernels.lock", kept);
    scripted_hub_set(&s->hub, "/api/kernels/org/base/tree/" OLD "?recursive=true&expand=false",
                     "[]");
    if (lock_project(s, &err)) fail_msg("%s", err.message);
    assert_string_equal(lock_text(s), kept);
    const kn_lock_request other = {.upgrade = "org/toy"}, all = {.upgrade = "*"},
                          one = {.upgrade = "org/base"};
    assert_int_equal(lock_with(s, NULL, other, true, &err), KN_ERR_VALUE);
    assert_contains(err.message, "'org/toy' cannot be upgraded: neither the project nor one of");
    assert_int_equal(lock_with(s, NULL, all, false, &err), KN_OK);
    assert_string_equal(lock_text(s), kept); /* it was not to be written */
    assert_int_equal(lock_with(s, NULL, one, true, &err), KN_OK);
    assert_string_equal(lock_text(s), again);
}

static void test_what_is_not_needed_any_more_goes(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    write_project(s, PROJECT("\"org/toy\" = 1\n"));
    if (lock_project(s, &err)) fail_msg("%s", err.message);
    write_project(s, PROJECT("\"org/base\" = 1\n"));
    if (lock_project(s, &err)) fail_msg("%s", err.message);
    char expected[1000];
    snprintf(expected, sizeof expected, "[\n%s\n]", entry_of("org/base", NULL));
    assert_string_equal(lock_text(s), expected);
}

static void test_digests_are_locked_and_kept(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    char first[10000];
    write_project(s, PROJECT("\"org/toy\" = 1\n"));
    const kn_lock_request with = {.digests = true};
    if (lock_with(s, NULL, with, true, &err)) fail_msg("%s", err.message);
    snprintf(first, sizeof first, "%s", lock_text(s));
    assert_contains(first, "\"revision\": \"~digests of ");
    assert_contains(first, "  build/torch-cpu/__init__.py\\n");
    if (lock_project(s, &err)) fail_msg("%s", err.message);
    assert_string_equal(lock_text(s), first);
    char *digit = strstr(first, "  build/torch-cpu/other.py") - 1;
    *digit = *digit == '0' ? '1' : '0';
    scratch_file(&s->scratch, "project/kernels.lock", first);
    assert_fails(s, KN_ERR_INTEGRITY, "'build/torch-cpu/other.py' has another content");
    assert_string_equal(lock_text(s), first);
}

static void test_what_cannot_be_locked_says_why_and_leaves_the_lock(void **state) {
    scene *s = *state;
    scratch_file(&s->scratch, "project/kernels.lock", "[]");
    assert_fails(s, KN_ERR_NOT_FOUND, "pyproject.toml");
    write_project(s, "[tool.kernels.dependencies]\norg/toy = 1\n");
    assert_fails(s, KN_ERR_VALUE, "pyproject.toml: not valid TOML: line 2, column 4");
    write_project(s, "[project]\nname = 'x'\n");
    assert_fails(s, KN_ERR_VALUE, "there is no table [tool.kernels.dependencies]");
    write_project(s, PROJECT("\"org/toy\" = 1\n\"org/absent\" = 1\n"));
    assert_fails(s, KN_ERR_REPOSITORY, "org/absent");
    write_project(s, PROJECT("\"org/toy\" = 7\n"));
    assert_fails(s, KN_ERR_VALUE, "Version 7 not found, available versions: 1 (of 'org/toy')");
    write_project(s, PROJECT("\"other/toy\" = 1\n"));
    assert_fails(s, KN_ERR_UNTRUSTED, "not from a trusted publisher");
    write_project(s, PROJECT("\"builtin/norm\" = 1\n"));
    assert_fails(s, KN_ERR_VALUE, "'builtin/norm' ships with this package and is not locked");
    write_project(s, PROJECT("\"toy\" = 1\n"));
    assert_fails(s, KN_ERR_VALUE, "'toy'");
    assert_string_equal(lock_text(s), "[]");
    write_project(s, PROJECT("\"org/toy\" = 1\n"));
    scratch_file(&s->scratch, "project/kernels.lock", "{\"format\": 2}");
    assert_fails(s, KN_ERR_VALUE, "where a newer version wrote it, upgrade the package kernels");
    assert_fails(s, KN_ERR_VALUE, "; remove the file to have it made from nothing");
    assert_string_equal(lock_text(s), "{\"format\": 2}");
}

static void test_kernels_that_need_each_other_are_refused(void **state) {
    scene *s = *state;
    scripted_hub_kernel(&s->hub, "org/first", "[{\"repo-id\": \"org/other\", \"version\": 1}]");
    scripted_hub_kernel(&s->hub, "org/other", "[{\"repo-id\": \"org/first\", \"version\": 1}]");
    write_project(s, PROJECT("\"org/first\" = 1\n"));
    assert_fails(s, KN_ERR_VALUE,
                 "Cyclic kernel dependency detected: org/first -> org/other -> org/first");
}

static void test_a_dependency_that_is_missing_names_who_needs_it(void **state) {
    scene *s = *state;
    scripted_hub_kernel(&s->hub, "org/needy", "[{\"repo-id\": \"org/none\", \"version\": 1}]");
    write_project(s, PROJECT("\"org/needy\" = 1\n"));
    assert_fails(s, KN_ERR_REPOSITORY, "org/needy depends on 'org/none': ");
}

static void test_offline_a_lock_is_made_of_what_is_cached(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    write_project(s, PROJECT("\"org/toy\" = 1\n"));
    setenv("HF_HUB_OFFLINE", "1", 1);
    assert_fails(s, KN_ERR_NOT_FOUND, "no request is made in offline mode");
    unsetenv("HF_HUB_OFFLINE");
    if (lock_project(s, &err)) fail_msg("%s", err.message);
    remove(scratch_path(&s->scratch, "project/kernels.lock"));
    setenv("HF_HUB_OFFLINE", "1", 1);
    size_t before = s->hub.requests;
    kn_status status = lock_project(s, &err);
    unsetenv("HF_HUB_OFFLINE");
    if (status) fail_msg("%s", err.message);
    assert_int_equal(s->hub.requests, before);
    assert_string_equal(lock_text(s), both_locked());
}

/* Each answer in turn is none, for good: no lock file is made of what the cache knew before. */
static void test_a_request_that_fails_leaves_the_lock_as_it_was(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    write_project(s, PROJECT("\"org/toy\" = 1\n"));
    const kn_lock_request all = {.upgrade = "*"};
    for (size_t warm = 0; warm < 2; warm++) {
        size_t at = 0;
        for (;; at++) {
            if (!warm) new_cache(s);
            scratch_file(&s->scratch, "project/kernels.lock", "[]");
            s->hub.fail_at = s->hub.requests + at;
            s->hub.fails = 100;
            s->hub.fault = SCRIPTED_GARBAGE;
            size_t before = s->hub.requests;
            kn_status status = lock_with(s, NULL, all, true, &err);
            bool reached = s->hub.requests - before > at;
            s->hub.fail_at = SIZE_MAX;
            if (!reached) {
                assert_int_equal(status, KN_OK);
                assert_string_equal(lock_text(s), both_locked());
                break;
            }
            assert_true(status == KN_ERR_NETWORK || status == KN_ERR_INTEGRITY);
            assert_string_equal(lock_text(s), "[]");
        }
        assert_int_equal(at, warm ? 4 : 8); /* warm the publisher and the refs alone are asked */
    }
}

static kn_status lock_once(const kn_alloc *alloc, void *ctx, kn_error *err) {
    scene *s = ctx;
    new_cache(s);
    scratch_file(&s->scratch, "project/kernels.lock", "[]");
    const kn_lock_request with = {.digests = true};
    kn_status status = lock_with(s, alloc, with, true, err);
    if (status) assert_string_equal(lock_text(s), "[]");
    return status;
}

static void test_no_memory_leaves_the_lock_as_it_was(void **state) {
    scene *s = *state;
    write_project(s, PROJECT("\"org/base\" = 1\n"));
    assert_true(fault_sweep(lock_once, s) > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        fetch_test(test_a_project_is_locked_with_what_its_kernels_depend_on),
        fetch_test(test_what_is_locked_keeps_its_commit),
        fetch_test(test_what_is_not_needed_any_more_goes),
        fetch_test(test_digests_are_locked_and_kept),
        fetch_test(test_what_cannot_be_locked_says_why_and_leaves_the_lock),
        fetch_test(test_kernels_that_need_each_other_are_refused),
        fetch_test(test_a_dependency_that_is_missing_names_who_needs_it),
        fetch_test(test_offline_a_lock_is_made_of_what_is_cached),
        fetch_test(test_a_request_that_fails_leaves_the_lock_as_it_was),
        fetch_test(test_no_memory_leaves_the_lock_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
