/* SPDX-License-Identifier: Apache-2.0 */
/* A file that is read here and there. Thread safe. */
#ifndef KNI_OS_READER_H
#define KNI_OS_READER_H

#include "base/alloc.h"

typedef struct kni_reader {
    const char *path; /* borrowed */
    int fd;
    int64_t size;
} kni_reader;

/* A regular file: KN_ERR_NOT_FOUND when it is not there, KN_ERR_OS otherwise. */
kn_status kni_reader_open(const char *path, kni_reader *out, kn_error *err);
/* *got less than `length` at the file's end alone. */
kn_status kni_reader_read_at(const kni_reader *reader, int64_t offset, void *out, size_t length,
                             size_t *got, kn_error *err);
void kni_reader_close(kni_reader *reader);

#endif
