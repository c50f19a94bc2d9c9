/* SPDX-License-Identifier: Apache-2.0 */
/* From a request's line to who answers it. */
#include <stdlib.h>
#include <string.h>

#include "testhub.h"

void *request_begin(void *context, const char *uri, struct MHD_Connection *connection) {
    exchange *request = must(calloc(1, sizeof *request));
    (void)context;
    request->connection = connection;
    request->uri = text_copy(uri);
    return request;
}

static void request_free(exchange *request) {
    json_decref(request->fault);
    free(request->uri);
    free(request->path);
    free(request->query);
    free(request->base);
    free(request->token);
    free(request->upload);
    free(request);
}

void request_end(void *context, struct MHD_Connection *connection, void **state,
                 enum MHD_RequestTerminationCode how) {
    testhub *hub = context;
    exchange *request = *state;

    (void)connection;
    if (!request) return;
    if (request->record) {
        if (request->sent_by_kernel && !request->head) {
            bool whole = how == MHD_REQUEST_TERMINATED_COMPLETED_OK;
            request->record->bytes =
                whole ? request->body_length
                      : connection_sent(request->link->fd) - request->sent_before;
        }
        log_end(hub, request->record);
    }
    request_free(request);
    *state = NULL;
}

static const char *header_of(const exchange *request, const char *name) {
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

/* Whom a request is for: an absolute address comes to a proxy and may mean either origin. */
static void read_target(testhub *hub, exchange *request) {
    const char *at = request->uri, *host = header_of(request, MHD_HTTP_HEADER_HOST);
    char *authority = NULL;

    request->origin = request->link->origin;
    if (strncmp(at, "http://", 7) == 0) {
        size_t length = strcspn(at + 7, "/?");
        char *cdn = text_format(":%d", hub->listeners[ORIGIN_CDN].port);
        authority = must(strndup(at + 7, length));
        size_t suffix = strlen(cdn);
        bool is_cdn = length >= suffix && strcmp(authority + length - suffix, cdn) == 0;
        request->origin = is_cdn ? ORIGIN_CDN : ORIGIN_HUB;
        request->proxied = true;
        at += 7 + length;
        free(cdn);
    }
    size_t length = strcspn(at, "?");
    request->path = must(strndup(at, length));
    request->query = text_copy(at[length] ? at + length + 1 : "");
    request->base = text_format("http://%s", authority ? authority : host ? host : "localhost");
    free(authority);

    const char *authorization = header_of(request, MHD_HTTP_HEADER_AUTHORIZATION);
    if (authorization && strncmp(authorization, "Bearer ", 7) == 0) {
        request->token = text_copy(authorization + 7);
    }
}

static void add_usual_headers(const exchange *request, reply *out) {
    reply_header(out, "X-Request-Id", "Root=1-%08x-%u", request->link->number,
                 (unsigned)(request->record ? request->record->time : 0));
    if (request->set.rate_limit_headers && request->origin == ORIGIN_HUB) {
        reply_header(out, "RateLimit", "\"%s\";r=4999;t=100",
                     strncmp(request->path, "/api/", 5) == 0 ? "api" : "resolvers");
        reply_header(out, "RateLimit-Policy", "\"fixed window\";\"api\";q=5000;w=300");
    }
}

static enum MHD_Result answer(testhub *hub, exchange *request, const char *method) {
    reply out;
    bool closed = false;

    request->set = hub_settings(hub);
    request->head = strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    read_target(hub, request);
    if (strncmp(request->path, "/_control", 9) == 0) {
        request->set.bandwidth = 0;
        control_answer(hub, request, &out);
        return reply_send(hub, request, &out);
    }
    request->record = log_begin(hub, request, method);
    clock_sleep((double)request->set.latency_ms / 1000);
    request->fault = fault_take(hub, request);
    if (request->fault && fault_reply(hub, request, &out, &closed)) {
        if (closed) return MHD_NO;
    } else {
        if (request->origin == ORIGIN_CDN)
            answer_cdn(hub, request, method, &out);
        else
            answer_hub(hub, request, method, &out);
        add_usual_headers(request, &out);
        if (fault_is(request, "headers")) fault_headers(request, &out);
    }
    return reply_send(hub, request, &out);
}

enum MHD_Result request_come(void *context, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *upload,
                             size_t *upload_length, void **state) {
    testhub *hub = context;
    exchange *request = *state;

    (void)url;
    (void)version;
    if (!request->started) {
        request->started = true;
        request->link =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
        return MHD_YES;
    }
    if (*upload_length > 0) {
        request->upload = must(realloc(request->upload, request->upload_length + *upload_length));
        memcpy(request->upload + request->upload_length, upload, *upload_length);
        request->upload_length += *upload_length;
        *upload_length = 0;
        return MHD_YES;
    }
    return answer(hub, request, method);
}

/* Addresses stay escaped: "refs%2Fpr%2F1" is one part of a path. */
size_t request_leave_escaped(void *context, struct MHD_Connection *connection, char *text) {
    (void)context;
    (void)connection;
    return strlen(text);
}
