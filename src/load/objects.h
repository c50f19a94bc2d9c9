/* SPDX-License-Identifier: Apache-2.0 */
/* The shared objects of a build before any of them is loaded. */
#ifndef KNI_LOAD_OBJECTS_H
#define KNI_LOAD_OBJECTS_H

#include <kernels/object.h>

/* A build that is about to be loaded. */
typedef struct kni_objects_ask {
    const char *folder;
    /* The GPU that it has to run on, asked only where it has code for CUDA devices; *known false:
     * it cannot be told. NULL: nothing is refused for a GPU's sake. */
    kn_status (*gpu)(void *ctx, kn_gpu *out, bool *known, kn_error *err);
    void *ctx;
} kni_objects_ask;

/* KN_ERR_INTEGRITY where a shared object of the build is cut off: a loader that maps it may crash.
 * KN_ERR_NOT_FOUND, with what it needs and what is here, where not one of them can be loaded;
 * KN_ERR_INTEGRITY where the reason is that it is damaged. KN_ERR_RUNTIME where they have code for
 * CUDA devices, and none for the GPU. What cannot be read or told is left to the loader. The
 * message is the reason alone, to go on after "the build cannot be loaded here: ". */
kn_status kni_objects_check(const kn_alloc *alloc, const kni_objects_ask *ask, kn_error *err);
/* `status`, with the whole sentence. */
kn_status kni_fail_object(const char *name, const char *variant, kn_status status,
                          const kn_error *why, kn_error *err);

#endif
