/* SPDX-License-Identifier: Apache-2.0 */
/* The cache's repositories, as kn_stored has them. */
#ifndef KNI_ENGINE_STORED_H
#define KNI_ENGINE_STORED_H

#include <kernels/stored.h>

#include "cache/cache.h"
#include "engine/settings.h"

#define KNI_PARTIAL_END ".incomplete"

typedef struct kni_stored_blob {
    char *name;
    int64_t size, mtime_ns;
    bool is_partial;
    bool is_linked; /* by a snapshot */
} kni_stored_blob;

typedef struct kni_stored_commit {
    char *commit, *refs, *variants;
    int64_t bytes, copied_bytes; /* the latter of files that are no links */
    size_t file_count, missing_count;
    bool is_named;
} kni_stored_commit;

typedef struct kni_stored_repo {
    kni_cache cache;
    char *id;
    bool is_model;
    kni_stored_blob *blobs; /* sorted by name */
    size_t blob_count;
    kni_stored_commit *commits;
    size_t commit_count;
    kn_stored_trust trust;
} kni_stored_repo;

struct kn_stored {
    const kn_alloc *alloc;
    kni_settings settings;
    kni_stored_repo *repos;
    size_t count, capacity;
};

/* Reads one repository; cleared by the caller, also after a failure. */
kn_status kni_stored_repo_read(const kni_settings *settings, const char *id, bool is_model,
                               kni_stored_repo *out, kn_error *err);
void kni_stored_repo_clear(kni_stored_repo *repo);
/* NULL: there is none. */
kni_stored_blob *kni_stored_blob_find(const kni_stored_repo *repo, const char *name);

#endif
