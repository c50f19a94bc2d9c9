/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/error.h"
#include "cache/place.h"

#define REF_MAX 4096
#define REFS_MAX 100000

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

kn_status kni_cache_ref_write(const kni_cache *cache, const char *name, const char *commit,
                              kn_error *err) {
    char now[KNI_CACHE_COMMIT_MAX];
    bool found;
    char *inner;
    kn_status status = kni_commit_check(commit, err);
    if (!status) status = kni_cache_ref_read(cache, name, now, &found, err);
    if (!status) status = check_snapshot(cache, commit, err);
    if (status || (found && strcmp(now, commit) == 0)) return status;

    status = name_in_refs(cache, name, &inner, err);
    if (status) return status;
    status = kni_store_write(cache->folder, inner, commit, strlen(commit), err);
    kni_free(cache->alloc, inner);
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
