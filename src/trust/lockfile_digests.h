/* SPDX-License-Identifier: Apache-2.0 */
/* Digests of single files in a lock file. Other readers of the form know no field for them and
 * refuse what they do not know, so they stand where any text may stand: in an entry of their own,
 * whose dependency is the repository at a "revision" that no branch, tag or commit can be, since
 * git allows no '~' in their names:
 *
 *   ~digests of <commit>
 *   <oid>  build/torch-cpu/__init__.py
 *   ...
 *
 * One line a file, as sha256sum has them; <oid> is git's of the blob (SHA-1, 40 digits), or the
 * SHA-256 of the content for large files (64), as the Hub lists them. Whoever takes the entry for a
 * kernel finds the same commit there as in the kernel's own. */
#ifndef KNI_TRUST_LOCKFILE_DIGESTS_H
#define KNI_TRUST_LOCKFILE_DIGESTS_H

#include <kernels/lockfile.h>

#include "base/text.h"
#include "trust/lockfile_hash.h"

/* What no git revision begins with. */
#define KNI_LOCKFILE_NOTE '~'

/* The text in the place of a revision; `files` have paths in the repository, and are sorted. */
void kni_lockfile_digests_text(const char *commit, kni_locked_file *files, size_t count,
                               kni_text *out);

/* Compares `files`, paths below `folder` ("build/torch-cpu/") in any order (they are sorted), with
 * the digests of that repository at that commit. KN_OK where the lock file has no digests at all.
 * KN_ERR_INTEGRITY names what differs, is missing or is unknown; KN_ERR_VALUE where the lock file
 * has digests, but none of these. */
kn_status kni_lockfile_check_digests(const kn_alloc *alloc, const kn_lockfile *file,
                                     const char *repo_id, const char *commit, const char *folder,
                                     kni_locked_file *files, size_t count, kn_error *err);

/* The digest of one file, by its path in the repository; NULL: there is none. Borrowed. */
const char *kni_lockfile_digest_find(const kn_lockfile *file, const char *repo_id,
                                     const char *commit, const char *path);

#endif
