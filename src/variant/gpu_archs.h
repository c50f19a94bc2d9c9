/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KNI_VARIANT_GPU_ARCHS_H
#define KNI_VARIANT_GPU_ARCHS_H

#include <kernels/variant.h>

#include "base/text.h"

/* Appends why a build for `backend` ("cuda", "rocm") with code for `archs` does not run on `gpu`;
 * nothing where kn_archs_support says that it does. */
void kni_archs_refuse(kni_text *reason, const char *backend, const char *const *archs, size_t count,
                      const kn_gpu *gpu);

#endif
