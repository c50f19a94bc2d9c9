/* SPDX-License-Identifier: Apache-2.0 */
/* The transport of the Hub in memory: requests wait until `poll`, which serves the oldest one. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "support/memory_answer.h"
#include "support/unit.h"

/* ---- an answer ---- */

void hub_answer_header(hub_answer *answer, const char *name, const char *value) {
    assert_true(answer->header_count < sizeof answer->headers / sizeof *answer->headers);
    char *copy = strdup(value);
    assert_non_null(copy);
    answer->headers[answer->header_count++] = (kn_http_header){name, copy};
}

void hub_answer_bytes(hub_answer *answer, const void *bytes, size_t length) {
    answer->body = realloc(answer->body, answer->length + length + 1);
    assert_non_null(answer->body);
    memcpy(answer->body + answer->length, bytes, length);
    answer->length += length;
}

void hub_answer_text(hub_answer *answer, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert_true(length >= 0 && (size_t)length < sizeof text);
    hub_answer_bytes(answer, text, (size_t)length);
}

void hub_answer_clear(hub_answer *answer) {
    for (size_t i = 0; i < answer->header_count; i++)
        free((char *)(uintptr_t)answer->headers[i].value);
    free(answer->body);
}

/* ---- requests ---- */

typedef struct waiting {
    kn_http_request request;
    int64_t from; /* the first byte that is asked for */
    hub_fault fault;
} waiting;

typedef struct transport {
    memory_hub *hub;
    waiting queue[256];
    size_t count;
    void *current; /* the token that is served; NULL: it was stopped */
    bool is_broken;
} transport;

static const char *header_of(const kn_http_request *request, const char *name) {
    for (size_t i = 0; i < request->header_count; i++) {
        size_t length = strlen(name);
        if (strncmp(request->headers[i], name, length) == 0) return request->headers[i] + length;
    }
    return NULL;
}

/* Notes the request; the fault that is meant for it. */
static hub_fault note(memory_hub *hub, const kn_http_request *request) {
    hub_fault fault = HUB_FAULT_NONE;
    const char *path = request->url;
    size_t endpoint = strlen(HUB_ENDPOINT);
    bool is_own = strncmp(path, HUB_ENDPOINT, endpoint) == 0;
    if (is_own) path += endpoint;
    pthread_mutex_lock(&hub->lock);
    assert_true(hub->count < sizeof hub->asked / sizeof *hub->asked);
    snprintf(hub->asked[hub->count++], sizeof hub->asked[0], "%s", path);
    if (!is_own && header_of(request, "Authorization: ")) hub->told_store = true;
    if (hub->fault && (!hub->fault_on || strstr(path, hub->fault_on))) {
        size_t number = ++hub->fault_seen;
        bool hits = number >= hub->fault_at && number - hub->fault_at < hub->fault_many;
        if (hits) {
            hub->faults++;
            fault = hub->fault;
        }
    }
    pthread_mutex_unlock(&hub->lock);
    return fault;
}

static kn_status fail_with(kn_error *err, const char *message) {
    if (err) {
        err->status = KN_ERR_NETWORK;
        snprintf(err->message, sizeof err->message, "%s", message);
    }
    return KN_ERR_NETWORK;
}

static kn_status start(void *ctx, const kn_http_request *request, kn_error *err) {
    transport *t = ctx;
    assert_string_equal(header_of(request, "Accept-Encoding: "), "identity");
    hub_fault fault = note(t->hub, request);
    if (fault == HUB_FAULT_NO_START) return fail_with(err, "the transport takes no request");
    if (fault == HUB_FAULT_NO_POLL) t->is_broken = true;
    const char *range = header_of(request, "Range: bytes=");
    assert_true(t->count < sizeof t->queue / sizeof *t->queue);
    t->queue[t->count++] = (waiting){*request, range ? strtoll(range, NULL, 10) : 0, fault};
    return KN_OK;
}

static void stop(void *ctx, void *token) {
    transport *t = ctx;
    if (t->current == token) t->current = NULL;
    for (size_t i = 0; i < t->count; i++) {
        if (t->queue[i].request.token != token) continue;
        memmove(&t->queue[i], &t->queue[i + 1], (t->count - i - 1) * sizeof *t->queue);
        t->count--;
        return;
    }
}

/* The oldest request that is answered at all. */
static bool take_next(transport *t, waiting *out) {
    size_t at = 0;
    while (at < t->count && t->queue[at].fault == HUB_FAULT_SILENT) at++;
    if (at == t->count) return false;
    *out = t->queue[at];
    memmove(&t->queue[at], &t->queue[at + 1], (t->count - at - 1) * sizeof *t->queue);
    t->count--;
    return true;
}

static void make_answer(transport *t, const waiting *w, hub_answer *answer) {
    if (w->fault == HUB_FAULT_STATUS) {
        answer->status = t->hub->fault_status;
        return;
    }
    pthread_mutex_lock(&t->hub->lock);
    memory_hub_answer(t->hub, w->request.url, answer);
    pthread_mutex_unlock(&t->hub->lock);
    if (w->fault == HUB_FAULT_GARBAGE) {
        answer->status = 200;
        for (size_t i = 0; i < answer->length; i++) answer->body[i] = (char)('!' + i % 7);
        if (!answer->length) hub_answer_bytes(answer, "!", 1);
    }
    if (w->from && answer->status == 200) {
        char range[64];
        assert_true((size_t)w->from <= answer->length);
        answer->status = w->from == (int64_t)answer->length ? 416 : 206;
        snprintf(range, sizeof range, "bytes %lld-%zu/%zu", (long long)w->from, answer->length - 1,
                 answer->length);
        hub_answer_header(answer, "content-range", range);
        answer->length -= (size_t)w->from;
        memmove(answer->body, answer->body + w->from, answer->length);
    }
}

/* Hands the answer over in two pieces, or no more than the first. */
static kn_http_failure send_answer(transport *t, const waiting *w, const hub_answer *answer) {
    const kn_http_request *request = &w->request;
    size_t half = answer->length / 2;
    if (!request->on_head(request->token, answer->status, answer->headers, answer->header_count))
        return KN_HTTP_STOPPED;
    if (half && t->current && !request->on_body(request->token, answer->body, half))
        return KN_HTTP_STOPPED;
    if (w->fault == HUB_FAULT_BROKEN) return KN_HTTP_BROKEN;
    size_t rest = answer->length - half;
    if (rest && t->current && !request->on_body(request->token, answer->body + half, rest))
        return KN_HTTP_STOPPED;
    return KN_HTTP_DONE;
}

static void serve(transport *t, const waiting *w) {
    hub_answer answer = {.status = 0};
    kn_http_result result = {.size = sizeof result, .message = "as the test wants it"};
    t->current = w->request.token;
    if (w->fault == HUB_FAULT_REFUSED) {
        result.failure = KN_HTTP_CONNECT;
    } else {
        make_answer(t, w, &answer);
        result.status = answer.status;
        result.failure = send_answer(t, w, &answer);
    }
    if (t->current) w->request.on_done(w->request.token, &result);
    t->current = NULL;
    hub_answer_clear(&answer);
}

static void wait_for(int64_t ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

/* Whatever waits is served, as if all had been sent side by side. */
static kn_status poll_transport(void *ctx, int timeout_ms, kn_error *err) {
    transport *t = ctx;
    if (t->is_broken) return fail_with(err, "the transport is out of order");
    size_t rounds = t->count;
    waiting next;
    if (!take_next(t, &next)) {
        wait_for(timeout_ms);
        return KN_OK;
    }
    if (t->hub->latency_ms) wait_for(t->hub->latency_ms);
    serve(t, &next);
    while (--rounds && take_next(t, &next)) serve(t, &next);
    return KN_OK;
}

static void free_transport(void *ctx) { free(ctx); }

kn_status memory_hub_transport(void *ctx, kn_transport *out, kn_error *err) {
    (void)err;
    transport *t = calloc(1, sizeof *t);
    assert_non_null(t);
    t->hub = ctx;
    *out = (kn_transport){sizeof *out, t, start, poll_transport, stop, free_transport};
    return KN_OK;
}
