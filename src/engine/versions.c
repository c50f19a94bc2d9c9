/* SPDX-License-Identifier: Apache-2.0 */
/* The versions of a repository: by the Hub, by what it said before, or by the cache's branches. */
#include <kernels/hub.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "codec/json.h"
#include "engine/fetch.h"
#include "os/clock.h"

#define DOCUMENT "versions.json"
#define DOCUMENT_LIMIT ((size_t)1 << 20)
#define REF_TEXT_MAX 16 /* "v" and nine digits */

typedef struct entry {
    int64_t version;
    char ref[REF_TEXT_MAX];
    char commit[KNI_COMMIT_MAX];
    kn_variants *variants;
    char *message;
} entry;

struct kn_versions {
    const kn_alloc *alloc;
    entry *items;
    size_t count, capacity;
};

/* N of "vN"; -1: it is none. */
static int64_t version_of(const char *ref) {
    if (ref[0] != 'v') return -1;
    size_t length = strspn(ref + 1, "0123456789");
    if (!length || ref[1 + length] || length > 9) return -1;
    return strtoll(ref + 1, NULL, 10);
}

static int compare_entries(const void *a, const void *b) {
    const entry *x = a, *y = b;
    return (x->version > y->version) - (x->version < y->version);
}

/* Adds the branch, if it is a version, and a new one. */
static kn_status add_ref(kn_versions *v, const char *ref, const char *commit, kn_error *err) {
    int64_t version = version_of(ref);
    if (version < 0 || !kni_is_commit(commit)) return KN_OK;
    for (size_t i = 0; i < v->count; i++) {
        if (v->items[i].version == version) return KN_OK;
    }
    if (!kni_reserve(v->alloc, &v->items, &v->capacity, v->count + 1, sizeof *v->items))
        return kni_no_memory(err, "listing versions");
    entry *made = &v->items[v->count++];
    *made = (entry){.version = version};
    snprintf(made->ref, sizeof made->ref, "%s", ref);
    snprintf(made->commit, sizeof made->commit, "%s", commit);
    return KN_OK;
}

static void forget(kn_versions *v) { v->count = 0; } /* nothing of an entry is allocated yet */

/* ---- what is known without asking ---- */

/* What was recorded of the Hub's answer, and when it came; *time 0: nothing. */
static kn_status read_record(const kni_cache *cache, kn_versions *v, int64_t *time, kn_error *err) {
    char *bytes;
    size_t length;
    *time = 0;
    kn_status status =
        kni_cache_document_read(cache, DOCUMENT, DOCUMENT_LIMIT, &bytes, &length, err);
    if (status || !bytes) return status;
    kni_json *document;
    const kni_json *branches, *value;
    if (kni_json_parse(bytes, length, DOCUMENT, &document, NULL) == KN_OK) {
        if (!kni_json_integer(kni_json_member(document, "time"), time) || *time < 0) *time = 0;
        branches = *time ? kni_json_member(document, "branches") : NULL;
        for (const char *name = kni_json_next(branches, NULL, &value); name && !status;
             name = kni_json_next(branches, name, &value)) {
            const char *commit = kni_json_text(value);
            if (commit) status = add_ref(v, name, commit, err);
        }
        kni_json_free(document);
    }
    kni_free(v->alloc, bytes);
    return status;
}

static kn_status write_record(const kni_cache *cache, const kn_versions *v, kn_error *err) {
    kni_text text;
    kni_text_init(&text, v->alloc);
    kni_text_addf(&text, "{\"time\": %lld, \"branches\": {", (long long)kni_clock_seconds());
    for (size_t i = 0; i < v->count; i++) {
        kni_text_addf(&text, "%s\"%s\": \"%s\"", i ? ", " : "", v->items[i].ref,
                      v->items[i].commit);
    }
    kni_text_add(&text, "}}\n");
    size_t length = text.length;
    char *bytes = kni_text_take(&text);
    if (!bytes) return kni_no_memory(err, "recording versions");
    kn_status status = kni_cache_document_write(cache, DOCUMENT, bytes, length, NULL);
    kni_free(v->alloc, bytes);
    return kni_best_effort(status, "recording versions", err);
}

static kn_status read_branches(const kni_cache *cache, kn_versions *v, kn_error *err) {
    char **names;
    size_t count;
    kn_status status = kni_cache_refs(cache, &names, &count, err);
    if (status) return status == KN_ERR_NOMEM ? status : KN_OK;
    for (size_t i = 0; i < count && !status; i++) {
        char commit[KNI_CACHE_COMMIT_MAX];
        bool found;
        status = kni_cache_ref_read(cache, names[i], commit, &found, err);
        if (!status && found) status = add_ref(v, names[i], commit, err);
    }
    kni_cache_names_free(cache, names, count);
    return status;
}

/* ---- the Hub ---- */

/* Asks a source for the branches; *said is what came of it. Fails for memory, and when it is
 * cancelled. */
static kn_status ask(kni_batch *batch, const kni_want *w, const kni_batch_source *source,
                     kni_repo_type type, kn_versions *v, kn_error *said, kn_error *err) {
    kni_transfer transfer = {.what = w->id, .limit = KNI_JSON_LIMIT}, *pointer = &transfer;
    char *url = source->is_mirror
                    ? kni_url_mirror(batch->alloc, source->address, type, w->id, KNI_MIRROR_REFS)
                    : kni_url_refs(batch->alloc, source->address, type, w->id);
    if (!url) return kni_no_memory(err, "asking the Hub");
    transfer.url = url;
    kn_status status = kni_batch_transfer(batch, &pointer, 1, v->count > 0, err);
    if (!status && transfer.status) kni_fail(said, transfer.status, "%s", transfer.err.message);
    if (!status && !transfer.status) {
        kni_refs refs;
        kn_error_init(said);
        kn_status parsed =
            kni_refs_parse(v->alloc, transfer.body, transfer.body_length, w->id, &refs, said);
        if (!parsed) forget(v);
        for (size_t i = 0; !parsed && !status && i < refs.count; i++) {
            if (!refs.items[i].is_tag)
                status = add_ref(v, refs.items[i].name, refs.items[i].commit, err);
        }
        if (!parsed) kni_refs_clear(&refs);
        if (parsed == KN_ERR_NOMEM) status = kni_no_memory(err, "asking the Hub");
    }
    kni_transfer_clear(&transfer, batch->alloc);
    kni_free(batch->alloc, url);
    return status;
}

static kn_status ask_both(kni_batch *batch, const kni_want *w, const kni_cache caches[2],
                          kn_versions *v, kn_error *said, kn_error *err) {
    const kn_host *host = batch->run->host;
    kni_repo_type type = KNI_REPO_KERNEL;
    batch->left = host->leave ? host->leave(host->ctx) : NULL;
    kn_status status = KN_OK, worst = KN_OK;
    for (size_t i = 0; i < batch->source_count && !status && (!i || said->status); i++) {
        const kni_batch_source *source = &batch->sources[i];
        type = KNI_REPO_KERNEL;
        kn_error_init(said);
        status = ask(batch, w, source, type, v, said, err);
        if (!status && (said->status == KN_ERR_REPOSITORY || said->status == KN_ERR_NOT_FOUND)) {
            type = KNI_REPO_MODEL;
            kn_error_init(said);
            status = ask(batch, w, source, type, v, said, err);
        }
        if (kni_is_network(said->status) && !worst) worst = said->status;
    }
    if (said->status && worst) said->status = worst; /* that one may have known */
    if (host->enter) host->enter(host->ctx, batch->left);
    if (status || said->status) return status;
    return write_record(&caches[type], v, err);
}

static kn_status open_caches(const kni_batch *batch, const char *id, kni_cache caches[2],
                             kn_error *err) {
    const char *const prefixes[] = {[KNI_REPO_KERNEL] = "kernels", [KNI_REPO_MODEL] = "models"};
    kn_status status = kni_repo_id_check(id, err);
    for (size_t i = 0; i < 2 && !status; i++) {
        status = kni_cache_open(batch->alloc, batch->settings.cache, prefixes[i], id,
                                batch->settings.user_folder, &caches[i], err);
    }
    return status;
}

/* Fills `v` with what is still believed, else with what the Hub says, else with what is known. */
static kn_status find_versions(kni_batch *batch, const kni_want *w, kn_versions *v, kn_error *err) {
    kni_cache caches[2] = {{0}, {0}};
    kn_error said;
    kn_error_init(&said);
    int64_t now = kni_clock_seconds(), time = 0, limit = batch->settings.version_age_s;
    kn_status status = open_caches(batch, w->id, caches, err);
    for (size_t i = 0; i < 2 && !status && !time; i++)
        status = read_record(&caches[i], v, &time, err);
    bool fresh = time > 0 && time <= now && now - time < limit && !w->refresh;
    for (size_t i = 0; i < 2 && !status && !time; i++) status = read_branches(&caches[i], v, err);
    if (!status && !fresh && !w->offline) status = ask_both(batch, w, caches, v, &said, err);
    bool serves = v->count > 0 && (said.status == KN_ERR_NETWORK || said.status == KN_ERR_TIMEOUT);
    if (!status && serves) {
        status = kni_batch_warn(batch, KN_LOG_HUB,
                                "the versions of '%s' are those that the cache knows of, since the "
                                "Hub could not be asked: %s",
                                w->id, said.message);
    } else if (!status && said.status) {
        status = kni_fail(err, said.status, "%s", said.message);
    } else if (!status && w->offline && !time && !v->count) {
        status = kni_fail(err, KN_ERR_NOT_FOUND,
                          "no version of '%s' is in the cache ('%s'), and no request is made in "
                          "offline mode: ask once while online (%s)",
                          w->id, caches[0].folder, batch->go_online);
    }
    kni_cache_close(&caches[0]);
    kni_cache_close(&caches[1]);
    if (v->count) qsort(v->items, v->count, sizeof *v->items, compare_entries);
    return status;
}

/* ---- their builds ---- */

static kn_status take_variants(kni_batch *batch, const size_t *numbers, kn_versions *v,
                               kn_error *err) {
    kn_status status = KN_OK;
    for (size_t i = 0; i < v->count && !status; i++) {
        kn_error cause;
        kn_error_init(&cause);
        kn_status one =
            kni_want_variants(batch, batch->wants[numbers[i]], &v->items[i].variants, &cause);
        if (one == KN_ERR_NOMEM) status = kni_no_memory(err, "listing versions");
        if (!one || status) continue;
        v->items[i].message = kni_text_copy(v->alloc, cause.message);
        if (!v->items[i].message) status = kni_no_memory(err, "listing versions");
    }
    return status;
}

static kn_status find_variants(kni_batch *batch, const kn_repo_info *info, kn_versions *v,
                               kn_error *err) {
    if (!v->count) return KN_OK;
    size_t *numbers = kni_new(v->alloc, v->count * sizeof *numbers);
    if (!numbers) return kni_no_memory(err, "listing versions");
    kn_status status = KN_OK;
    for (size_t i = 0; i < v->count && !status; i++) {
        kn_repo_info one = *info;
        one.version = NULL;
        one.revision = v->items[i].commit;
        status = kni_batch_add(batch, &one, KN_DEVICE_OTHER, KNI_DEPTH_VARIANTS, &numbers[i], err);
    }
    if (!status) status = kni_batch_run(batch, err);
    if (!status) status = take_variants(batch, numbers, v, err);
    kni_free(v->alloc, numbers);
    return status;
}

/* ---- public ---- */

kn_status kn_engine_versions(kn_engine *engine, const kn_host *host, const kn_repo_info *info,
                             bool with_variants, kn_versions **out, kn_error *err) {
    *out = NULL;
    kn_versions *v = kni_new(engine->alloc, sizeof *v);
    if (!v) return kni_no_memory(err, "listing versions");
    v->alloc = engine->alloc;
    kn_error cause; /* what could not be read and does not matter leaves its words in there, too */
    kn_error_init(&cause);
    kni_run run;
    kni_run_init(&run, engine, host, NULL);
    kni_batch batch;
    kni_want *w = NULL;
    kn_repo_info whole = *info; /* as it is known by its name alone */
    whole.version = whole.revision = NULL;
    kn_status status = kni_batch_open(&run, true, &batch, &cause);
    if (!status)
        status = kni_want_new(&batch, &whole, KN_DEVICE_OTHER, KNI_DEPTH_VARIANTS, &w, &cause);
    if (!status && !w->path) status = find_versions(&batch, w, v, &cause);
    if (!status && with_variants) status = find_variants(&batch, &whole, v, &cause);
    if (!status) kni_batch_tell_warnings(&batch);
    kni_want_free(w);
    kni_batch_close(&batch);
    kni_run_clear(&run);
    if (status) {
        kn_versions_free(v);
        return kni_fail(err, status, "%s", cause.message);
    }
    *out = v;
    return KN_OK;
}

size_t kn_versions_count(const kn_versions *versions) { return versions->count; }

void kn_versions_get(const kn_versions *versions, size_t index, kn_version_entry *out) {
    const entry *item = &versions->items[index];
    kn_version_entry found = {
        .size = out->size,
        .version = item->version,
        .ref = item->ref,
        .commit = item->commit,
        .variants = item->variants,
        .message = item->message,
    };
    memcpy(out, &found, out->size < sizeof found ? out->size : sizeof found);
}

void kn_versions_free(kn_versions *versions) {
    if (!versions) return;
    for (size_t i = 0; i < versions->count; i++) {
        kn_variants_free(versions->items[i].variants);
        kni_free(versions->alloc, versions->items[i].message);
    }
    kni_free(versions->alloc, versions->items);
    kni_free(versions->alloc, versions);
}
