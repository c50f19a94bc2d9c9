/* SPDX-License-Identifier: Apache-2.0 */
/* kn_transport over libcurl's multi interface. Transfers wait in a queue of our own until their
 * host has room: libcurl counts the time in its queue as time to connect, and it starts nothing
 * while it is in a callback. */
#include <curl/curl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "net/ca_files.h"
#include "net/net_parts.h"
#include "os/files.h"
#include "os/fork.h"

#define CONNECT_TIMEOUT_MS 10000L
#define RECEIVE_BUFFER (512L << 10)
#define HEAD_MAX ((size_t)256 << 10) /* bytes of a response's head */
#define HEADERS_MAX 512
#define STREAMS_MAX 100 /* at once over a connection that carries many */

/* scheme://host:port */
typedef struct origin {
    char *text;
    int running;
    bool multiplexed; /* it has answered with HTTP/2 */
} origin;

typedef struct client client;

typedef struct transfer {
    client *owner;
    struct transfer *next;
    kn_http_request request;
    size_t origin;
    CURL *easy; /* NULL: in the queue, or stopped before it left it */
    struct curl_slist *headers;
    char *ca_file, *ca_folder; /* NULL: none */
    bool stopped;              /* by `stop`: its callbacks are called no more */
    bool refused;              /* a callback returned false */
    bool too_long;
    bool head_done;
    kni_text head; /* names and values, a NUL behind each */
    size_t offsets[2 * HEADERS_MAX];
    size_t header_count;
    char message[CURL_ERROR_SIZE];
} transfer;

struct client {
    const kn_alloc *alloc;
    CURLM *multi;
    char *certifi; /* where its file would be */
    int max_connections;
    bool no_memory;
    origin *origins;
    size_t origin_count, origin_capacity;
    transfer *first, **last; /* all, in the order of their start */
};

/* ---- origins ---- */

static size_t origin_length(const char *url) {
    const char *host = strstr(url, "://");
    if (!host) return strlen(url);
    host += 3;
    return (size_t)(host - url) + strcspn(host, "/?#");
}

static bool is_https(const char *url) { return strncmp(url, "https:", 6) == 0; }

static bool find_origin(client *own, const char *url, size_t *out) {
    size_t length = origin_length(url);
    for (*out = 0; *out < own->origin_count; ++*out) {
        const char *text = own->origins[*out].text;
        if (strncmp(text, url, length) == 0 && !text[length]) return true;
    }
    if (!kni_reserve(own->alloc, &own->origins, &own->origin_capacity, own->origin_count + 1,
                     sizeof *own->origins)) {
        return false;
    }
    char *text = kni_text_copy_n(own->alloc, url, length);
    if (text) own->origins[own->origin_count++] = (origin){.text = text};
    return text != NULL;
}

static bool has_room(const client *own, const origin *host) {
    return host->running < (host->multiplexed ? STREAMS_MAX : own->max_connections);
}

/* ---- a response ---- */

static bool add_header(transfer *one, const char *line, size_t length) {
    const char *colon = memchr(line, ':', length);
    if (!colon || colon == line) return true; /* no header: passed over, as libcurl does */
    if (one->header_count == HEADERS_MAX || one->head.length + length > HEAD_MAX) {
        one->too_long = true;
        return false;
    }
    const char *value = colon + 1, *end = line + length;
    while (value < end && (*value == ' ' || *value == '\t')) value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;

    size_t name = one->head.length, name_length = (size_t)(colon - line);
    kni_text_add_n(&one->head, line, name_length);
    kni_text_add_n(&one->head, "", 1);
    one->offsets[2 * one->header_count] = name;
    one->offsets[2 * one->header_count + 1] = one->head.length;
    kni_text_add_n(&one->head, value, (size_t)(end - value));
    kni_text_add_n(&one->head, "", 1);
    if (one->head.failed) {
        one->owner->no_memory = true;
        return false;
    }
    for (char *at = one->head.bytes + name; *at; at++) {
        if (*at >= 'A' && *at <= 'Z') *at = (char)(*at - 'A' + 'a');
    }
    one->header_count++;
    return true;
}

static bool report_head(transfer *one, int status) {
    kn_http_header headers[HEADERS_MAX];
    for (size_t i = 0; i < one->header_count; i++) {
        headers[i].name = one->head.bytes + one->offsets[2 * i];
        headers[i].value = one->head.bytes + one->offsets[2 * i + 1];
    }
    one->head_done = true;
    one->refused = !one->request.on_head(one->request.token, status, headers, one->header_count);
    return !one->refused;
}

/* libcurl gives the head line by line, status lines and the empty one at the end included; what
 * comes behind the body looks the same. */
static size_t on_header(char *bytes, size_t size, size_t count, void *ctx) {
    transfer *one = ctx;
    size_t all = size * count, length = all;
    if (one->stopped) return 0;
    if (one->head_done) return all;
    while (length && (bytes[length - 1] == '\r' || bytes[length - 1] == '\n')) length--;

    bool go_on = true;
    if (length >= 5 && memcmp(bytes, "HTTP/", 5) == 0) {
        one->header_count = one->head.length = 0;
    } else if (length) {
        if (*bytes != ' ' && *bytes != '\t') go_on = add_header(one, bytes, length);
    } else {
        long status = 0;
        curl_easy_getinfo(one->easy, CURLINFO_RESPONSE_CODE, &status);
        if (status >= 200) go_on = report_head(one, (int)status);
    }
    return go_on ? all : 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx) {
    transfer *one = ctx;
    size_t length = size * count;
    if (one->stopped) return CURL_WRITEFUNC_ERROR;
    if (!length) return 0;
    one->refused = !one->request.on_body(one->request.token, bytes, length);
    return one->refused ? CURL_WRITEFUNC_ERROR : length;
}

/* ---- sockets: those of this process are closed in a child ---- */

static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)ctx;
    (void)purpose;
    kni_fork_block();
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd >= 0 && !kni_fork_own(fd)) {
        close(fd);
        fd = -1;
    }
    kni_fork_unblock();
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int close_socket(void *ctx, curl_socket_t fd) {
    (void)ctx;
    kni_fork_close(fd);
    return 0;
}

/* ---- a transfer's life ---- */

static void transfer_free(transfer *one) {
    if (one->easy) curl_easy_cleanup(one->easy);
    curl_slist_free_all(one->headers);
    kni_text_clear(&one->head);
    kni_free(one->owner->alloc, one->ca_file);
    kni_free(one->owner->alloc, one->ca_folder);
    kni_free(one->owner->alloc, one);
}

/* Takes it out of the list and off its host. */
static void detach(client *own, transfer *one) {
    transfer **at = &own->first;
    while (*at && *at != one) at = &(*at)->next;
    if (!*at) return;
    *at = one->next;
    if (own->last == &one->next) own->last = at;
    if (one->easy) {
        curl_multi_remove_handle(own->multi, one->easy);
        own->origins[one->origin].running--;
    }
}

static bool copy_headers(transfer *one) {
    for (size_t i = 0; i < one->request.header_count; i++) {
        struct curl_slist *longer = curl_slist_append(one->headers, one->request.headers[i]);
        if (!longer) return false;
        one->headers = longer;
    }
    return true;
}

/* What the server is checked by. Where there is nothing, only HTTPS fails for it. */
static kn_status copy_certificates(transfer *one, kn_error *err) {
    const kn_alloc *alloc = one->owner->alloc;
    kni_ca ca;
    bool needed = is_https(one->request.url);
    kn_status status = kni_ca_find(one->owner->certifi, &ca, needed ? err : NULL);
    if (status && needed) return status;
    one->ca_file = kni_text_copy(alloc, ca.file);
    one->ca_folder = kni_text_copy(alloc, ca.folder);
    if ((ca.file && !one->ca_file) || (ca.folder && !one->ca_folder))
        return kni_no_memory(err, "starting a request");
    return KN_OK;
}

#define SET(option, value)                                         \
    do {                                                           \
        CURLcode set_code = curl_easy_setopt(easy, option, value); \
        if (set_code) return set_code;                             \
    } while (0)

static CURLcode set_options(transfer *one, CURL *easy) {
    SET(CURLOPT_URL, one->request.url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTPHEADER, one->headers);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    /* Over TLS the first connection may turn out to carry all; without, it never does. */
    SET(CURLOPT_PIPEWAIT, is_https(one->request.url) ? 1L : 0L);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
    SET(CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    SET(CURLOPT_ERRORBUFFER, one->message);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, one);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, one);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    SET(CURLOPT_PRIVATE, one);
    SET(CURLOPT_CAINFO, one->ca_file);
    SET(CURLOPT_CAPATH, one->ca_folder);
    SET(CURLOPT_PROXY_CAINFO, one->ca_file);
    SET(CURLOPT_PROXY_CAPATH, one->ca_folder);
    return CURLE_OK;
}
#undef SET

/* Hands a transfer to libcurl; false: no memory, or what comes to the same. */
static bool launch(client *own, transfer *one) {
    CURL *easy = curl_easy_init();
    if (!easy) return false;
    if (set_options(one, easy) || curl_multi_add_handle(own->multi, easy)) {
        curl_easy_cleanup(easy);
        return false;
    }
    one->easy = easy;
    own->origins[one->origin].running++;
    return true;
}

static bool launch_all(client *own) {
    for (transfer *one = own->first; one; one = one->next) {
        if (one->easy || one->stopped || !has_room(own, &own->origins[one->origin])) continue;
        if (!launch(own, one)) return false;
    }
    return true;
}

static void sweep_stopped(client *own) {
    for (transfer *one = own->first, *next; one; one = next) {
        next = one->next;
        if (!one->stopped) continue;
        detach(own, one);
        transfer_free(one);
    }
}

/* ---- the end of a transfer ---- */

/* A connection that ends within the handshake is an accident like any other. */
static bool is_reset(const char *message) {
    return strstr(message, "SSL_ERROR_SYSCALL") || strstr(message, "reset by peer");
}

static kn_http_failure failure_of(const transfer *one, CURLcode code) {
    if (one->refused) return KN_HTTP_STOPPED;
    switch (code) {
    case CURLE_OK:
        return KN_HTTP_DONE;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return KN_HTTP_RESOLVE;
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT: /* there is no limit but the one for connecting */
    case CURLE_PROXY:
        return KN_HTTP_CONNECT;
    case CURLE_SSL_CONNECT_ERROR:
        return is_reset(one->message) ? KN_HTTP_BROKEN : KN_HTTP_SECURITY;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_CLIENTCERT:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_USE_SSL_FAILED:
        return KN_HTTP_SECURITY;
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return KN_HTTP_BROKEN;
    default:
        return KN_HTTP_FAILED;
    }
}

static void finish(client *own, transfer *one, CURLcode code) {
    long status = 0, version = 0;
    curl_easy_getinfo(one->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(one->easy, CURLINFO_HTTP_VERSION, &version);
    if (status) own->origins[one->origin].multiplexed = version == CURL_HTTP_VERSION_2_0;
    if (code == CURLE_OUT_OF_MEMORY) own->no_memory = true;
    detach(own, one);
    if (!one->stopped) {
        kn_http_result result = {
            .size = sizeof result,
            .failure = failure_of(one, code),
            .status = one->head_done ? (int)status : 0,
            .message = one->too_long     ? "the head of the response is too long"
                       : one->message[0] ? one->message
                                         : curl_easy_strerror(code),
        };
        one->request.on_done(one->request.token, &result);
    }
    transfer_free(one);
}

static void finish_all(client *own) {
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(own->multi, &left));) {
        if (message->msg != CURLMSG_DONE) continue;
        CURLcode code = message->data.result; /* the message goes with its handle */
        char *one = NULL;
        if (!curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &one)) {
            finish(own, (transfer *)(void *)one, code);
        }
    }
}

/* ---- the transport ---- */

static kn_status client_start(void *ctx, const kn_http_request *request, kn_error *err) {
    client *own = ctx;
    transfer *one = kni_new(own->alloc, sizeof *one);
    if (!one) return kni_no_memory(err, "starting a request");
    one->owner = own;
    one->request = *request;
    kni_text_init(&one->head, own->alloc);
    kn_status status = copy_certificates(one, err);
    if (status) {
        transfer_free(one);
        return status;
    }
    if (!copy_headers(one) || !find_origin(own, request->url, &one->origin)) {
        transfer_free(one);
        return kni_no_memory(err, "starting a request");
    }
    *own->last = one;
    own->last = &one->next;
    return KN_OK;
}

static kn_status client_poll(void *ctx, int timeout_ms, kn_error *err) {
    client *own = ctx;
    sweep_stopped(own);
    if (!launch_all(own)) return kni_no_memory(err, "starting a request");
    int running = 0;
    CURLMcode code = curl_multi_poll(own->multi, NULL, 0, timeout_ms, NULL);
    if (!code) code = curl_multi_perform(own->multi, &running);
    finish_all(own);
    sweep_stopped(own);
    if (own->no_memory || code == CURLM_OUT_OF_MEMORY) {
        own->no_memory = false;
        return kni_no_memory(err, "receiving a response");
    }
    if (code) {
        return kni_fail(err, KN_ERR_NETWORK, "libcurl cannot go on: %s", curl_multi_strerror(code));
    }
    return KN_OK;
}

/* It may be called from within libcurl, which removes nothing then: `poll` does. */
static void client_stop(void *ctx, void *token) {
    client *own = ctx;
    for (transfer *one = own->first; one; one = one->next) {
        if (one->request.token == token) one->stopped = true;
    }
}

static void client_free(void *ctx) {
    client *own = ctx;
    while (own->first) {
        transfer *one = own->first;
        detach(own, one);
        transfer_free(one);
    }
    if (own->multi) curl_multi_cleanup(own->multi);
    for (size_t i = 0; i < own->origin_count; i++) kni_free(own->alloc, own->origins[i].text);
    kni_free(own->alloc, own->origins);
    kni_free(own->alloc, own->certifi);
    kni_free(own->alloc, own);
    curl_global_cleanup();
}

static bool open_multi(client *own) {
    own->multi = curl_multi_init();
    return own->multi &&
           !curl_multi_setopt(own->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX) &&
           !curl_multi_setopt(own->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
                              (long)own->max_connections) &&
           !curl_multi_setopt(own->multi, CURLMOPT_MAXCONNECTS, 2L * own->max_connections);
}

kn_status kni_curl_transport_new(const kn_alloc *alloc, int max_connections, kn_transport *out,
                                 kn_error *err) {
    *out = (kn_transport){0};
    alloc = kni_alloc_or_default(alloc);
    const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);
    if (!(curl->features & CURL_VERSION_THREADSAFE)) {
        return kni_fail(err, KN_ERR_UNSUPPORTED,
                        "libcurl %s cannot be initialized by several threads: 7.85 or newer, built "
                        "thread-safe, is needed",
                        curl->version);
    }
    client *own = kni_new(alloc, sizeof *own);
    if (!own) return kni_no_memory(err, "preparing the network");
    if (curl_global_init(CURL_GLOBAL_DEFAULT)) {
        kni_free(alloc, own);
        return kni_fail(err, KN_ERR_RUNTIME, "libcurl %s cannot be initialized", curl->version);
    }
    own->alloc = alloc;
    own->max_connections = max_connections > 0 ? max_connections : 1;
    own->last = &own->first;
    kn_status status = kni_ca_certifi(alloc, &own->certifi, err);
    if (!status && !open_multi(own)) status = kni_no_memory(err, "preparing the network");
    if (status) {
        client_free(own);
        return status;
    }
    *out = (kn_transport){sizeof *out, own, client_start, client_poll, client_stop, client_free};
    return KN_OK;
}
