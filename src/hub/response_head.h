/* SPDX-License-Identifier: Apache-2.0 */
/* What the lines of a response's head mean. Pure. */
#ifndef KNI_HUB_RESPONSE_HEAD_H
#define KNI_HUB_RESPONSE_HEAD_H

#include <kernels/transport.h>

#include "base/alloc.h"

/* The value of the first line of that name (in lower case), borrowed; NULL: none. */
const char *kni_head_find(const kn_http_header *headers, size_t count, const char *name);

/* Where the bytes of a 206 begin, from its Content-Range ("bytes 100-199/200"); -1 where that
 * cannot be read. `value` may be NULL. */
int64_t kni_head_range_start(const char *value);

/* The value of Content-Length; -1 where there is none, or it is no number. */
int64_t kni_head_length(const char *value);

/* The target of rel="next" among all Link lines, as it stands there. *found false: there is none.
 * KN_ERR_NOMEM. The caller frees *out. */
kn_status kni_head_next(const kn_alloc *alloc, const kn_http_header *headers, size_t count,
                        char **out, bool *found);

#endif
