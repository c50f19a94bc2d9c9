/* SPDX-License-Identifier: Apache-2.0 */
/* The functions behind the module's table (codec/net.h says what they do), and what they share. */
#ifndef KNI_NET_PARTS_H
#define KNI_NET_PARTS_H

#include "codec/net.h"

#ifdef __cplusplus
extern "C" {
#endif

kni_digest *kni_digest_new(const kn_alloc *alloc, kni_digest_kind kind);
bool kni_digest_add(kni_digest *digest, const void *bytes, size_t length);
size_t kni_digest_finish(kni_digest *digest, unsigned char out[KNI_DIGEST_MAX]);
void kni_digest_free(kni_digest *digest);

#define KNI_TOML_LIMIT ((size_t)1 << 20)
#define KNI_TOML_DEPTH_MAX 64

/* Whether the document may be given to a parser that recurses: at most KNI_TOML_LIMIT bytes, no
 * brackets nested deeper than KNI_TOML_DEPTH_MAX, no key of more parts. KN_ERR_VALUE where not. */
kn_status kni_toml_check(const char *bytes, size_t length, const char *origin, kn_error *err);
kn_status kni_toml_to_json(const kn_alloc *alloc, const char *bytes, size_t length,
                           const char *origin, char **out, kn_error *err);
kn_status kni_toml_to_places(const kn_alloc *alloc, const char *bytes, size_t length,
                             const char *origin, char **out, kn_error *err);

kn_status kni_curl_transport_new(const kn_alloc *alloc, int max_connections, kn_transport *out,
                                 kn_error *err);

KN_API const kni_net *kni_net_table(void);

#ifdef __cplusplus
}
#endif

#endif
