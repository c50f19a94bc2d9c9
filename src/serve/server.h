/* SPDX-License-Identifier: Apache-2.0 */
/* The Hub on the network. One thread listens and looks after connections (server_listen.c,
 * server_watch.c), libmicrohttpd's threads answer (server_request.c). For TLS each connection has a
 * thread that carries bytes between the client and them (server_tls.c). */
#ifndef KNI_SERVE_SERVER_H
#define KNI_SERVE_SERVER_H

#include <microhttpd.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <sys/socket.h>

#include "codec/net.h"
#include "serve/hub.h"

typedef enum kni_link_state {
    KNI_LINK_WAITING,   /* for a request, or for the rest of its head */
    KNI_LINK_ANSWERING, /* it is looked up */
    KNI_LINK_SENDING,
} kni_link_state;

/* How fast something goes: bytes at a time; -1: those that there are when it is first looked at. */
typedef struct kni_pace {
    int64_t since_ms, bytes;
} kni_pace;

/* A connection, as libmicrohttpd has it. Changed under the server's lock. */
typedef struct kni_link {
    int file; /* libmicrohttpd's */
    kni_link_state state;
    kni_pace pace; /* since it came into the state */
    char address[INET6_ADDRSTRLEN];
    struct kni_link *next, **at;
} kni_link;

/* A connection with TLS. */
typedef struct kni_pump kni_pump;

/* The digests of the tokens that are accepted. */
typedef struct kni_tokens {
    size_t count;
    unsigned char (*digests)[32];
} kni_tokens;

struct kn_server {
    kni_server_head head;
    const kn_alloc *alloc;
    kni_hub hub;
    kni_tokens tokens;
    char *trusted, *given_url, *url;
    int port, timeout_s, max_connections;
    void (*log)(void *ctx, const kn_served *request);
    void *log_ctx;

    struct MHD_Daemon *daemon;
    SSL_CTX *tls;        /* NULL: HTTP */
    int listening, wake; /* an eventfd */
    pthread_t listener;
    bool listens;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* an answer, or a pump, has ended */
    bool stopping;
    size_t answers, pump_count; /* under way */
    kni_link *links;
    kni_pump *pumps;
};

/* ---- server_listen.c ---- */

/* A socket that listens; `server->port` and `server->url` are set. */
kn_status kni_server_bind(kn_server *server, const char *host, int port, kn_error *err);
kn_status kni_server_listen(kn_server *server, kn_error *err); /* starts the thread */
void kni_server_stop_listening(kn_server *server);

/* ---- server_watch.c ---- */

/* Whether it has gone slower than 1 KiB a second for as long as `timeout_s`. */
bool kni_pace_is_slow(kni_pace *pace, int64_t now_ms, int64_t bytes, int timeout_s);
void kni_link_change(void *context, struct MHD_Connection *connection, void **state,
                     enum MHD_ConnectionNotificationCode what);
/* The link goes over to another state; false: it ends, since the server does. */
bool kni_link_set(kn_server *server, kni_link *link, kni_link_state state);
/* Cuts those that take too long. */
void kni_links_watch(kn_server *server);
/* Under the lock: cuts those that have no answer under way. */
void kni_links_end_waiting(kn_server *server);

/* ---- server_request.c: libmicrohttpd's callbacks, whose context is the server ---- */

void *kni_request_begin(void *context, const char *target, struct MHD_Connection *connection);
enum MHD_Result kni_request_come(void *context, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_length, void **state);
void kni_request_end(void *context, struct MHD_Connection *connection, void **state,
                     enum MHD_RequestTerminationCode how);
size_t kni_request_leave_escaped(void *context, struct MHD_Connection *connection, char *text);
/* "http://host:port" of a Host header; NULL: it cannot be one. Pure. */
const char *kni_base_of_host(kni_scratch *scratch, const char *scheme, const char *host);

/* ---- server_tokens.c ---- */

/* A token a line; empty lines and those that begin with # do not count. KN_ERR_VALUE where there is
 * no token in it. */
kn_status kni_tokens_read(const kn_alloc *alloc, const char *path, kni_tokens *out, kn_error *err);
void kni_tokens_clear(kni_tokens *tokens, const kn_alloc *alloc);
/* In a time that tells nothing of the tokens. */
bool kni_tokens_have(const kni_tokens *tokens, const char *token);

/* ---- server_tls.c ---- */

kn_status kni_tls_open(const char *certificate, const char *key, SSL_CTX **out, kn_error *err);
/* Takes a connection over; it is closed where that cannot be done. */
void kni_pump_start(kn_server *server, int client, const struct sockaddr *address,
                    socklen_t length);
/* Under the lock: cuts all of them. */
void kni_pumps_cut(kn_server *server);

/* The module's other table. */
KN_API const kni_serve *kni_serve_table(void);

#endif
