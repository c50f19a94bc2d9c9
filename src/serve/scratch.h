/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is freed all at once, when a request is answered. After a failure `failed` is set and
 * texts are "": one check at the end is enough. Not for several threads at the same time. */
#ifndef KNI_SERVE_SCRATCH_H
#define KNI_SERVE_SCRATCH_H

#include "base/alloc.h"

typedef struct kni_scratch {
    const kn_alloc *alloc;
    struct kni_scratch_piece *pieces;
    bool failed;
} kni_scratch;

void kni_scratch_init(kni_scratch *scratch, const kn_alloc *alloc);
void kni_scratch_clear(kni_scratch *scratch);

/* Zeroed; NULL: no memory. */
void *kni_scratch_take(kni_scratch *scratch, size_t bytes);
const char *kni_scratch_copy(kni_scratch *scratch, const char *text, size_t length);
const char *kni_scratch_format(kni_scratch *scratch, const char *format, ...) KN_PRINTF(2, 3);

#endif
