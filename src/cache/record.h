/* SPDX-License-Identifier: Apache-2.0 */
/* The formats of what the cache records. Both are JSON of our own, read as if a stranger had
 * written it. */
#ifndef KNI_CACHE_RECORD_H
#define KNI_CACHE_RECORD_H

#include "cache/cache.h"
#include "codec/json.h"
#include "os/store.h"

/* *found false for what is no resolution of `request`; fails for memory only. */
kn_status kni_resolution_parse(const kni_cache *cache, const char *request, const char *bytes,
                               size_t length, kni_resolution *out, bool *found, kn_error *err);

/* A receipt: {"files": {<path>: [<object id>, <size>, <mtime in ns>, <inode>]}}. NULL for what is
 * none. */
kni_json *kni_receipt_parse(const char *bytes, size_t length);
/* Whether the receipt (NULL: none) says that the file with these facts has this content. */
bool kni_receipt_knows(const kni_json *receipt, const char *path, const kni_content *content,
                       const kni_file_facts *facts);

#endif
