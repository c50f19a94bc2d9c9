/* SPDX-License-Identifier: Apache-2.0 */
/* Where kernels come from: Hubs, and mirrors, which are copies of a cache's folders in a directory
 * or behind a web server. Pure. */
#ifndef KNI_HUB_SOURCE_LIST_H
#define KNI_HUB_SOURCE_LIST_H

#include "codec/placed.h"
#include "hub/endpoint.h"

#define KNI_SOURCES_MAX 16

typedef struct kni_source {
    bool is_mirror;
    char *address; /* without a slash at its end; of a directory "file://" and its absolute path */
    char *token_variable, *token_file; /* where its token is from, one of them at most */
    kni_place said;
} kni_source;

typedef struct kni_sources { /* {.alloc = ...} is an empty list */
    const kn_alloc *alloc;
    kni_source *items;
    size_t count, capacity;
} kni_sources;

#define KNI_SOURCES_KEYS "source" /* the member of kernels.toml that kni_sources_read knows */

/* Appends what a file lists, in its order. The file's name is borrowed. KN_ERR_VALUE with file,
 * line and column for what makes no sense. */
kn_status kni_sources_read(kni_sources *sources, const kni_placed *list, kn_error *err);
void kni_sources_clear(kni_sources *sources);

#define KNI_DIRECTORY_URL "file://"
bool kni_url_is_directory(const char *address);

/* The address of `path` ("snapshots/<commit>/...") in a mirror's folder of the repository,
 * percent-encoded but for a directory. NULL: no memory. The caller frees. */
char *kni_url_mirror(const kn_alloc *alloc, const char *address, kni_repo_type type,
                     const char *repo_id, const char *path);

/* The commit in a mirror's file "refs/<name>". KN_ERR_NETWORK for other text. */
kn_status kni_mirror_ref_parse(const char *bytes, size_t length, const char *what,
                               char out[KNI_COMMIT_MAX], kn_error *err);

#endif
