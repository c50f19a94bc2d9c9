/* SPDX-License-Identifier: Apache-2.0 */
/* The hashes of build variants that older lock files have. */
#ifndef KNI_TRUST_LOCKFILE_HASH_H
#define KNI_TRUST_LOCKFILE_HASH_H

#include <kernels/lockfile.h>

#include "base/alloc.h"
#include "codec/net.h"

/* A file of a variant. */
typedef struct kni_locked_file {
    const char *path; /* below the variant's folder */
    const char *oid;  /* hexadecimal: git's of a blob (40 digits), or SHA-256 of the content (64) */
} kni_locked_file;

#define KNI_VARIANT_HASH_MAX 72

/* "sha256-..." in *out: the SHA-256 of, by the bytes of their paths, the path and the object id of
 * each file (which are sorted), one after the other. Older lock files call it git_lfs_concat. */
kn_status kni_variant_hash(const kn_alloc *alloc, kni_locked_file *files, size_t count,
                           const kni_net *net, char out[KNI_VARIANT_HASH_MAX], kn_error *err);

/* Compares the files of `variant`, which `files` lists in any order (it is sorted), with the hash
 * that entry `index` has. KN_OK where the entry has no hashes at all. KN_ERR_INTEGRITY where they
 * differ, KN_ERR_VALUE where the entry has hashes but none for this variant, or of an unknown type.
 */
kn_status kni_lockfile_check(const kn_alloc *alloc, const kn_lockfile *file, size_t index,
                             const char *variant, kni_locked_file *files, size_t count,
                             const kni_net *net, kn_error *err);

#endif
