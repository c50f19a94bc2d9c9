/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "codec/net.h"

bool kni_sha256_text(const kn_alloc *alloc, const kni_net *net, const void *bytes, size_t length,
                     char out[KNI_SHA256_TEXT]) {
    unsigned char sum[KNI_DIGEST_MAX];
    kni_digest *digest = net->digest_new(alloc, KNI_SHA256);
    size_t size = 0;
    if (digest && net->digest_add(digest, bytes, length)) size = net->digest_finish(digest, sum);
    if (digest) net->digest_free(digest);
    if (size) kni_text_hex(sum, size, out);
    return size > 0;
}
