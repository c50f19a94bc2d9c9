/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KNI_LOAD_NET_LIBRARY_H
#define KNI_LOAD_NET_LIBRARY_H

#include "codec/net.h"

#define KNI_NET_LIBRARY_NAME "libkernels_net.so"

/* Where the module lies: `chosen` (the value of KERNELS_NET_LIBRARY) unless that is NULL, else
 * beside the object that this code is in. The caller frees *out with kni_free. */
kn_status kni_net_path(const kn_alloc *alloc, const char *chosen, char **out, kn_error *err);

/* Loads the module at `path`. KN_ERR_RUNTIME, with what to do, when it is not there, cannot be
 * loaded or belongs to another build: an installation that is not whole. *out is static: valid to
 * the end of the process. */
kn_status kni_net_load(const char *path, const kni_net **out, kn_error *err);
/* The same for its other table. */
kn_status kni_serve_load(const char *path, const kni_serve **out, kn_error *err);

#endif
