/* SPDX-License-Identifier: Apache-2.0 */
/* A lock file on its way. */
#ifndef KNI_ENGINE_LOCK_PROJECT_H
#define KNI_ENGINE_LOCK_PROJECT_H

#include <kernels/lock.h>

#include "base/alloc.h"

struct kn_lock {
    const kn_alloc *alloc;
    char *path, *text;
    kn_lockfile *before, *after;
};

/* With the lock file that the folder `project` has, if it does. */
kn_status kni_lock_open(const kn_alloc *alloc, const char *project, kn_lock **out, kn_error *err);

#endif
