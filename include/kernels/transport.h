/* SPDX-License-Identifier: Apache-2.0 */
/* How the library speaks HTTP: libcurl by default, or what a host provides. A transport moves bytes
 * and decides nothing: redirects, retries, tokens and deadlines are its caller's.
 *
 * One thread uses a transport at a time. Callbacks are made from within `poll`, on its thread; they
 * may call `start` and `stop`. */
#ifndef KERNELS_TRANSPORT_H
#define KERNELS_TRANSPORT_H

#include <kernels/common.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum kn_http_failure {
    KN_HTTP_DONE = 0,     /* a whole response came, whatever its status */
    KN_HTTP_RESOLVE = 1,  /* the host's name is not known */
    KN_HTTP_CONNECT = 2,  /* the connection was refused or could not be made */
    KN_HTTP_SECURITY = 3, /* the certificate or the TLS handshake failed: trying again is no use */
    KN_HTTP_BROKEN = 4,   /* the connection ended before the response did */
    KN_HTTP_STOPPED = 5,  /* a callback returned false */
    KN_HTTP_FAILED = 6    /* anything else */
} kn_http_failure;

/* A line of a response's head; texts are borrowed for the callback. `name` is in lower case. */
typedef struct kn_http_header {
    const char *name;
    const char *value;
} kn_http_header;

typedef struct kn_http_result {
    size_t size; /* sizeof(kn_http_result) */
    kn_http_failure failure;
    int status;          /* 0: none came */
    const char *message; /* what went wrong, for people; borrowed */
} kn_http_result;

/* A GET request. Texts are borrowed until on_done. */
typedef struct kn_http_request {
    size_t size;                /* sizeof(kn_http_request) */
    const char *url;            /* http:// or https:// */
    const char *const *headers; /* "Name: value" */
    size_t header_count;
    void *token; /* given to the callbacks; its address identifies the transfer */
    /* The head of the response (of the last one, should there be interim ones). false stops the
     * transfer. */
    bool (*on_head)(void *token, int status, const kn_http_header *headers, size_t count);
    /* A piece of the body, content encodings removed; `length` > 0. false stops the transfer. */
    bool (*on_body)(void *token, const void *bytes, size_t length);
    /* The end, once for each started transfer that was not stopped by `stop`. */
    void (*on_done)(void *token, const kn_http_result *result);
} kn_http_request;

typedef struct kn_transport {
    size_t size; /* sizeof(kn_transport) */
    void *ctx;
    kn_status (*start)(void *ctx, const kn_http_request *request, kn_error *err);
    /* Moves what can be moved, waiting up to `timeout_ms` for something to happen (returns early
     * when it does). */
    kn_status (*poll)(void *ctx, int timeout_ms, kn_error *err);
    /* Ends a transfer without on_done. Unknown tokens are fine. */
    void (*stop)(void *ctx, void *token);
    void (*free)(void *ctx);
} kn_transport;

#ifdef __cplusplus
}
#endif

#endif
