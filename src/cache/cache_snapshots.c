/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cache/place.h"

static kn_status no_memory(kn_error *err) {
    return kni_no_memory(err, "putting a file into the cache");
}

/* "snapshots/<commit>/<path>"; NULL for no memory. */
static char *name_in_folder(const kni_cache *cache, const char *commit, const char *path) {
    return kni_path_of(cache, "snapshots", commit, path);
}

/* What huggingface_hub writes: from the link's folder up to the repository's, and down again. */
static char *link_text(const kni_cache *cache, const char *path, const char *oid) {
    kni_text text;
    kni_text_init(&text, cache->alloc);
    kni_text_add(&text, "../../");
    for (; (path = strchr(path, '/')); path++) kni_text_add(&text, "../");
    kni_text_addf(&text, "blobs/%s", oid);
    return kni_text_take(&text);
}

static kn_status check_names(const char *commit, const char *path, kn_error *err) {
    kn_status status = kni_commit_check(commit, err);
    return status ? status : kni_path_check("the file", path, err);
}

/* Where there are no links huggingface_hub moves the blob to here: then there is only this. */
static bool is_whole_file(const kni_cache *cache, const char *name, const kni_content *content) {
    int folder = kni_folder_open(cache->folder, false);
    kni_file_facts facts = {0};
    if (folder >= 0) kni_file_look(folder, name, &facts);
    kni_folder_close(folder);
    return facts.regular && facts.size == content->size;
}

static kn_status put_file(const kni_cache *cache, const char *name, const char *target,
                          const kni_content *content, kn_error *err) {
    if (!kni_cache_blob_exists(cache, content)) {
        if (is_whole_file(cache, name, content)) return KN_OK;
        return kni_fail(err, KN_ERR_NOT_FOUND,
                        "'%s/%s' cannot be put in place: its content %s is not in the cache; "
                        "download it again",
                        cache->folder, name, content->oid);
    }
    if (kni_store_is_link_to(cache->folder, name, target)) return KN_OK;
    bool linked = false;
    kn_status status =
        cache->no_links ? KN_OK : kni_store_link(cache->folder, name, target, &linked, err);
    if (status || linked) return status;
    char *blob = kni_path_of(cache, cache->folder, "blobs", content->oid);
    status = blob ? kni_store_copy(cache->folder, name, blob, err) : no_memory(err);
    kni_free(cache->alloc, blob);
    return status;
}

kn_status kni_cache_snapshot_add(const kni_cache *cache, const char *commit, const char *path,
                                 const kni_content *content, kn_error *err) {
    kn_status status = check_names(commit, path, err);
    if (!status) status = kni_content_check(content, err);
    if (status) return status;
    char *name = name_in_folder(cache, commit, path);
    char *target = link_text(cache, path, content->oid);
    status = name && target ? put_file(cache, name, target, content, err) : no_memory(err);
    kni_free(cache->alloc, name);
    kni_free(cache->alloc, target);
    return status;
}

char *kni_cache_snapshot_path(const kni_cache *cache, const char *commit, const char *path) {
    if (!kni_is_commit(commit) || (path && !kni_path_stays_inside(path))) return NULL;
    char *snapshot = kni_path_of(cache, cache->folder, "snapshots", commit);
    if (!snapshot || !path) return snapshot;
    char *file = kni_path_join(cache->alloc, snapshot, path);
    kni_free(cache->alloc, snapshot);
    return file;
}
