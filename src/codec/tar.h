/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of tar archives (POSIX ustar) of plain files: no folders, links, owners or times. Pure.
 */
#ifndef KNI_CODEC_TAR_H
#define KNI_CODEC_TAR_H

#include "base/alloc.h"

#define KNI_TAR_BLOCK 512
#define KNI_TAR_NAME_MAX 100                 /* bytes of a name, without a NUL */
#define KNI_TAR_SIZE_MAX INT64_C(8589934591) /* of a file: eleven octal digits */

typedef struct kni_tar_entry {
    char name[KNI_TAR_NAME_MAX + 1];
    int64_t size;
} kni_tar_entry;

/* The header of a file; KN_ERR_UNSUPPORTED for a name or a size that does not fit. */
kn_status kni_tar_write(const char *name, int64_t size, unsigned char out[KNI_TAR_BLOCK],
                        kn_error *err);

/* Reads a header. *end: it is a block of zeros, as two of them end an archive. KN_ERR_INTEGRITY for
 * a block whose checksum is wrong; KN_ERR_VALUE for what is no plain file, or named otherwise than
 * kni_tar_write does. */
kn_status kni_tar_read(const unsigned char block[KNI_TAR_BLOCK], kni_tar_entry *out, bool *end,
                       kn_error *err);

/* Bytes behind a file's content up to the next block. */
static inline size_t kni_tar_padding(int64_t size) {
    return (size_t)((KNI_TAR_BLOCK - size % KNI_TAR_BLOCK) % KNI_TAR_BLOCK);
}

#endif
