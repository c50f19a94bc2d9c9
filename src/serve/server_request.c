/* SPDX-License-Identifier: Apache-2.0 */
/* A request: what came, what is answered, and the line in the log. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "serve/server.h"

#define PAGE_SIZE 1000
#define LFS_THRESHOLD ((int64_t)10 << 20)
#define SMALL_FILE ((int64_t)32 * 1024) /* sent with its head in one piece */
#define HEADERS_MAX 64
#define HOST_MAX 255

typedef struct exchange {
    kni_scratch scratch;
    const char *target, *method;
    kni_link *link;
    bool started;
    int status;
    int64_t bytes, began_us;
} exchange;

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void *kni_request_begin(void *context, const char *target, struct MHD_Connection *connection) {
    const kn_server *server = context;
    exchange *request = kni_new(server->alloc, sizeof *request);
    (void)connection;
    if (!request) return NULL;
    kni_scratch_init(&request->scratch, server->alloc);
    request->target = kni_scratch_copy(&request->scratch, target, strlen(target));
    request->method = "";
    request->began_us = now_us();
    return request;
}

static const char *header_of(struct MHD_Connection *connection, const char *name) {
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static void tell(const kn_server *server, struct MHD_Connection *connection,
                 const exchange *request, bool cut) {
    const kn_served line = {
        .size = sizeof line,
        .address = request->link->address,
        .method = request->method,
        .target = request->target,
        .user_agent = header_of(connection, MHD_HTTP_HEADER_USER_AGENT),
        .status = request->status,
        .bytes = request->bytes,
        .microseconds = now_us() - request->began_us,
        .cut = cut,
    };
    server->log(server->log_ctx, &line);
}

void kni_request_end(void *context, struct MHD_Connection *connection, void **state,
                     enum MHD_RequestTerminationCode how) {
    kn_server *server = context;
    exchange *request = *state;
    *state = NULL;
    if (!request) return;
    if (request->link && request->status) {
        if (server->log)
            tell(server, connection, request, how != MHD_REQUEST_TERMINATED_COMPLETED_OK);
        kni_link_set(server, request->link, KNI_LINK_WAITING);
    }
    kni_scratch_clear(&request->scratch);
    kni_free(server->alloc, request);
}

const char *kni_base_of_host(kni_scratch *scratch, const char *scheme, const char *host) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";
    size_t length = host ? strlen(host) : 0;
    if (!length || length > HOST_MAX || strspn(host, letters) != length) return NULL;
    return kni_scratch_format(scratch, "%s://%s", scheme, host);
}

static const char *base_of(const kn_server *server, exchange *request,
                           struct MHD_Connection *connection) {
    if (server->given_url) return server->given_url;
    const char *base = kni_base_of_host(&request->scratch, server->tls ? "https" : "http",
                                        header_of(connection, MHD_HTTP_HEADER_HOST));
    return base ? base : server->url;
}

static const char *bearer(struct MHD_Connection *connection) {
    const char *given = header_of(connection, MHD_HTTP_HEADER_AUTHORIZATION);
    return given && strncasecmp(given, "Bearer ", 7) == 0 ? given + 7 : NULL;
}

static kni_ask ask_of(kn_server *server, exchange *request, struct MHD_Connection *connection) {
    kni_ask ask = {
        .hub = &server->hub,
        .scratch = &request->scratch,
        .method = request->method,
        .target = request->target,
        .base = base_of(server, request, connection),
        .require_token = server->tokens.count > 0,
        .range = header_of(connection, MHD_HTTP_HEADER_RANGE),
        .if_range = header_of(connection, MHD_HTTP_HEADER_IF_RANGE),
        .page_size = PAGE_SIZE,
        .lfs_threshold = LFS_THRESHOLD,
    };
    /* Where nobody is known by a token, everybody is anonymous. */
    ask.token = server->tokens.count ? bearer(connection) : NULL;
    ask.token_is_valid = ask.token && kni_tokens_have(&server->tokens, ask.token);
    return ask;
}

/* A small file is read here; false: it has become shorter. */
static bool read_small(exchange *request, kni_reply *reply, struct MHD_Response **out) {
    size_t length = (size_t)reply->length, done = 0;
    char *bytes = kni_scratch_take(&request->scratch, length + 1);
    while (bytes && done < length) {
        ssize_t got =
            pread(reply->file, bytes + done, length - done, (off_t)(reply->offset + (int64_t)done));
        if (got <= 0) return false;
        done += (size_t)got;
    }
    *out = bytes ? MHD_create_response_from_buffer(length, bytes, MHD_RESPMEM_MUST_COPY) : NULL;
    return true;
}

static struct MHD_Response *body_of(exchange *request, kni_reply *reply) {
    struct MHD_Response *response = NULL;
    bool head = strcmp(request->method, MHD_HTTP_METHOD_HEAD) == 0;
    if (!head) request->bytes = reply->file >= 0 ? reply->length : (int64_t)reply->text.length;
    if (reply->file < 0)
        return MHD_create_response_from_buffer(reply->text.length, reply->text.bytes,
                                               MHD_RESPMEM_MUST_COPY);
    if (reply->length == 0 || (!head && reply->length <= SMALL_FILE))
        return read_small(request, reply, &response) ? response : NULL;
    response = MHD_create_response_from_fd_at_offset64((uint64_t)reply->length, reply->file,
                                                       (uint64_t)reply->offset);
    if (response) reply->file = -1; /* the response closes it */
    return response;
}

/* Clears the reply. */
static enum MHD_Result send_reply(kn_server *server, exchange *request,
                                  struct MHD_Connection *connection, kni_reply *reply, bool last) {
    struct MHD_Response *response = body_of(request, reply);
    enum MHD_Result result = MHD_NO;
    bool goes_on = kni_link_set(server, request->link, KNI_LINK_SENDING);
    request->status = reply->status;
    if (response) {
        for (size_t at = 0; at < reply->header_count; at++)
            MHD_add_response_header(response, reply->headers[at].name, reply->headers[at].value);
        MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
        if (last || !goes_on)
            MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
        result = MHD_queue_response(connection, (unsigned)reply->status, response);
        MHD_destroy_response(response);
    }
    kni_reply_clear(reply);
    return result;
}

/* The status and the sentence for what is refused unread; 0: nothing is. */
static int why_refused(struct MHD_Connection *connection, const exchange *request,
                       const char **sentence) {
    const char *length = header_of(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (header_of(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING) ||
        (length && strcmp(length, "0") != 0)) {
        *sentence = "This Hub is read-only: requests have no body";
        return 413;
    }
    if (MHD_get_connection_values(connection, MHD_HEADER_KIND, NULL, NULL) > HEADERS_MAX) {
        *sentence = "The request has too many headers";
        return 431;
    }
    if (request->target[0] != '/') {
        *sentence = "The address has to begin with a slash: this Hub is no proxy";
        return 400;
    }
    return 0;
}

static enum MHD_Result refuse(kn_server *server, exchange *request,
                              struct MHD_Connection *connection, int status, const char *sentence) {
    kni_reply reply = {.status = status, .file = -1};
    kni_text_init(&reply.text, server->alloc);
    kni_text_add(&reply.text, sentence);
    reply.headers[reply.header_count++] =
        (kni_header){MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8"};
    kni_link_set(server, request->link, KNI_LINK_ANSWERING);
    return send_reply(server, request, connection, &reply, true);
}

enum MHD_Result kni_request_come(void *context, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_length, void **state) {
    kn_server *server = context;
    exchange *request = *state;
    kni_reply reply;
    const char *sentence;
    (void)url;
    (void)version;
    (void)upload;
    if (!request || request->scratch.failed) return MHD_NO;
    if (!request->started) {
        request->started = true;
        request->link =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
        if (!request->link) return MHD_NO;
        request->method = kni_scratch_copy(&request->scratch, method, strlen(method));
        int status = why_refused(connection, request, &sentence);
        return status ? refuse(server, request, connection, status, sentence) : MHD_YES;
    }
    if (*upload_length > 0 || request->status) {
        *upload_length = 0; /* a body that was refused */
        return request->status ? MHD_YES : MHD_NO;
    }
    kni_link_set(server, request->link, KNI_LINK_ANSWERING);
    kni_ask ask = ask_of(server, request, connection);
    kni_hub_answer(&ask, &reply);
    return send_reply(server, request, connection, &reply, false);
}

/* Addresses stay escaped: "refs%2Fpr%2F1" is one part of a path. */
size_t kni_request_leave_escaped(void *context, struct MHD_Connection *connection, char *text) {
    (void)context;
    (void)connection;
    return strlen(text);
}
