/* SPDX-License-Identifier: Apache-2.0 */
/* Paths as users write them. Thread safe as far as nobody changes the environment. */
#ifndef KNI_OS_EXPAND_H
#define KNI_OS_EXPAND_H

#include "base/alloc.h"

/* "~" at the beginning is the home of this user, "~name" of another one; $NAME and ${NAME} are
 * variables, and stay as they stand where they are not set: as Python's expanduser and then
 * expandvars do it, which huggingface_hub uses. HOME is this user's home, else what the password
 * database says. KN_ERR_NOT_FOUND where there is no such home. The caller frees *out. */
kn_status kni_path_expand(const kn_alloc *alloc, const char *path, char **out, kn_error *err);

/* The path from the root, which stays the same when the working directory changes; nothing has to
 * be there, and links stay. KN_ERR_OS where there is no working directory (any more). */
kn_status kni_path_absolute(const kn_alloc *alloc, const char *path, char **out, kn_error *err);

#endif
