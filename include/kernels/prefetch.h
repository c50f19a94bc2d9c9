/* SPDX-License-Identifier: Apache-2.0 */
/* Many kernels into the cache at once, before they are needed: a list of them, or all that a
 * mapping can need. Nothing of them is run. */
#ifndef KERNELS_PREFETCH_H
#define KERNELS_PREFETCH_H

#include <kernels/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kn_prefetch_request {
    size_t size;                      /* sizeof(kn_prefetch_request) */
    const kn_repo_info *const *repos; /* what is wanted; */
    size_t repo_count;
    kn_mapping *mapping; /* and what every layer of it can need on the devices of the host's
                            machine, but for what only the host can load; NULL: none */
    bool all_modes;      /* of the mapping: every mode's, and not only what Mode.INFERENCE takes */
    const char *lock;    /* and every kernel of this kernels.lock (its content), at its commit;
                            NULL: none */
    const char *allowed; /* whose code of the lock is fetched although its publisher is not trusted,
                            see kn_repo_info */
    bool all_variants;   /* every build, and not only the one for the host's machine. Their metadata
                            need not be readable */
} kn_prefetch_request;

/* What came of it: a list of builds, with those that were depended on. */
typedef struct kn_prefetched kn_prefetched;

/* Borrowed texts, valid until kn_prefetched_free. */
typedef struct kn_prefetched_item {
    size_t size;         /* sizeof(kn_prefetched_item) of the caller */
    const char *name;    /* as messages name it */
    const char *repo;    /* the repository, the one that it redirects to if it does; NULL: a
                            directory */
    const char *commit;  /* NULL: a directory, or it was not found out */
    const char *variant; /* NULL: it was not found out */
    const char *folder;  /* of the variant; NULL where it failed */
    bool is_dependency;  /* others need it, and nobody asked for it */
    kn_status status;
    const char *message; /* why it failed; NULL: it did not */
} kn_prefetched_item;

/* All of them in one batch: requests run side by side, and any number of processes that want the
 * same download it once. Fails as a whole for want of memory and when it is cancelled; else each
 * item has its status, and kn_prefetched_check tells whether all is there. The caller frees with
 * kn_prefetched_free. */
KN_API kn_status kn_engine_prefetch(kn_engine *engine, const kn_host *host,
                                    const kn_prefetch_request *request, kn_prefetched **out,
                                    kn_error *err);
KN_API size_t kn_prefetched_count(const kn_prefetched *prefetched);
KN_API void kn_prefetched_get(const kn_prefetched *prefetched, size_t index,
                              kn_prefetched_item *out);

/* KN_OK where nothing failed; else the status of the first failure, with all of them in `err`. */
KN_API kn_status kn_prefetched_check(const kn_prefetched *prefetched, kn_error *err);

/* What was resolved, as 64 hexadecimal digits: the SHA-256 of the lines "repository commit variant"
 * of all items, each once and sorted by bytes. Where the cache is and in which order things were
 * asked for makes no difference. A kernel that ships with the library has its version in the place
 * of the commit; one in a directory is "-", the SHA-256 of its files' digests, and its variant. */
KN_API const char *kn_prefetched_digest(const kn_prefetched *prefetched);
KN_API void kn_prefetched_free(kn_prefetched *prefetched);

#ifdef __cplusplus
}
#endif

#endif
