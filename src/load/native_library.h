/* SPDX-License-Identifier: Apache-2.0 */
/* The library of a native build: the one shared object beside its Python module. */
#ifndef KNI_LOAD_NATIVE_LIBRARY_H
#define KNI_LOAD_NATIVE_LIBRARY_H

#include "load/source.h"

/* "<id>.so" of its metadata where that is there, else the only "*.so". KN_ERR_NOT_FOUND where there
 * is none, KN_ERR_VALUE for several. The caller frees *out with kni_free. */
kn_status kni_native_library_find(const kn_alloc *alloc, const kni_kernel_source *source,
                                  char **out, kn_error *err);

#endif
