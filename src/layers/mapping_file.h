/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings that are written in TOML (docs/cli.md, Plans): layer, device, mode, repository. Pure. */
#ifndef KNI_LAYERS_MAPPING_FILE_H
#define KNI_LAYERS_MAPPING_FILE_H

#include <kernels/mapping.h>

#include "codec/placed.h"

/* `file` names it in messages. KN_ERR_VALUE with line and column for what makes no sense. The
 * caller releases *out. */
kn_status kni_mapping_parse(const kn_alloc *alloc, const kni_json *document, const char *file,
                            kn_mapping **out, kn_error *err);

#endif
