/* SPDX-License-Identifier: Apache-2.0 */
/* The digest of metadata.json against the files of the variant. */
#ifndef KNI_LOAD_DIGEST_H
#define KNI_LOAD_DIGEST_H

#include <kernels/metadata.h>

#include "codec/net.h"

/* Files of a folder: twice what a digest can list, since what it does not cover may be there too.
 */
#define KNI_DIGEST_FILES_MAX 200000

/* Whether a digest covers a file by its path below the variant's folder: not metadata.json and its
 * signature, which cannot be in it, and not what Python compiles and keeps beside its sources
 * (anything in a __pycache__, *.pyc). Pure. */
bool kni_digest_covers(const char *path);

/* The position of `path` in the digest, or SIZE_MAX. */
size_t kni_metadata_digest_find(const kn_metadata *metadata, const char *path);

/* The expected digest of the file at `index`; returns its length, 32 or 64 bytes. */
size_t kni_metadata_digest_bytes(const kn_metadata *metadata, size_t index,
                                 unsigned char out[KNI_DIGEST_MAX]);

/* The digest of the content of a file in the open folder `folder`, of *length bytes; 0 for a file
 * that is not there (a link to nothing, or one that has gone meanwhile). KN_ERR_OS where it cannot
 * be read.
 */
kn_status kni_digest_file(const kn_alloc *alloc, const kni_net *net, kni_digest_kind kind,
                          int folder, const char *path, unsigned char out[KNI_DIGEST_MAX],
                          size_t *length, kn_error *err);

/* The digests of all files in `folder` that a digest covers. KN_ERR_NOT_FOUND or KN_ERR_OS where
 * the folder or a file cannot be read. `algorithm` is one. */
kn_status kni_digest_folder(const kn_alloc *alloc, const char *folder,
                            kn_digest_algorithm algorithm, const kni_net *net,
                            kn_file_digests **out, kn_error *err);

/* A file of the variant, and what is known of its content. */
typedef struct kni_variant_file {
    const char *path;            /* below the variant's folder */
    const unsigned char *sha256; /* 32 bytes that were verified; NULL: unknown */
} kni_variant_file;

/* Whether `files`, which are all files of the variant in any order, are those that the digest
 * lists, with the contents that it lists. Files that it does not cover may be among them. What
 * their SHA-256 does not tell is read from `folder` (only then is `net` used) and hashed, in
 * pieces. KN_ERR_INTEGRITY names what is missing, unknown and different; KN_ERR_OS for a file that
 * cannot be read. KN_OK where the metadata has no digest. `variant` names the variant in messages.
 */
kn_status kni_digest_check_files(const kn_alloc *alloc, const kn_metadata *metadata,
                                 const char *variant, const char *folder,
                                 const kni_variant_file *files, size_t count, const kni_net *net,
                                 kn_error *err);

/* As above for all files that are in `folder`: links to files count as files, links to directories
 * do not count. */
kn_status kni_digest_check_folder(const kn_alloc *alloc, const kn_metadata *metadata,
                                  const char *variant, const char *folder, const kni_net *net,
                                  kn_error *err);

#endif
