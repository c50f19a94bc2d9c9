/* SPDX-License-Identifier: Apache-2.0 */
/* The cache is checked, and what nothing names is taken away. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/fetch.h"
#include "engine/host.h"
#include "engine/stored.h"
#include "os/clock.h"
#include "os/files.h"
#include "os/tree.h"

#define YOUNG_S 3600 /* what was written within this time may still be linked */
#define NAME_MAX_BYTES 320

/* Tells the caller of what was found. */
typedef struct teller {
    const kni_stored_repo *repo;
    kn_stored_visit visit;
    void *ctx;
} teller;

static void tell(const teller *t, kn_stored_event_kind kind, const char *name, int64_t bytes) {
    kn_stored_event event = {
        .size = sizeof event, .kind = kind, .repo = t->repo->id, .name = name, .bytes = bytes};
    t->visit(t->ctx, &event);
}

/* ---- verify ---- */

static kn_status tell_snapshot_file(void *ctx, const char *path, const char *oid, int64_t size,
                                    kn_error *err) {
    const teller *t = ctx;
    (void)err;
    if (!oid[0])
        tell(t, KN_STORED_UNKNOWN, path, size);
    else if (!kni_stored_blob_find(t->repo, oid))
        tell(t, KN_STORED_MISSING, path, 0);
    return KN_OK;
}

static kn_status check_blob(kni_batch *batch, const teller *t, const kni_stored_blob *blob,
                            bool remove, kn_error *err) {
    const kni_net *net;
    const kni_content content = {blob->name, blob->size};
    char name[NAME_MAX_BYTES];
    bool good;
    kn_status status = kni_batch_net(batch, &net, err);
    if (!status) status = kni_cache_blob_check(&t->repo->cache, net, &content, &good, err);
    if (status || good) return status;
    snprintf(name, sizeof name, "blobs/%s", blob->name);
    tell(t, KN_STORED_DAMAGED, name, blob->size);
    return remove ? kni_store_remove(t->repo->cache.folder, name, err) : KN_OK;
}

static kn_status check_blobs(kni_batch *batch, const teller *t, bool remove, size_t *checked,
                             kn_error *err) {
    const kn_host *host = batch->run->host;
    int64_t done = 0, total = 0;
    kn_status status = KN_OK;
    for (size_t i = 0; i < t->repo->blob_count; i++) total += t->repo->blobs[i].size;
    for (size_t i = 0; i < t->repo->blob_count && !status; i++) {
        const kni_stored_blob *blob = &t->repo->blobs[i];
        done += blob->size;
        if (blob->is_partial || !kni_is_commit(blob->name)) continue; /* an id looks like one */
        if (kni_host_is_cancelled(batch->engine, host))
            return kni_fail(err, KN_ERR_CANCELLED, "stopped");
        status = check_blob(batch, t, blob, remove, err);
        if (!status) ++*checked;
        kni_host_progress(batch->engine, host, done, total);
    }
    return status;
}

kn_status kn_engine_verify_stored(kn_engine *engine, const kn_host *host, const kn_stored *stored,
                                  size_t index, bool remove, kn_stored_visit visit, void *ctx,
                                  size_t *checked, kn_error *err) {
    const kni_stored_repo *repo = &stored->repos[index];
    teller t = {repo, visit, ctx};
    *checked = 0;
    kn_error cause;
    kn_error_init(&cause);
    kni_run run;
    kni_run_init(&run, engine, host, NULL);
    kni_batch batch;
    kn_status status = kni_batch_open(&run, false, &batch, &cause);
    if (!status) status = check_blobs(&batch, &t, remove, checked, &cause);
    for (size_t i = 0; i < repo->commit_count && !status; i++) {
        status = kni_cache_snapshot_walk(&repo->cache, repo->commits[i].commit, tell_snapshot_file,
                                         &t, &cause);
    }
    kni_batch_close(&batch);
    kni_run_clear(&run);
    return status ? kni_fail(err, status, "%s", cause.message) : KN_OK;
}

/* ---- prune ---- */

static bool is_young(const kni_stored_blob *blob) {
    return kni_clock_seconds() - blob->mtime_ns / 1000000000 < YOUNG_S;
}

/* A download is left alone while its lock is held. */
static kn_status is_held(const kni_stored_repo *repo, const char *blob, bool *out, kn_error *err) {
    char oid[KNI_COMMIT_MAX];
    kni_cache_lock lock;
    bool taken;
    snprintf(oid, sizeof oid, "%.*s", (int)strcspn(blob, "."), blob);
    kn_status status = kni_cache_lock_try(&repo->cache, oid, &lock, &taken, err);
    kni_cache_lock_drop(&lock);
    *out = !taken;
    return status;
}

static kn_status prune_blob(const teller *t, const kni_stored_blob *blob, bool remove,
                            kn_error *err) {
    char name[NAME_MAX_BYTES];
    bool held;
    if (blob->is_linked || is_young(blob)) return KN_OK;
    kn_status status = is_held(t->repo, blob->name, &held, err);
    if (status || held) return status;
    snprintf(name, sizeof name, "blobs/%s", blob->name);
    if (remove) status = kni_store_remove(t->repo->cache.folder, name, err);
    if (!status)
        tell(t, blob->is_partial ? KN_STORED_PARTIAL : KN_STORED_CONTENT, name, blob->size);
    return status;
}

/* The snapshot goes, with what is recorded of it. */
static kn_status remove_commit(const kni_stored_repo *repo, const char *commit, kn_error *err) {
    static const char *const records[] = {".kernels/listings/%s.json", ".kernels/mirrored/%s.json",
                                          ".kernels/imported/%s.json", ".kernels/receipts/%s",
                                          ".kernels/digests/%s",       "trees/%s.json"};
    const kn_alloc *alloc = repo->cache.alloc;
    char *snapshot = kni_cache_snapshot_path(&repo->cache, commit, NULL);
    if (!snapshot) return kni_no_memory(err, "removing a revision");
    kn_status status = kni_tree_remove(snapshot, err);
    kni_free(alloc, snapshot);
    for (size_t i = 0; i < sizeof records / sizeof *records && !status; i++) {
        kni_text text;
        kni_text_init(&text, alloc);
        kni_text_addf(&text, "%s/", repo->cache.folder);
        const char *gap = strstr(records[i], "%s");
        kni_text_add_n(&text, records[i], (size_t)(gap - records[i]));
        kni_text_addf(&text, "%s%s", commit, gap + 2);
        char *path = kni_text_take(&text);
        status = path ? kni_tree_remove(path, err) : kni_no_memory(err, "removing a revision");
        kni_free(alloc, path);
    }
    return status;
}

static kn_status prune_commits(const teller *t, bool remove, kn_error *err) {
    for (size_t i = 0; i < t->repo->commit_count; i++) {
        const kni_stored_commit *commit = &t->repo->commits[i];
        char name[NAME_MAX_BYTES];
        if (commit->is_named) continue;
        kn_status status = remove ? remove_commit(t->repo, commit->commit, err) : KN_OK;
        if (status) return status;
        snprintf(name, sizeof name, "snapshots/%s", commit->commit);
        tell(t, KN_STORED_REVISION, name, commit->copied_bytes);
    }
    return KN_OK;
}

static kn_status mark(void *ctx, const char *path, const char *oid, int64_t size, kn_error *err) {
    (void)path, (void)size, (void)err;
    kni_stored_blob *blob = oid[0] ? kni_stored_blob_find(ctx, oid) : NULL;
    if (blob) blob->is_linked = true;
    return KN_OK;
}

/* What revisions that stay have of the content. */
static kn_status mark_blobs(kni_stored_repo *repo, kn_error *err) {
    kn_status status = KN_OK;
    for (size_t i = 0; i < repo->blob_count; i++) repo->blobs[i].is_linked = false;
    for (size_t i = 0; i < repo->commit_count && !status; i++) {
        if (repo->commits[i].is_named)
            status =
                kni_cache_snapshot_walk(&repo->cache, repo->commits[i].commit, mark, repo, err);
    }
    return status;
}

static kn_status prune_locked(const kn_stored *stored, const kni_stored_repo *known, bool remove,
                              kn_stored_visit visit, void *ctx, kn_error *err) {
    kni_stored_repo now; /* it may have changed before the lock was taken */
    kn_status status =
        kni_stored_repo_read(&stored->settings, known->id, known->is_model, &now, err);
    teller t = {&now, visit, ctx};
    if (!status) status = mark_blobs(&now, err);
    if (!status) status = prune_commits(&t, remove, err);
    for (size_t i = 0; i < now.blob_count && !status; i++)
        status = prune_blob(&t, &now.blobs[i], remove, err);
    kni_stored_repo_clear(&now);
    return status;
}

kn_status kn_stored_prune(const kn_stored *stored, size_t index, bool remove, kn_stored_visit visit,
                          void *ctx, kn_error *err) {
    const kni_stored_repo *repo = &stored->repos[index];
    kni_cache_lock lock = {-1};
    bool taken = false;
    kn_error cause;
    kn_error_init(&cause);
    kni_cache cache; /* the lock is that of the type kernel, whichever type it is */
    kn_status status = kni_cache_open(stored->alloc, stored->settings.cache, "kernels", repo->id,
                                      NULL, &cache, &cause);
    if (!status) status = kni_cache_lock_try(&cache, KNI_REPOSITORY_LOCK, &lock, &taken, &cause);
    if (!status && taken) {
        status = prune_locked(stored, repo, remove, visit, ctx, &cause);
    } else if (!status) {
        teller t = {repo, visit, ctx};
        tell(&t, KN_STORED_BUSY, NULL, 0);
    }
    kni_cache_lock_drop(&lock);
    kni_cache_close(&cache);
    return status ? kni_fail(err, status, "%s", cause.message) : KN_OK;
}
