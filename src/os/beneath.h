/* SPDX-License-Identifier: Apache-2.0 */
/* Files below a folder, by paths that nobody vouches for: the kernel itself sees to it that neither
 * "..", nor an absolute path, nor a link leads out of the folder (openat2, RESOLVE_BENEATH).
 * Nothing is written. Thread safe. */
#ifndef KNI_OS_BENEATH_H
#define KNI_OS_BENEATH_H

#include "os/files.h"
#include "os/store.h"

/* KN_ERR_OS, with what to do, where the system cannot do it (before Linux 5.6). */
kn_status kni_beneath_check(int folder, kn_error *err);

/* A regular file for reading, or a folder ("." is the folder itself); -1 and errno where there is
 * none of the kind: ENOENT also for what lies outside. `facts` may be NULL. */
int kni_beneath_file(int folder, const char *path, kni_file_facts *facts);
int kni_beneath_folder(int folder, const char *path, kni_file_facts *facts);
void kni_beneath_close(int file);

/* The whole file, NUL-terminated behind `*length` bytes, *out NULL where there is none of at most
 * `limit` bytes; false: no memory. The caller frees with kni_free. */
bool kni_beneath_read(const kn_alloc *alloc, int folder, const char *path, size_t limit, char **out,
                      size_t *length);

/* What is in a folder: false where a name cannot be taken (`each` said so, or reading failed).
 * "." and ".." are left out. */
bool kni_beneath_each(int folder, const char *path, bool (*each)(void *ctx, const char *name),
                      void *ctx);

bool kni_file_facts_equal(const kni_file_facts *a, const kni_file_facts *b);

#endif
