/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/content_digest.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"

static bool is_git_blob(const kni_content *content) { return strlen(content->oid) == 40; }

kni_digest *kni_content_digest_new(const kn_alloc *alloc, const kni_net *net,
                                   const kni_content *content) {
    kni_digest *digest = net->digest_new(alloc, is_git_blob(content) ? KNI_SHA1 : KNI_SHA256);
    if (!digest || !is_git_blob(content)) return digest;
    char header[40];
    int length = snprintf(header, sizeof header, "blob %lld", (long long)content->size);
    if (net->digest_add(digest, header, (size_t)length + 1)) return digest; /* with its NUL */
    net->digest_free(digest);
    return NULL;
}

bool kni_content_digest_matches(const kni_net *net, kni_digest *digest,
                                const kni_content *content) {
    unsigned char bytes[KNI_DIGEST_MAX];
    size_t length = net->digest_finish(digest, bytes);
    if (length == 0 || strlen(content->oid) != 2 * length) return false;
    for (size_t i = 0; i < length; i++) {
        static const char digits[] = "0123456789abcdef";
        if (content->oid[2 * i] != digits[bytes[i] >> 4] ||
            content->oid[2 * i + 1] != digits[bytes[i] & 15]) {
            return false;
        }
    }
    return true;
}

typedef struct hashing {
    const kni_net *net;
    kni_digest *digest;
} hashing;

static bool hash_piece(void *ctx, const void *bytes, size_t length) {
    hashing *h = ctx;
    return h->net->digest_add(h->digest, bytes, length);
}

kn_status kni_content_check_file(const kn_alloc *alloc, const kni_net *net, int folder,
                                 const char *name, const kni_content *content,
                                 kni_file_facts *facts, bool *good, kn_error *err) {
    *good = false;
    hashing h = {net, kni_content_digest_new(alloc, net, content)};
    if (!h.digest) return kni_no_memory(err, "checking files of the cache");
    kn_error cause = KN_ERROR_INIT;
    kn_status status = kni_file_each(alloc, folder, name, hash_piece, &h, facts, &cause);
    if (!status) *good = kni_content_digest_matches(net, h.digest, content);
    net->digest_free(h.digest);
    return status == KN_ERR_NOMEM ? kni_fail(err, status, "%s", cause.message) : KN_OK;
}
