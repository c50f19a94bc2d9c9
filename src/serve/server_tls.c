/* SPDX-License-Identifier: Apache-2.0 */
/* TLS stands before libmicrohttpd: each connection has a thread that carries bytes between the
 * client's socket and one end of a pair of sockets, whose other end libmicrohttpd has. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "os/clock.h"
#include "serve/server.h"

#define PIECE 16384 /* a record of TLS */
#define STACK_BYTES 262144
#define HANDSHAKE_MS 10000
#define LOOK_MS 1000

struct kni_pump {
    kn_server *server;
    int client, pair;
    SSL *tls;
    bool client_wants_out; /* TLS has to write before it goes on */
    bool client_ended, hub_ended;
    size_t up, up_sent, down, down_sent; /* bytes in the buffers, and those of them that went on */
    int64_t sent;
    kni_pace pace;
    struct kni_pump *next, **at;
    char up_bytes[PIECE], down_bytes[PIECE];
};

/* ---- certificate and key ---- */

/* A key with a passphrase would make OpenSSL ask on the terminal. */
static int no_passphrase(char *out, int size, int writing, void *ctx) {
    (void)writing;
    (void)ctx;
    if (size > 0) out[0] = '\0';
    return 0;
}

static int choose_protocol(SSL *tls, const unsigned char **out, unsigned char *out_length,
                           const unsigned char *offered, unsigned length, void *ctx) {
    static const unsigned char http[] = "\x08http/1.1";
    unsigned char *chosen;
    (void)tls;
    (void)ctx;
    if (SSL_select_next_proto(&chosen, out_length, http, sizeof http - 1, offered, length) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static kn_status fail_tls(kn_error *err, const char *what, const char *file) {
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return kni_fail(err, KN_ERR_VALUE, "%s '%s' cannot be used: %s", what, file,
                    reason ? reason : "it is not what was expected");
}

kn_status kni_tls_open(const char *certificate, const char *key, SSL_CTX **out, kn_error *err) {
    ERR_clear_error();
    kn_status status = KN_OK;
    SSL_CTX *tls = *out = SSL_CTX_new(TLS_server_method());
    if (!tls) return kni_no_memory(err, "starting TLS");
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_cipher_list(tls, "ECDHE+AESGCM:ECDHE+CHACHA20"); /* of TLS 1.2 */
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(tls, choose_protocol, NULL);
    SSL_CTX_set_default_passwd_cb(tls, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(tls, certificate) != 1)
        status = fail_tls(err, "the certificate", certificate);
    else if (SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
        status = fail_tls(err, "the key (PEM, without a passphrase)", key);
    else if (SSL_CTX_check_private_key(tls) != 1)
        status = fail_tls(err, "the key, which is another certificate's,", key);
    if (!status) return KN_OK;
    SSL_CTX_free(tls);
    *out = NULL;
    return status;
}

/* ---- bytes ---- */

/* What a call of TLS that did not succeed means: true, it is to be tried again. */
static bool tries_again(kni_pump *p, int result) {
    int why = SSL_get_error(p->tls, result);
    if (why == SSL_ERROR_WANT_WRITE) p->client_wants_out = true;
    if (why == SSL_ERROR_ZERO_RETURN) p->client_ended = true;
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ||
           why == SSL_ERROR_ZERO_RETURN;
}

static bool would_wait(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

/* From the client to the Hub; false: the connection is at its end. */
static bool carry_up(kni_pump *p, bool *moved) {
    if (!p->up && !p->client_ended) {
        ERR_clear_error();
        int got = SSL_read(p->tls, p->up_bytes, PIECE);
        if (got <= 0 && !tries_again(p, got)) return false;
        if (got > 0) p->up = (size_t)got;
        if (p->client_ended) shutdown(p->pair, SHUT_WR);
        *moved = *moved || got > 0 || p->client_ended;
    }
    if (!p->up) return true;
    ssize_t sent = send(p->pair, p->up_bytes + p->up_sent, p->up - p->up_sent, MSG_NOSIGNAL);
    if (sent < 0) return would_wait();
    p->up_sent += (size_t)sent;
    if (p->up_sent == p->up) p->up = p->up_sent = 0;
    *moved = true;
    return true;
}

/* From the Hub to the client; false: the connection is at its end. */
static bool carry_down(kni_pump *p, bool *moved) {
    if (!p->down && !p->hub_ended) {
        ssize_t got = recv(p->pair, p->down_bytes, PIECE, 0);
        if (got < 0 && !would_wait()) return false;
        if (got > 0) p->down = (size_t)got;
        p->hub_ended = got == 0;
    }
    if (!p->down) return !p->hub_ended;
    ERR_clear_error();
    int sent = SSL_write(p->tls, p->down_bytes + p->down_sent, (int)(p->down - p->down_sent));
    if (sent <= 0) return tries_again(p, sent) && !p->client_ended;
    p->sent += sent;
    p->down_sent += (size_t)sent;
    if (p->down_sent == p->down) p->down = p->down_sent = 0;
    *moved = true;
    return true;
}

/* Waits for something to do. A side that nothing is wanted of is left out: its end would be told
 * again and again. */
static void wait_for_more(kni_pump *p) {
    short client = p->client_ended ? 0 : POLLIN, pair = 0;
    if (p->up) client = 0; /* there is no room for more */
    if (p->client_wants_out || p->down) client |= POLLOUT;
    if (!p->down && !p->hub_ended) pair |= POLLIN;
    if (p->up) pair |= POLLOUT;
    if (!p->down) p->pace = (kni_pace){kni_clock_ms(), p->sent};
    struct pollfd watch[2] = {{.fd = client ? p->client : -1, .events = client},
                              {.fd = pair ? p->pair : -1, .events = pair}};
    poll(watch, 2, LOOK_MS);
    p->client_wants_out = false;
}

static bool shake_hands(kni_pump *p) {
    int64_t until = kni_clock_ms() + HANDSHAKE_MS;
    for (;;) {
        ERR_clear_error();
        int result = SSL_accept(p->tls);
        if (result == 1) return true;
        if (!tries_again(p, result) || p->client_ended || kni_clock_ms() >= until) return false;
        struct pollfd watch = {.fd = p->client, .events = p->client_wants_out ? POLLOUT : POLLIN};
        p->client_wants_out = false;
        poll(&watch, 1, LOOK_MS);
    }
}

static bool is_slow(kni_pump *p) {
    return p->down && kni_pace_is_slow(&p->pace, kni_clock_ms(), p->sent, p->server->timeout_s);
}

static void carry(kni_pump *p) {
    for (;;) {
        bool moved = false;
        if (!carry_up(p, &moved) || !carry_down(p, &moved) || is_slow(p)) break;
        if (!moved) wait_for_more(p);
    }
    if (p->hub_ended) SSL_shutdown(p->tls);
}

/* ---- the threads ---- */

static void pump_free(kni_pump *p) {
    SSL_free(p->tls);
    if (p->client >= 0) close(p->client);
    if (p->pair >= 0) close(p->pair);
    kni_free(p->server->alloc, p);
}

static void pump_forget(kni_pump *p) {
    kn_server *server = p->server;
    pthread_mutex_lock(&server->lock);
    *p->at = p->next;
    if (p->next) p->next->at = p->at;
    pump_free(p);
    server->pump_count--;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static void *run_pump(void *context) {
    kni_pump *p = context;
    if (shake_hands(p)) carry(p);
    pump_forget(p);
    return NULL;
}

static bool pump_enter(kni_pump *p) {
    kn_server *server = p->server;
    pthread_mutex_lock(&server->lock);
    bool fits = server->pump_count < (size_t)server->max_connections && !server->stopping;
    if (fits) {
        server->pump_count++;
        p->next = server->pumps;
        p->at = &server->pumps;
        if (p->next) p->next->at = &p->next;
        server->pumps = p;
    }
    pthread_mutex_unlock(&server->lock);
    return fits;
}

static bool start_thread(kni_pump *p) {
    pthread_t thread;
    pthread_attr_t about;
    if (pthread_attr_init(&about)) return false;
    pthread_attr_setstacksize(&about, STACK_BYTES);
    pthread_attr_setdetachstate(&about, PTHREAD_CREATE_DETACHED);
    bool started = pthread_create(&thread, &about, run_pump, p) == 0;
    pthread_attr_destroy(&about);
    return started;
}

/* The Hub's end of a pair; -1: it could not be made, or there are too many from that address. */
static int connect_to_hub(kn_server *server, const struct sockaddr *address, socklen_t length) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)) return -1;
    if (MHD_add_connection(server->daemon, pair[1], address, length) == MHD_YES) return pair[0];
    close(pair[0]); /* the other one is closed */
    return -1;
}

void kni_pump_start(kn_server *server, int client, const struct sockaddr *address,
                    socklen_t length) {
    kni_pump *p = kni_new(server->alloc, sizeof *p);
    if (!p) {
        close(client);
        return;
    }
    p->server = server;
    p->client = client;
    p->pair = -1;
    p->tls = SSL_new(server->tls);
    if (!p->tls || !SSL_set_fd(p->tls, client) || !pump_enter(p)) {
        pump_free(p);
        return;
    }
    p->pair = connect_to_hub(server, address, length);
    if (p->pair < 0 || !start_thread(p)) pump_forget(p);
}

void kni_pumps_cut(kn_server *server) {
    for (const kni_pump *at = server->pumps; at; at = at->next) shutdown(at->client, SHUT_RDWR);
}
