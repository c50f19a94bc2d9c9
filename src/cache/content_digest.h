/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KNI_CACHE_CONTENT_DIGEST_H
#define KNI_CACHE_CONTENT_DIGEST_H

#include "cache/place.h"

/* A digest for a file's bytes as its object id wants it: git hashes a header first. NULL: no
 * memory. */
kni_digest *kni_content_digest_new(const kn_alloc *alloc, const kni_net *net,
                                   const kni_content *content);
/* Ends the digest. */
bool kni_content_digest_matches(const kni_net *net, kni_digest *digest, const kni_content *content);
/* Hashes the file `name` below the open `folder`. *good: it is this content; one that cannot be
 * read is not. *facts: from before it was read. Fails for memory only. */
kn_status kni_content_check_file(const kn_alloc *alloc, const kni_net *net, int folder,
                                 const char *name, const kni_content *content,
                                 kni_file_facts *facts, bool *good, kn_error *err);

#endif
