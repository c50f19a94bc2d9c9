/* SPDX-License-Identifier: Apache-2.0 */
/* What the sources of the cache share: names from outside, and where ours is kept. */
#ifndef KNI_CACHE_PLACE_H
#define KNI_CACHE_PLACE_H

#include "base/text.h"
#include "cache/cache.h"
#include "os/store.h"

#define KNI_RECORD_MAX ((size_t)1 << 20)

bool kni_is_oid(const char *text); /* 40 or 64 hex digits in lower case */

/* KN_ERR_VALUE for what is no commit, no object id, no path below a folder; the messages show the
 * name without its control characters. `what`: "the branch or tag". */
kn_status kni_commit_check(const char *commit, kn_error *err);
kn_status kni_content_check(const kni_content *content, kn_error *err);
kn_status kni_path_check(const char *what, const char *path, kn_error *err);

/* "a/b" or "a/b/c" (`c` may be NULL); the caller frees. NULL: no memory. */
char *kni_path_of(const kni_cache *cache, const char *a, const char *b, const char *c);

/* Reads `name` of ours where it is kept: below `own`, or below `private` with `from_private`. *out
 * NULL where it is not there, cannot be read or has more than `limit` bytes; fails for memory only.
 */
kn_status kni_own_read(const kni_cache *cache, bool from_private, const char *name, size_t limit,
                       char **out, size_t *length, kn_error *err);

#endif
