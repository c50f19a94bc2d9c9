/* SPDX-License-Identifier: Apache-2.0 */
/* A read-only Hub over a folder: huggingface_hub's cache, or repositories in their plain form, as
 * docs/serve.md describes them. It runs on threads of its own until it is stopped. The network
 * module is loaded when one is started. */
#ifndef KERNELS_SERVE_H
#define KERNELS_SERVE_H

#include <kernels/common.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kn_server kn_server;

/* A request that was answered. Borrowed texts, valid during the call; `target`, `user_agent` as
 * they came, of any bytes but NUL. */
typedef struct kn_served {
    size_t size; /* sizeof(kn_served) */
    const char *address;
    const char *method;
    const char *target;
    const char *user_agent; /* NULL: none was sent */
    int status;
    int64_t bytes; /* of the body that was announced */
    int64_t microseconds;
    bool cut; /* the connection ended before the answer had gone out */
} kn_served;

typedef struct kn_serve_options {
    size_t size;           /* sizeof(kn_serve_options) */
    const kn_alloc *alloc; /* must outlive the server; NULL: malloc */
    const char *folder;
    const char *host;       /* a name or an address; NULL: 127.0.0.1 */
    int port;               /* 0: a free one */
    const char *url;        /* by which clients know it; NULL: what they ask for */
    const char *token_file; /* a token a line; NULL: anybody may ask */
    const char *tls_cert;   /* PEM: the certificate, and those that lead to its root; NULL: HTTP */
    const char *tls_key;    /* PEM */
    const char *trusted;    /* publishers to call trusted, with commas between; NULL: none */
    int max_connections;    /* 0: 1024, or as many as the limit of open files lets there be */
    int max_per_address;    /* 0: 512 */
    int timeout_s; /* within it a request has come, and 1 KiB of an answer a second has been taken;
                      0: 60 */
    /* Called by several threads, after each request; NULL: nobody is told. */
    void (*log)(void *ctx, const kn_served *request);
    void *log_ctx;
    const char *net_library; /* as in kn_engine_options */
} kn_serve_options;

/* Listens when it returns. The options are copied, but for the allocator. */
KN_API kn_status kn_server_start(const kn_serve_options *options, kn_server **out, kn_error *err);
/* "http://127.0.0.1:8017"; valid until kn_server_stop. */
KN_API const char *kn_server_url(const kn_server *server);
KN_API int kn_server_port(const kn_server *server);
/* Takes no more requests, waits up to `seconds` for answers under way, cuts the rest, and frees the
 * server. NULL is fine. */
KN_API void kn_server_stop(kn_server *server, int seconds);

#ifdef __cplusplus
}
#endif

#endif
