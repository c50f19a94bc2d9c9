/* SPDX-License-Identifier: Apache-2.0 */
/* From a bundle into the cache: all of it is verified first, then one repository after the other is
 * put in place. Of each the content comes first, then what lists it, then the names that lead
 * there: whatever moment it ends, nobody finds half of it. */
#include <string.h>

#include "base/error.h"
#include "engine/bundle.h"
#include "engine/host.h"
#include "os/clock.h"
#include "os/reader.h"

#define PIECE ((size_t)1 << 18)
#define WAIT_MS 20

typedef struct importing {
    kn_engine *engine;
    const kn_alloc *alloc;
    const kn_host *host;
    const kni_net *net;
    kni_settings settings;
    kni_reader reader;
    kn_bundle *bundle;
    char *piece;
    int64_t done, total; /* bytes */
} importing;

static kn_status no_memory(kn_error *err) { return kni_no_memory(err, "importing a bundle"); }

static bool is_cancelled(void *ctx) {
    const importing *im = ctx;
    return kni_host_is_cancelled(im->engine, im->host);
}

/* ---- locks ---- */

/* Waits while another process holds it; a cache in which there can be no locks is used without. */
static kn_status wait_for_lock(importing *im, const kni_cache *cache, const char *name,
                               kni_cache_lock *out, kn_error *err) {
    int64_t since = kni_clock_ms(), seen = 0;
    for (;;) {
        bool taken;
        kn_status status = kni_cache_lock_try(cache, name, out, &taken, err);
        if (status == KN_ERR_OS || (!status && taken)) return KN_OK;
        if (status) return status;
        if (is_cancelled(im)) return kni_fail(err, KN_ERR_CANCELLED, "stopped");
        int64_t life = kni_cache_lock_life(cache, name), now = kni_clock_ms();
        if (life != seen) since = now;
        seen = life;
        if (now - since > im->settings.timeout_ms) {
            return kni_fail(err, KN_ERR_TIMEOUT,
                            "another process holds the lock '%s/%s.lock' and makes no progress; "
                            "end it, or wait longer with KERNELS_TIMEOUT=SECONDS",
                            cache->locks, name);
        }
        kni_sleep_ms(WAIT_MS);
    }
}

/* ---- content ---- */

static const kni_bundled_blob *find_blob(const kn_bundle *bundle, const char *oid) {
    size_t low = 0, high = bundle->blob_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(bundle->blobs[middle].oid, oid);
        if (order == 0) return &bundle->blobs[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static kn_status copy_blob(importing *im, const kni_bundled_blob *from, kni_blob *to,
                           kn_error *err) {
    while (kni_blob_length(to) < from->size) {
        int64_t at = kni_blob_length(to), left = from->size - at;
        size_t length = left < (int64_t)PIECE ? (size_t)left : PIECE, got;
        if (is_cancelled(im)) return kni_fail(err, KN_ERR_CANCELLED, "stopped");
        kn_status status =
            kni_reader_read_at(&im->reader, from->offset + at, im->piece, length, &got, err);
        if (!status && got != length)
            status = kni_fail(err, KN_ERR_INTEGRITY, "the bundle was changed while it was read");
        if (!status) status = kni_blob_write(to, im->piece, length, err);
        if (status) return status;
    }
    return KN_OK;
}

/* What is begun of it is gone on with; where that is none of it, from the start. */
static kn_status write_blob(importing *im, const kni_cache *cache, const kni_bundled_blob *from,
                            kn_error *err) {
    const kni_content content = {from->oid, from->size};
    kn_status status = KN_OK;
    for (int turn = 0; turn < 2; turn++) {
        kni_blob *blob;
        status = kni_blob_open(cache, im->net, &content, &blob, err);
        if (status) return status;
        status = copy_blob(im, from, blob, err);
        if (status) {
            kni_blob_close(blob);
            return status;
        }
        status = kni_blob_finish(blob, err);
        if (status != KN_ERR_INTEGRITY) return status;
    }
    return status;
}

static kn_status import_content(importing *im, const kni_cache *cache, const kni_entry *entry,
                                kn_error *err) {
    const kni_content content = {entry->oid, entry->size};
    kni_cache_lock lock = {-1};
    bool good = false;
    kn_status status = kni_cache_blob_check(cache, im->net, &content, &good, err);
    if (!status && !good) status = wait_for_lock(im, cache, entry->oid, &lock, err);
    if (!status && !good) status = write_blob(im, cache, find_blob(im->bundle, entry->oid), err);
    kni_cache_lock_drop(&lock);
    im->done += entry->size;
    if (!status) kni_host_progress(im->engine, im->host, im->done, im->total);
    return status;
}

/* ---- what leads to it ---- */

static kn_status write_listing(const kni_cache *cache, const kni_bundled *revision, kn_error *err) {
    char name[KNI_IMPORTED_NAME];
    kni_imported_name(revision->commit, name);
    return kni_cache_document_write(cache, name, revision->listing_text, revision->listing_length,
                                    err);
}

static bool is_of_variant(const char *path, const char *variant) {
    size_t length = strlen(variant);
    return strncmp(path, "build/", 6) == 0 && strncmp(path + 6, variant, length) == 0 &&
           path[6 + length] == '/';
}

/* Links the files of a build into the snapshot, and notes that they were verified. */
static kn_status place_variant(const importing *im, const kni_cache *cache,
                               const kni_bundled *revision, const char *variant, kn_error *err) {
    size_t count = 0;
    kni_checked *files = kni_new(im->alloc, (revision->listing.count + 1) * sizeof *files);
    if (!files) return no_memory(err);
    kn_status status = KN_OK;
    for (size_t i = 0; i < revision->listing.count && !status; i++) {
        const kni_entry *entry = &revision->listing.items[i];
        if (!kni_bundled_has(revision, entry) || !is_of_variant(entry->path, variant)) continue;
        files[count] = (kni_checked){.path = entry->path, .content = {entry->oid, entry->size}};
        status = kni_cache_snapshot_add(cache, revision->commit, entry->path,
                                        &files[count++].content, err);
    }
    if (!status)
        status = kni_best_effort(
            kni_cache_receipt_write(cache, revision->commit, variant, files, count, NULL),
            "importing a bundle", err);
    kni_free(im->alloc, files);
    return status;
}

/* An answer of the Hub about the name would lead elsewhere offline. Its age is not known now, so
 * that online it is asked again. */
static kn_status replace_answer(const kni_cache *cache, const char *request, char *ref,
                                const char *commit, kn_error *err) {
    char source[] = "a bundle";
    kni_resolution known, made = {.ref = ref, .source = source};
    bool found;
    kn_status status = kni_cache_resolution_read(cache, request, &known, &found, err);
    kni_resolution_clear(cache, &known);
    if (status || !found) return status;
    memcpy(made.commit, commit, strlen(commit) + 1);
    return kni_cache_resolution_write(cache, request, &made, err);
}

static kn_status place_ref(const importing *im, const kni_cache *cache, char *ref,
                           const char *commit, kn_error *err) {
    kni_text by_revision, by_version;
    kni_text_init(&by_revision, im->alloc);
    kni_text_init(&by_version, im->alloc);
    kni_text_addf(&by_revision, "revision:%s", ref);
    kni_text_addf(&by_version, "version:%s", ref + 1);
    char *requests[] = {kni_text_take(&by_revision), kni_text_take(&by_version)};
    bool is_version = ref[0] == 'v' && ref[1] && !ref[1 + strspn(ref + 1, "0123456789")];
    kn_status status = requests[0] && requests[1] ? KN_OK : no_memory(err);
    if (!status) status = kni_cache_ref_write(cache, ref, commit, err);
    if (!status) status = replace_answer(cache, requests[0], ref, commit, err);
    if (!status && is_version) status = replace_answer(cache, requests[1], ref, commit, err);
    kni_free(im->alloc, requests[0]);
    kni_free(im->alloc, requests[1]);
    return status;
}

/* ---- a repository ---- */

static kn_status import_revision(importing *im, const kni_cache *cache, const kni_bundled *revision,
                                 kn_error *err) {
    kn_status status = KN_OK;
    for (size_t i = 0; i < revision->listing.count && !status; i++) {
        if (kni_bundled_has(revision, &revision->listing.items[i]))
            status = import_content(im, cache, &revision->listing.items[i], err);
    }
    if (!status) status = write_listing(cache, revision, err);
    for (size_t i = 0; i < revision->variants.count && !status; i++)
        status = place_variant(im, cache, revision, revision->variants.items[i], err);
    for (size_t i = 0; i < revision->refs.count && !status; i++)
        status = place_ref(im, cache, revision->refs.items[i], revision->commit, err);
    return status;
}

/* The revisions from `first` on that are of one repository; *next is behind them. */
static kn_status import_repository(importing *im, size_t first, size_t *next, kn_error *err) {
    const kni_bundled *all = im->bundle->revisions, *one = &all[first];
    kni_cache cache = {0}, kernel = {0}; /* the lock is that of the type kernel, whichever it is */
    kni_cache_lock lock = {-1};
    kn_status status = kni_settings_cache(&im->settings, one->type, one->repo, &cache, err);
    if (!status)
        status = kni_settings_cache(&im->settings, KNI_REPO_KERNEL, one->repo, &kernel, err);
    if (!status) status = wait_for_lock(im, &kernel, KNI_REPOSITORY_LOCK, &lock, err);
    for (*next = first; *next < im->bundle->count && !status; ++*next) {
        const kni_bundled *revision = &all[*next];
        if (revision->type != one->type || strcmp(revision->repo, one->repo) != 0) break;
        status = import_revision(im, &cache, revision, err);
    }
    kni_cache_lock_drop(&lock);
    kni_cache_close(&cache);
    kni_cache_close(&kernel);
    return status;
}

static kn_status import_all(importing *im, kn_error *err) {
    kn_status status = KN_OK;
    for (size_t i = 0; i < im->bundle->count; i++) {
        kn_bundle_item item = {.size = sizeof item};
        kn_bundle_get(im->bundle, i, &item);
        im->total += item.bytes;
    }
    for (size_t i = 0; i < im->bundle->count && !status;)
        status = import_repository(im, i, &i, err);
    return status;
}

/* ---- the call ---- */

static kn_status read_at(void *ctx, int64_t offset, void *out, size_t length, size_t *got,
                         kn_error *err) {
    const importing *im = ctx;
    return kni_reader_read_at(&im->reader, offset, out, length, got, err);
}

static kn_status run(importing *im, bool install, kn_error *err) {
    const kni_bundle_source source = {im, read_at};
    kn_status status = kni_settings_read(im->alloc, &im->settings, err);
    if (!status) status = kni_engine_net(im->engine, &im->net, err);
    if (!status)
        status = kni_bundle_read(im->alloc, im->net, &source, is_cancelled, im, &im->bundle, err);
    if (status || !install) return status;
    im->piece = kni_new(im->alloc, PIECE);
    return im->piece ? import_all(im, err) : no_memory(err);
}

kn_status kn_engine_import(kn_engine *engine, const kn_host *host, const char *file, bool install,
                           kn_bundle **out, kn_error *err) {
    kn_error own;
    kn_error_init(&own);
    if (out) *out = NULL;
    kn_host completed;
    importing im = {
        .engine = engine, .alloc = engine->alloc, .host = kni_host_complete(host, &completed)};
    kn_status status = kni_reader_open(file, &im.reader, &own);
    if (!status) status = run(&im, install, &own);
    kni_reader_close(&im.reader);
    kni_free(im.alloc, im.piece);
    kni_settings_clear(&im.settings);
    if (status || !out)
        kn_bundle_free(im.bundle);
    else
        *out = im.bundle;
    return status ? kni_fail(err, status, "'%s': %s", file, own.message) : KN_OK;
}
