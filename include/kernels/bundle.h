/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles: one file with the kernels of a lock file for other machines, which have no network. */
#ifndef KERNELS_BUNDLE_H
#define KERNELS_BUNDLE_H

#include <kernels/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A machine that a bundle is for. */
typedef struct kn_target {
    size_t size;        /* sizeof(kn_target) */
    const char *name;   /* as messages and the bundle tell it, "torch=2.13,backend=cu130" */
    kn_system system;   /* what builds have to fit */
    int64_t capability; /* of its GPU; KN_CAPABILITY_UNKNOWN: it is not looked at */
} kn_target;

typedef struct kn_bundle_request {
    size_t size;      /* sizeof(kn_bundle_request) */
    const char *lock; /* the content of a kernels.lock */
    const kn_target *const *targets;
    size_t target_count;
    const char *allowed; /* whose code is taken although its publisher is not trusted, see
                            kn_repo_info */
    const char *file;    /* to be written, or replaced as a whole */
} kn_bundle_request;

/* What is in a bundle: revisions of repositories, by name. */
typedef struct kn_bundle kn_bundle;

/* Borrowed texts, valid until kn_bundle_free. */
typedef struct kn_bundle_item {
    size_t size; /* sizeof(kn_bundle_item) of the caller */
    const char *repo;
    bool is_model; /* a repository of the older type */
    const char *commit;
    size_t ref_count, variant_count; /* see kn_bundle_ref and kn_bundle_variant */
    size_t file_count;
    int64_t bytes; /* of these files */
} kn_bundle_item;

/* Fetches every kernel of the lock, with all that it depends on, for each target into the cache
 * here, and writes `file`. The same kernels and targets give the same bytes. KN_ERR_NOT_FOUND where
 * a kernel has no build for a target, KN_ERR_RUNTIME where it has no code for its GPU. *out (may be
 * NULL) is freed with kn_bundle_free. */
KN_API kn_status kn_engine_bundle(kn_engine *engine, const kn_host *host,
                                  const kn_bundle_request *request, kn_bundle **out, kn_error *err);

/* Verifies all of a bundle and then, with `install`, puts it into the cache, one repository after
 * the other. What does not verify (KN_ERR_INTEGRITY; KN_ERR_VALUE for what is no bundle) leaves the
 * cache as it was; after another failure, a full disk say, each repository is either as it was or
 * whole, and importing again goes on. Branches and tags of the lock lead to the imported commits
 * from then on. Whether a publisher is trusted is not said by a bundle: offline it counts as never
 * asked, and online the Hub is asked for it and for the commit's files, which are compared. */
KN_API kn_status kn_engine_import(kn_engine *engine, const kn_host *host, const char *file,
                                  bool install, kn_bundle **out, kn_error *err);

/* Its revisions by number, with the branches and tags that lead to each and the builds that there
 * are of it, and the targets that it was made for. Indices are smaller than the counts. */
KN_API size_t kn_bundle_count(const kn_bundle *bundle);
KN_API void kn_bundle_get(const kn_bundle *bundle, size_t index, kn_bundle_item *out);
KN_API const char *kn_bundle_ref(const kn_bundle *bundle, size_t index, size_t ref);
KN_API const char *kn_bundle_variant(const kn_bundle *bundle, size_t index, size_t variant);
KN_API size_t kn_bundle_target_count(const kn_bundle *bundle);
KN_API const char *kn_bundle_target(const kn_bundle *bundle, size_t index);
/* 64 hexadecimal digits that stand for all of the content. */
KN_API const char *kn_bundle_digest(const kn_bundle *bundle);
KN_API void kn_bundle_free(kn_bundle *bundle);

#ifdef __cplusplus
}
#endif

#endif
