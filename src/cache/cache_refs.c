/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/error.h"
#include "cache/place.h"
#include "codec/json.h"

#define REF_MAX 4096
#define REFS_MAX 100000
#define INDEX "refs.json"

/* huggingface_hub writes a commit without a line's end; others may not. */
static bool take_commit(char *text, size_t length, char out[KNI_CACHE_COMMIT_MAX]) {
    while (length && (text[length - 1] == '\n' || text[length - 1] == '\r')) text[--length] = '\0';
    if (strlen(text) != length || !kni_is_commit(text)) return false;
    memcpy(out, text, length + 1);
    return true;
}

static kn_status name_in_refs(const kni_cache *cache, const char *name, char **out, kn_error *err) {
    *out = NULL;
    kn_status status = kni_path_check("the branch or tag", name, err);
    if (status) return status;
    *out = kni_path_of(cache, "refs", name, NULL);
    if (!*out) return kni_no_memory(err, "looking for a branch or tag in the cache");
    status = kni_path_check("the branch or tag", *out, err); /* it is longer now */
    if (status) {
        kni_free(cache->alloc, *out);
        *out = NULL;
    }
    return status;
}

kn_status kni_cache_ref_read(const kni_cache *cache, const char *name,
                             char out[KNI_CACHE_COMMIT_MAX], bool *found, kn_error *err) {
    out[0] = '\0';
    *found = false;
    char *inner, *bytes = NULL;
    size_t length = 0;
    kn_status status = name_in_refs(cache, name, &inner, err);
    if (status) return status;
    char *path = kni_path_join(cache->alloc, cache->folder, inner);
    status =
        path ? kni_file_read(cache->alloc, path, REF_MAX, &bytes, &length, NULL) : KN_ERR_NOMEM;
    if (!status && bytes) *found = take_commit(bytes, length, out);
    kni_free(cache->alloc, bytes);
    kni_free(cache->alloc, path);
    kni_free(cache->alloc, inner);
    /* What cannot be read is not there. */
    return kni_best_effort(status, "reading a branch or tag from the cache", err);
}

/* huggingface_hub calls a cache damaged in which a ref names a commit without a snapshot. */
static kn_status check_snapshot(const kni_cache *cache, const char *commit, kn_error *err) {
    char *snapshot = kni_path_of(cache, cache->folder, "snapshots", commit);
    if (!snapshot) return kni_no_memory(err, "recording a branch or tag");
    kn_status status = KN_OK;
    if (!kni_path_is_directory(snapshot)) {
        status = kni_fail(err, KN_ERR_NOT_FOUND,
                          "nothing of commit %s is in the cache '%s': a branch or tag is recorded "
                          "once a file of its commit is there",
                          commit, cache->folder);
    }
    kni_free(cache->alloc, snapshot);
    return status;
}

kn_status kni_cache_refs(const kni_cache *cache, char ***out, size_t *count, kn_error *err) {
    kni_names names;
    kn_status status = kni_store_files(cache->alloc, cache->folder, "refs", REFS_MAX, &names, err);
    *out = names.items; /* both empty on error */
    *count = names.count;
    return status;
}

void kni_cache_names_free(const kni_cache *cache, char **names, size_t count) {
    for (size_t i = 0; i < count; i++) kni_free(cache->alloc, names[i]);
    kni_free(cache->alloc, names);
}

/* ---- the index: what a mirror, of which no folder can be listed, is asked for ---- */

/* Adds the branches, or the tags, to the index; which is which a cache does not say. */
static kn_status add_kind(const kni_cache *cache, char *const *names, size_t count, bool tags,
                          kni_text *out, kn_error *err) {
    const char *separator = "";
    for (size_t i = 0; i < count; i++) {
        char commit[KNI_CACHE_COMMIT_MAX];
        bool found, is_other = strncmp(names[i], "refs/", 5) == 0; /* a pull request's */
        if (is_other || kni_text_is_version(names[i]) != tags) continue;
        kn_status status = kni_cache_ref_read(cache, names[i], commit, &found, err);
        if (status) return status;
        if (!found) continue;
        kni_text_addf(out, "%s\n  {\"name\": ", separator);
        kni_json_add_text(out, names[i]);
        kni_text_addf(out, ", \"targetCommit\": \"%s\"}", commit);
        separator = ",";
    }
    return KN_OK;
}

static kn_status write_index(const kni_cache *cache, kn_error *err) {
    char **names;
    size_t count;
    kni_text text;
    kni_text_init(&text, cache->alloc);
    kn_status status = kni_cache_refs(cache, &names, &count, err);
    kni_text_add(&text, "{\"branches\": [");
    if (!status) status = add_kind(cache, names, count, false, &text, err);
    kni_text_add(&text, "], \"tags\": [");
    if (!status) status = add_kind(cache, names, count, true, &text, err);
    kni_text_add(&text, "]}\n");
    kni_cache_names_free(cache, names, count);
    size_t length = text.length;
    char *bytes = kni_text_take(&text);
    if (!status && !bytes) status = kni_no_memory(err, "recording branches and tags");
    if (!status) status = kni_cache_document_write(cache, INDEX, bytes, length, NULL);
    kni_free(cache->alloc, bytes);
    return kni_best_effort(status, "recording branches and tags", err);
}

/* A cache that another client filled has none. */
static kn_status complete_index(const kni_cache *cache, kn_error *err) {
    char *bytes;
    size_t length;
    kn_status status = kni_cache_document_read(cache, INDEX, KNI_JSON_LIMIT, &bytes, &length, err);
    bool found = bytes != NULL;
    kni_free(cache->alloc, bytes);
    return status || found ? status : write_index(cache, err);
}

kn_status kni_cache_ref_write(const kni_cache *cache, const char *name, const char *commit,
                              kn_error *err) {
    char now[KNI_CACHE_COMMIT_MAX];
    bool found;
    char *inner;
    kn_status status = kni_commit_check(commit, err);
    if (!status) status = kni_cache_ref_read(cache, name, now, &found, err);
    if (!status) status = check_snapshot(cache, commit, err);
    if (status) return status;
    if (found && strcmp(now, commit) == 0) return complete_index(cache, err);

    status = name_in_refs(cache, name, &inner, err);
    if (status) return status;
    status = kni_store_write(cache->folder, inner, commit, strlen(commit), err);
    kni_free(cache->alloc, inner);
    return status ? status : write_index(cache, err);
}
