/* SPDX-License-Identifier: Apache-2.0 */
/* What the cache holds: its repositories and their revisions, how to check that, and how to take
 * away what nothing names. Repositories of the older type "model" are shared with other programs:
 * those count that this library has fetched something of. */
#ifndef KERNELS_STORED_H
#define KERNELS_STORED_H

#include <kernels/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The cache as it was when it was read. */
typedef struct kn_stored kn_stored;

typedef enum kn_stored_trust {
    KN_STORED_NEVER_ASKED = 0, /* the publisher's standing is not recorded */
    KN_STORED_UNTRUSTED = 1,
    KN_STORED_TRUSTED = 2
} kn_stored_trust;

/* Borrowed texts, valid until kn_stored_free. */
typedef struct kn_stored_repo {
    size_t size;           /* sizeof(kn_stored_repo) of the caller */
    const char *id;        /* "org/name" */
    bool is_model;         /* of the older type */
    const char *folder;    /* absolute */
    int64_t bytes;         /* on the disk, partial files included */
    int64_t partial_bytes; /* of downloads that were not finished */
    size_t revision_count;
    kn_stored_trust trust; /* what was last recorded */
} kn_stored_repo;

typedef struct kn_stored_revision {
    size_t size; /* sizeof(kn_stored_revision) of the caller */
    const char *commit;
    const char *refs;     /* branches and tags that are there, "main, v1" */
    const char *variants; /* the builds that it has files of, "torch-cpu" */
    int64_t bytes;        /* of all its files; what it shares with others counts in each */
    size_t file_count;
    size_t missing_count; /* files whose content is not there */
    bool is_named;        /* by a branch, a tag, or a version that was asked for */
} kn_stored_revision;

/* Reads the cache that the environment names; one that is not there is empty. The caller frees *out
 * with kn_stored_free. `alloc` NULL: malloc. */
KN_API kn_status kn_stored_read(const kn_alloc *alloc, kn_stored **out, kn_error *err);
KN_API void kn_stored_free(kn_stored *stored);
/* The folder of the cache, absolute; borrowed. */
KN_API const char *kn_stored_folder(const kn_stored *stored);
KN_API size_t kn_stored_repo_count(const kn_stored *stored);
KN_API void kn_stored_repo_get(const kn_stored *stored, size_t index, kn_stored_repo *out);
KN_API void kn_stored_revision_get(const kn_stored *stored, size_t repo, size_t index,
                                   kn_stored_revision *out);

/* Something that was found, or taken away. */
typedef enum kn_stored_event_kind {
    KN_STORED_DAMAGED = 0,  /* content that is not what its name says */
    KN_STORED_MISSING = 1,  /* a file of a snapshot whose content is not there */
    KN_STORED_UNKNOWN = 2,  /* a copy: the cache does not say what it should be */
    KN_STORED_REVISION = 3, /* a revision that nothing names */
    KN_STORED_CONTENT = 4,  /* content that no snapshot has */
    KN_STORED_PARTIAL = 5,  /* a download that was not finished, and nobody goes on with */
    KN_STORED_BUSY = 6      /* another process is at work on the repository: it was left alone */
} kn_stored_event_kind;

typedef struct kn_stored_event {
    size_t size; /* sizeof(kn_stored_event) */
    kn_stored_event_kind kind;
    const char *repo; /* its id */
    const char *name; /* a path in the repository's folder; NULL with KN_STORED_BUSY */
    int64_t bytes;
} kn_stored_event;

/* Borrowed for the call. */
typedef void (*kn_stored_visit)(void *ctx, const kn_stored_event *event);

/* Hashes all content of repository `index` and tells what is wrong. With `remove`, content that is
 * damaged is taken away, so that it is fetched again. *checked: how many files were hashed. */
KN_API kn_status kn_engine_verify_stored(kn_engine *engine, const kn_host *host,
                                         const kn_stored *stored, size_t index, bool remove,
                                         kn_stored_visit visit, void *ctx, size_t *checked,
                                         kn_error *err);

/* Takes away what nothing names of repository `index`, and tells it; without `remove` it only
 * tells. What was written within the last hour stays, and so does what another process holds. */
KN_API kn_status kn_stored_prune(const kn_stored *stored, size_t index, bool remove,
                                 kn_stored_visit visit, void *ctx, kn_error *err);

#ifdef __cplusplus
}
#endif

#endif
