/* SPDX-License-Identifier: Apache-2.0 */
/* `metadata.json` of a kernel's build variant. Fields that are missing or newer than this library
 * never make a kernel unloadable: only `id` and `name` are needed, and an optional field that is
 * malformed counts as absent. The exceptions are `kernel-depends` and `digest`: to pass over a part
 * of them would load a kernel without what it needs, or unchecked. */
#ifndef KERNELS_METADATA_H
#define KERNELS_METADATA_H

#include <kernels/common.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kn_metadata kn_metadata;

typedef enum kn_digest_algorithm {
    KN_DIGEST_NONE = 0, /* the metadata has no digest */
    KN_DIGEST_SHA256 = 1,
    KN_DIGEST_SHA512 = 2
} kn_digest_algorithm;

/* Borrowed texts, valid until kn_metadata_free; NULL, false or -1 for what the file does not say.
 */
typedef struct kn_metadata_info {
    size_t size;      /* sizeof(kn_metadata_info) of the caller */
    const char *id;   /* unique to kernel, version and backend: the name that the module is imported
                         under */
    const char *name; /* matches ^[a-z][-a-z0-9]*[a-z0-9]$ */
    const char *module_name; /* `name` with dashes as underscores */
    int64_t version;
    const char *license;
    const char *kernels_minver;
    const char *backend; /* "cpu", "cuda", ... */

    const char *upstream; /* the repository that the kernel was ported from */
    const char *source;   /* the repository that it was built from */
    bool has_archs;       /* whether it lists architectures, be it none */
    kn_digest_algorithm digest;

    /* Provenance, all of it absent without a builder's version. Commits are 40 or 64 lowercase
     * hexadecimal digits; `dirty` says that the tree had uncommitted changes, and is false without
     * a commit. */
    const char *builder_version; /* of kernel-builder */
    const char *builder_commit;
    const char *kernel_commit;
    bool builder_dirty;
    bool kernel_dirty;
} kn_metadata_info;

/* Another kernel that this one needs, at a version or at a revision. Borrowed texts. */
typedef struct kn_kernel_depend {
    size_t size;          /* sizeof(kn_kernel_depend) of the caller */
    const char *repo_id;  /* "org/name" */
    int64_t version;      /* -1: `revision` counts */
    const char *revision; /* a branch, tag or commit; NULL: `version` counts */
} kn_kernel_depend;

/* Parses `length` bytes of JSON. `origin` names the file in messages. KN_ERR_VALUE for what is not
 * JSON, has no id or name, has them malformed, or has a malformed `kernel-depends` or `digest`. At
 * most 16 MiB, 64 levels, 1,000 kernels that it depends on, 100,000 files in the digest. */
KN_API kn_status kn_metadata_parse(const kn_alloc *alloc, const char *bytes, size_t length,
                                   const char *origin, kn_metadata **out, kn_error *err);

/* As above for a file. KN_ERR_NOT_FOUND when it is not there. */
KN_API kn_status kn_metadata_read(const kn_alloc *alloc, const char *path, kn_metadata **out,
                                  kn_error *err);
KN_API void kn_metadata_get(const kn_metadata *metadata, kn_metadata_info *out);

/* The lists: Python dependencies by the names of the build tool, and architectures of the build.
 * Borrowed. */
KN_API size_t kn_metadata_python_depends_count(const kn_metadata *metadata);
KN_API const char *kn_metadata_python_depends(const kn_metadata *metadata, size_t index);
KN_API size_t kn_metadata_archs_count(const kn_metadata *metadata);
KN_API const char *kn_metadata_archs(const kn_metadata *metadata, size_t index);

/* The kernels that it depends on, in the order of the file; `index` < count. */
KN_API size_t kn_metadata_kernel_depends_count(const kn_metadata *metadata);
KN_API void kn_metadata_kernel_depends(const kn_metadata *metadata, size_t index,
                                       kn_kernel_depend *out);

/* The digest's files, sorted by the bytes of their paths: a path below the variant's folder, and
 * the base64 of the digest of the file's content. Borrowed. */
KN_API size_t kn_metadata_digest_count(const kn_metadata *metadata);
KN_API const char *kn_metadata_digest_path(const kn_metadata *metadata, size_t index);
KN_API const char *kn_metadata_digest_base64(const kn_metadata *metadata, size_t index);
KN_API void kn_metadata_free(kn_metadata *metadata);

/* Digests of the files of a folder, see kn_engine_digest_folder: by the bytes of their paths, each
 * a path below the folder and base64 as above. Borrowed. */
typedef struct kn_file_digests kn_file_digests;
KN_API size_t kn_file_digests_count(const kn_file_digests *digests);
KN_API const char *kn_file_digests_path(const kn_file_digests *digests, size_t index);
KN_API const char *kn_file_digests_base64(const kn_file_digests *digests, size_t index);
KN_API void kn_file_digests_free(kn_file_digests *digests);

#ifdef __cplusplus
}
#endif

#endif
