/* SPDX-License-Identifier: Apache-2.0 */
/* A file that grows under a name of its own until it is whole, and then gets its true name. One
 * thread uses it at a time, but for the descriptor, which another may read from. */
#ifndef KNI_OS_PARTIAL_H
#define KNI_OS_PARTIAL_H

#include "os/store.h"

typedef struct kni_partial {
    const char *path; /* the folder's; borrowed */
    char name[KNI_NAME_MAX + 1];
    int folder;
    int fd;
    int64_t length; /* bytes that are there */
} kni_partial;

/* Opens `folder`/`name`, making both; what is there stays. Not a link, and not a folder.
 * `out->length` tells what is there. */
kn_status kni_partial_open(const char *folder, const char *name, kni_partial *out, kn_error *err);
/* Puts bytes behind those that are there. What was written of them before a failure counts. */
kn_status kni_partial_write(kni_partial *partial, const void *bytes, size_t length, kn_error *err);
kn_status kni_partial_empty(kni_partial *partial, kn_error *err);
/* Starts writing bytes to the disk from `from` on, so that a later sync has less to do. */
void kni_partial_flush(const kni_partial *partial, int64_t from, int64_t length);
/* Syncs it, gives it the name `name` in the same folder, and closes it; it is closed and removed
 * when that fails. Right too when another process that wrote the same has done so first. */
kn_status kni_partial_keep(kni_partial *partial, const char *name, kn_error *err);
void kni_partial_remove(kni_partial *partial);
void kni_partial_close(kni_partial *partial);

#endif
