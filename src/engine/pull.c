/* SPDX-License-Identifier: Apache-2.0 */
/* Downloads: what is missing, side by side, each content once, verified as it arrives. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "engine/fetch.h"
#include "os/clock.h"
#include "os/parallel.h"

#define AT_ONCE 128 /* downloads under way: each has a file open */
#define WAIT_MS 50  /* between looks at a lock that somebody else holds */
#define TRIES 2     /* of a content that did not arrive as it should */
#define EXCLUDED 3  /* in the place of a number of tries: it is not to be pulled */

/* One content on its way. */
typedef struct download {
    kni_transfer transfer;
    kni_sink sink;
    kni_pull *pull;
    kni_blob *blob;
    kni_cache_lock lock;
    char *url;
    char what[1400];
} download;

static kni_content content_of(const kni_pull *pull) {
    return (kni_content){pull->entry->oid, pull->entry->size};
}

static int64_t sink_have(void *ctx) { return kni_blob_length(((download *)ctx)->blob); }

static kn_status sink_restart(void *ctx, kn_error *err) {
    return kni_blob_restart(((download *)ctx)->blob, err);
}

static kn_status sink_write(void *ctx, const void *bytes, size_t length, kn_error *err) {
    return kni_blob_write(((download *)ctx)->blob, bytes, length, err);
}

static void download_clear(const kni_batch *batch, download *d) {
    kni_blob_close(d->blob);
    kni_cache_lock_drop(&d->lock);
    kni_transfer_clear(&d->transfer, batch->alloc);
    kni_free(batch->alloc, d->url);
}

/* Whether the content is in the cache, by another commit or another client: it is hashed, as they
 * say nothing of when it was last right. */
static kn_status look_for(kni_batch *batch, kni_pull *pull, kn_error *err) {
    const kni_cache *cache = kni_want_cache(pull->want);
    kni_content content = content_of(pull);
    const kni_net *net;
    if (!kni_cache_blob_exists(cache, &content)) return KN_OK;
    kn_status status = kni_batch_net(batch, &net, err);
    return status ? status : kni_cache_blob_check(cache, net, &content, &pull->there, err);
}

/* What arrived is checked and put in its place. */
static kn_status finish_blob(download *d, kn_error *err) {
    kni_blob *blob = d->blob;
    d->blob = NULL;
    kn_error cause;
    kn_error_init(&cause);
    kn_status status = kni_blob_finish(blob, &cause);
    d->pull->there = !status;
    return status ? kni_fail(err, status, "%s: %s", d->what, cause.message) : KN_OK;
}

/* Opens the content, to go on where a process that ended was. Where that had all bytes, or there
 * are none, no request is needed, unless these are damaged. */
static kn_status open_blob(download *d, const kni_net *net, kn_error *err) {
    const kni_cache *cache = kni_want_cache(d->pull->want);
    kni_content content = content_of(d->pull);
    kn_status status = kni_blob_open(cache, net, &content, &d->blob, err);
    if (status || kni_blob_length(d->blob) < content.size) return status;
    status = finish_blob(d, err);
    if (status != KN_ERR_INTEGRITY) return status;
    return kni_blob_open(cache, net, &content, &d->blob, err);
}

static kn_status open_download(kni_batch *batch, download *d, kn_error *err) {
    kni_want *w = d->pull->want;
    const kni_entry *entry = d->pull->entry;
    const kni_net *net;
    snprintf(d->what, sizeof d->what, "'%s' of '%s'", entry->path, w->id);
    kn_status status = kni_batch_net(batch, &net, err);
    if (!status) status = open_blob(d, net, err);
    if (status || d->pull->there) return status;
    d->url = kni_want_file_url(batch, w, d->pull->source, entry->path);
    if (!d->url) return kni_no_memory(err, "downloading");
    d->sink = (kni_sink){d, sink_have, sink_restart, sink_write};
    d->transfer = (kni_transfer){
        .url = d->url, .what = d->what, .sink = &d->sink, .limit = (size_t)entry->size};
    return KN_OK;
}

/* The pull that brings the content of this one: the first for the same folder that may be made. */
static const kni_pull *bringer(const kni_pull *pulls, size_t index, const uint8_t *tries) {
    const kni_pull *pull = &pulls[index];
    for (size_t i = 0; i < index; i++) {
        if (tries[i] != EXCLUDED && strcmp(pulls[i].entry->oid, pull->entry->oid) == 0 &&
            strcmp(kni_want_cache(pulls[i].want)->folder, kni_want_cache(pull->want)->folder) == 0)
            return &pulls[i];
    }
    return pull;
}

static bool is_there(const kni_pull *pulls, size_t index, const uint8_t *tries) {
    return pulls[index].there || bringer(pulls, index, tries)->there;
}

/* Somebody else has the content in hand: that is waited for while they get on with it. */
static kn_status wait_for_holder(kni_batch *batch, kni_pull *pull, kn_error *err) {
    const kni_cache *cache = kni_want_cache(pull->want);
    const char *oid = pull->entry->oid;
    int64_t now = kni_clock_ms();
    uint64_t life = kni_cache_blob_life(cache, oid);
    if (!pull->idle_since_ms || life != pull->life) {
        pull->idle_since_ms = now;
        pull->life = life;
        kni_batch_show_life(batch); /* to those who wait for this process */
    }
    if (now - pull->idle_since_ms <= batch->settings.timeout_ms) return KN_OK;
    return kni_fail(err, KN_ERR_TIMEOUT,
                    "'%s' of '%s': another process holds the lock '%s/%s.lock' and makes no "
                    "progress; end it, or wait longer with KERNELS_TIMEOUT=SECONDS",
                    pull->entry->path, pull->want->id, cache->locks, oid);
}

/* Takes the lock of a content and opens it, unless somebody else has it in hand (*busy) or it is
 * there by now. */
static kn_status begin(kni_batch *batch, download *d, bool *busy, kn_error *err) {
    bool taken = false;
    const kni_cache *cache = kni_want_cache(d->pull->want);
    kn_status status = kni_cache_lock_try(cache, d->pull->entry->oid, &d->lock, &taken, err);
    *busy = !status && !taken;
    if (!status && taken) status = look_for(batch, d->pull, err);
    return status || *busy || d->pull->there ? status : open_download(batch, d, err);
}

/* Ends a download that was made. */
static kn_status end(download *d, kn_error *err) {
    kn_status status = d->transfer.status;
    if (!status) return finish_blob(d, err);
    kni_fail(err, status, "%s", d->transfer.err.message);
    if (status == KN_ERR_INTEGRITY) {
        kni_blob_discard(d->blob);
        d->blob = NULL;
    }
    return status;
}

/* Up to AT_ONCE of the pulls that are still to be made; *waiting: somebody else has one in hand. */
static kn_status pull_some(kni_batch *batch, kni_pull *pulls, size_t count, uint8_t *tries,
                           download *downloads, kni_transfer **transfers, size_t *begun,
                           bool *waiting, kn_error *err) {
    kn_status status = KN_OK;
    *begun = 0;
    *waiting = false;
    for (size_t i = 0; i < count && *begun < AT_ONCE && !status; i++) {
        if (tries[i] >= TRIES || pulls[i].there || bringer(pulls, i, tries) != &pulls[i]) continue;
        download *d = &downloads[*begun];
        *d = (download){.pull = &pulls[i], .lock = {-1}};
        bool busy;
        status = begin(batch, d, &busy, &pulls[i].err);
        if (busy) status = wait_for_holder(batch, &pulls[i], &pulls[i].err);
        if (busy && !status) *waiting = true;
        if (!status && !busy && !pulls[i].there) {
            transfers[(*begun)++] = &d->transfer;
            continue;
        }
        download_clear(batch, d);
        if (status == KN_ERR_NOMEM) return kni_no_memory(err, "downloading");
        pulls[i].status = status;
        if (status) tries[i] = TRIES; /* this one cannot be had */
        status = KN_OK;
    }
    return status;
}

static void end_one(void *ctx, size_t index) {
    download *d = &((download *)ctx)[index];
    d->pull->status = end(d, &d->pull->err);
}

/* Whether another source is to be tried for it, which is told once for a want. */
static kn_status turn_to_next(kni_batch *batch, kni_pull *pull, bool *turned, kn_error *err) {
    kni_want *w = pull->want;
    const char *from = batch->sources[pull->source].address;
    size_t next = kni_want_file_source(batch, w, pull->source + 1);
    *turned = next < batch->source_count && pull->status != KN_ERR_OS;
    if (!*turned) return KN_OK;
    bool is_told = w->told_source > pull->source;
    pull->source = next;
    if (is_told) return KN_OK;
    w->told_source = next;
    kn_status status = kni_batch_warn(
        batch, KN_LOG_HUB, "'%s': going on with the source %s for its files, since %s failed: %s",
        w->id, batch->sources[next].address, from, pull->err.message);
    return status ? kni_no_memory(err, "downloading") : KN_OK;
}

/* Notes what came of a download; one that arrived wrong is tried once more, and then, as what did
 * not arrive at all, from the next source. */
static kn_status note(kni_batch *batch, kni_pull *pulls, uint8_t *tries, const download *d,
                      kn_error *err) {
    kni_pull *pull = d->pull;
    uint8_t *count = &tries[pull - pulls];
    if (pull->status == KN_ERR_NOMEM) return kni_no_memory(err, "downloading");
    *count = (uint8_t)(pull->status == KN_ERR_INTEGRITY ? *count + 1 : TRIES);
    if (!pull->status || *count < TRIES) return KN_OK;
    bool turned;
    kn_status status = turn_to_next(batch, pull, &turned, err);
    if (turned) *count = 0;
    return status;
}

/* The network gave no sign of life until the deadline: what was not begun fails likewise. */
static void fail_silent(kni_pull *pulls, size_t count, uint8_t *tries, const download *silent) {
    for (size_t i = 0; i < count; i++) {
        if (tries[i] >= TRIES || is_there(pulls, i, tries)) continue;
        tries[i] = TRIES;
        pulls[i].status = kni_fail(&pulls[i].err, KN_ERR_TIMEOUT, "%s", silent->pull->err.message);
    }
}

/* Whether each can be had elsewhere, too: then one try is enough. */
static bool all_have_next(const kni_batch *batch, const download *downloads, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const kni_pull *pull = downloads[i].pull;
        if (kni_want_file_source(batch, pull->want, pull->source + 1) >= batch->source_count)
            return false;
    }
    return true;
}

/* Ends when everything is there or has failed. */
static kn_status pull_contents(kni_batch *batch, kni_pull *pulls, size_t count, uint8_t *tries,
                               download *downloads, kni_transfer **transfers, kn_error *err) {
    for (;;) {
        size_t begun;
        bool waiting;
        kn_status status =
            pull_some(batch, pulls, count, tries, downloads, transfers, &begun, &waiting, err);
        bool impatient = all_have_next(batch, downloads, begun);
        if (!status && begun) status = kni_batch_transfer(batch, transfers, begun, impatient, err);
        /* All are synced to the disk at once: one after the other would take longer than the
         * network. */
        if (!status) kni_parallel(begun, end_one, downloads);
        for (size_t i = 0; i < begun; i++) {
            if (!status) status = note(batch, pulls, tries, &downloads[i], err);
            bool is_last = tries[downloads[i].pull - pulls] >= TRIES;
            if (!status && is_last && downloads[i].pull->status == KN_ERR_TIMEOUT)
                fail_silent(pulls, count, tries, &downloads[i]);
            download_clear(batch, &downloads[i]);
        }
        if (status || (!begun && !waiting)) return status;
        if (begun) continue;
        if (kni_batch_is_cancelled(batch)) return kni_fail(err, KN_ERR_CANCELLED, "stopped");
        kni_sleep_ms(WAIT_MS);
    }
}

/* Links what is there into the snapshots. */
static kn_status link_all(kni_pull *pulls, size_t count, const uint8_t *tries) {
    for (size_t i = 0; i < count; i++) {
        kni_pull *p = &pulls[i];
        const kni_pull *by = p->there ? p : bringer(pulls, i, tries);
        if (!p->status && by->status && tries[i] != EXCLUDED)
            p->status = kni_fail(&p->err, by->status, "%s", by->err.message);
        if (p->want->needs_lock || p->status) continue;
        kni_content content = content_of(p);
        p->status = kni_cache_snapshot_add(kni_want_cache(p->want), p->want->commit, p->entry->path,
                                           &content, &p->err);
        if (p->status == KN_ERR_NOMEM) return KN_ERR_NOMEM;
    }
    return KN_OK;
}

/* What is there already needs neither network nor lock. Wants that may not work yet, or never, drop
 * out. */
static kn_status take_stock(kni_batch *batch, kni_pull *pulls, size_t count, uint8_t *tries) {
    for (size_t i = 0; i < count; i++) {
        kni_pull *p = &pulls[i];
        kni_want *w = p->want;
        kn_error_init(&p->err);
        p->source = kni_want_file_source(batch, w, 0);
        p->status = look_for(batch, p, &p->err);
        if (p->status == KN_ERR_NOMEM) return KN_ERR_NOMEM;
        if (p->status) tries[i] = EXCLUDED;
        if (p->status || p->there) continue;
        if (w->offline) {
            tries[i] = EXCLUDED;
            p->status = kni_fail(
                &p->err, w->net_status ? w->net_status : KN_ERR_NOT_FOUND,
                "'%s' of '%s' is not in the cache, and no request is made in offline mode%s%s",
                p->entry->path, w->id, w->net_message ? ": " : "",
                w->net_message ? w->net_message : "");
        } else if (!kni_want_may_work(w)) {
            tries[i] = EXCLUDED;
        }
    }
    return KN_OK;
}

kn_status kni_pull_files(kni_batch *batch, kni_pull *pulls, size_t count, kn_error *err) {
    const kn_alloc *alloc = batch->alloc;
    size_t room = count < AT_ONCE ? count : AT_ONCE;
    uint8_t *tries = kni_new(alloc, count);
    download *downloads = kni_new(alloc, room * sizeof *downloads);
    kni_transfer **transfers = kni_new(alloc, room * sizeof(kni_transfer *));
    kn_status status = KN_OK;
    if (tries && downloads && transfers) {
        status = take_stock(batch, pulls, count, tries);
        if (!status) status = pull_contents(batch, pulls, count, tries, downloads, transfers, err);
    } else {
        status = KN_ERR_NOMEM;
    }
    if (!status) status = link_all(pulls, count, tries);
    if (status == KN_ERR_NOMEM) status = kni_no_memory(err, "downloading");
    kni_free(alloc, tries);
    kni_free(alloc, downloads);
    kni_free(alloc, transfers);
    return status;
}

/* ---- the stage ---- */

static size_t count_missing(const kni_batch *batch) {
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const kni_want *w = batch->wants[i];
        for (size_t k = 0; w->step == KNI_WANT_PULL && k < w->file_count; k++)
            count += w->files[k].found != KNI_FILE_GOOD;
    }
    return count;
}

/* Every file that a want misses, or that is damaged. */
static void collect(kni_batch *batch, kni_pull *pulls) {
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        kni_want *w = batch->wants[i];
        for (size_t k = 0; w->step == KNI_WANT_PULL && k < w->file_count; k++) {
            const kni_checked *file = &w->files[k];
            if (file->found == KNI_FILE_GOOD) continue;
            batch->to_pull += file->content.size;
            pulls[count++] =
                (kni_pull){.want = w, .entry = kni_listing_find(&w->listing, file->path)};
        }
    }
}

/* The want's files as pulled: all good, or the first failure. */
static kn_status take_pulls(kni_want *w, const kni_pull *pulls, size_t count, kn_error *err) {
    for (size_t i = 0; i < count; i++) {
        if (pulls[i].want != w) continue;
        if (pulls[i].status) return kni_fail(err, pulls[i].status, "%s", pulls[i].err.message);
    }
    for (size_t i = 0; i < w->file_count; i++) {
        kni_checked *file = &w->files[i];
        if (file->found != KNI_FILE_GOOD)
            *file = (kni_checked){file->path, file->content, KNI_FILE_GOOD, {0}};
    }
    w->fetched = true;
    w->step = KNI_WANT_FINISH;
    return KN_OK;
}

kn_status kni_batch_pull(kni_batch *batch, kn_error *err) {
    size_t count = count_missing(batch);
    if (!count) return KN_OK;
    kni_pull *pulls = kni_new(batch->alloc, count * sizeof *pulls);
    if (!pulls) return kni_no_memory(err, "downloading");
    collect(batch, pulls);
    kn_status status = kni_pull_files(batch, pulls, count, err);
    for (size_t i = 0; i < batch->count && !status; i++) {
        kni_want *w = batch->wants[i];
        if (w->step != KNI_WANT_PULL) continue;
        kn_status one = take_pulls(w, pulls, count, &w->err);
        if (one) status = kni_want_fail_online(batch, w, one, err);
    }
    kni_free(batch->alloc, pulls);
    return status;
}
