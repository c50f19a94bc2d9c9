/* SPDX-License-Identifier: Apache-2.0 */
/* Locking a project: from the kernels that its pyproject.toml names to its kernels.lock. */
#ifndef KERNELS_LOCK_H
#define KERNELS_LOCK_H

#include <kernels/engine.h>
#include <kernels/lockfile.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What there is to lock. Texts are borrowed for the call. */
typedef struct kn_lock_request {
    size_t size;         /* sizeof(kn_lock_request) */
    const char *project; /* the folder with pyproject.toml */
    const char *upgrade; /* whose commits are found anew: NULL: of what is not locked yet; "*": all;
                            else of this repository. */
    const char *allowed; /* see kn_repo_info */
    bool digests;        /* with a digest of each file; a lock file that has them keeps them */
} kn_lock_request;

/* A lock file to be written. */
typedef struct kn_lock kn_lock;

/* Borrowed, valid until kn_lock_free. */
typedef struct kn_lock_info {
    size_t size;               /* sizeof(kn_lock_info) of the caller */
    const char *path;          /* of kernels.lock */
    const char *text;          /* its new content */
    const kn_lockfile *before; /* what it has now; NULL: there is none */
    const kn_lockfile *after;
} kn_lock_info;

/* Finds the commits of the project's kernels, and of all that any of their builds depends on, all
 * at once; fetches metadata alone, and writes no lock file. What the lock file has already keeps
 * its commit, as far as the project still needs it at that version. Neither LOCAL_KERNELS nor
 * redirects count, and a Hub that cannot be reached is a failure where it has to be asked.
 * KN_ERR_VALUE for a pyproject.toml or kernels.lock that is malformed, a kernel that depends on
 * itself, an `upgrade` that is not among the kernels; KN_ERR_INTEGRITY where a commit has not the
 * files any more that the lock file has digests of. */
KN_API kn_status kn_engine_lock(kn_engine *engine, const kn_host *host,
                                const kn_lock_request *request, kn_lock **out, kn_error *err);
KN_API void kn_lock_get(const kn_lock *lock, kn_lock_info *out);

/* Puts it in the place of the project's kernels.lock, which is whole at any time; nothing is
 * written where that has this content already. */
KN_API kn_status kn_lock_write(const kn_lock *lock, kn_error *err);
KN_API void kn_lock_free(kn_lock *lock);

#ifdef __cplusplus
}
#endif

#endif
