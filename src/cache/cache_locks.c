/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cache/place.h"
#include "os/file_lock.h"

#define PARTIAL_END ".incomplete"
#define BLOBS_MAX 100000

kn_status kni_cache_lock_try(const kni_cache *cache, const char *name, kni_cache_lock *out,
                             bool *taken, kn_error *err) {
    out->fd = -1;
    *taken = false;
    kn_status status = kni_path_check("the lock", name, err);
    if (status) return status;
    kni_text file;
    kni_text_init(&file, cache->alloc);
    kni_text_addf(&file, "%s.lock", name);
    char *text = kni_text_take(&file);
    if (!text) return kni_no_memory(err, "taking a lock of the cache");
    if (strchr(text, '/') || strlen(text) > KNI_NAME_MAX) {
        status = kni_fail(err, KN_ERR_VALUE,
                          "the lock '%.200s' of the cache '%s': expected a name without '/' of at "
                          "most %d bytes",
                          name, cache->folder, KNI_NAME_MAX - 5);
    } else {
        status = kni_file_lock_try(cache->locks, text, &out->fd, err);
    }
    kni_free(cache->alloc, text);
    *taken = out->fd >= 0;
    return status;
}

void kni_cache_lock_drop(kni_cache_lock *lock) {
    kni_file_lock_drop(lock->fd);
    lock->fd = -1;
}

void kni_cache_lock_touch(const kni_cache_lock *lock) { kni_file_lock_touch(lock->fd); }

int64_t kni_cache_lock_life(const kni_cache *cache, const char *name) {
    char file[KNI_NAME_MAX + 1];
    kni_file_facts facts = {0};
    int folder = kni_folder_open(cache->locks, false);
    snprintf(file, sizeof file, "%s.lock", name);
    if (folder >= 0) kni_file_look(folder, file, &facts);
    kni_folder_close(folder);
    return facts.mtime_ns;
}

/* Whether `file` is a partial file of the content: "<oid>.incomplete", "<oid>.<random>.incomplete".
 */
static bool is_partial_of(const char *file, const char *oid) {
    size_t length = strlen(file), digits = oid ? strlen(oid) : 0, end = strlen(PARTIAL_END);
    return length > end && strcmp(file + length - end, PARTIAL_END) == 0 &&
           (!oid || (strncmp(file, oid, digits) == 0 && file[digits] == '.'));
}

uint64_t kni_cache_blob_life(const kni_cache *cache, const char *oid) {
    kni_names names;
    uint64_t life = 0;
    if (kni_store_files(cache->alloc, cache->folder, "blobs", BLOBS_MAX, &names, NULL)) return 0;
    char *path = kni_path_join(cache->alloc, cache->folder, "blobs");
    int folder = path ? kni_folder_open(path, false) : -1;
    for (size_t i = 0; folder >= 0 && i < names.count; i++) {
        kni_file_facts facts;
        if (!is_partial_of(names.items[i], oid)) continue;
        kni_file_look(folder, names.items[i], &facts);
        life = kni_hash_mix(life, (uint64_t)facts.inode);
        life = kni_hash_mix(life, (uint64_t)facts.size ^ (uint64_t)facts.mtime_ns << 20) | 1;
    }
    kni_folder_close(folder);
    kni_free(cache->alloc, path);
    kni_names_clear(&names);
    return life;
}
