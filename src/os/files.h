/* SPDX-License-Identifier: Apache-2.0 */
/* Files, directories and the environment. src/os/ is the only code with platform #ifdefs. Thread
 * safe as far as nobody changes the environment. `alloc` may be NULL wherever a status is returned.
 */
#ifndef KNI_OS_FILES_H
#define KNI_OS_FILES_H

#include "base/alloc.h"

/* The whole file, NUL-terminated behind `*length` bytes. KN_ERR_NOT_FOUND when it is not there,
 * KN_ERR_VALUE when it has more than `limit` bytes, KN_ERR_OS otherwise, also for what is no
 * regular file. The caller frees `*out` with kni_free. */
kn_status kni_file_read(const kn_alloc *alloc, const char *path, size_t limit, char **out,
                        size_t *length, kn_error *err);

bool kni_path_is_file(const char *path);
bool kni_path_is_directory(const char *path);

/* "a/b" from "a" and "b"; an absolute `name` stays as it is. NULL: no memory. */
char *kni_path_join(const kn_alloc *alloc, const char *folder, const char *name);

/* The text of a symbolic link, as a copy; *out NULL where it is none. */
kn_status kni_path_read_link(const kn_alloc *alloc, const char *path, char **out, kn_error *err);

/* The absolute path without links; KN_ERR_NOT_FOUND when nothing is there. */
kn_status kni_path_resolve(const kn_alloc *alloc, const char *path, char **out, kn_error *err);

/* Names in a directory that are themselves directories or links to one, sorted by bytes; hidden
 * ones left out. KN_ERR_NOT_FOUND when the directory is not there. The caller frees with
 * kni_names_clear; empty on error. */
typedef struct kni_names {
    const kn_alloc *alloc;
    char **items;
    size_t count;
    size_t capacity;
} kni_names;

kn_status kni_directory_folders(const kn_alloc *alloc, const char *path, kni_names *out,
                                kn_error *err);
void kni_names_clear(kni_names *names);

/* The value of an environment variable, borrowed until the environment changes; NULL when unset or
 * empty. */
const char *kni_environment(const char *name);

#endif
