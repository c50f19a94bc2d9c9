/* SPDX-License-Identifier: Apache-2.0 */
/* `kernels.lock`: the commits that a project's kernels, and those that they depend on, are locked
 * to. Two forms are read: the list of {"dependency": ..., "lock": ...} of kernels 0.17, and the
 * list of
 * {"repo_id": ..., "sha": ..., "variants": ...} that versions 0.3 to 0.16 wrote, which also has a
 * hash for each build variant. An entry is understood whole or not at all: a field that this
 * version does not know is refused. */
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

KN_API size_t kn_lockfile_count(const kn_lockfile *file);
KN_API void kn_lockfile_get(const kn_lockfile *file, size_t index, kn_locked *out);
KN_API void kn_lockfile_variant(const kn_lockfile *file, size_t index, size_t variant,
                                kn_locked_variant *out);

/* The entry for a kernel at `version`, or at `revision` where that is not NULL; with neither (-1
 * and NULL) that of the repository's lowest version, else its first one. KN_ERR_VALUE where it is
 * not locked; *index is SIZE_MAX then. */
KN_API kn_status kn_lockfile_find(const kn_lockfile *file, const char *repo_id, int64_t version,
                                  const char *revision, size_t *index, kn_error *err);

#ifdef __cplusplus
}
#endif

#endif
