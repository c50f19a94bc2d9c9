/* SPDX-License-Identifier: Apache-2.0 */
/* `kernels.lock`: the commits that a project's kernels, and those that they depend on, are locked
 * to. Two forms are read: the list of {"dependency": ..., "lock": ...} of kernels 0.17, and the
 * list of
 * {"repo_id": ..., "sha": ..., "variants": ...} that versions 0.3 to 0.16 wrote, which also has a
 * hash for each build variant. An entry is understood whole or not at all: a field that this
 * version does not know is refused.
 *
 * Either form's kernels may have digests of their single files (see kn_lock_request); a kernel that
 * is loaded by such a lock file is compared with them. */
#ifndef KERNELS_LOCKFILE_H
#define KERNELS_LOCKFILE_H

#include <kernels/common.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kn_lockfile kn_lockfile;

/* Borrowed texts, valid until kn_lockfile_free. */
typedef struct kn_locked {
    size_t size;          /* sizeof(kn_locked) of the caller */
    const char *repo_id;  /* "org/name" */
    int64_t version;      /* -1: `revision` counts */
    const char *revision; /* NULL: `version` counts. Neither: locked by its name alone, as the older
                             form does */
    const char *commit;   /* 40 or 64 lower-case hexadecimal digits */
    const char *hash;     /* of the repository's content, as Nix computes it; NULL: none is given */
    size_t variant_count; /* hashes of build variants, see kn_lockfile_variant */
    size_t file_count;    /* files of the repository that there are digests of */
} kn_locked;

/* The hash of one build variant. */
typedef struct kn_locked_variant {
    size_t size; /* sizeof(kn_locked_variant) of the caller */
    const char *name;
    const char *hash;      /* "sha256-" and 64 lower-case hexadecimal digits */
    const char *hash_type; /* how it is computed: "git_lfs_concat" is known */
} kn_locked_variant;

/* Parses `length` bytes of JSON. `origin` names the file in messages. KN_ERR_VALUE for what is not
 * JSON, an entry that is malformed, and one kernel locked twice. At most 1,000 entries. */
KN_API kn_status kn_lockfile_parse(const kn_alloc *alloc, const char *bytes, size_t length,
                                   const char *origin, kn_lockfile **out, kn_error *err);

/* As above for a file. KN_ERR_NOT_FOUND when it is not there. */
KN_API kn_status kn_lockfile_read(const kn_alloc *alloc, const char *path, kn_lockfile **out,
                                  kn_error *err);
KN_API void kn_lockfile_free(kn_lockfile *file);

/* Its entries, in the order of the file, and the variants of each; indices are smaller than the
 * counts. */
KN_API size_t kn_lockfile_count(const kn_lockfile *file);
KN_API void kn_lockfile_get(const kn_lockfile *file, size_t index, kn_locked *out);
KN_API void kn_lockfile_variant(const kn_lockfile *file, size_t index, size_t variant,
                                kn_locked_variant *out);
/* Whether there are digests of files, be it of none of a kernel's. */
KN_API bool kn_lockfile_has_digests(const kn_lockfile *file);

/* The entry for a kernel at `version`, or at `revision` where that is not NULL; with neither (-1
 * and NULL) that of the repository's lowest version, else its first one. KN_ERR_VALUE where it is
 * not locked; *index is SIZE_MAX then. */
KN_API kn_status kn_lockfile_find(const kn_lockfile *file, const char *repo_id, int64_t version,
                                  const char *revision, size_t *index, kn_error *err);

typedef enum kn_lock_change_kind {
    KN_LOCK_ADDED = 0,
    KN_LOCK_REMOVED = 1,
    KN_LOCK_MOVED = 2,  /* to another commit */
    KN_LOCK_DIGESTS = 3 /* its files' digests are others, or there, or gone */
} kn_lock_change_kind;

/* A kernel that two lock files do not lock alike. Borrowed from both. */
typedef struct kn_lock_change {
    size_t size; /* sizeof(kn_lock_change) of the caller */
    kn_lock_change_kind kind;
    const char *repo_id;
    int64_t version;
    const char *revision; /* as in kn_locked */
    const char *before;   /* its commits; NULL: it is not locked there */
    const char *after;
} kn_lock_change;

typedef struct kn_lock_changes kn_lock_changes;

/* What differs between two lock files, by repository, then version or revision. `before` NULL:
 * there was none. Neither may be freed before kn_lock_changes_free. */
KN_API kn_status kn_lockfile_compare(const kn_alloc *alloc, const kn_lockfile *before,
                                     const kn_lockfile *after, kn_lock_changes **out,
                                     kn_error *err);
KN_API size_t kn_lock_changes_count(const kn_lock_changes *changes);
KN_API void kn_lock_changes_get(const kn_lock_changes *changes, size_t index, kn_lock_change *out);
KN_API void kn_lock_changes_free(kn_lock_changes *changes);

#ifdef __cplusplus
}
#endif

#endif
