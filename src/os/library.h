/* SPDX-License-Identifier: Apache-2.0 */
/* Shared objects, opened while the program runs. What is opened stays: neither the network's nor a
 * kernel's code can be taken away safely once it has run. Thread safe. */
#ifndef KNI_OS_LIBRARY_H
#define KNI_OS_LIBRARY_H

#include "base/alloc.h"

typedef struct kni_library kni_library;
typedef void (*kni_function)(void); /* to be cast to what the function really is */

/* Opens the shared object at `path`, its symbols bound at once and seen by nobody else. Nothing is
 * searched for: `path` has a '/'. KN_ERR_NOT_FOUND when no file is there, KN_ERR_OS when it cannot
 * be loaded, with the loader's reason. *out is valid to the end of the process. */
kn_status kni_library_open(const char *path, kni_library **out, kn_error *err);
/* The same, its symbols seen by what is opened after it. */
kn_status kni_library_open_shared(const char *path, kni_library **out, kn_error *err);
/* The same for a name without a '/', which the system looks for (ld.so(8)). KN_ERR_NOT_FOUND, with
 * the loader's reason, for every failure. */
kn_status kni_library_search(const char *name, kni_library **out, kn_error *err);
/* What is in the process under that name (its SONAME); NULL: nothing. Its symbols are seen by what
 * is opened from now on. */
kni_library *kni_library_loaded(const char *name);

/* KN_ERR_NOT_FOUND when the object has no such symbol. `path` names it in the message. */
kn_status kni_library_function(kni_library *library, const char *path, const char *name,
                               kni_function *out, kn_error *err);

/* The folder of the shared object (or program) that has `function`, absolute. The caller frees
 * *out with kni_free. */
kn_status kni_library_folder(const kn_alloc *alloc, kni_function function, char **out,
                             kn_error *err);

#endif
