/* SPDX-License-Identifier: Apache-2.0 */
/* A lock file in memory: what its reader, its digests and its comparison share. */
#ifndef KNI_TRUST_LOCKFILE_PARTS_H
#define KNI_TRUST_LOCKFILE_PARTS_H

#include <kernels/lockfile.h>

#include "trust/lockfile_hash.h"

typedef struct kni_locked_variant {
    char *name, *hash, *hash_type;
} kni_locked_variant;

typedef struct kni_locked {
    char *repo_id, *revision, *commit, *hash;
    int64_t version;
    kni_locked_variant *variants;
    size_t variant_count, variant_capacity;
} kni_locked;

/* The digests of a repository's files at a commit. */
typedef struct kni_locked_digests {
    char *repo_id, *commit;
    char *text;             /* its lines, cut */
    kni_locked_file *files; /* by the bytes of their paths; both texts stand in `text` */
    size_t count;
} kni_locked_digests;

struct kn_lockfile {
    const kn_alloc *alloc;
    kni_locked *items;
    size_t count, capacity;
    kni_locked_digests *digests;
    size_t digests_count, digests_capacity;
};

/* Reads the digests that stand in the place of a revision (see lockfile_digests.h): `out` has its
 * own copies, to be cleared by the caller also after a failure. `wrong`: what is wrong with them,
 * as the end of a sentence; then KN_ERR_VALUE without a message. */
kn_status kni_locked_digests_read(const kn_alloc *alloc, const char *repo_id, const char *commit,
                                  const char *revision, kni_locked_digests *out,
                                  const char **wrong);
void kni_locked_digests_clear(const kn_alloc *alloc, kni_locked_digests *digests);
/* NULL: there are none. */
const kni_locked_digests *kni_locked_digests_find(const kn_lockfile *file, const char *repo_id,
                                                  const char *commit);

#endif
