/* SPDX-License-Identifier: Apache-2.0 */
/* Transfers from a Hub: many at once, with redirects, retries, resumption and one deadline for all.
 */
#ifndef KNI_HUB_SESSION_H
#define KNI_HUB_SESSION_H

#include <kernels/transport.h>

#include "base/text.h"

/* A server with its token, which is sent to nobody else. */
typedef struct kni_origin {
    const char *address; /* "https://huggingface.co", without a slash at its end */
    const char *token;   /* NULL: none */
} kni_origin;

/* What all transfers of one call of the engine share. The caller fills in the first part. */
typedef struct kni_session {
    const kn_alloc *alloc;
    kn_transport *transport;
    const kni_origin *origins; /* whom the addresses of the transfers belong to */
    size_t origin_count;
    const char *user_agent; /* NULL: none */
    int64_t timeout_ms; /* how long nothing at all may arrive, over all transfers; what refuses a
                           request is nothing, and waiting for a Retry-After counts */
    int64_t connect_ms; /* how long a host that is unknown or refuses is tried again */
    bool impatient;     /* no second try: what is cached serves */
    void *ctx;
    int64_t (*now_ms)(void *ctx);                   /* a clock that never goes back */
    bool (*cancelled)(void *ctx);                   /* polled at least ten times a second */
    void (*trace)(void *ctx, const char *line);     /* NULL: none. One line a request */
    void (*progress)(void *ctx, int64_t new_bytes); /* NULL: none. Bytes of bodies to sinks */

    bool transport_failed; /* it could not be polled, and is of no use any more */
    int64_t last_byte_ms;  /* kni_session_run's own */
    uint64_t requests;     /* how many were made */
} kni_session;

/* Where a body goes that is not kept in memory. */
typedef struct kni_sink {
    void *ctx;
    /* Bytes of the resource that are there already: what is fetched goes behind them. */
    int64_t (*have)(void *ctx);
    /* Forgets all of them: the server sends from the start. */
    kn_status (*restart)(void *ctx, kn_error *err);
    kn_status (*write)(void *ctx, const void *bytes, size_t length, kn_error *err);
} kni_sink;

/* One GET, redirects and retries included. */
typedef struct kni_transfer {
    /* in */
    const char *url;
    const char *what;     /* how messages name it: "build/torch-cpu/x.so of org/name" */
    const kni_sink *sink; /* NULL: the body is kept in `body` */
    size_t limit;         /* no more bytes than this; with a sink it is how many there are, and
                             more are KN_ERR_INTEGRITY */
    void *user;           /* the caller's own */

    /* out */
    kn_status status; /* KN_OK: a 2xx response came whole; else `err` says what was wrong */
    kn_error err;
    int http_status;     /* of the last response; 0: none came */
    char *error_code;    /* X-Error-Code, NULL: none. Freed by kni_transfer_clear, as those below */
    char *error_message; /* X-Error-Message */
    char *next;          /* the absolute address in Link: <...>; rel="next" */
    char *commit;        /* X-Repo-Commit of the first response */
    char *body; /* NUL-terminated behind body_length bytes; of an error's, at most 64 KiB */
    size_t body_length;
} kni_transfer;

/* Makes all transfers, in parallel, and returns when each has come to its end. Their outputs are
 * taken to be empty: clear a transfer before it is used again. `timeout_ms` counts from here on.
 * KN_OK also when some failed: see `status` of each. Otherwise KN_ERR_CANCELLED, KN_ERR_NOMEM or
 * KN_ERR_TIMEOUT for the whole call; then every transfer has a status, too. */
kn_status kni_session_run(kni_session *session, kni_transfer *const *transfers, size_t count,
                          kn_error *err);
void kni_transfer_clear(kni_transfer *transfer, const kn_alloc *alloc);

#endif
