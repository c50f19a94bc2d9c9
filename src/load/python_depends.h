/* SPDX-License-Identifier: Apache-2.0 */
/* Python packages that kernels need: names of the build tool, packages, names to import. */
#ifndef KNI_LOAD_PYTHON_DEPENDS_H
#define KNI_LOAD_PYTHON_DEPENDS_H

#include <kernels/metadata.h>

typedef struct kni_python_package {
    const char *depend;      /* the name in metadata.json */
    const char *backend;     /* the only backend that has it; NULL: all */
    const char *package;     /* what pip installs */
    const char *import_name; /* NULL: it has nothing to import, and is not looked for */
} kni_python_package;

/* The package for a name under a backend ("cpu", "cuda", ...); NULL: unknown. Static. */
const kni_python_package *kni_python_package_find(const char *depend, const char *backend);

/* Asks for each package that the kernel needs whether its name can be imported, each once.
 * KN_ERR_VALUE, before anything is asked, for a name that is unknown under this backend;
 * KN_ERR_DEPENDENCY names all packages that are missing and how to install them. */
kn_status kni_python_depends_check(const kn_metadata *metadata, const char *backend,
                                   bool (*can_import)(void *ctx, const char *import_name),
                                   void *ctx, kn_error *err);

#endif
