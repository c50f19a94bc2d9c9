/* SPDX-License-Identifier: Apache-2.0 */
/* What the cache holds, after a Hub in memory has filled it. */
#include <kernels/stored.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#include "support/failing_alloc.h"
#include "support/fetch_scene.h"
#include "support/unit.h"

#define FOREIGN "cccccccccccccccccccccccccccccccccccccccc"

/* What was told, a letter an event: damaged, missing, unknown, revision, content, partial, busy. */
typedef struct told {
    char letters[64];
} told;

static void note(void *ctx, const kn_stored_event *event) {
    told *t = ctx;
    size_t length = strlen(t->letters);
    if (length + 1 < sizeof t->letters) t->letters[length] = "dmurcpb"[event->kind];
}

static void fill(scene *s) {
    kn_error err = KN_ERROR_INIT;
    if (install(s, NULL, "org/toy", "1", &err)) fail_msg("%s", err.message);
}

static void in_cache(const scene *s, const char *relative, char out[SCRATCH_PATH_MAX]) {
    snprintf(out, SCRATCH_PATH_MAX, "%s/%s", strrchr(s->cache, '/') + 1, relative);
}

static kn_stored *read_stored(void) {
    kn_stored *stored;
    kn_error err = KN_ERROR_INIT;
    if (kn_stored_read(NULL, &stored, &err)) fail_msg("%s", err.message);
    return stored;
}

static void prune_all(bool remove, told *t) {
    kn_stored *stored = read_stored();
    kn_error err = KN_ERROR_INIT;
    memset(t, 0, sizeof *t);
    for (size_t i = 0; i < kn_stored_repo_count(stored); i++) {
        if (kn_stored_prune(stored, i, remove, note, t, &err)) fail_msg("%s", err.message);
    }
    kn_stored_free(stored);
}

static void test_what_was_fetched_is_listed(void **state) {
    scene *s = *state;
    kn_stored *stored = read_stored();
    assert_int_equal(kn_stored_repo_count(stored), 0); /* and no folder is made */
    assert_string_equal(kn_stored_folder(stored), s->cache);
    kn_stored_free(stored);
    fill(s);
    stored = read_stored();
    assert_int_equal(kn_stored_repo_count(stored), 2);
    kn_stored_repo repo = {.size = sizeof repo};
    kn_stored_repo_get(stored, 1, &repo);
    assert_string_equal(repo.id, "org/toy");
    assert_false(repo.is_model);
    assert_int_equal(repo.revision_count, 1);
    assert_int_equal(repo.trust, KN_STORED_TRUSTED);
    assert_int_equal(repo.partial_bytes, 0);
    assert_true(repo.bytes > 0);
    kn_stored_revision revision = {.size = sizeof revision};
    kn_stored_revision_get(stored, 1, 0, &revision);
    char commit[65];
    scripted_hub_commit("org/toy", commit);
    assert_string_equal(revision.commit, commit);
    assert_string_equal(revision.refs, "v1");
    assert_string_equal(revision.variants, "torch-cpu");
    assert_int_equal(revision.file_count, 3);
    assert_int_equal(revision.missing_count, 0);
    assert_int_equal(revision.bytes, repo.bytes);
    assert_true(revision.is_named);
    kn_stored_free(stored);
}

static void test_prune_takes_what_nothing_names(void **state) {
    scene *s = *state;
    told t;
    char path[SCRATCH_PATH_MAX];
    fill(s);
    prune_all(true, &t);
    assert_string_equal(t.letters, "");
    in_cache(s, "kernels--org--toy/snapshots/" FOREIGN "/build/torch-cpu/x.py", path);
    scratch_file(&s->scratch, path, "copy");
    in_cache(s, "kernels--org--toy/blobs/" FOREIGN ".incomplete", path);
    scratch_file(&s->scratch, path, "half");
    prune_all(false, &t);
    assert_string_equal(t.letters, "r"); /* the partial file is young */
    const struct utimbuf old = {1000, 1000};
    const char *partial = scratch_path(&s->scratch, path);
    assert_int_equal(utime(partial, &old), 0);
    prune_all(false, &t);
    assert_string_equal(t.letters, "rp");
    assert_int_equal(access(partial, F_OK), 0);
    prune_all(true, &t);
    assert_string_equal(t.letters, "rp");
    assert_int_not_equal(access(partial, F_OK), 0);
    in_cache(s, "kernels--org--toy/snapshots/" FOREIGN, path);
    assert_int_not_equal(access(scratch_path(&s->scratch, path), F_OK), 0);
    assert_int_equal(requests_of(s, "org/toy", "1"), 0); /* what is named is whole */
}

static void verify_all(scene *s, const kn_alloc *alloc, bool remove, told *t, size_t *checked,
                       kn_error *err) {
    kn_status status;
    memset(t, 0, sizeof *t);
    *checked = 0;
    kn_engine *engine = new_engine(s, alloc, &status, err);
    kn_stored *stored = NULL;
    if (!status) status = kn_stored_read(alloc, &stored, err);
    for (size_t i = 0; !status && i < kn_stored_repo_count(stored); i++) {
        size_t one;
        status =
            kn_engine_verify_stored(engine, &s->host->table, stored, i, remove, note, t, &one, err);
        *checked += one;
    }
    kn_stored_free(stored);
    kn_engine_free(engine, &s->host->table);
}

static void test_verify_hashes_everything(void **state) {
    scene *s = *state;
    told t;
    size_t checked;
    kn_error err = KN_ERROR_INIT;
    char path[SCRATCH_PATH_MAX];
    fill(s);
    verify_all(s, NULL, false, &t, &checked, &err);
    assert_string_equal(t.letters, "");
    assert_true(checked >= 4);
    in_cache(s, "kernels--org--toy/blobs/" FOREIGN, path);
    scratch_file(&s->scratch, path, "not what its name says");
    in_cache(s, "kernels--org--toy/snapshots/" FOREIGN "/copy.py", path);
    scratch_file(&s->scratch, path, "copy");
    in_cache(s, "kernels--org--toy/snapshots/" FOREIGN "/gone.py", path);
    scratch_link(&s->scratch, path, "../../blobs/dddddddddddddddddddddddddddddddddddddddd");
    verify_all(s, NULL, true, &t, &checked, &err);
    assert_string_equal(t.letters, "dum");
    verify_all(s, NULL, true, &t, &checked, &err);
    assert_string_equal(t.letters, "um");
    assert_int_equal(s->hub.requests, 12);
    fake_host_calm(s->host);
    fake_host_fail(s->host, FAKE_CALL_CANCELLED, 1, KN_ERR_CANCELLED);
    verify_all(s, NULL, false, &t, &checked, &err);
    assert_int_equal(err.status, KN_ERR_CANCELLED);
    fake_host_calm(s->host);
}

static void test_each_allocation_fails_once(void **state) {
    scene *s = *state;
    fill(s);
    for (size_t n = 0;; n++) {
        told t;
        size_t checked;
        failing_alloc memory;
        failing_alloc_init(&memory, n);
        kn_error err = KN_ERROR_INIT;
        verify_all(s, &memory.alloc, false, &t, &checked, &err);
        assert_int_equal(memory.live, 0);
        if (!memory.failed) break;
        if (err.status != KN_ERR_NOMEM) fail_msg("allocation %zu: %s", n, err.message);
        assert_string_equal(t.letters, ""); /* nothing is called damaged for want of memory */
    }
    for (size_t n = 0;; n++) {
        told t = {{0}};
        failing_alloc memory;
        failing_alloc_init(&memory, n);
        kn_error err = KN_ERROR_INIT;
        kn_stored *stored;
        kn_status status = kn_stored_read(&memory.alloc, &stored, &err);
        if (!status) status = kn_stored_prune(stored, 1, true, note, &t, &err);
        kn_stored_free(stored);
        assert_int_equal(memory.live, 0);
        assert_string_equal(t.letters, ""); /* what is named stays named */
        if (!memory.failed) break;
        assert_int_equal(status, KN_ERR_NOMEM);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        fetch_test(test_what_was_fetched_is_listed),
        fetch_test(test_prune_takes_what_nothing_names),
        fetch_test(test_verify_hashes_everything),
        fetch_test(test_each_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
