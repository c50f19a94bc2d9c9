/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KNI_LOAD_PROVENANCE_H
#define KNI_LOAD_PROVENANCE_H

#include <kernels/metadata.h>

/* What to warn of when the kernel or its builder had uncommitted changes: one sentence in *out,
 * freed with kni_free; NULL when there is nothing to say. Pure. */
kn_status kni_provenance_warning(const kn_alloc *alloc, const kn_metadata *metadata,
                                 const char *variant, char **out, kn_error *err);

#endif
