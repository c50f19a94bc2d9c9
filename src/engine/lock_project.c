/* SPDX-License-Identifier: Apache-2.0 */
/* Locking a project: its kernels and all that they depend on become wants of one batch, and what
 * these come to becomes a lock file. */
#include <kernels/lock.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "engine/fetch.h"
#include "engine/lock_project.h"
#include "os/files.h"
#include "trust/lockfile_digests.h"
#include "trust/lockfile_text.h"
#include "trust/project.h"

#define PROJECT_FILE "pyproject.toml"

/* A kernel at a version or revision, and the number of the want that finds its commit. */
typedef struct locked_want {
    char *repo_id, *revision;
    int64_t version;
    const char *kept; /* the commit that it has already; NULL: none, or it is to be found anew */
    size_t want;
} locked_want;

struct kni_locking {
    const kn_alloc *alloc;
    const kn_lock_request *request;
    const kn_lockfile *before;
    locked_want *items;
    size_t count, capacity;
};

static void locking_clear(kni_locking *locking) {
    for (size_t i = 0; i < locking->count; i++) {
        kni_free(locking->alloc, locking->items[i].repo_id);
        kni_free(locking->alloc, locking->items[i].revision);
    }
    kni_free(locking->alloc, locking->items);
}

/* ---- what is wanted ---- */

static bool is_same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* The commit that the lock file has, unless it is to be found anew. */
static const char *kept_commit(const kni_locking *locking, const char *repo_id, int64_t version,
                               const char *revision) {
    const char *upgrade = locking->request->upgrade;
    size_t count = locking->before ? kn_lockfile_count(locking->before) : 0;
    if (upgrade && (strcmp(upgrade, "*") == 0 || strcmp(upgrade, repo_id) == 0)) return NULL;
    for (size_t i = 0; i < count; i++) {
        kn_locked entry = {.size = sizeof entry};
        kn_lockfile_get(locking->before, i, &entry);
        if (strcmp(entry.repo_id, repo_id) == 0 && entry.version == version &&
            is_same_text(entry.revision, revision))
            return entry.commit;
    }
    return NULL;
}

static kn_status add_want(kni_batch *batch, const locked_want *item, size_t *want, kn_error *err) {
    char version[32];
    snprintf(version, sizeof version, "%lld", (long long)item->version);
    bool by_version = !item->kept && !item->revision;
    kn_repo_info info = {
        .size = sizeof info,
        .kind = KN_REPO_HUB,
        .id = item->repo_id,
        .revision = item->kept ? item->kept : item->revision,
        .version = by_version ? version : NULL,
        .allowed = batch->locking->request->allowed,
        .refresh = !item->kept,
    };
    return kni_batch_add(batch, &info, KN_DEVICE_OTHER, KNI_DEPTH_LOCK, want, err);
}

/* The want of a kernel, which is added unless it is there. */
static kn_status add_kernel(kni_batch *batch, const char *repo_id, int64_t version,
                            const char *revision, size_t *want, kn_error *err) {
    kni_locking *locking = batch->locking;
    for (size_t i = 0; i < locking->count; i++) {
        const locked_want *item = &locking->items[i];
        if (strcmp(item->repo_id, repo_id) != 0 || item->version != version ||
            !is_same_text(item->revision, revision))
            continue;
        *want = item->want;
        return KN_OK;
    }
    if (!kni_reserve(locking->alloc, &locking->items, &locking->capacity, locking->count + 1,
                     sizeof *locking->items))
        return kni_no_memory(err, "locking kernels");
    locked_want *item = &locking->items[locking->count++];
    *item = (locked_want){
        .repo_id = kni_text_copy(locking->alloc, repo_id),
        .revision = kni_text_copy(locking->alloc, revision),
        .version = version,
        .kept = kept_commit(locking, repo_id, version, revision),
    };
    if (!item->repo_id || (revision && !item->revision))
        return kni_no_memory(err, "locking kernels");
    kn_status status = add_want(batch, item, &item->want, err);
    *want = item->want;
    return status;
}

/* What one build depends on; `w->depends` is of no order. What ships with the library is never
 * locked. */
static kn_status add_depends(kni_batch *batch, kni_want *w, const kn_metadata *metadata,
                             kn_error *err) {
    size_t count = kn_metadata_kernel_depends_count(metadata);
    for (size_t i = 0; i < count; i++) {
        kn_kernel_depend depend = {.size = sizeof depend};
        kn_metadata_kernel_depends(metadata, i, &depend);
        size_t want;
        if (kni_repo_is_builtin(depend.repo_id)) continue;
        if (!kni_reserve(w->alloc, &w->depends, &w->depend_capacity, w->depend_count + 1,
                         sizeof *w->depends))
            return kni_no_memory(err, "locking kernels");
        kn_status status =
            add_kernel(batch, depend.repo_id, depend.version, depend.revision, &want, err);
        if (status) return status;
        w->depends[w->depend_count++] = want;
    }
    return KN_OK;
}

kn_status kni_locking_add_depends(kni_batch *batch, kni_want *w, kn_error *err) {
    kn_status status = KN_OK;
    for (size_t i = 0; i < w->file_count && !status; i++) {
        kn_metadata *metadata = NULL;
        char *path = kni_cache_snapshot_path(kni_want_cache(w), w->commit, w->files[i].path);
        status = path ? kn_metadata_read(w->alloc, path, &metadata, err)
                      : kni_no_memory(err, "locking kernels");
        if (!status) status = add_depends(batch, w, metadata, err);
        kn_metadata_free(metadata);
        kni_free(w->alloc, path);
    }
    return status;
}

static kn_status add_project(kni_batch *batch, const kni_project *project, kn_error *err) {
    kn_status status = KN_OK;
    for (size_t i = 0; i < project->count && !status; i++) {
        const kni_project_kernel *kernel = &project->kernels[i];
        size_t want;
        if (kni_repo_is_builtin(kernel->repo_id))
            status = kni_fail(err, KN_ERR_VALUE,
                              "'%s' ships with this package and is not locked; remove it from "
                              "[tool.kernels.dependencies]",
                              kernel->repo_id);
        else
            status = add_kernel(batch, kernel->repo_id, kernel->version, NULL, &want, err);
    }
    return status;
}

/* ---- what it came to ---- */

/* The failures of the kernels, of which the first is told. What depends on one that failed comes
 * after it. */
static kn_status check_wants(const kni_batch *batch, kn_error *err) {
    for (size_t i = 0; i < batch->count; i++) {
        const kni_want *w = batch->wants[i];
        if (w->net_status) return kni_fail(err, w->net_status, "%s", w->net_message);
        if (w->status) return kni_fail(err, w->status, "%s", w->err.message);
    }
    return KN_OK;
}

static kn_status check_upgrade(const kni_locking *locking, kn_error *err) {
    const char *upgrade = locking->request->upgrade;
    if (!upgrade || strcmp(upgrade, "*") == 0) return KN_OK;
    for (size_t i = 0; i < locking->count; i++) {
        if (strcmp(locking->items[i].repo_id, upgrade) == 0) return KN_OK;
    }
    return kni_fail(err, KN_ERR_VALUE,
                    "'%s' cannot be upgraded: neither the project nor one of its kernels needs it; "
                    "name it in [tool.kernels.dependencies] of " PROJECT_FILE,
                    upgrade);
}

/* The files of all builds of a want, by their paths below `skip` bytes; the caller frees. */
static kn_status list_files(const kni_want *w, size_t skip, kni_locked_file **out, size_t *count,
                            kn_error *err) {
    *count = 0;
    *out = kni_new(w->alloc, (w->listing.count + 1) * sizeof **out);
    if (!*out) return kni_no_memory(err, "locking kernels");
    for (size_t i = 0; i < w->listing.count; i++) {
        const kni_entry *entry = &w->listing.items[i];
        if (strncmp(entry->path, KNI_BUILD_PREFIX, strlen(KNI_BUILD_PREFIX)) != 0) continue;
        if (kni_is_bytecode(entry->path)) continue;
        (*out)[(*count)++] = (kni_locked_file){entry->path + skip, entry->oid};
    }
    return KN_OK;
}

/* A commit that is kept must still have the files that it was locked with. */
static kn_status check_kept(const kni_locking *locking, const locked_want *item, const kni_want *w,
                            kn_error *err) {
    kni_locked_file *files;
    size_t count;
    if (!item->kept || !kn_lockfile_has_digests(locking->before)) return KN_OK;
    kn_status status = list_files(w, strlen(KNI_BUILD_PREFIX), &files, &count, err);
    if (!status)
        status = kni_lockfile_check_digests(w->alloc, locking->before, w->id, w->commit,
                                            KNI_BUILD_PREFIX, files, count, err);
    kni_free(w->alloc, files);
    return status;
}

/* Entries to be written; those with digests have texts of their own as revisions. */
typedef struct entries {
    kni_lock_entry *items;
    char **owned;
    size_t count, owned_count;
} entries;

static void entries_clear(const kn_alloc *alloc, entries *e) {
    for (size_t i = 0; i < e->owned_count; i++) kni_free(alloc, e->owned[i]);
    kni_free(alloc, e->owned);
    kni_free(alloc, e->items);
}

static kn_status add_digests(entries *e, const kni_want *w, kn_error *err) {
    kni_locked_file *files;
    size_t count;
    kn_status status = list_files(w, 0, &files, &count, err);
    if (status) return status;
    kni_text text;
    kni_text_init(&text, w->alloc);
    kni_lockfile_digests_text(w->commit, files, count, &text);
    kni_free(w->alloc, files);
    char *made = kni_text_take(&text);
    if (!made) return kni_no_memory(err, "locking kernels");
    e->owned[e->owned_count++] = made;
    e->items[e->count++] = (kni_lock_entry){w->id, -1, made, w->commit};
    return KN_OK;
}

/* Whether an earlier item came to the same commit of the same repository. */
static bool has_digests(const kni_batch *batch, size_t index) {
    const locked_want *items = batch->locking->items;
    for (size_t i = 0; i < index; i++) {
        if (strcmp(items[i].repo_id, items[index].repo_id) == 0 &&
            strcmp(batch->wants[items[i].want]->commit, batch->wants[items[index].want]->commit) ==
                0)
            return true;
    }
    return false;
}

static kn_status collect(const kni_batch *batch, bool digests, entries *e, kn_error *err) {
    const kni_locking *locking = batch->locking;
    e->items = kni_new(batch->alloc, (2 * locking->count + 1) * sizeof *e->items);
    e->owned = kni_new(batch->alloc, (locking->count + 1) * sizeof(char *));
    if (!e->items || !e->owned) return kni_no_memory(err, "locking kernels");
    kn_status status = KN_OK;
    for (size_t i = 0; i < locking->count && !status; i++) {
        const locked_want *item = &locking->items[i];
        const kni_want *w = batch->wants[item->want];
        status = check_kept(locking, item, w, err);
        e->items[e->count++] =
            (kni_lock_entry){item->repo_id, item->version, item->revision, w->commit};
        if (!status && digests && !has_digests(batch, i)) status = add_digests(e, w, err);
    }
    return status;
}

/* The text is read back: what would be written is what readers make of it. */
static kn_status make_text(kni_batch *batch, kn_lock *lock, kn_error *err) {
    entries e = {0};
    bool digests =
        batch->locking->request->digests || (lock->before && kn_lockfile_has_digests(lock->before));
    kn_status status = collect(batch, digests, &e, err);
    if (!status) {
        kni_text text;
        kni_text_init(&text, lock->alloc);
        kni_lockfile_text(e.items, e.count, &text);
        lock->text = kni_text_take(&text);
        status = lock->text ? kn_lockfile_parse(lock->alloc, lock->text, strlen(lock->text),
                                                lock->path, &lock->after, err)
                            : kni_no_memory(err, "locking kernels");
    }
    entries_clear(batch->alloc, &e);
    return status;
}

/* ---- the call ---- */

static kn_status read_project(kni_batch *batch, const char *folder, kni_project *out,
                              kn_error *err) {
    const kni_net *net;
    char *path = kni_path_join(batch->alloc, folder, PROJECT_FILE), *bytes = NULL, *json = NULL;
    size_t length;
    if (!path) return kni_no_memory(err, "locking kernels");
    kn_status status = kni_batch_net(batch, &net, err);
    if (!status)
        status = kni_file_read(batch->alloc, path, KNI_PROJECT_LIMIT, &bytes, &length, err);
    if (!status) status = net->toml_to_json(batch->alloc, bytes, length, path, &json, err);
    if (!status) status = kni_project_parse(batch->alloc, json, strlen(json), path, out, err);
    kni_free(batch->alloc, path);
    kni_free(batch->alloc, bytes);
    kni_free(batch->alloc, json);
    return status;
}

static kn_status find_all(kni_batch *batch, const kni_project *project, kn_lock *lock,
                          kn_error *err) {
    kn_status status = add_project(batch, project, err);
    if (!status) status = kni_batch_run(batch, err);
    if (!status) status = kni_batch_link(batch, err);
    if (!status) status = check_wants(batch, err);
    if (!status) status = check_upgrade(batch->locking, err);
    return status ? status : make_text(batch, lock, err);
}

kn_status kn_engine_lock(kn_engine *engine, const kn_host *host, const kn_lock_request *request,
                         kn_lock **out, kn_error *err) {
    *out = NULL;
    kn_lock *lock = NULL;
    kni_project project = {.alloc = engine->alloc};
    kni_run run;
    kni_run_init(&run, engine, host, NULL);
    kni_batch batch;
    kni_locking locking = {.alloc = engine->alloc, .request = request};
    kn_status status = kni_batch_open(&run, true, &batch, err);
    batch.locking = &locking;
    if (!status) status = read_project(&batch, request->project, &project, err);
    if (!status) status = kni_lock_open(engine->alloc, request->project, &lock, err);
    if (!status) {
        locking.before = lock->before;
        status = find_all(&batch, &project, lock, err);
    }
    kni_batch_close(&batch);
    kni_run_clear(&run);
    kni_project_clear(&project);
    locking_clear(&locking);
    if (status)
        kn_lock_free(lock);
    else
        *out = lock;
    return status;
}
