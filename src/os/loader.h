/* SPDX-License-Identifier: Apache-2.0 */
/* The loader of this process: which shared objects it takes, and which it has. Thread safe. */
#ifndef KNI_OS_LOADER_H
#define KNI_OS_LOADER_H

#include "base/alloc.h"

typedef struct kni_loader {
    int bits; /* of this process, 32 or 64 */
    bool is_big_endian;
    uint16_t machine;  /* as ELF numbers them (e_machine); 0: unknown */
    const char *glibc; /* its version, "2.36"; NULL: another C library, or unknown. Static text */
} kni_loader;

kni_loader kni_loader_about(void);

/* The file of the shared object that is loaded under `name` (its SONAME, "libstdc++.so.6"); *out
 * NULL: none is. Nothing is loaded. The caller frees *out with kni_free. */
kn_status kni_loader_find(const kn_alloc *alloc, const char *name, char **out, kn_error *err);

#endif
