/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a repository at a commit, and where it says that another one has taken its place. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "codec/json.h"
#include "engine/fetch.h"
#include "os/files.h"

#define PAGES_MAX 1000
#define LISTING_BYTES_MAX ((size_t)64 << 20)
#define STATUS_FILE "kernel-status.toml"
#define STATUS_LIMIT ((size_t)64 << 10)

/* What a mirror said lies apart: it counts where the repository is trusted anyway. */
static void listing_name(const kni_want *w, bool is_mirrored, char out[96]) {
    snprintf(out, 96, "%s/%s.json", is_mirrored ? "mirrored" : "listings", w->commit);
}

/* ---- from the cache ---- */

typedef kn_status (*add_listing)(kni_listing *listing, const char *bytes, size_t length,
                                 const char *what, kn_error *err);

/* The want's listing from what was recorded of it; a damaged record is as good as none. Takes
 * `bytes` over, which may be NULL. */
static kn_status take_record(kni_want *w, char *bytes, size_t length, add_listing add, bool *found,
                             kn_error *err) {
    if (!bytes) return KN_OK;
    kn_error ignored;
    kn_error_init(&ignored);
    w->listing.alloc = w->alloc;
    kn_status status = add(&w->listing, bytes, length, w->commit, &ignored);
    if (!status) status = kni_listing_finish(&w->listing, w->commit, &ignored);
    kni_free(w->alloc, bytes);
    *found = !status && w->listing.count > 0; /* no kernel is empty */
    if (*found) return KN_OK;
    kni_listing_clear(&w->listing);
    return status == KN_ERR_NOMEM ? kni_no_memory(err, "reading the cache") : KN_OK;
}

/* What was recorded of the commit's files, here or by huggingface_hub. */
static kn_status read_listing(kni_want *w, bool *found, kn_error *err) {
    const kni_cache *cache = kni_want_cache(w);
    char name[96], *bytes;
    size_t length;
    *found = false;
    listing_name(w, false, name);
    kn_status status =
        kni_cache_document_read(cache, name, LISTING_BYTES_MAX, &bytes, &length, err);
    if (!status) status = take_record(w, bytes, length, kni_listing_add_page, found, err);
    if (status || *found) return status;
    status = kni_cache_tree_read(cache, w->commit, LISTING_BYTES_MAX, &bytes, &length, err);
    return status ? status : take_record(w, bytes, length, kni_listing_add_recorded, found, err);
}

/* What a mirror said of them. Nothing of a commit whose files came from a mirror is loaded as if it
 * had not. */
static kn_status read_mirrored(const kni_batch *batch, kni_want *w, bool *found, kn_error *err) {
    char name[96], *bytes;
    size_t length;
    listing_name(w, true, name);
    kn_status status =
        kni_cache_document_read(kni_want_cache(w), name, LISTING_BYTES_MAX, &bytes, &length, err);
    if (status || !bytes) return status;
    if (!kni_want_hears_mirrors(batch, w)) {
        kni_free(w->alloc, bytes);
        if (!w->offline) return KN_OK;
        return kni_fail(err, KN_ERR_UNTRUSTED,
                        "Kernel repository '%s': commit %s came from a mirror, which vouches for "
                        "nobody, and in offline mode no Hub can be asked; add the repository to "
                        "[trust] in kernels.toml, or to the trust_remote_code allowlist",
                        w->id, w->commit);
    }
    status = take_record(w, bytes, length, kni_listing_add_page, found, err);
    w->is_mirrored = *found;
    return status;
}

void kni_imported_name(const char *commit, char out[KNI_IMPORTED_NAME]) {
    snprintf(out, KNI_IMPORTED_NAME, "imported/%s.json", commit);
}

/* What a bundle said of the commit's files. */
static kn_status read_imported(kni_want *w, bool *found, kn_error *err) {
    char name[KNI_IMPORTED_NAME], *bytes;
    size_t length;
    kni_imported_name(w->commit, name);
    *found = false;
    kn_status status =
        kni_cache_document_read(kni_want_cache(w), name, LISTING_BYTES_MAX, &bytes, &length, err);
    return status ? status : take_record(w, bytes, length, kni_listing_add_page, found, err);
}

static kn_status write_listing(const kni_want *w, kn_error *err) {
    char name[96], *bytes;
    size_t length;
    listing_name(w, w->is_mirrored, name);
    kn_status status = kni_listing_to_json(&w->listing, w->alloc, &bytes, &length);
    if (status == KN_ERR_NOMEM) return kni_no_memory(err, "recording a listing");
    if (status) return KN_OK; /* too long to be kept: it is asked again another time */
    status = kni_cache_document_write(kni_want_cache(w), name, bytes, length, NULL);
    kni_free(w->alloc, bytes);
    return kni_best_effort(status, "recording a listing", err);
}

static kn_status add_snapshot_file(void *ctx, const char *path, const char *oid, int64_t size,
                                   kn_error *err) {
    kni_want *w = ctx;
    return kni_listing_add(&w->listing, path, oid, size, err);
}

/* What another client left in the snapshot: no more is known of the commit while offline. */
static kn_status list_snapshot(kni_batch *batch, kni_want *w, kn_error *err) {
    w->listing.alloc = w->alloc;
    w->is_partial = true;
    kn_status status =
        kni_cache_snapshot_walk(kni_want_cache(w), w->commit, add_snapshot_file, w, err);
    if (!status) status = kni_listing_finish(&w->listing, w->id, err);
    if (!status && w->listing.count && kni_cache_blob_life(kni_want_cache(w), NULL)) {
        status = kni_batch_warn(batch, KN_LOG_HUB,
                                "'%s' (commit %s) was put into the cache by another program, which "
                                "left a download of the repository unfinished ('*.incomplete' in "
                                "'%s/blobs'): a file may be missing; load it once while online",
                                w->id, w->commit, kni_want_cache(w)->folder);
    }
    if (status || w->listing.count) return status;
    if (w->net_status) return kni_fail(err, w->net_status, "%s", w->net_message);
    w->is_absent = true;
    return kni_fail(
        err, KN_ERR_NOT_FOUND,
        "Cannot find a local snapshot for %s (revision: %s): it is not in the cache "
        "('%s'), and no request is made in offline mode; download it while online first "
        "(%s)",
        w->id, w->commit, kni_want_cache(w)->folder, w->go_online);
}

/* ---- from the Hub ---- */

static kn_status first_page(const kni_batch *batch, kni_want *w, kn_error *err) {
    kni_free(w->alloc, w->page);
    kni_listing_clear(&w->listing);
    w->listing.alloc = w->alloc;
    w->pages = 0;
    kn_status status = kni_want_need_source(batch, w, err);
    if (status) return status;
    w->is_mirrored = kni_want_asks_mirror(batch, w);
    w->page = kni_want_listing_url(batch, w);
    return w->page ? KN_OK : kni_no_memory(err, "asking the Hub");
}

/* Now it is known where the answer about the publisher belongs. */
static kn_status know_type(kni_want *w, kn_error *err) {
    w->type_known = true;
    return kni_want_record_trust(w, err);
}

/* A mirror's listing is ours, or that of huggingface_hub, of a repository of either type. */
static bool try_elsewhere(kni_want *w, kn_status status) {
    if (status == KN_ERR_REPOSITORY) return kni_want_switch_type(w);
    if (!w->is_mirrored || status != KN_ERR_NOT_FOUND) return false;
    bool is_new = !w->is_foreign_listing || kni_want_switch_type(w);
    w->is_foreign_listing = !w->is_foreign_listing;
    return is_new;
}

static kn_status take_page(kni_batch *batch, kni_want *w, kni_transfer *t, kn_error *err) {
    if (t->status && try_elsewhere(w, t->status)) return first_page(batch, w, err);
    if (w->is_mirrored && t->status == KN_ERR_NOT_FOUND)
        return kni_fail(err, KN_ERR_REVISION, "'%s': the mirror %s has no listing of commit %s",
                        w->id, kni_want_source(batch, w)->address, w->commit);
    if (t->status) return kni_fail(err, t->status, "%s", t->err.message);
    w->type_settled = true;
    kn_status status = know_type(w, err);
    if (status) return status;
    if (!status && w->is_mirrored) status = kni_want_doubt_mirror(batch, w, err);
    if (status) return status;
    add_listing add = w->is_foreign_listing ? kni_listing_add_recorded : kni_listing_add_page;
    status = add(&w->listing, t->body, t->body_length, t->what, err);
    kni_free(w->alloc, w->page);
    w->page = t->next;
    t->next = NULL;
    if (status) return status;
    if (w->page && ++w->pages >= PAGES_MAX) {
        return kni_fail(err, KN_ERR_NETWORK,
                        "the listing of '%s' has no end: more than %d pages; the Hub (or what "
                        "HF_ENDPOINT names) does not answer as a Hub does",
                        w->id, PAGES_MAX);
    }
    return w->page ? KN_OK : kni_listing_finish(&w->listing, w->id, err);
}

/* A page for each want that has one to come. */
static kn_status fetch_pages(kni_batch *batch, kni_want **wants, size_t count, kn_error *err) {
    kni_transfer *transfers = kni_new(batch->alloc, count * sizeof *transfers);
    kni_transfer **pointers = kni_new(batch->alloc, count * sizeof(kni_transfer *));
    if (!transfers || !pointers) {
        kni_free(batch->alloc, transfers);
        kni_free(batch->alloc, pointers);
        return kni_no_memory(err, "asking the Hub");
    }
    bool impatient = true;
    for (size_t i = 0; i < count; i++) {
        pointers[i] = &transfers[i];
        transfers[i].url = wants[i]->page;
        transfers[i].what = wants[i]->id;
        transfers[i].limit = KNI_JSON_LIMIT;
        if (!kni_want_is_hasty(batch, wants[i])) impatient = false;
    }
    kn_status status = kni_batch_transfer(batch, pointers, count, impatient, err);
    for (size_t i = 0; i < count && !status; i++) {
        kn_status one = take_page(batch, wants[i], &transfers[i], &wants[i]->err);
        if (one) status = kni_want_fail_online(batch, wants[i], one, err);
    }
    for (size_t i = 0; i < count; i++) kni_transfer_clear(&transfers[i], batch->alloc);
    kni_free(batch->alloc, transfers);
    kni_free(batch->alloc, pointers);
    return status;
}

/* The listing that the cache has, in the folder of either type where the type is not known. */
static kn_status find_listing(const kni_batch *batch, kni_want *w, bool *found, kn_error *err) {
    kni_repo_type assumed = w->type;
    kn_status status = read_listing(w, found, err);
    if (!status && !*found) status = read_mirrored(batch, w, found, err);
    if (!status && !*found && !w->type_known) {
        w->type = KNI_REPO_MODEL;
        status = read_listing(w, found, err);
        if (!status && !*found) status = read_mirrored(batch, w, found, err);
    }
    if (!status && *found && w->is_mirrored) status = kni_want_doubt_mirror(batch, w, err);
    if (status || *found) return status ? status : know_type(w, err);
    w->type = assumed;
    return KN_OK;
}

/* Whether the want has its listing now, or has to fetch it. */
static kn_status begin_listing(kni_batch *batch, kni_want *w, kn_error *err) {
    bool found = false;
    kn_status status = find_listing(batch, w, &found, err);
    if (status) return status;
    if (found) {
        w->step = KNI_WANT_CHOOSE;
    } else if (w->offline) {
        status = read_imported(w, &found, err);
        if (!status && !found) status = list_snapshot(batch, w, err);
        if (!status) w->step = KNI_WANT_CHOOSE;
    } else if (kni_want_may_work(w)) {
        status = first_page(batch, w, err);
    }
    return status;
}

static kn_status end_listing(kni_want *w, kn_error *err) {
    if (w->step != KNI_WANT_LIST || w->page || w->needs_lock) return KN_OK;
    w->step = KNI_WANT_CHOOSE;
    return write_listing(w, err);
}

static kn_status list_all(kni_batch *batch, kni_want **wants, kn_error *err) {
    kn_status status = KN_OK;
    for (size_t i = 0; i < batch->count && !status; i++) {
        kni_want *w = batch->wants[i];
        if (w->step != KNI_WANT_LIST) continue;
        kn_status one = begin_listing(batch, w, &w->err);
        if (one) status = kni_want_fail_online(batch, w, one, err);
    }
    for (bool more = true; more && !status;) {
        size_t count = 0;
        for (size_t i = 0; i < batch->count; i++) {
            if (batch->wants[i]->step == KNI_WANT_LIST && batch->wants[i]->page)
                wants[count++] = batch->wants[i];
        }
        more = count > 0;
        if (more) status = fetch_pages(batch, wants, count, err);
        for (size_t i = 0; i < count && !status; i++) status = end_listing(wants[i], err);
    }
    return status;
}

/* ---- redirects ---- */

/* Reads the repository's status file, which has been pulled. */
static kn_status follow(kni_batch *batch, kni_want *w, kn_error *err) {
    const kni_net *net;
    kn_status status = kni_batch_net(batch, &net, err);
    if (status) return status;
    char *path = kni_cache_snapshot_path(kni_want_cache(w), w->commit, STATUS_FILE), *bytes = NULL;
    char *json = NULL, *repo = NULL, *revision = NULL;
    size_t length = 0;
    status = path ? kni_file_read(w->alloc, path, STATUS_LIMIT, &bytes, &length, err)
                  : kni_no_memory(err, "following a redirect");
    char what[160];
    snprintf(what, sizeof what, STATUS_FILE " of '%s'", w->id);
    if (!status) status = net->toml_to_json(w->alloc, bytes, length, what, &json, err);
    if (!status)
        status = kni_status_parse(w->alloc, json, strlen(json), what, &repo, &revision, err);
    if (!status) status = kni_want_record_resolution(batch, w, repo, revision, err);
    if (!status)
        status = kni_batch_warn(batch, KN_LOG_REDIRECTS, "'%s' redirected to '%s'", w->id, repo);
    if (!status) status = kni_want_redirect(batch, w, repo, revision, err);
    kni_free(w->alloc, path);
    kni_free(w->alloc, bytes);
    kni_free(w->alloc, json);
    kni_free(w->alloc, repo);
    kni_free(w->alloc, revision);
    return status;
}

/* Fetches the status files of the repositories that have one, all at once, and goes where they
 * lead. */
static kn_status follow_redirects(kni_batch *batch, kni_pull *pulls, kn_error *err) {
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        kni_want *w = batch->wants[i];
        if (w->step != KNI_WANT_CHOOSE || w->is_redirect || w->lock) continue;
        if (w->depth == KNI_DEPTH_LOCK) continue;
        const kni_entry *entry = kni_listing_find(&w->listing, STATUS_FILE);
        w->is_redirect = entry != NULL;
        if (!entry) continue;
        if ((uint64_t)entry->size <= STATUS_LIMIT) {
            pulls[count++] = (kni_pull){.want = w, .entry = entry};
        } else {
            kni_fail(&w->err, KN_ERR_VALUE,
                     STATUS_FILE " of '%s' has %lld bytes, expected at most %d", w->id,
                     (long long)entry->size, (int)STATUS_LIMIT);
            kn_status status = kni_want_fail(w, KN_ERR_VALUE, &w->err);
            if (status) return status;
        }
    }
    if (!count) return KN_OK;
    kn_status status = kni_pull_files(batch, pulls, count, err);
    for (size_t i = 0; i < count && !status; i++) {
        kni_want *w = pulls[i].want;
        if (w->needs_lock) continue;
        kn_status one = pulls[i].status;
        if (one) kni_fail(&w->err, one, "%s", pulls[i].err.message);
        if (!one) one = follow(batch, w, &w->err);
        if (one) status = kni_want_fail_online(batch, w, one, err);
    }
    return status;
}

kn_status kni_batch_list(kni_batch *batch, kn_error *err) {
    size_t room = batch->count ? batch->count : 1;
    kni_want **wants = kni_new(batch->alloc, room * sizeof(kni_want *));
    kni_pull *pulls = kni_new(batch->alloc, room * sizeof *pulls);
    kn_status status = KN_ERR_NOMEM;
    if (wants && pulls) {
        status = list_all(batch, wants, err);
        if (!status) status = follow_redirects(batch, pulls, err);
    } else {
        kni_no_memory(err, "asking the Hub");
    }
    kni_free(batch->alloc, wants);
    kni_free(batch->alloc, pulls);
    return status;
}
