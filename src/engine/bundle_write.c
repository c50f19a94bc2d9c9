/* SPDX-License-Identifier: Apache-2.0 */
/* From a lock file to a bundle. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cache/content_digest.h"
#include "codec/tar.h"
#include "engine/bundle.h"
#include "load/archs.h"
#include "os/partial.h"

static kn_status no_memory(kn_error *err) { return kni_no_memory(err, "writing a bundle"); }

/* ---- what goes in ---- */

static kn_status copy_listing(kni_bundled *revision, const kni_listing *listing, kn_error *err) {
    if (revision->listing_text) return KN_OK;
    kn_status status = kni_listing_to_json(listing, listing->alloc, &revision->listing_text,
                                           &revision->listing_length);
    if (status)
        return kni_fail(err, status, "'%s' has too many files for a bundle", revision->repo);
    status = kni_listing_add_page(&revision->listing, revision->listing_text,
                                  revision->listing_length, revision->repo, err);
    return status ? status : kni_listing_finish(&revision->listing, revision->repo, err);
}

static kn_status check_gpu(const kni_want *w, const kn_target *target, kn_error *err) {
    const kn_gpu gpu = {.size = sizeof gpu, .capability = target->capability};
    if (target->capability == KN_CAPABILITY_UNKNOWN || !w->kernel) return KN_OK;
    kn_error why;
    kn_error_init(&why);
    kn_status status =
        kni_archs_check(w->alloc, w->kernel->source.metadata, w->variant, &gpu, &why);
    return status ? kni_fail(err, status, "target '%s': '%s' (commit %s): %s", target->name, w->id,
                             w->commit, why.message)
                  : KN_OK;
}

typedef struct collecting {
    kn_bundle *bundle;
    const kn_target *target;
} collecting;

/* What ships with the library is there already, wherever the library is. */
static kn_status collect_want(const collecting *c, const kni_want *w, kn_error *err) {
    if (w->path) return KN_OK;
    if (w->is_partial) {
        return kni_fail(err, KN_ERR_NOT_FOUND,
                        "which files '%s' (commit %s) has is not known, since another program put "
                        "it into the cache: make the bundle while online (unset HF_HUB_OFFLINE)",
                        w->id, w->commit);
    }
    kn_status status = check_gpu(w, c->target, err);
    if (status) return status;
    kni_bundled *revision = kni_bundle_revision(c->bundle, w->id, w->type, w->commit);
    if (!revision || !kni_bundle_add_name(&revision->variants, w->variant)) return no_memory(err);
    return copy_listing(revision, &w->listing, err);
}

static kn_status collect(void *ctx, kni_batch *batch, kn_error *err) {
    kn_status status = KN_OK;
    for (size_t i = 0; i < batch->count && !status; i++)
        status = collect_want(ctx, batch->wants[i], err);
    return status;
}

/* Fetches all for one machine. */
static kn_status add_target(kn_engine *engine, const kn_host *host,
                            const kn_bundle_request *request, const kn_target *target,
                            kn_bundle *bundle, kn_error *err) {
    kni_run run;
    kni_run_init(&run, engine, host, NULL);
    run.system = target->system;
    run.has_system = true;
    const kn_prefetch_request wanted = {
        .size = sizeof wanted, .lock = request->lock, .allowed = request->allowed};
    collecting c = {bundle, target};
    kn_prefetched *fetched = NULL;
    kn_error why;
    kn_error_init(&why);
    kn_status status = kni_run_prefetch(&run, &wanted, collect, &c, &fetched, err);
    if (!status && kn_prefetched_check(fetched, &why))
        status = kni_fail(err, why.status, "target '%s': %s", target->name, why.message);
    if (!status && !kni_bundle_add_name(&bundle->targets, target->name)) status = no_memory(err);
    kn_prefetched_free(fetched);
    kni_run_clear(&run);
    return status;
}

/* The version's branch, or the revision that was locked, leads to the locked commit. */
static kn_status add_refs(kn_bundle *bundle, const char *lock, kn_error *err) {
    kn_lockfile *file;
    kn_status status =
        kn_lockfile_parse(bundle->alloc, lock, strlen(lock), "kernels.lock", &file, err);
    for (size_t i = 0; !status && i < kn_lockfile_count(file); i++) {
        kn_locked locked = {.size = sizeof locked};
        char branch[24];
        kn_lockfile_get(file, i, &locked);
        snprintf(branch, sizeof branch, "v%lld", (long long)locked.version);
        const char *ref = locked.version >= 0 ? branch : locked.revision;
        if (!ref || kni_is_commit(ref)) continue;
        for (size_t k = 0; k < bundle->count && !status; k++) {
            kni_bundled *r = &bundle->revisions[k];
            if (strcmp(r->repo, locked.repo_id) != 0 || strcmp(r->commit, locked.commit) != 0)
                continue;
            if (!kni_bundle_add_name(&r->refs, ref)) status = no_memory(err);
        }
    }
    kn_lockfile_free(file);
    return status;
}

/* ---- the file ---- */

typedef struct writing {
    const kn_alloc *alloc;
    const kni_net *net;
    const kni_settings *settings;
    const kn_bundle *bundle;
    kni_partial partial;
    kni_digest *digest; /* of the blob that is being written */
    kn_error *err;
    kn_status status; /* of the last piece */
} writing;

static kn_status put(writing *w, const void *bytes, size_t length) {
    return kni_partial_write(&w->partial, bytes, length, w->err);
}

static kn_status put_header(writing *w, const char *name, int64_t size) {
    unsigned char block[KNI_TAR_BLOCK];
    kn_status status = kni_tar_write(name, size, block, w->err);
    return status ? status : put(w, block, sizeof block);
}

static kn_status put_padding(writing *w, int64_t size) {
    static const unsigned char zeros[2 * KNI_TAR_BLOCK];
    return put(w, zeros, kni_tar_padding(size));
}

static kn_status put_text(writing *w, const char *name, const char *text, size_t length) {
    kn_status status = put_header(w, name, (int64_t)length);
    if (!status) status = put(w, text, length);
    return status ? status : put_padding(w, (int64_t)length);
}

static kn_status put_manifest(writing *w, kn_bundle *bundle) {
    char check[200];
    char *text = kni_bundle_manifest(bundle);
    size_t length = text ? strlen(text) : 0;
    bool ok = text && kni_sha256_text(w->alloc, w->net, text, length, bundle->digest);
    kn_status status = ok ? put_text(w, KNI_BUNDLE_MANIFEST, text, length) : no_memory(w->err);
    kni_free(w->alloc, text);
    if (status) return status;
    snprintf(check, sizeof check, "%s  " KNI_BUNDLE_MANIFEST "\n", bundle->digest);
    return put_text(w, KNI_BUNDLE_CHECK, check, strlen(check));
}

static bool take_piece(void *ctx, const void *bytes, size_t length) {
    writing *w = ctx;
    w->status =
        w->net->digest_add(w->digest, bytes, length) ? put(w, bytes, length) : no_memory(w->err);
    return w->status == KN_OK;
}

/* From the snapshot, as the blob may lie there alone; hashed again on its way. */
static kn_status copy_content(writing *w, const kni_cache *cache, const kni_bundled_blob *blob) {
    const kni_bundled *revision = &w->bundle->revisions[blob->revision];
    char *snapshot = kni_cache_snapshot_path(cache, revision->commit, NULL);
    if (!snapshot) return no_memory(w->err);
    int64_t before = w->partial.length;
    kni_file_facts facts;
    w->status = KN_OK;
    int folder = kni_folder_open(snapshot, false);
    kn_status status =
        folder < 0 ? kni_fail_errno(w->err, "read", snapshot, NULL)
                   : kni_file_each(w->alloc, folder, blob->path, take_piece, w, &facts, w->err);
    kni_folder_close(folder);
    kni_free(w->alloc, snapshot);
    if (w->status) return w->status;
    if (status) return status;
    const kni_content content = {blob->oid, blob->size};
    if (w->partial.length - before == blob->size &&
        kni_content_digest_matches(w->net, w->digest, &content))
        return KN_OK;
    return kni_fail(w->err, KN_ERR_INTEGRITY,
                    "'%s' of '%s' in the cache is damaged; `kernels cache verify --remove` takes "
                    "it away, so that it is fetched again",
                    blob->path, revision->repo);
}

static kn_status put_blob(writing *w, const kni_bundled_blob *blob) {
    const kni_bundled *revision = &w->bundle->revisions[blob->revision];
    const kni_content content = {blob->oid, blob->size};
    char name[KNI_TAR_NAME_MAX + 1];
    kni_cache cache;
    snprintf(name, sizeof name, "blobs/%s", blob->oid);
    kn_status status = put_header(w, name, blob->size);
    if (status) return status;
    w->digest = kni_content_digest_new(w->alloc, w->net, &content);
    if (!w->digest) return no_memory(w->err);
    status = kni_settings_cache(w->settings, revision->type, revision->repo, &cache, w->err);
    if (!status) status = copy_content(w, &cache, blob);
    kni_cache_close(&cache);
    w->net->digest_free(w->digest);
    return status ? status : put_padding(w, blob->size);
}

static kn_status put_all(writing *w, kn_bundle *bundle) {
    static const unsigned char end[2 * KNI_TAR_BLOCK];
    kn_status status = put_manifest(w, bundle);
    for (size_t i = 0; i < bundle->count && !status; i++) {
        const kni_bundled *r = &bundle->revisions[i];
        char name[KNI_TAR_NAME_MAX + 1];
        snprintf(name, sizeof name, "listings/%s.json", r->listing_sha256);
        status = put_text(w, name, r->listing_text, r->listing_length);
    }
    for (size_t i = 0; i < bundle->blob_count && !status; i++)
        status = put_blob(w, &bundle->blobs[i]);
    return status ? status : put(w, end, sizeof end);
}

/* Written under another name, and renamed once it is whole. */
static kn_status write_file(writing *w, const char *path, kn_bundle *bundle) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char partial[KNI_NAME_MAX + 1];
    if (!*name || strlen(name) > KNI_NAME_MAX - 12 || !kni_path_stays_inside(name))
        return kni_fail(w->err, KN_ERR_VALUE, "'%.200s' is no name for a file", path);
    char *folder = slash == path ? kni_text_copy(w->alloc, "/")
                   : slash       ? kni_text_copy_n(w->alloc, path, (size_t)(slash - path))
                                 : kni_text_copy(w->alloc, ".");
    if (!folder) return no_memory(w->err);
    snprintf(partial, sizeof partial, "%s.incomplete", name);
    kn_status status = kni_partial_open(folder, partial, &w->partial, w->err);
    if (!status) {
        status = kni_partial_empty(&w->partial, w->err);
        if (!status) status = put_all(w, bundle);
        if (status)
            kni_partial_remove(&w->partial);
        else
            status = kni_partial_keep(&w->partial, name, w->err);
    }
    kni_free(w->alloc, folder);
    return status;
}

/* ---- the call ---- */

static kn_status hash_listings(kn_bundle *bundle, const kni_net *net, kn_error *err) {
    for (size_t i = 0; i < bundle->count; i++) {
        kni_bundled *r = &bundle->revisions[i];
        if (!kni_sha256_text(bundle->alloc, net, r->listing_text, r->listing_length,
                             r->listing_sha256))
            return no_memory(err);
    }
    return KN_OK;
}

static kn_status make(kn_engine *engine, const kn_host *host, const kn_bundle_request *request,
                      kn_bundle *bundle, kn_error *err) {
    kni_settings settings = {0};
    const kni_net *net;
    kn_status status = KN_OK;
    if (!request->target_count)
        status = kni_fail(err, KN_ERR_VALUE, "a bundle is for one target at least");
    for (size_t i = 0; i < request->target_count && !status; i++)
        status = add_target(engine, host, request, request->targets[i], bundle, err);
    if (!status) status = add_refs(bundle, request->lock, err);
    if (!status) status = kni_engine_net(engine, &net, err);
    if (!status) status = hash_listings(bundle, net, err);
    if (!status) status = kni_bundle_finish(bundle, err);
    if (!status) status = kni_settings_read(engine->alloc, &settings, err);
    if (!status) {
        writing w = {.alloc = engine->alloc,
                     .net = net,
                     .settings = &settings,
                     .bundle = bundle,
                     .err = err};
        status = write_file(&w, request->file, bundle);
    }
    kni_settings_clear(&settings);
    return status;
}

kn_status kn_engine_bundle(kn_engine *engine, const kn_host *host, const kn_bundle_request *request,
                           kn_bundle **out, kn_error *err) {
    if (out) *out = NULL;
    kn_error own;
    kn_error_init(&own);
    kn_bundle *bundle = kni_bundle_new(engine->alloc);
    kn_status status = bundle ? make(engine, host, request, bundle, &own) : no_memory(&own);
    if (!status && out) {
        *out = bundle;
        return KN_OK;
    }
    kn_bundle_free(bundle);
    return status ? kni_fail(err, status, "%s", own.message) : KN_OK;
}
