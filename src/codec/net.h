/* SPDX-License-Identifier: Apache-2.0 */
/* What needs the network's and cryptography's libraries is one module of its own (src/net/), which
 * is loaded the first time that it is needed: a program that finds its kernels in the cache never
 * pays for it. This is the module's face: its tables. */
#ifndef KNI_CODEC_NET_H
#define KNI_CODEC_NET_H

#include <kernels/serve.h>
#include <kernels/transport.h>

#include "base/alloc.h"

typedef enum kni_digest_kind { KNI_SHA1, KNI_SHA256, KNI_SHA512 } kni_digest_kind;

#define KNI_DIGEST_MAX 64 /* bytes of the longest digest */

typedef struct kni_digest kni_digest; /* a digest under way */

typedef struct kni_net {
    size_t size; /* sizeof(kni_net): a module from another build is refused by it */

    /* NULL: no memory. */
    kni_digest *(*digest_new)(const kn_alloc *alloc, kni_digest_kind kind);
    bool (*digest_add)(kni_digest *digest, const void *bytes, size_t length);
    /* The digest of what was added; returns its length in bytes, 0 for a failure. The object can
     * only be freed after. */
    size_t (*digest_finish)(kni_digest *digest, unsigned char out[KNI_DIGEST_MAX]);
    void (*digest_free)(kni_digest *digest);

    /* A TOML document (1.0) as JSON text in *out, to be freed with kni_free. Dates become text.
     * KN_ERR_VALUE with line and column for what is not TOML, more than 1 MiB or nested deeper than
     * 64 levels; `origin` names the input in messages. */
    kn_status (*toml_to_json)(const kn_alloc *alloc, const char *bytes, size_t length,
                              const char *origin, char **out, kn_error *err);
    /* The same with the place of every value but the document itself: [line, column, value], where
     * a member's place is that of its key (codec/placed.h reads it). */
    kn_status (*toml_to_places)(const kn_alloc *alloc, const char *bytes, size_t length,
                                const char *origin, char **out, kn_error *err);

    /* A transport over libcurl: HTTP/2 where the server has it, keep-alive, at most
     * `max_connections` at once to one host, proxies from the environment, the system's
     * certificates. It follows no redirect. *out is the caller's, who calls out->free. */
    kn_status (*transport_new)(const kn_alloc *alloc, int max_connections, kn_transport *out,
                               kn_error *err);
} kni_net;

#define KNI_SHA256_TEXT (2 * 32 + 1)

/* The SHA-256 of bytes as text; false: no memory. */
bool kni_sha256_text(const kn_alloc *alloc, const kni_net *net, const void *bytes, size_t length,
                     char out[KNI_SHA256_TEXT]);

/* The Hub that is served (src/serve/), by the names of kernels/serve.h. */
typedef struct kni_serve {
    size_t size; /* sizeof(kni_serve), as above */
    kn_status (*start)(const kn_serve_options *options, kn_server **out, kn_error *err);
    const char *(*url)(const kn_server *server);
    int (*port)(const kn_server *server);
    void (*stop)(kn_server *server, int seconds);
} kni_serve;

/* What a kn_server begins with. */
typedef struct kni_server_head {
    const kni_serve *module;
} kni_server_head;

/* The module's two symbols. */
#define KNI_NET_SYMBOL "kni_net_table"
typedef const kni_net *(*kni_net_entry)(void);
#define KNI_SERVE_SYMBOL "kni_serve_table"
typedef const kni_serve *(*kni_serve_entry)(void);

#endif
