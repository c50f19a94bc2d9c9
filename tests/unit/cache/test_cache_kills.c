/* SPDX-License-Identifier: Apache-2.0 */
/* A process that fills the cache is killed at random moments; what it leaves must work. */
#define _DEFAULT_SOURCE

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os/store.h"
#include "support/cache_fixture.h"
#include "support/plain_digest.h"
#include "support/unit.h"

#define KILLS 200
#define SMALL ((size_t)100000)
#define LARGE ((size_t)8500000) /* hashed by a thread */
#define VARIANT "torch-cpu"

typedef struct work {
    cache_fixture *fx;
    char *bytes[2];
    char oids[2][65];
    kni_checked files[2];
} work;

static void prepare(work *w, cache_fixture *fx) {
    static const size_t sizes[2] = {SMALL, LARGE};
    static const char *const paths[2] = {"build/torch-cpu/small", "build/torch-cpu/large"};
    w->fx = fx;
    for (int i = 0; i < 2; i++) {
        w->bytes[i] = malloc(sizes[i]);
        assert_non_null(w->bytes[i]);
        memset(w->bytes[i], 'a' + i, sizes[i]);
        if (i)
            plain_sha256(w->bytes[i], sizes[i], w->oids[i]);
        else
            plain_git_oid(w->bytes[i], sizes[i], w->oids[i]);
        w->files[i] = (kni_checked){.path = paths[i],
                                    .content = {.oid = w->oids[i], .size = (int64_t)sizes[i]}};
    }
}

/* A network that always works: what is not there yet arrives. */
static kn_status fetch(const kni_cache *cache, const work *w, int i) {
    kni_blob *blob;
    kn_status status = kni_blob_open(cache, plain_digests(), &w->files[i].content, &blob, NULL);
    if (status) return status;
    size_t size = (size_t)w->files[i].content.size;
    for (size_t at = (size_t)kni_blob_length(blob); at < size && !status;) {
        size_t length = size - at < 65536 ? size - at : 65536;
        status = kni_blob_write(blob, w->bytes[i] + at, length, NULL);
        at += length;
    }
    if (!status) return kni_blob_finish(blob, NULL);
    kni_blob_close(blob);
    return status;
}

/* What the engine does for a kernel; 0 or the number of the step that failed. */
static int complete(work *w) {
    const kni_cache *cache = &w->fx->cache;
    if (kni_cache_check(cache, COMMIT_A, VARIANT, w->files, 2, false, give_digests, NULL, NULL))
        return 1;
    for (int i = 0; i < 2; i++) {
        kni_checked *file = &w->files[i];
        if (file->found == KNI_FILE_DAMAGED) return 2; /* nothing half done has a true name */
        if (file->found == KNI_FILE_GOOD) continue;
        kni_cache_lock lock;
        bool taken;
        if (kni_cache_lock_try(cache, file->content.oid, &lock, &taken, NULL) || !taken) return 3;
        bool there = kni_cache_blob_exists(cache, &file->content);
        if (!there && fetch(cache, w, i)) return 4;
        kni_cache_lock_drop(&lock);
        if (kni_cache_snapshot_add(cache, COMMIT_A, file->path, &file->content, NULL)) return 5;
        file->found = KNI_FILE_GOOD;
    }
    if (kni_cache_receipt_write(cache, COMMIT_A, VARIANT, w->files, 2, NULL)) return 6;
    kni_resolution resolution = {.commit = COMMIT_A, .time = 7};
    if (kni_cache_resolution_write(cache, "version:1", &resolution, NULL)) return 7;
    return kni_cache_ref_write(cache, "v1", COMMIT_A, NULL) ? 8 : 0;
}

static void empty(const work *w) {
    char name[128];
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "snapshots/" COMMIT_A "/%s", w->files[i].path);
        if (kni_store_remove(w->fx->cache.folder, name, NULL)) _exit(2);
        snprintf(name, sizeof name, "blobs/%s", w->oids[i]);
        if (kni_store_remove(w->fx->cache.folder, name, NULL)) _exit(2);
    }
}

static void fill_and_empty(work *w) {
    for (;;) {
        if (complete(w)) _exit(1);
        empty(w);
    }
}

/* What is there is whole; a ref, a record or a receipt that is there can be read. */
static void assert_nothing_is_half_done(work *w) {
    const kni_cache *cache = &w->fx->cache;
    assert_int_equal(
        kni_cache_check(cache, COMMIT_A, VARIANT, w->files, 2, true, give_digests, NULL, NULL),
        KN_OK);
    for (int i = 0; i < 2; i++) assert_int_not_equal(w->files[i].found, KNI_FILE_DAMAGED);
    char **names, commit[KNI_CACHE_COMMIT_MAX];
    size_t count;
    assert_int_equal(kni_cache_refs(cache, &names, &count, NULL), KN_OK);
    for (size_t i = 0; i < count; i++) {
        bool found;
        assert_string_equal(names[i], "v1");
        assert_int_equal(kni_cache_ref_read(cache, "v1", commit, &found, NULL), KN_OK);
        assert_true(found);
        assert_string_equal(commit, COMMIT_A);
    }
    kni_cache_names_free(cache, names, count);
}

static void test_a_process_killed_at_any_moment_leaves_a_cache_that_works(void **state) {
    work w;
    prepare(&w, *state);
    srand(1);
    for (int round = 0; round < KILLS; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) fill_and_empty(&w);
        usleep((useconds_t)(rand() % 40000));
        assert_int_equal(kill(child, SIGKILL), 0);
        int result;
        assert_int_equal(waitpid(child, &result, 0), child);
        assert_true(WIFSIGNALED(result));
        if (round % 10 == 0) assert_nothing_is_half_done(&w);
        if (round % 10 == 5) assert_int_equal(complete(&w), 0);
    }
    assert_int_equal(complete(&w), 0);
    assert_nothing_is_half_done(&w);
    kni_resolution resolution;
    bool found;
    assert_int_equal(
        kni_cache_resolution_read(&w.fx->cache, "version:1", &resolution, &found, NULL), KN_OK);
    assert_true(found);
    for (int i = 0; i < 2; i++) free(w.bytes[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cache_test(test_a_process_killed_at_any_moment_leaves_a_cache_that_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
