/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KNI_LOAD_ARCHS_H
#define KNI_LOAD_ARCHS_H

#include <kernels/metadata.h>
#include <kernels/variant.h>

/* KN_ERR_RUNTIME, with what to do, when the kernel's build does not support the GPU: see
 * kn_archs_support. `gpu` may be NULL: there is none, and nothing is refused. Pure. */
kn_status kni_archs_check(const kn_alloc *alloc, const kn_metadata *metadata, const char *variant,
                          const kn_gpu *gpu, kn_error *err);

#endif
