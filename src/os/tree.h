/* SPDX-License-Identifier: Apache-2.0 */
/* Folders with all that is below them. Thread safe. */
#ifndef KNI_OS_TREE_H
#define KNI_OS_TREE_H

#include "os/files.h"

/* The paths of all files below `folder`, relative to it, sorted by bytes: regular files, links to
 * them, and links to nothing. Links to directories are not followed; pipes, sockets and devices are
 * left out. KN_ERR_VALUE for more than `limit` files or folders, KN_ERR_OS when a folder cannot be
 * read or is not there. The caller frees with kni_names_clear; empty on error. */
kn_status kni_tree_files(const kn_alloc *alloc, const char *folder, size_t limit, kni_names *out,
                         kn_error *err);

/* Removes a file, or a folder with all that is below it; links are removed, not followed. Nothing
 * there is fine. KN_ERR_OS where something cannot be removed. */
kn_status kni_tree_remove(const char *path, kn_error *err);

#endif
