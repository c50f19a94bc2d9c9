/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>

#include "net/net_parts.h"

struct kni_digest {
    const kn_alloc *alloc;
    EVP_MD_CTX *context;
};

static const EVP_MD *algorithm(kni_digest_kind kind) {
    switch (kind) {
    case KNI_SHA1:
        return EVP_sha1();
    case KNI_SHA256:
        return EVP_sha256();
    case KNI_SHA512:
        return EVP_sha512();
    }
    return NULL;
}

void kni_digest_free(kni_digest *digest) {
    if (!digest) return;
    EVP_MD_CTX_free(digest->context);
    kni_free(digest->alloc, digest);
}

kni_digest *kni_digest_new(const kn_alloc *alloc, kni_digest_kind kind) {
    alloc = kni_alloc_or_default(alloc);
    kni_digest *digest = kni_new(alloc, sizeof *digest);
    if (!digest) return NULL;
    digest->alloc = alloc;
    digest->context = EVP_MD_CTX_new();
    if (!digest->context || !EVP_DigestInit_ex(digest->context, algorithm(kind), NULL)) {
        kni_digest_free(digest);
        return NULL;
    }
    return digest;
}

bool kni_digest_add(kni_digest *digest, const void *bytes, size_t length) {
    return EVP_DigestUpdate(digest->context, bytes, length) == 1;
}

size_t kni_digest_finish(kni_digest *digest, unsigned char out[KNI_DIGEST_MAX]) {
    unsigned length = 0;
    return EVP_DigestFinal_ex(digest->context, out, &length) == 1 ? length : 0;
}
