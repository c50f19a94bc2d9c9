/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/stored.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "codec/json.h"
#include "os/files.h"

#define BLOBS_MAX 100000
#define RECORD_LIMIT ((size_t)1 << 20)
#define BUILD "build/"

static kn_status no_memory(kn_error *err) { return kni_no_memory(err, "reading the cache"); }

/* ---- one repository ---- */

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), part = strlen(end);
    return length >= part && strcmp(text + length - part, end) == 0;
}

static kn_status read_blobs(kni_stored_repo *repo, kn_error *err) {
    const kn_alloc *alloc = repo->cache.alloc;
    kni_names names;
    kn_status status = kni_store_files(alloc, repo->cache.folder, "blobs", BLOBS_MAX, &names, err);
    if (status || !names.count) return status;
    char *path = kni_path_join(alloc, repo->cache.folder, "blobs");
    repo->blobs = path ? kni_new(alloc, names.count * sizeof *repo->blobs) : NULL;
    int folder = path ? kni_folder_open(path, false) : -1;
    for (size_t i = 0; repo->blobs && i < names.count; i++) {
        kni_file_facts facts;
        kni_file_look(folder, names.items[i], &facts);
        repo->blobs[repo->blob_count++] = (kni_stored_blob){
            .name = names.items[i],
            .size = facts.there ? facts.size : 0,
            .mtime_ns = facts.mtime_ns,
            .is_partial = ends_with(names.items[i], KNI_PARTIAL_END),
        };
        names.items[i] = NULL; /* taken over */
    }
    kni_folder_close(folder);
    kni_free(alloc, path);
    kni_names_clear(&names);
    return repo->blobs ? KN_OK : no_memory(err);
}

kni_stored_blob *kni_stored_blob_find(const kni_stored_repo *repo, const char *name) {
    size_t low = 0, high = repo->blob_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(repo->blobs[middle].name, name);
        if (order == 0) return &repo->blobs[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

typedef struct walk {
    kni_stored_repo *repo;
    kni_stored_commit *commit;
    kni_text variants;
    char last[128]; /* the variant that was added last */
} walk;

/* Files come sorted by path, so that those of a variant stand together. */
static void note_variant(walk *w, const char *path) {
    if (strncmp(path, BUILD, strlen(BUILD)) != 0) return;
    const char *name = path + strlen(BUILD), *end = strchr(name, '/');
    size_t length = end ? (size_t)(end - name) : 0;
    if (!length || length >= sizeof w->last) return;
    if (strncmp(w->last, name, length) == 0 && !w->last[length]) return;
    memcpy(w->last, name, length);
    w->last[length] = '\0';
    if (w->variants.length) kni_text_add(&w->variants, ", ");
    kni_text_add(&w->variants, w->last);
}

static kn_status note_file(void *ctx, const char *path, const char *oid, int64_t size,
                           kn_error *err) {
    walk *w = ctx;
    (void)err;
    kni_stored_blob *blob = oid[0] ? kni_stored_blob_find(w->repo, oid) : NULL;
    if (blob) blob->is_linked = true;
    if (oid[0] && !blob) w->commit->missing_count++;
    if (!oid[0]) w->commit->copied_bytes += size;
    w->commit->bytes += size;
    w->commit->file_count++;
    note_variant(w, path);
    return KN_OK;
}

static kn_status read_commit(kni_stored_repo *repo, kni_stored_commit *commit, kn_error *err) {
    walk w = {.repo = repo, .commit = commit};
    kni_text_init(&w.variants, repo->cache.alloc);
    kni_text_add(&w.variants, "");
    kn_status status = kni_cache_snapshot_walk(&repo->cache, commit->commit, note_file, &w, err);
    commit->variants = kni_text_take(&w.variants);
    if (!commit->variants && !status) status = no_memory(err);
    return status;
}

static kni_stored_commit *find_commit(const kni_stored_repo *repo, const char *commit) {
    for (size_t i = 0; i < repo->commit_count; i++) {
        if (strcmp(repo->commits[i].commit, commit) == 0) return &repo->commits[i];
    }
    return NULL;
}

static kn_status read_commits(kni_stored_repo *repo, kn_error *err) {
    const kn_alloc *alloc = repo->cache.alloc;
    char *path = kni_path_join(alloc, repo->cache.folder, "snapshots");
    if (!path) return no_memory(err);
    kni_names names = {.alloc = alloc};
    kn_status status = kni_directory_folders(alloc, path, &names, err);
    kni_free(alloc, path);
    if (status == KN_ERR_NOT_FOUND) return KN_OK;
    if (!status && names.count) {
        repo->commits = kni_new(alloc, names.count * sizeof *repo->commits);
        if (!repo->commits) status = no_memory(err);
    }
    for (size_t i = 0; i < names.count && !status; i++) {
        if (!kni_is_commit(names.items[i])) continue;
        kni_stored_commit *commit = &repo->commits[repo->commit_count++];
        commit->commit = names.items[i];
        names.items[i] = NULL; /* taken over */
        status = read_commit(repo, commit, err);
    }
    kni_names_clear(&names);
    return status;
}

static kn_status name_commit(const kni_stored_repo *repo, const char *ref, kn_error *err) {
    char id[KNI_CACHE_COMMIT_MAX];
    bool found;
    kn_status status = kni_cache_ref_read(&repo->cache, ref, id, &found, err);
    kni_stored_commit *commit = !status && found ? find_commit(repo, id) : NULL;
    if (!commit) return status == KN_ERR_NOMEM ? status : KN_OK;
    kni_text text;
    kni_text_init(&text, repo->cache.alloc);
    kni_text_addf(&text, "%s%s%s", commit->refs ? commit->refs : "", commit->refs ? ", " : "", ref);
    kni_free(repo->cache.alloc, commit->refs);
    commit->refs = kni_text_take(&text);
    commit->is_named = true;
    return commit->refs ? KN_OK : no_memory(err);
}

/* By branches and tags. */
static kn_status read_refs(const kni_stored_repo *repo, kn_error *err) {
    char **names;
    size_t count;
    kn_status status = kni_cache_refs(&repo->cache, &names, &count, err);
    if (status) return status;
    for (size_t i = 0; i < count && !status; i++) status = name_commit(repo, names[i], err);
    kni_cache_names_free(&repo->cache, names, count);
    return status;
}

/* The value of a member of a small document of ours; *document NULL where there is none. */
static kn_status read_document(const kni_stored_repo *repo, const char *name, kni_json **document,
                               kn_error *err) {
    char *bytes;
    size_t length;
    *document = NULL;
    kn_status status =
        kni_cache_document_read(&repo->cache, name, RECORD_LIMIT, &bytes, &length, err);
    if (status || !bytes) return status == KN_ERR_NOMEM ? status : KN_OK;
    status = kni_json_parse(bytes, length, name, document, NULL);
    kni_free(repo->cache.alloc, bytes);
    return status == KN_ERR_NOMEM ? no_memory(err) : KN_OK;
}

/* By what was asked for: a version's or a specifier's commit. */
static kn_status read_resolutions(const kni_stored_repo *repo, kn_error *err) {
    const kn_alloc *alloc = repo->cache.alloc;
    kni_names names;
    kn_status status =
        kni_store_files(alloc, repo->cache.own, "resolutions", BLOBS_MAX, &names, err);
    if (status) return status;
    for (size_t i = 0; i < names.count && !status; i++) {
        kni_json *document = NULL;
        char *name = kni_path_join(alloc, "resolutions", names.items[i]);
        status = name ? read_document(repo, name, &document, err) : no_memory(err);
        const char *id = kni_json_text(kni_json_member(document, "commit"));
        kni_stored_commit *commit = id ? find_commit(repo, id) : NULL;
        if (commit) commit->is_named = true;
        kni_json_free(document);
        kni_free(alloc, name);
    }
    kni_names_clear(&names);
    return status;
}

static kn_status read_trust(kni_stored_repo *repo, kn_error *err) {
    kni_json *document;
    int64_t trusted;
    kn_status status = read_document(repo, "trust.json", &document, err);
    if (kni_json_integer(kni_json_member(document, "trusted"), &trusted))
        repo->trust = trusted ? KN_STORED_TRUSTED : KN_STORED_UNTRUSTED;
    kni_json_free(document);
    return status;
}

kn_status kni_stored_repo_read(const kni_settings *settings, const char *id, bool is_model,
                               kni_stored_repo *out, kn_error *err) {
    const kn_alloc *alloc = settings->alloc;
    *out = (kni_stored_repo){.is_model = is_model};
    kn_status status = kni_cache_open(alloc, settings->cache, is_model ? "models" : "kernels", id,
                                      settings->user_folder, &out->cache, err);
    if (status) return status;
    out->id = kni_text_copy(alloc, id);
    if (!out->id) return no_memory(err);
    status = read_blobs(out, err);
    if (!status) status = read_commits(out, err);
    if (!status) status = read_refs(out, err);
    if (!status) status = read_resolutions(out, err);
    return status ? status : read_trust(out, err);
}

void kni_stored_repo_clear(kni_stored_repo *repo) {
    const kn_alloc *alloc = repo->cache.alloc;
    if (!alloc) return;
    for (size_t i = 0; i < repo->blob_count; i++) kni_free(alloc, repo->blobs[i].name);
    for (size_t i = 0; i < repo->commit_count; i++) {
        kni_free(alloc, repo->commits[i].commit);
        kni_free(alloc, repo->commits[i].refs);
        kni_free(alloc, repo->commits[i].variants);
    }
    kni_free(alloc, repo->blobs);
    kni_free(alloc, repo->commits);
    kni_free(alloc, repo->id);
    kni_cache_close(&repo->cache);
}

/* ---- all of them ---- */

/* "org/name" of "kernels--org--name" as a copy; *out NULL where the folder is another one. */
static kn_status id_of_folder(const kn_alloc *alloc, const char *folder, bool *is_model, char **out,
                              kn_error *err) {
    *out = NULL;
    *is_model = strncmp(folder, "models--", 8) == 0;
    if (!*is_model && strncmp(folder, "kernels--", 9) != 0) return KN_OK;
    const char *name = folder + (*is_model ? 8 : 9), *middle = strstr(name, "--");
    if (!middle) return KN_OK;
    kni_text text;
    kni_text_init(&text, alloc);
    kni_text_add_n(&text, name, (size_t)(middle - name));
    kni_text_addf(&text, "/%s", middle + 2);
    *out = kni_text_take(&text);
    return *out ? KN_OK : no_memory(err);
}

static kn_status add_repo(kn_stored *stored, const char *id, bool is_model, kn_error *err) {
    if (!kni_reserve(stored->alloc, &stored->repos, &stored->capacity, stored->count + 1,
                     sizeof *stored->repos))
        return no_memory(err);
    kni_stored_repo *repo = &stored->repos[stored->count];
    kn_error cause;
    kn_error_init(&cause);
    kn_status status = kni_stored_repo_read(&stored->settings, id, is_model, repo, &cause);
    bool counts = !status && (!is_model || kni_path_is_directory(repo->cache.own));
    if (counts)
        stored->count++;
    else
        kni_stored_repo_clear(repo);
    /* A folder whose name is no repository's is none of the cache's. */
    return status && status != KN_ERR_VALUE ? kni_fail(err, status, "%s", cause.message) : KN_OK;
}

static kn_status read_all(kn_stored *stored, kn_error *err) {
    kni_names names = {.alloc = stored->alloc};
    kn_status status = kni_directory_folders(stored->alloc, stored->settings.cache, &names, err);
    if (status == KN_ERR_NOT_FOUND) return KN_OK; /* nothing was fetched yet */
    for (size_t i = 0; i < names.count && !status; i++) {
        bool is_model;
        char *id;
        status = id_of_folder(stored->alloc, names.items[i], &is_model, &id, err);
        if (!status && id) status = add_repo(stored, id, is_model, err);
        kni_free(stored->alloc, id);
    }
    kni_names_clear(&names);
    return status;
}

kn_status kn_stored_read(const kn_alloc *alloc, kn_stored **out, kn_error *err) {
    *out = NULL;
    alloc = kni_alloc_or_default(alloc);
    kn_stored *stored = kni_new(alloc, sizeof *stored);
    if (!stored) return no_memory(err);
    stored->alloc = alloc;
    kn_error cause; /* what could not be read and does not matter leaves its words in there, too */
    kn_error_init(&cause);
    kn_status status = kni_settings_read(alloc, &stored->settings, &cause);
    if (!status) status = read_all(stored, &cause);
    if (status) {
        kn_stored_free(stored);
        return kni_fail(err, status, "%s", cause.message);
    }
    *out = stored;
    return KN_OK;
}

void kn_stored_free(kn_stored *stored) {
    if (!stored) return;
    for (size_t i = 0; i < stored->count; i++) kni_stored_repo_clear(&stored->repos[i]);
    kni_free(stored->alloc, stored->repos);
    kni_settings_clear(&stored->settings);
    kni_free(stored->alloc, stored);
}

const char *kn_stored_folder(const kn_stored *stored) { return stored->settings.cache; }

size_t kn_stored_repo_count(const kn_stored *stored) { return stored->count; }

void kn_stored_repo_get(const kn_stored *stored, size_t index, kn_stored_repo *out) {
    const kni_stored_repo *repo = &stored->repos[index];
    kn_stored_repo found = {
        .size = out->size,
        .id = repo->id,
        .is_model = repo->is_model,
        .folder = repo->cache.folder,
        .revision_count = repo->commit_count,
        .trust = repo->trust,
    };
    for (size_t i = 0; i < repo->blob_count; i++) {
        found.bytes += repo->blobs[i].size;
        if (repo->blobs[i].is_partial) found.partial_bytes += repo->blobs[i].size;
    }
    for (size_t i = 0; i < repo->commit_count; i++) found.bytes += repo->commits[i].copied_bytes;
    memcpy(out, &found, out->size < sizeof found ? out->size : sizeof found);
}

void kn_stored_revision_get(const kn_stored *stored, size_t repo, size_t index,
                            kn_stored_revision *out) {
    const kni_stored_commit *commit = &stored->repos[repo].commits[index];
    kn_stored_revision found = {
        .size = out->size,
        .commit = commit->commit,
        .refs = commit->refs ? commit->refs : "",
        .variants = commit->variants,
        .bytes = commit->bytes,
        .file_count = commit->file_count,
        .missing_count = commit->missing_count,
        .is_named = commit->is_named,
    };
    memcpy(out, &found, out->size < sizeof found ? out->size : sizeof found);
}
