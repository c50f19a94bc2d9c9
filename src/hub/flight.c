/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/flight.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "hub/endpoint.h"
#include "hub/response_head.h"
#include "hub/retry.h"

#define REDIRECTS_MAX 10
#define REFUSAL_MAX ((size_t)64 << 10) /* bytes of a body that is no success */
#define HEADER_TEXT_MAX 1024           /* of what is kept of an error's headers */

static const kn_alloc *memory(const kni_flight *flight) { return flight->session->alloc; }

static int64_t now(const kni_session *session) { return session->now_ms(session->ctx); }

/* The token of the server that the transfer asks: of those with its origin the one whose address
 * says most of it. NULL: none. */
static const char *token_of(const kni_flight *flight) {
    const kni_session *session = flight->session;
    const kni_origin *found = NULL;
    const char *url = flight->transfer->url;
    size_t longest = 0;
    for (size_t i = 0; i < session->origin_count; i++) {
        const kni_origin *origin = &session->origins[i];
        if (!kni_url_same_origin(origin->address, url)) continue;
        size_t length = strlen(origin->address);
        if (strncmp(url, origin->address, length) != 0 || url[length] != '/') length = 0;
        if (found && length <= longest) continue;
        longest = length;
        found = origin;
    }
    return found ? found->token : NULL;
}

/* Ends the transfer with the status that kni_fail or a sink has put into its error. False, so that
 * a callback can end with it. */
static bool end_with(kni_flight *flight, kn_status status) {
    flight->transfer->status = status;
    return false;
}

static bool end_without_memory(kni_flight *flight) {
    return end_with(flight, kni_no_memory(&flight->transfer->err, "talking to the Hub"));
}

/* Replaces *text by a copy of `value`, cut at `limit` bytes; false when memory ran out. */
static bool keep(const kni_flight *flight, char **text, const char *value, size_t limit) {
    kni_free(memory(flight), *text);
    *text = value ? kni_text_copy_n(memory(flight), value, strnlen(value, limit)) : NULL;
    return *text || !value;
}

/* An allocator that remembers that it had to refuse: kni_url_join returns NULL for that, too. */
typedef struct noting {
    kn_alloc alloc;
    const kn_alloc *under;
    bool failed;
} noting;

static void *noting_resize(void *ctx, void *ptr, size_t bytes) {
    noting *note = ctx;
    void *result = note->under->resize(note->under->ctx, ptr, bytes);
    if (bytes && !result) note->failed = true;
    return result;
}

/* The address that `location` means from here. False ends the transfer: no memory, or *out NULL,
 * which the caller has to explain. */
static bool join(kni_flight *flight, const char *location, char **out) {
    noting note = {.alloc = {sizeof(kn_alloc), &note, noting_resize}, .under = memory(flight)};
    *out = kni_url_join(&note.alloc, flight->url, location);
    return note.failed ? end_without_memory(flight) : true;
}

/* ---- the head of a response ---- */

static bool is_redirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool is_success(int status) { return status >= 200 && status < 300; }

/* Forgets what there is of the body. */
static bool restart(kni_flight *flight) {
    const kni_sink *sink = flight->transfer->sink;
    if (sink) {
        kn_status status = sink->restart(sink->ctx, &flight->transfer->err);
        if (status) return end_with(flight, status);
    }
    flight->body.length = 0;
    flight->position = 0;
    return true;
}

static bool fail_larger(kni_flight *flight) {
    const kni_transfer *transfer = flight->transfer;
    if (transfer->sink) {
        return end_with(flight, kni_fail(&flight->transfer->err, KN_ERR_INTEGRITY,
                                         "%s: the Hub sends more than the %zu bytes that its "
                                         "listing gives it; try again later",
                                         transfer->what, transfer->limit));
    }
    return end_with(flight, kni_fail(&flight->transfer->err, KN_ERR_NETWORK,
                                     "%s: the Hub sends something larger than %zu bytes, the most "
                                     "allowed here",
                                     transfer->what, transfer->limit));
}

/* Is the body the part that was asked for? Makes room where it is the whole. */
static bool place_body(kni_flight *flight, const char *content_range) {
    flight->position = flight->offset;
    if (flight->status == 206) {
        if (flight->offset && kni_head_range_start(content_range) == flight->offset) return true;
        flight->mismatch = true;
        return false;
    }
    return flight->offset ? restart(flight) : true;
}

static bool keep_next(kni_flight *flight, const kn_http_header *headers, size_t count) {
    kni_transfer *transfer = flight->transfer;
    char *target;
    bool found;
    if (kni_head_next(memory(flight), headers, count, &target, &found))
        return end_without_memory(flight);
    if (!found) return true;
    kni_free(memory(flight), transfer->next);
    bool joined = join(flight, target, &transfer->next);
    kni_free(memory(flight), target);
    if (!joined) return false;
    if (transfer->next && kni_url_same_origin(transfer->url, transfer->next)) return true;
    return end_with(flight, kni_fail(&transfer->err, KN_ERR_NETWORK,
                                     "%s: the Hub's answer goes on at an address that is not the "
                                     "Hub's own",
                                     transfer->what));
}

static bool accept_success(kni_flight *flight, const kn_http_header *headers, size_t count) {
    kni_transfer *transfer = flight->transfer;
    keep(flight, &transfer->error_code, NULL, 0);
    keep(flight, &transfer->error_message, NULL, 0);
    if (!place_body(flight, kni_head_find(headers, count, "content-range"))) return false;
    int64_t length = kni_head_length(kni_head_find(headers, count, "content-length"));
    if ((uint64_t)flight->position > transfer->limit ||
        (length > 0 && (uint64_t)length > transfer->limit - (uint64_t)flight->position)) {
        return fail_larger(flight);
    }
    if (!transfer->sink) {
        const char *etag = kni_head_find(headers, count, "etag");
        if (etag && *etag != '"') etag = NULL; /* a weak one does not tell bytes apart */
        if (!keep(flight, &flight->etag, etag, HEADER_TEXT_MAX)) return end_without_memory(flight);
    }
    flight->taking = true;
    return keep_next(flight, headers, count);
}

static bool accept_refusal(kni_flight *flight, const kn_http_header *headers, size_t count) {
    kni_transfer *transfer = flight->transfer;
    flight->asked_ms = kni_retry_asked_ms(kni_head_find(headers, count, "retry-after"),
                                          kni_head_find(headers, count, "date"),
                                          kni_head_find(headers, count, "ratelimit"),
                                          kni_head_find(headers, count, "ratelimit-reset"));
    if (keep(flight, &transfer->error_code, kni_head_find(headers, count, "x-error-code"),
             HEADER_TEXT_MAX) &&
        keep(flight, &transfer->error_message, kni_head_find(headers, count, "x-error-message"),
             HEADER_TEXT_MAX)) {
        return true;
    }
    return end_without_memory(flight);
}

static bool on_head(void *token, int status, const kn_http_header *headers, size_t count) {
    kni_flight *flight = token;
    kni_session *session = flight->session;
    kni_transfer *transfer = flight->transfer;
    flight->last_byte_ms = now(session);
    if (status < 400) session->last_byte_ms = flight->last_byte_ms;
    flight->status = transfer->http_status = status;

    if (status < 400 && !transfer->commit &&
        !keep(flight, &transfer->commit, kni_head_find(headers, count, "x-repo-commit"),
              HEADER_TEXT_MAX)) {
        return end_without_memory(flight);
    }
    if (is_success(status)) return accept_success(flight, headers, count);
    if (is_redirect(status)) {
        return keep(flight, &flight->location, kni_head_find(headers, count, "location"),
                    KNI_URL_MAX + 1) ||
               end_without_memory(flight);
    }
    return accept_refusal(flight, headers, count);
}

/* ---- the body ---- */

static bool take_body(kni_flight *flight, const void *bytes, size_t length) {
    kni_session *session = flight->session;
    kni_transfer *transfer = flight->transfer;
    if (length > transfer->limit - (size_t)flight->position) return fail_larger(flight);
    if (transfer->sink) {
        kn_status status =
            transfer->sink->write(transfer->sink->ctx, bytes, length, &transfer->err);
        if (status) return end_with(flight, status);
    } else {
        kni_text_add_n(&flight->body, bytes, length);
        if (flight->body.failed) return end_without_memory(flight);
    }
    flight->position += (int64_t)length;
    session->last_byte_ms = flight->last_byte_ms;
    if (transfer->sink && session->progress) session->progress(session->ctx, (int64_t)length);
    return true;
}

/* The body of an error is kept as far as it may serve, that of a redirect is not. */
static bool pass_body(kni_flight *flight, const void *bytes, size_t length) {
    size_t room = REFUSAL_MAX - flight->refusal.length;
    if (!is_redirect(flight->status)) {
        kni_text_add_n(&flight->refusal, bytes, length < room ? length : room);
        if (flight->refusal.failed) return end_without_memory(flight);
    }
    flight->enough = flight->received >= (int64_t)REFUSAL_MAX;
    return !flight->enough;
}

static bool on_body(void *token, const void *bytes, size_t length) {
    kni_flight *flight = token;
    flight->last_byte_ms = now(flight->session);
    flight->received += (int64_t)length;
    return flight->taking ? take_body(flight, bytes, length) : pass_body(flight, bytes, length);
}

/* ---- the end of a try ---- */

static void wait_for(kni_flight *flight, int64_t ms) {
    flight->state = KNI_FLIGHT_WAITING;
    flight->due_ms = now(flight->session) + ms;
}

/* The next try goes to the transfer's own address again: where that led to may have expired. */
static void try_again(kni_flight *flight, int64_t wait_ms) {
    flight->redirects = 0;
    if (!keep(flight, &flight->url, flight->transfer->url, SIZE_MAX)) {
        end_without_memory(flight);
        return;
    }
    wait_for(flight, wait_ms);
}

static void follow(kni_flight *flight) {
    kni_transfer *transfer = flight->transfer;
    kn_error *err = &transfer->err;
    char *target = NULL;
    if (!flight->location) {
        end_with(flight, kni_fail(err, KN_ERR_NETWORK,
                                  "%s: the Hub answers with status %d, which leads to another "
                                  "address, but gives none",
                                  transfer->what, flight->status));
    } else if (++flight->redirects > REDIRECTS_MAX) {
        end_with(flight, kni_fail(err, KN_ERR_NETWORK, "%s: the Hub redirects more than %d times",
                                  transfer->what, REDIRECTS_MAX));
    } else if (!join(flight, flight->location, &target)) {
        return;
    } else if (!target) {
        end_with(flight, kni_fail(err, KN_ERR_NETWORK,
                                  "%s: the Hub redirects to something that is no address of a web "
                                  "server",
                                  transfer->what));
    } else if (strncmp(flight->url, "https:", 6) == 0 && strncmp(target, "https:", 6) != 0) {
        end_with(flight, kni_fail(err, KN_ERR_NETWORK,
                                  "%s: the Hub redirects from https to '%.*s', which anybody on "
                                  "the way could read and change",
                                  transfer->what, kni_flight_origin(target), target));
        kni_free(memory(flight), target);
    } else {
        kni_free(memory(flight), flight->url);
        flight->url = target;
        wait_for(flight, 0);
    }
}

/* Counts a try that brought nothing new; `progress` begins to count anew. */
static void count_try(kni_flight *flight) {
    if (flight->taking && flight->position > flight->furthest) {
        flight->furthest = flight->position;
        flight->failures = 0;
    }
    if (flight->failures == 0) flight->since_ms = flight->sent_ms;
}

/* What came was not the part that was asked for: everything, from the start. */
static void start_over(kni_flight *flight) {
    kni_transfer *transfer = flight->transfer;
    count_try(flight);
    if (flight->failures >= KNI_RETRY_MAX) {
        end_with(flight, kni_fail(&transfer->err, KN_ERR_NETWORK,
                                  "%s: the Hub does not send the part of it that is missing here",
                                  transfer->what));
        return;
    }
    flight->failures++;
    if (restart(flight)) try_again(flight, 0);
}

static void retry_or_fail(kni_flight *flight, kn_http_failure failure, const char *message) {
    const kni_session *session = flight->session;
    kni_transfer *transfer = flight->transfer;
    count_try(flight);
    int64_t time = now(session), wait = 0;
    kni_retry_facts facts = {
        .failure = failure,
        .http_status = flight->status,
        .asked_ms = flight->asked_ms,
        .failures = flight->failures,
        .elapsed_ms = time - flight->since_ms,
        .connect_ms = session->connect_ms,
        .remaining_ms = session->timeout_ms - (time - session->last_byte_ms),
        .impatient = session->impatient,
    };
    kni_retry decision = kni_retry_decide(&facts, &wait);
    if (decision == KNI_RETRY_WAIT) {
        flight->failures++;
        try_again(flight, wait);
    } else if (decision == KNI_RETRY_TOO_LONG) {
        end_with(flight, kni_flight_fail_asked(flight, wait));
    } else if (flight->status >= 300) {
        end_with(flight,
                 kni_response_fail(flight->status, transfer->error_code, transfer->error_message,
                                   transfer->what, token_of(flight) != NULL, &transfer->err));
    } else {
        end_with(flight, kni_flight_fail_connection(flight, failure, message));
    }
}

/* Decides what follows from a try; the state is that of the next. */
static void settle(kni_flight *flight, kn_http_failure failure, const char *message) {
    kni_transfer *transfer = flight->transfer;
    bool whole = failure == KN_HTTP_DONE || flight->enough;
    flight->state = KNI_FLIGHT_ENDED;
    kni_flight_trace(flight, whole || flight->mismatch || transfer->status ? NULL : message);
    if (transfer->status) return;
    if (flight->mismatch || (flight->status == 416 && flight->offset)) {
        start_over(flight);
    } else if (whole && is_redirect(flight->status)) {
        follow(flight);
    } else if (!whole || !is_success(flight->status)) {
        retry_or_fail(flight, failure, message);
    }
}

static void on_done(void *token, const kn_http_result *result) {
    const char *message = result->message ? result->message : "no reason given";
    settle(token, result->failure, message);
}

/* ---- a try ---- */

static bool add_header(kni_flight *flight, const char *name, const char *value) {
    kni_text line;
    kni_text_init(&line, memory(flight));
    kni_text_add(&line, name);
    kni_text_add(&line, value);
    char *text = kni_text_take(&line);
    if (text) flight->headers[flight->header_count++] = text;
    return text != NULL;
}

static bool add_range(kni_flight *flight) {
    const kni_sink *sink = flight->transfer->sink;
    char value[32];
    flight->offset = sink ? sink->have(sink->ctx) : (int64_t)flight->body.length;
    if (!sink && flight->offset && !flight->etag)
        flight->offset = (int64_t)(flight->body.length = 0);
    if (!flight->offset) return true;
    snprintf(value, sizeof value, "%lld-", (long long)flight->offset);
    return add_header(flight, "Range: bytes=", value) &&
           (sink || add_header(flight, "If-Range: ", flight->etag));
}

static void clear_headers(kni_flight *flight) {
    for (size_t i = 0; i < flight->header_count; i++) kni_free(memory(flight), flight->headers[i]);
    flight->header_count = 0;
}

/* Contents are asked for as they are: their digests are known, and parts of them can be asked for.
 */
static bool make_headers(kni_flight *flight) {
    const kni_session *session = flight->session;
    clear_headers(flight);
    const char *token = token_of(flight);
    bool own = token && kni_url_same_origin(flight->transfer->url, flight->url);
    return add_header(flight, "Accept-Encoding: ", "identity") &&
           (!session->user_agent || add_header(flight, "User-Agent: ", session->user_agent)) &&
           (!own || add_header(flight, "Authorization: Bearer ", token)) && add_range(flight);
}

static void begin_try(kni_flight *flight) {
    flight->sent_ms = flight->last_byte_ms = now(flight->session);
    flight->offset = flight->position = flight->received = 0;
    flight->status = 0;
    flight->taking = flight->enough = flight->mismatch = false;
    flight->asked_ms = KNI_RETRY_NOT_ASKED;
    kni_free(memory(flight), flight->location);
    flight->location = NULL;
    kni_text_clear(&flight->refusal);
}

void kni_flight_send(kni_flight *flight) {
    kni_session *session = flight->session;
    begin_try(flight);
    flight->state = KNI_FLIGHT_ENDED;
    if (!make_headers(flight)) {
        end_without_memory(flight);
        return;
    }
    kn_http_request request = {
        .size = sizeof request,
        .url = flight->url,
        .headers = (const char *const *)flight->headers,
        .header_count = flight->header_count,
        .token = flight,
        .on_head = on_head,
        .on_body = on_body,
        .on_done = on_done,
    };
    session->requests++;
    flight->state = KNI_FLIGHT_RUNNING;
    kn_status status =
        session->transport->start(session->transport->ctx, &request, &flight->transfer->err);
    if (!status) return;
    flight->state = KNI_FLIGHT_ENDED;
    end_with(flight, status);
}

/* ---- its life ---- */

kni_flight *kni_flight_new(kni_session *session, kni_transfer *transfer) {
    kni_flight *flight = kni_new(session->alloc, sizeof *flight);
    if (!flight) return NULL;
    flight->session = session;
    flight->transfer = transfer;
    kni_text_init(&flight->body, session->alloc);
    kni_text_init(&flight->refusal, session->alloc);
    flight->url = kni_text_copy(session->alloc, transfer->url);
    if (!flight->url) {
        kni_free(session->alloc, flight);
        return NULL;
    }
    flight->due_ms = now(session);
    if (transfer->sink) flight->furthest = transfer->sink->have(transfer->sink->ctx);
    return flight;
}

static void stop(kni_flight *flight) {
    const kn_transport *transport = flight->session->transport;
    if (flight->state == KNI_FLIGHT_RUNNING) transport->stop(transport->ctx, flight);
    flight->state = KNI_FLIGHT_ENDED;
}

void kni_flight_end(kni_flight *flight, kn_status status, const char *message) {
    stop(flight);
    end_with(flight, kni_fail(&flight->transfer->err, status, "%s", message));
}

void kni_flight_break(kni_flight *flight, int64_t silent_ms) {
    char message[64];
    snprintf(message, sizeof message, "no byte for %g seconds", (double)silent_ms / 1000);
    stop(flight);
    settle(flight, KN_HTTP_BROKEN, message);
}

/* The body that the transfer ended with: what was asked for, or what the error said. */
static void hand_over(kni_flight *flight) {
    kni_transfer *transfer = flight->transfer;
    kni_text *text = transfer->status ? &flight->refusal : &flight->body;
    if (transfer->sink && !transfer->status) return;
    if (transfer->status && !text->length) return;
    size_t length = text->length;
    transfer->body = kni_text_take(text);
    if (transfer->body)
        transfer->body_length = length;
    else
        end_without_memory(flight);
}

void kni_flight_free(kni_flight *flight) {
    if (!flight) return;
    const kn_alloc *alloc = memory(flight);
    stop(flight);
    hand_over(flight);
    clear_headers(flight);
    kni_text_clear(&flight->body);
    kni_text_clear(&flight->refusal);
    kni_free(alloc, flight->location);
    kni_free(alloc, flight->etag);
    kni_free(alloc, flight->url);
    kni_free(alloc, flight);
}
