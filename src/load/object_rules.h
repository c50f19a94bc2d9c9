/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a shared object can be loaded, and why not: only what is certain is said against one, the
 * rest is the loader's. Pure. */
#ifndef KNI_LOAD_OBJECT_RULES_H
#define KNI_LOAD_OBJECT_RULES_H

#include "base/text.h"
#include "codec/elf.h"
#include "os/loader.h"

/* A library that is loaded, so that it and no other gives what is needed of its name. */
typedef struct kni_loaded_library {
    char *name; /* "libstdc++.so.6" */
    char *path;
    kni_elf elf; /* `versions` is what it has; none: unknown */
} kni_loaded_library;

/* What an object meets. */
typedef struct kni_object_place {
    const kni_loader *loader;
    const kni_loaded_library *libraries;
    size_t library_count;
} kni_object_place;

/* KN_ERR_NOT_FOUND where the object cannot be loaded here, KN_ERR_INTEGRITY where it cannot be
 * loaded anywhere: appends why, and what to do, to go on after "it ". KN_OK where nothing speaks
 * against it.
 */
kn_status kni_object_refuse(kni_text *reason, const kni_elf *elf, const kni_object_place *place);

/* Whether what an object needs of `library` is judged by the version of glibc. */
bool kni_object_is_glibc(const char *library);

/* The newest glibc that it needs; false, and -1 for both, where that cannot be told. */
bool kni_object_glibc(const kni_elf *elf, int *major, int *minor);

#endif
