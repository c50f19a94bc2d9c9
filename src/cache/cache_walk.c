/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cache/place.h"
#include "os/tree.h"

#define FILES_MAX 100000

/* The object id in the text of a link to a blob; "" where it is none. */
static const char *oid_of_link(const char *target) {
    const char *name = target ? strrchr(target, '/') : NULL;
    return name && kni_is_oid(name + 1) ? name + 1 : "";
}

static kn_status visit(const kni_cache *cache, const char *snapshot, int folder, const char *path,
                       kni_snapshot_each each, void *ctx, kn_error *err) {
    kni_file_facts facts;
    kni_file_look(folder, path, &facts);
    char *file = kni_path_join(cache->alloc, snapshot, path), *target = NULL;
    kn_status status = file ? kni_path_read_link(cache->alloc, file, &target, err)
                            : kni_no_memory(err, "reading the cache");
    kni_free(cache->alloc, file);
    if (status) return status;
    const char *oid = oid_of_link(target);
    if (facts.regular || oid[0]) /* else a link to nowhere */
        status = each(ctx, path, oid, facts.regular ? facts.size : 0, err);
    kni_free(cache->alloc, target);
    return status;
}

kn_status kni_cache_tree_read(const kni_cache *cache, const char *commit, size_t limit, char **out,
                              size_t *length, kn_error *err) {
    char name[sizeof "trees/.json" + KNI_CACHE_COMMIT_MAX];
    *out = NULL;
    *length = 0;
    kn_status status = kni_commit_check(commit, err);
    if (status) return status;
    snprintf(name, sizeof name, "trees/%s.json", commit);
    char *path = kni_path_join(cache->alloc, cache->folder, name);
    if (!path) return kni_no_memory(err, "reading the cache");
    status = kni_file_read(cache->alloc, path, limit, out, length, NULL);
    kni_free(cache->alloc, path);
    return kni_best_effort(status, "reading the cache", err);
}

kn_status kni_cache_snapshot_walk(const kni_cache *cache, const char *commit,
                                  kni_snapshot_each each, void *ctx, kn_error *err) {
    char *snapshot = kni_cache_snapshot_path(cache, commit, NULL);
    if (!snapshot) return kni_no_memory(err, "reading the cache");
    kni_names names = {0};
    kn_status status = kni_path_is_directory(snapshot)
                           ? kni_tree_files(cache->alloc, snapshot, FILES_MAX, &names, err)
                           : KN_OK;
    int folder = kni_folder_open(snapshot, false);
    for (size_t i = 0; i < names.count && !status; i++)
        status = visit(cache, snapshot, folder, names.items[i], each, ctx, err);
    kni_folder_close(folder);
    if (names.alloc) kni_names_clear(&names);
    kni_free(cache->alloc, snapshot);
    return status;
}
