/* SPDX-License-Identifier: Apache-2.0 */
/* The digests of a kni_net, without libcrypto: SHA-1 and SHA-256 as FIPS 180-4 writes them down. */
#ifndef TEST_PLAIN_DIGEST_H
#define TEST_PLAIN_DIGEST_H

#include "codec/net.h"

/* A net that has digests only; other kinds than SHA-1 and SHA-256 are NULL. */
const kni_net *plain_digests(void);

/* The lower-case hex digest of `kind` over `bytes`. */
void plain_digest_hex(kni_digest_kind kind, const void *bytes, size_t length, char out[65]);
/* The object id of git for these bytes, and their SHA-256. */
void plain_git_oid(const void *bytes, size_t length, char out[65]);
void plain_sha256(const void *bytes, size_t length, char out[65]);

#endif
