/* SPDX-License-Identifier: Apache-2.0 */
/* Files in a folder that several processes share. What is written here is written to a temporary
 * file, synced and renamed: under its name is what was there before, or all of the new.
 *
 * `base` is a folder of the user's, whose path may have links in it; it is made, with those above
 * it, when something is written. `name` is a path below it ("refs/main") for which
 * kni_path_stays_inside holds, else KN_ERR_VALUE; none of its folders may be a link. The temporary
 * file lies in `base` itself, so that no reader of its subfolders sees it. Thread safe. */
#ifndef KNI_OS_STORE_H
#define KNI_OS_STORE_H

#include "os/files.h"

#define KNI_NAME_MAX 255  /* bytes of one part of a path */
#define KNI_PATH_MAX 4096 /* bytes of a path */

/* Whether `path` is relative and leads nowhere but below where it starts: one or more parts of 1 to
 * KNI_NAME_MAX bytes, none of them "." or "..", without backslashes and control characters. */
bool kni_path_stays_inside(const char *path);

/* The error of a system call on `base`/`name` (NULL: on `base`), from errno: KN_ERR_OS, or
 * KN_ERR_NOMEM. */
kn_status kni_fail_errno(kn_error *err, const char *doing, const char *base, const char *name);

kn_status kni_store_write(const char *base, const char *name, const void *bytes, size_t length,
                          kn_error *err);
/* A copy of the file `from`. */
kn_status kni_store_copy(const char *base, const char *name, const char *from, kn_error *err);
/* A symbolic link with the text `target`, instead of what is there. *supported false, and KN_OK,
 * where the file system has no links. It is not synced: it holds nothing that cannot be made again.
 */
kn_status kni_store_link(const char *base, const char *name, const char *target, bool *supported,
                         kn_error *err);
bool kni_store_is_link_to(const char *base, const char *name, const char *target);
/* Nothing there is fine. */
kn_status kni_store_remove(const char *base, const char *name, kn_error *err);
/* Removes temporary files that a killed process left in `base` more than `seconds` ago. */
void kni_store_sweep(const char *base, int64_t seconds);

/* The files below `base`/`name` as paths relative to that, sorted by bytes; links are left out.
 * Empty where there is no such folder. KN_ERR_VALUE when there are more than `limit` entries. */
kn_status kni_store_files(const kn_alloc *alloc, const char *base, const char *name, size_t limit,
                          kni_names *out, kn_error *err);

/* An open folder, or -1 and errno. `make`: it is made with all above it. */
int kni_folder_open(const char *path, bool make);
void kni_folder_close(int folder); /* -1 is fine */

/* What is known of a file without reading it. */
typedef struct kni_file_facts {
    bool there;
    bool regular;
    int64_t size;
    int64_t mtime_ns;
    int64_t inode;
} kni_file_facts;

/* Links are followed. What cannot be looked at is not there. */
void kni_file_look(int folder, const char *name, kni_file_facts *out);

/* Gives all bytes of a file to `take`, which returns false to stop, with the facts from before.
 * KN_ERR_OS when it cannot be read or is no regular file; KN_ERR_RUNTIME when `take` stopped it. */
typedef bool (*kni_take_bytes)(void *ctx, const void *bytes, size_t length);
kn_status kni_file_each(const kn_alloc *alloc, int folder, const char *name, kni_take_bytes take,
                        void *ctx, kni_file_facts *facts, kn_error *err);

#endif
