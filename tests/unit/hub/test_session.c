/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/session.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "support/failing_alloc.h"
#include "support/unit.h"

#define HUB "https://hub.test"
#define MEGABYTE ((size_t)1 << 20)

/* ---- a transport that answers from a script, and a clock that it moves ---- */

/* An answer to the next request for `url`. Nothing in it: 200 with an empty body. */
typedef struct answer {
    const char *url;
    int status;             /* 0: 200; -1: no head comes */
    const char *headers[8]; /* name, value, name, value */
    const char *body;
    size_t repeat;           /* the body so many times; 0: once */
    kn_http_failure failure; /* after the body */
    int64_t delay_ms;        /* until it comes; 0: 10 */
    bool hangs;              /* nothing comes behind the body */
    bool used;
} answer;

#define ANSWERS_MAX 64
#define RUNNING_MAX 256

typedef struct running {
    kn_http_request request;
    answer *answer;
    int64_t ready_ms;
    bool hanging;
} running;

typedef struct fake_hub {
    answer answers[ANSWERS_MAX];
    size_t answer_count;
    running running[RUNNING_MAX];
    size_t running_count, most_running;
    char requests[128][1024]; /* "url|header|header" */
    size_t request_count;
    int64_t now;
    bool cancel_at_request;
    size_t cancel_polls;
    char trace[8192];
    int64_t progress;
    kn_status start_status;
    kn_status poll_status;
} fake_hub;

static kn_status fake_start(void *ctx, const kn_http_request *request, kn_error *err) {
    fake_hub *hub = ctx;
    if (hub->start_status) return kni_fail(err, hub->start_status, "start fails");
    assert_true(hub->running_count < RUNNING_MAX && hub->request_count < 128);
    char *line = hub->requests[hub->request_count++];
    size_t used = (size_t)snprintf(line, 1024, "%s", request->url);
    for (size_t i = 0; i < request->header_count; i++)
        used += (size_t)snprintf(line + used, 1024 - used, "|%s", request->headers[i]);
    static answer none = {.status = 404};
    running one = {.request = *request, .answer = &none, .ready_ms = hub->now + 10};
    for (size_t i = 0; i < hub->answer_count; i++) {
        answer *candidate = &hub->answers[i];
        if (candidate->used || strcmp(candidate->url, request->url) != 0) continue;
        candidate->used = true;
        one.answer = candidate;
        if (candidate->delay_ms) one.ready_ms = hub->now + candidate->delay_ms;
        break;
    }
    hub->running[hub->running_count++] = one;
    if (hub->running_count > hub->most_running) hub->most_running = hub->running_count;
    return KN_OK;
}

static void fake_remove(fake_hub *hub, size_t index) {
    hub->running[index] = hub->running[--hub->running_count];
}

static bool fake_head(const running *one) {
    kn_http_header headers[4];
    size_t count = 0;
    for (; count < 4 && one->answer->headers[2 * count]; count++) {
        headers[count].name = one->answer->headers[2 * count];
        headers[count].value = one->answer->headers[2 * count + 1];
    }
    int status = one->answer->status ? one->answer->status : 200;
    return status < 0 || one->request.on_head(one->request.token, status, headers, count);
}

static bool fake_body(const running *one) {
    const answer *from = one->answer;
    size_t times = from->repeat ? from->repeat : 1;
    for (size_t i = 0; from->body && i < times; i++) {
        if (!one->request.on_body(one->request.token, from->body, strlen(from->body))) return false;
    }
    return true;
}

static void fake_serve(fake_hub *hub, size_t index) {
    running one = hub->running[index];
    if (one.answer->hangs) hub->running[index].hanging = true;
    bool go_on = fake_head(&one) && fake_body(&one);
    if (go_on && one.answer->hangs) return;
    fake_remove(hub, index);
    kn_http_result result = {
        .size = sizeof result,
        .failure = go_on ? one.answer->failure : KN_HTTP_STOPPED,
        .status = one.answer->status < 0 ? 0 : one.answer->status,
        .message = "fake message",
    };
    one.request.on_done(one.request.token, &result);
}

static kn_status fake_poll(void *ctx, int timeout_ms, kn_error *err) {
    fake_hub *hub = ctx;
    if (hub->poll_status) return kni_fail(err, hub->poll_status, "poll fails");
    assert_in_range(timeout_ms, 0, 100);
    size_t first = SIZE_MAX;
    for (size_t i = 0; i < hub->running_count; i++) {
        const running *one = &hub->running[i];
        if (one->hanging) continue;
        if (first == SIZE_MAX || one->ready_ms < hub->running[first].ready_ms) first = i;
    }
    if (first != SIZE_MAX && hub->running[first].ready_ms <= hub->now + timeout_ms) {
        if (hub->running[first].ready_ms > hub->now) hub->now = hub->running[first].ready_ms;
        fake_serve(hub, first);
    } else {
        hub->now += timeout_ms > 0 ? timeout_ms : 1;
    }
    return KN_OK;
}

static void fake_stop(void *ctx, void *token) {
    fake_hub *hub = ctx;
    for (size_t i = 0; i < hub->running_count; i++) {
        if (hub->running[i].request.token == token) fake_remove(hub, i--);
    }
}

static int64_t fake_now(void *ctx) { return ((fake_hub *)ctx)->now; }

static bool fake_cancelled(void *ctx) {
    fake_hub *hub = ctx;
    hub->cancel_polls++;
    return hub->cancel_at_request && hub->request_count;
}

static void fake_trace(void *ctx, const char *line) {
    fake_hub *hub = ctx;
    size_t used = strlen(hub->trace);
    snprintf(hub->trace + used, sizeof hub->trace - used, "%s\n", line);
}

static void fake_progress(void *ctx, int64_t bytes) { ((fake_hub *)ctx)->progress += bytes; }

/* ---- a sink in memory ---- */

typedef struct fake_sink {
    kni_sink sink;
    char bytes[4096];
    size_t length;
    int restarts;
    kn_status write_status, restart_status;
} fake_sink;

static int64_t sink_have(void *ctx) { return (int64_t)((fake_sink *)ctx)->length; }

static kn_status sink_restart(void *ctx, kn_error *err) {
    fake_sink *sink = ctx;
    if (sink->restart_status) return kni_fail(err, sink->restart_status, "sink cannot restart");
    sink->length = 0;
    sink->restarts++;
    return KN_OK;
}

static kn_status sink_write(void *ctx, const void *bytes, size_t length, kn_error *err) {
    fake_sink *sink = ctx;
    if (sink->write_status) return kni_fail(err, sink->write_status, "sink is full");
    assert_true(sink->length + length < sizeof sink->bytes);
    memcpy(sink->bytes + sink->length, bytes, length);
    sink->length += length;
    sink->bytes[sink->length] = '\0';
    return KN_OK;
}

static void sink_make(fake_sink *sink, const char *have) {
    *sink = (fake_sink){.sink = {sink, sink_have, sink_restart, sink_write}};
    sink->length = strlen(have);
    memcpy(sink->bytes, have, sink->length + 1);
}

/* ---- what the tests share ---- */

static fake_hub hub;
static kn_transport transport;
static kni_session session;
static kni_origin own;
static kn_error error;

static int set_up(void **state) {
    (void)state;
    memset(&hub, 0, sizeof hub);
    hub.now = 1000;
    transport = (kn_transport){sizeof transport, &hub, fake_start, fake_poll, fake_stop, NULL};
    own = (kni_origin){HUB, "secret"};
    session = (kni_session){
        .alloc = kni_alloc_or_default(NULL),
        .transport = &transport,
        .origins = &own,
        .origin_count = 1,
        .user_agent = "kernels/1",
        .timeout_ms = 60000,
        .connect_ms = 10000,
        .ctx = &hub,
        .now_ms = fake_now,
        .cancelled = fake_cancelled,
        .trace = fake_trace,
        .progress = fake_progress,
    };
    kn_error_init(&error);
    return 0;
}

static void will_answer(answer given) {
    assert_true(hub.answer_count < ANSWERS_MAX);
    hub.answers[hub.answer_count++] = given;
}

static kni_transfer get(const char *url) {
    return (kni_transfer){.url = url, .what = "a thing", .limit = MEGABYTE};
}

static kn_status run_one(kni_transfer *transfer) {
    kni_transfer *const all[] = {transfer};
    return kni_session_run(&session, all, 1, &error);
}

static void assert_text_body(const kni_transfer *transfer, const char *text) {
    assert_int_equal(transfer->status, KN_OK);
    assert_int_equal(transfer->body_length, strlen(text));
    assert_string_equal(transfer->body, text);
}

static void assert_failed(const kni_transfer *transfer, kn_status status, const char *part) {
    assert_int_equal(transfer->status, status);
    assert_int_equal(transfer->err.status, status);
    assert_contains(transfer->err.message, part);
}

static void drop(kni_transfer *transfer) { kni_transfer_clear(transfer, session.alloc); }

/* ---- one request ---- */

static void test_a_body_comes_whole_and_terminated(void **state) {
    (void)state;
    will_answer((answer){.url = HUB "/a",
                         .headers = {"x-repo-commit", "abc", "content-length", "5"},
                         .body = "hello"});
    kni_transfer transfer = get(HUB "/a");
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_text_body(&transfer, "hello");
    assert_int_equal(transfer.http_status, 200);
    assert_string_equal(transfer.commit, "abc");
    assert_null(transfer.next);
    assert_string_equal(hub.requests[0], HUB "/a|Accept-Encoding: identity|User-Agent: kernels/1|"
                                             "Authorization: Bearer secret");
    assert_string_equal(hub.trace, "GET " HUB "/a -> 200 5 bytes 10 ms\n");
    assert_int_equal(session.requests, 1);
    assert_int_equal(hub.progress, 0);
    drop(&transfer);
}

static void test_an_empty_body_is_empty_text(void **state) {
    (void)state;
    will_answer((answer){.url = HUB "/a"});
    kni_transfer transfer = get(HUB "/a");
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_text_body(&transfer, "");
    drop(&transfer);
}

static void test_a_sink_takes_the_body_and_progress_is_told(void **state) {
    (void)state;
    will_answer((answer){.url = HUB "/a", .body = "abc", .repeat = 3});
    fake_sink sink;
    sink_make(&sink, "");
    kni_transfer transfer = get(HUB "/a");
    transfer.sink = &sink.sink;
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_int_equal(transfer.status, KN_OK);
    assert_null(transfer.body);
    assert_string_equal(sink.bytes, "abcabcabc");
    assert_int_equal(hub.progress, 9);
    drop(&transfer);
}

static void test_a_token_that_could_end_a_header_is_not_sent(void **state) {
    (void)state;
    own.token = "secret\r\nX: y";
    kni_transfer transfer = get(HUB "/a");
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_failed(&transfer, KN_ERR_VALUE, "HF_TOKEN");
    assert_int_equal(hub.request_count, 0);
    drop(&transfer);
}

static void test_no_transfers_are_no_requests(void **state) {
    (void)state;
    assert_int_equal(kni_session_run(&session, NULL, 0, &error), KN_OK);
    assert_int_equal(hub.request_count, 0);
}

/* ---- many ---- */

static void test_many_transfers_run_side_by_side_and_each_has_its_own_end(void **state) {
    (void)state;
    enum { COUNT = 120 };
    static kni_transfer transfers[COUNT];
    static kni_transfer *all[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        transfers[i] = get(i % 2 ? HUB "/odd" : HUB "/even");
        all[i] = &transfers[i];
    }
    for (size_t i = 0; i < 60; i++) will_answer((answer){.url = HUB "/odd", .body = "odd"});
    assert_int_equal(kni_session_run(&session, all, COUNT, &error), KN_OK);
    for (size_t i = 0; i < COUNT; i++) {
        if (i % 2)
            assert_text_body(&transfers[i], "odd");
        else
            assert_int_equal(transfers[i].status, KN_ERR_NOT_FOUND);
        drop(&transfers[i]);
    }
    assert_int_equal(hub.most_running, COUNT);
    assert_int_equal(hub.now, 1010); /* one round trip for all */
}

/* ---- refusals ---- */

static void test_a_refusal_keeps_the_hubs_words(void **state) {
    (void)state;
    will_answer((answer){
        .url = HUB "/a",
        .status = 404,
        .headers = {"x-error-code", "EntryNotFound", "x-error-message", "Entry not found"},
        .body = "no",
    });
    kni_transfer transfer = get(HUB "/a");
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_failed(&transfer, KN_ERR_NOT_FOUND, "a thing");
    assert_int_equal(transfer.http_status, 404);
    assert_string_equal(transfer.error_code, "EntryNotFound");
    assert_string_equal(transfer.error_message, "Entry not found");
    assert_int_equal(transfer.body_length, 2);
    assert_string_equal(transfer.body, "no");
    assert_int_equal(hub.request_count, 1);
    drop(&transfer);
}

static void test_the_body_of_a_refusal_is_bounded(void **state) {
    (void)state;
    will_answer((answer){.url = HUB "/a", .status = 403, .body = "0123456789", .repeat = 100000});
    kni_transfer transfer = get(HUB "/a");
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_int_not_equal(transfer.status, KN_OK);
    assert_int_equal(transfer.body_length, 65536);
    drop(&transfer);
}

static void test_a_larger_body_than_allowed_is_refused(void **state) {
    (void)state;
    will_answer((answer){.url = HUB "/a", .body = "0123456789", .repeat = 3});
    will_answer((answer){.url = HUB "/b", .headers = {"content-length", "21"}, .body = "0"});
    will_answer((answer){.url = HUB "/c", .body = "0123456789", .repeat = 2});
    const char *urls[] = {HUB "/a", HUB "/b", HUB "/c"};
    for (size_t i = 0; i < 3; i++) {
        kni_transfer transfer = get(urls[i]);
        transfer.limit = 20;
        assert_int_equal(run_one(&transfer), KN_OK);
        if (i < 2)
            assert_failed(&transfer, KN_ERR_NETWORK, "larger than 20 bytes");
        else
            assert_int_equal(transfer.body_length, 20);
        drop(&transfer);
    }
    assert_int_equal(hub.request_count, 3);
}

static void test_the_limit_counts_what_a_sink_has(void **state) {
    (void)state;
    will_answer((answer){.url = HUB "/a",
                         .status = 206,
                         .headers = {"content-range", "bytes 8-12/13"},
                         .body = "12345"});
    fake_sink sink;
    sink_make(&sink, "01234567");
    kni_transfer transfer = get(HUB "/a");
    transfer.sink = &sink.sink;
    transfer.limit = 12;
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_failed(&transfer, KN_ERR_INTEGRITY, "more than the 12 bytes that its listing gives");
    assert_string_equal(sink.bytes, "01234567");
    drop(&transfer);
}

static void test_a_sinks_failure_is_the_transfers(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) will_answer((answer){.url = HUB "/a", .body = "abc"});
    fake_sink sink;
    sink_make(&sink, "");
    sink.write_status = KN_ERR_OS;
    kni_transfer transfer = get(HUB "/a");
    transfer.sink = &sink.sink;
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_failed(&transfer, KN_ERR_OS, "sink is full");
    drop(&transfer);

    sink_make(&sink, "abc");
    sink.restart_status = KN_ERR_INTEGRITY;
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_failed(&transfer, KN_ERR_INTEGRITY, "sink cannot restart");
    assert_int_equal(hub.request_count, 2);
    drop(&transfer);
}

/* ---- redirects ---- */

static void test_redirects_are_followed_and_the_token_stays_with_the_hub(void **state) {
    (void)state;
    will_answer((answer){.url = HUB "/org/a",
                         .status = 307,
                         .headers = {"location", "/new/a", "x-repo-commit", "first"}});
    will_answer((answer){
        .url = HUB "/new/a",
        .status = 302,
        .headers = {"location", "https://cdn.test/x?sig=S3CR3T", "x-repo-commit", "second"},
        .body = "moved"});
    will_answer((answer){.url = "https://cdn.test/x?sig=S3CR3T", .body = "content"});
    kni_transfer transfer = get(HUB "/org/a");
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_text_body(&transfer, "content");
    assert_string_equal(transfer.commit, "first");
    assert_contains(hub.requests[1], "Authorization: Bearer secret");
    assert_string_equal(hub.requests[2], "https://cdn.test/x?sig=S3CR3T|Accept-Encoding: identity|"
                                         "User-Agent: kernels/1");
    assert_contains(hub.trace, "GET " HUB "/new/a -> 302 5 bytes 10 ms\n"
                               "GET https://cdn.test/x?\xE2\x80\xA6 -> 200 7 bytes 10 ms\n");
    assert_null(strstr(hub.trace, "S3CR3T"));
    assert_null(strstr(hub.trace, "secret"));
    drop(&transfer);
}

static void test_a_token_goes_to_the_source_that_it_belongs_to(void **state) {
    (void)state;
    const kni_origin origins[] = {{HUB, "first"},
                                  {"https://other.test/hub", "second"},
                                  {"https://other.test/plain", NULL},
                                  {"https://third.test", NULL}};
    session.origins = origins;
    session.origin_count = 4;
    const struct {
        const char *url, *token;
    } cases[] = {
        {HUB "/a", "first"},
        {"https://other.test/hub/a", "second"},
        {"https://other.test/plain/a", NULL},
        {"https://third.test/a", NULL},
        {"https://hub.test.evil.test/a", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[100] = "";
        if (cases[i].token)
            snprintf(expected, sizeof expected, "Authorization: Bearer %s", cases[i].token);
        hub.request_count = 0;
        will_answer((answer){.url = cases[i].url, .body = "content"});
        kni_transfer transfer = get(cases[i].url);
        assert_int_equal(run_one(&transfer), KN_OK);
        if (cases[i].token)
            assert_contains(hub.requests[0], expected);
        else
            assert_null(strstr(hub.requests[0], "Authorization"));
        drop(&transfer);
    }
    hub.request_count = 0; /* one source sends to another: its token stays at home */
    will_answer((answer){
        .url = HUB "/b", .status = 302, .headers = {"location", "https://other.test/hub/b"}});
    will_answer((answer){.url = "https://other.test/hub/b", .body = "content"});
    kni_transfer transfer = get(HUB "/b");
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_null(strstr(hub.requests[1], "Authorization"));
    drop(&transfer);
}

static void test_a_redirect_has_to_lead_somewhere_sound(void **state) {
    (void)state;
    const struct {
        const char *location, *says;
    } cases[] = {
        {NULL, "gives none"},
        {"file:///etc/passwd", "no address of a web server"},
        {"ftp://hub.test/a", "no address of a web server"},
        {"https://user:pw@hub.test/a", "no address of a web server"},
        {"http://hub.test/a", "from https to 'http://hub.test'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        will_answer(
            (answer){.url = HUB "/a",
                     .status = 302,
                     .headers = {cases[i].location ? "location" : NULL, cases[i].location}});
        kni_transfer transfer = get(HUB "/a");
        assert_int_equal(run_one(&transfer), KN_OK);
        assert_failed(&transfer, KN_ERR_NETWORK, cases[i].says);
        drop(&transfer);
    }
    assert_int_equal(hub.request_count, 5);
}

static void test_redirects_come_to_an_end(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++)
        will_answer((answer){.url = HUB "/a", .status = 302, .headers = {"location", "/a"}});
    kni_transfer transfer = get(HUB "/a");
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_failed(&transfer, KN_ERR_NETWORK, "more than 10 times");
    assert_int_equal(hub.request_count, 11);
    drop(&transfer);
}

/* ---- pages ---- */

static void test_the_next_page_is_an_address_of_the_hub(void **state) {
    (void)state;
    will_answer((answer){.url = HUB "/tree", .headers = {"link", "</tree?c=2>; rel=\"next\""}});
    will_answer((answer){.url = HUB "/away",
                         .headers = {"link", "<https://evil.test/tree>; rel=\"next\""}});
    kni_transfer transfer = get(HUB "/tree"), away = get(HUB "/away");
    kni_transfer *const all[] = {&transfer, &away};
    assert_int_equal(kni_session_run(&session, all, 2, &error), KN_OK);
    assert_string_equal(transfer.next, HUB "/tree?c=2");
    assert_failed(&away, KN_ERR_NETWORK, "not the Hub's own");
    drop(&transfer);
    drop(&away);
}

/* ---- faults and second tries ---- */

static void test_a_server_that_is_busy_is_asked_again(void **state) {
    (void)state;
    const int statuses[] = {408, 429, 500, 502, 503};
    for (size_t i = 0; i < 5; i++)
        will_answer((answer){.url = HUB "/a", .status = statuses[i], .body = "busy"});
    will_answer((answer){.url = HUB "/a", .body = "ok"});
    kni_transfer transfer = get(HUB "/a");
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_text_body(&transfer, "ok");
    /* 200 + 400 + 800 + 1600 + 3200 of waiting, 6 answers of 10 */
    assert_int_equal(hub.now, 1000 + 6200 + 60);
    drop(&transfer);
}

static void test_a_server_that_stays_busy_is_given_up(void **state) {
    (void)state;
    for (int i = 0; i < 10; i++) will_answer((answer){.url = HUB "/a", .status = 503});
    kni_transfer transfer = get(HUB "/a");
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_failed(&transfer, KN_ERR_NETWORK, "503");
    assert_int_equal(hub.request_count, 6);
    drop(&transfer);
}

static void test_retry_after_is_honoured_within_the_deadline(void **state) {
    (void)state;
    will_answer((answer){.url = HUB "/a", .status = 429, .headers = {"retry-after", "30"}});
    will_answer((answer){.url = HUB "/a", .body = "ok"});
    will_answer((answer){.url = HUB "/b", .status = 429, .headers = {"retry-after", "61"}});
    kni_transfer transfer = get(HUB "/a");
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_text_body(&transfer, "ok");
    assert_int_equal(hub.now, 1000 + 30000 + 20);
    drop(&transfer);

    transfer = get(HUB "/b");
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_failed(&transfer, KN_ERR_NETWORK, "asks to wait 61 seconds");
    assert_contains(transfer.err.message, "KERNELS_TIMEOUT (60 seconds)");
    assert_int_equal(hub.request_count, 3);
    drop(&transfer);
}

static void test_waiting_for_a_retry_after_counts_towards_the_deadline(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++)
        will_answer((answer){.url = HUB "/a", .status = 429, .headers = {"retry-after", "25"}});
    kni_transfer transfer = get(HUB "/a");
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_failed(&transfer, KN_ERR_NETWORK, "asks to wait 25 seconds");
    assert_int_equal(hub.request_count, 3); /* after 50 s no 25 more are allowed */
    drop(&transfer);
}

static void test_a_host_that_refuses_is_tried_until_its_time_is_over(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        will_answer((answer){.url = HUB "/a", .status = -1, .failure = KN_HTTP_CONNECT});
        will_answer((answer){.url = HUB "/b", .status = -1, .failure = KN_HTTP_RESOLVE});
    }
    kni_transfer a = get(HUB "/a"), b = get(HUB "/b");
    kni_transfer *const all[] = {&a, &b};
    assert_int_equal(kni_session_run(&session, all, 2, &error), KN_OK);
    assert_failed(&a, KN_ERR_NETWORK, "no connection to 'https://hub.test' (fake message)");
    assert_failed(&b, KN_ERR_NETWORK, "the host of 'https://hub.test' is not known");
    assert_in_range(hub.now, 1000 + 10000, 1000 + 10100);
    assert_int_equal(a.http_status, 0);
    drop(&a);
    drop(&b);
}

static void test_an_unsafe_connection_is_not_tried_again(void **state) {
    (void)state;
    will_answer((answer){.url = HUB "/a", .status = -1, .failure = KN_HTTP_SECURITY});
    will_answer((answer){.url = HUB "/b", .status = -1, .failure = KN_HTTP_FAILED});
    kni_transfer a = get(HUB "/a"), b = get(HUB "/b");
    kni_transfer *const all[] = {&a, &b};
    assert_int_equal(kni_session_run(&session, all, 2, &error), KN_OK);
    assert_failed(&a, KN_ERR_NETWORK, "no safe connection");
    assert_failed(&b, KN_ERR_NETWORK, "failed: fake message");
    assert_int_equal(hub.request_count, 2);
    drop(&a);
    drop(&b);
}

static void test_impatience_makes_no_second_try(void **state) {
    (void)state;
    session.impatient = true;
    will_answer((answer){.url = HUB "/a", .status = -1, .failure = KN_HTTP_CONNECT});
    will_answer((answer){.url = HUB "/b", .status = 503, .headers = {"retry-after", "1"}});
    will_answer((answer){.url = HUB "/c", .body = "half", .failure = KN_HTTP_BROKEN});
    kni_transfer a = get(HUB "/a"), b = get(HUB "/b"), c = get(HUB "/c");
    kni_transfer *const all[] = {&a, &b, &c};
    assert_int_equal(kni_session_run(&session, all, 3, &error), KN_OK);
    assert_failed(&a, KN_ERR_NETWORK, "no connection");
    assert_failed(&b, KN_ERR_NETWORK, "503");
    assert_failed(&c, KN_ERR_NETWORK, "ended before everything had come");
    assert_int_equal(hub.request_count, 3);
    drop(&a);
    drop(&b);
    drop(&c);
}

static void test_a_broken_body_is_resumed_where_it_ended(void **state) {
    (void)state;
    will_answer((answer){.url = HUB "/a", .body = "01234", .failure = KN_HTTP_BROKEN});
    will_answer((answer){.url = HUB "/a",
                         .status = 206,
                         .headers = {"content-range", "bytes 5-9/10"},
                         .body = "567",
                         .failure = KN_HTTP_BROKEN});
    will_answer((answer){.url = HUB "/a",
                         .status = 206,
                         .headers = {"content-range", "bytes 8-9/10"},
                         .body = "89"});
    fake_sink sink;
    sink_make(&sink, "");
    kni_transfer transfer = get(HUB "/a");
    transfer.sink = &sink.sink;
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_int_equal(transfer.status, KN_OK);
    assert_string_equal(sink.bytes, "0123456789");
    assert_int_equal(sink.restarts, 0);
    assert_null(strstr(hub.requests[0], "Range:"));
    assert_contains(hub.requests[1], "|Range: bytes=5-");
    assert_contains(hub.requests[2], "|Range: bytes=8-");
    assert_contains(hub.trace, "GET " HUB "/a -> fake message, 5 bytes 10 ms");
    drop(&transfer);
}

static void test_a_body_in_memory_is_resumed_where_it_is_known_to_be_the_same(void **state) {
    (void)state;
    will_answer((answer){
        .url = HUB "/a", .headers = {"etag", "\"v1\""}, .body = "012", .failure = KN_HTTP_BROKEN});
    will_answer((answer){.url = HUB "/a",
                         .status = 206,
                         .headers = {"content-range", "bytes 3-5/6"},
                         .body = "345"});
    will_answer((answer){.url = HUB "/b",
                         .headers = {"etag", "W/\"v1\""},
                         .body = "012",
                         .failure = KN_HTTP_BROKEN});
    will_answer((answer){.url = HUB "/b", .body = "other"});
    kni_transfer a = get(HUB "/a"), b = get(HUB "/b");
    assert_int_equal(run_one(&a), KN_OK);
    assert_text_body(&a, "012345");
    assert_contains(hub.requests[1], "|Range: bytes=3-|If-Range: \"v1\"");
    assert_int_equal(run_one(&b), KN_OK);
    assert_text_body(&b, "other");
    assert_null(strstr(hub.requests[3], "Range:"));
    drop(&a);
    drop(&b);
}

static void test_what_is_not_the_missing_part_begins_anew(void **state) {
    (void)state;
    const answer wrong[] = {
        {.url = HUB "/a", .status = 416},
        {.url = HUB "/a", .status = 206, .headers = {"content-range", "bytes 0-9/10"}, .body = "x"},
        {.url = HUB "/a", .status = 206, .body = "x"},
    };
    for (size_t i = 0; i < 3; i++) {
        hub.answer_count = hub.request_count = 0;
        will_answer(wrong[i]);
        will_answer((answer){.url = HUB "/a", .body = "0123456789"});
        fake_sink sink;
        sink_make(&sink, "012");
        kni_transfer transfer = get(HUB "/a");
        transfer.sink = &sink.sink;
        assert_int_equal(run_one(&transfer), KN_OK);
        assert_int_equal(transfer.status, KN_OK);
        assert_string_equal(sink.bytes, "0123456789");
        assert_int_equal(sink.restarts, 1);
        assert_contains(hub.requests[0], "|Range: bytes=3-");
        assert_null(strstr(hub.requests[1], "Range:"));
        drop(&transfer);
    }
}

static void test_a_server_without_ranges_sends_all_and_the_sink_restarts(void **state) {
    (void)state;
    will_answer((answer){.url = HUB "/a", .body = "0123456789"});
    fake_sink sink;
    sink_make(&sink, "junk");
    kni_transfer transfer = get(HUB "/a");
    transfer.sink = &sink.sink;
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_string_equal(sink.bytes, "0123456789");
    assert_int_equal(sink.restarts, 1);
    drop(&transfer);
}

static void test_tries_that_bring_nothing_new_come_to_an_end(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) /* it breaks at the same place each time, and knows no ranges */
        will_answer((answer){.url = HUB "/a", .body = "01234", .failure = KN_HTTP_BROKEN});
    for (int i = 0; i < 20; i++) /* a part that nobody asked for */
        will_answer((answer){.url = HUB "/b", .status = 206, .body = "01234"});
    fake_sink sink;
    sink_make(&sink, "");
    kni_transfer a = get(HUB "/a"), b = get(HUB "/b");
    a.sink = &sink.sink;
    assert_int_equal(run_one(&a), KN_OK);
    assert_failed(&a, KN_ERR_NETWORK, "try for try (6; the last one: fake message)");
    assert_int_equal(hub.request_count, 6);
    assert_int_equal(run_one(&b), KN_OK);
    assert_failed(&b, KN_ERR_NETWORK, "does not send the part");
    assert_int_equal(hub.request_count, 12);
    drop(&a);
    drop(&b);
}

static void test_progress_resets_the_count_of_tries(void **state) {
    (void)state;
    static char ranges[12][64];
    for (int i = 0; i < 12; i++) {
        snprintf(ranges[i], sizeof ranges[i], "bytes %d-99/100", i);
        will_answer((answer){.url = HUB "/a",
                             .status = i ? 206 : 200,
                             .headers = {"content-range", ranges[i]},
                             .body = "x",
                             .failure = i < 11 ? KN_HTTP_BROKEN : KN_HTTP_DONE});
    }
    fake_sink sink;
    sink_make(&sink, "");
    kni_transfer transfer = get(HUB "/a");
    transfer.sink = &sink.sink;
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_int_equal(transfer.status, KN_OK);
    assert_string_equal(sink.bytes, "xxxxxxxxxxxx");
    assert_int_equal(hub.now, 1000 + 12 * 10 + 11 * 200);
    drop(&transfer);
}

static void test_a_second_try_begins_at_the_transfers_own_address(void **state) {
    (void)state;
    will_answer(
        (answer){.url = HUB "/a", .status = 302, .headers = {"location", "https://cdn.test/1"}});
    will_answer((answer){.url = "https://cdn.test/1", .body = "01", .failure = KN_HTTP_BROKEN});
    will_answer(
        (answer){.url = HUB "/a", .status = 302, .headers = {"location", "https://cdn.test/2"}});
    will_answer((answer){.url = "https://cdn.test/2",
                         .status = 206,
                         .headers = {"content-range", "bytes 2-3/4"},
                         .body = "23"});
    fake_sink sink;
    sink_make(&sink, "");
    kni_transfer transfer = get(HUB "/a");
    transfer.sink = &sink.sink;
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_int_equal(transfer.status, KN_OK);
    assert_string_equal(sink.bytes, "0123");
    drop(&transfer);
}

static void test_a_body_that_stalls_is_asked_for_again(void **state) {
    (void)state;
    will_answer((answer){.url = HUB "/a", .body = "01", .hangs = true});
    will_answer((answer){
        .url = HUB "/a", .status = 206, .headers = {"content-range", "bytes 2-3/4"}, .body = "23"});
    fake_sink sink;
    sink_make(&sink, "");
    kni_transfer transfer = get(HUB "/a");
    transfer.sink = &sink.sink;
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_int_equal(transfer.status, KN_OK);
    assert_string_equal(sink.bytes, "0123");
    assert_in_range(hub.now, 21000, 21500); /* a third of the deadline */
    drop(&transfer);
}

/* ---- the whole call ---- */

static void test_nothing_arriving_ends_the_call(void **state) {
    (void)state;
    session.timeout_ms = 1500;
    will_answer((answer){.url = HUB "/a", .delay_ms = 1000, .body = "x"});
    will_answer((answer){.url = HUB "/b", .delay_ms = 5000});
    will_answer((answer){.url = HUB "/c", .delay_ms = 5000});
    kni_transfer a = get(HUB "/a"), b = get(HUB "/b"), c = get(HUB "/c");
    kni_transfer *const all[] = {&a, &b, &c};
    assert_int_equal(kni_session_run(&session, all, 3, &error), KN_ERR_TIMEOUT);
    assert_string_equal(error.message,
                        "nothing arrived for 1.5 seconds while waiting for a thing and 1 more: "
                        "check the network, or allow more with KERNELS_TIMEOUT (now 1.5)");
    assert_text_body(&a, "x");
    assert_failed(&b, KN_ERR_TIMEOUT, "KERNELS_TIMEOUT");
    assert_failed(&c, KN_ERR_TIMEOUT, "KERNELS_TIMEOUT");
    assert_in_range(hub.now, 1000 + 2500, 1000 + 2600); /* the byte at 1000 counted */
    assert_int_equal(hub.running_count, 0);             /* all were stopped */
    drop(&a);
    drop(&b);
    drop(&c);
}

static void test_cancelling_stops_everything_soon(void **state) {
    (void)state;
    hub.cancel_at_request = true;
    will_answer((answer){.url = HUB "/a", .delay_ms = 30000});
    will_answer((answer){.url = HUB "/b", .delay_ms = 30000});
    kni_transfer a = get(HUB "/a"), b = get(HUB "/b");
    kni_transfer *const all[] = {&a, &b};
    assert_int_equal(kni_session_run(&session, all, 2, &error), KN_ERR_CANCELLED);
    assert_int_equal(error.status, KN_ERR_CANCELLED);
    assert_failed(&a, KN_ERR_CANCELLED, "a thing");
    assert_int_equal(b.status, KN_ERR_CANCELLED);
    assert_true(hub.now <= 1100);
    assert_int_equal(hub.running_count, 0);
    drop(&a);
    drop(&b);
}

static void test_cancellation_is_asked_for_ten_times_a_second(void **state) {
    (void)state;
    session.timeout_ms = 10000;
    will_answer((answer){.url = HUB "/a", .delay_ms = 30000});
    kni_transfer transfer = get(HUB "/a");
    assert_int_equal(run_one(&transfer), KN_ERR_TIMEOUT);
    assert_in_range(hub.cancel_polls, 100, 500);
    drop(&transfer);
}

static void test_a_transport_that_fails_fails_what_has_not_ended(void **state) {
    (void)state;
    hub.start_status = KN_ERR_NETWORK;
    kni_transfer transfer = get(HUB "/a");
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_failed(&transfer, KN_ERR_NETWORK, "start fails");
    drop(&transfer);

    hub.start_status = KN_OK;
    hub.poll_status = KN_ERR_NETWORK;
    assert_int_equal(run_one(&transfer), KN_OK);
    assert_failed(&transfer, KN_ERR_NETWORK, "poll fails");
    drop(&transfer);
}

/* ---- memory ---- */

static kn_status run_everything(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    set_up(NULL);
    session.alloc = alloc;
    will_answer((answer){.url = HUB "/a",
                         .status = 302,
                         .headers = {"location", "https://cdn.test/1", "x-repo-commit", "c"}});
    will_answer((answer){.url = "https://cdn.test/1",
                         .headers = {"etag", "\"e\""},
                         .body = "01",
                         .failure = KN_HTTP_BROKEN});
    will_answer((answer){.url = HUB "/a",
                         .status = 503,
                         .headers = {"x-error-code", "Busy", "x-error-message", "busy"},
                         .body = "busy"});
    will_answer((answer){.url = HUB "/a",
                         .status = 206,
                         .headers = {"content-range", "bytes 2-3/4", "link", "</b>; rel=\"next\""},
                         .body = "23"});
    kni_transfer a = get(HUB "/a"), b = get(HUB "/missing");
    kni_transfer *const all[] = {&a, &b};
    kn_status status = kni_session_run(&session, all, 2, err);
    if (status == KN_OK) assert_text_body(&a, "0123");
    assert_int_equal(hub.running_count, 0);
    kni_transfer_clear(&a, alloc);
    kni_transfer_clear(&b, alloc);
    return status;
}

static void test_without_memory_the_call_fails_cleanly(void **state) {
    (void)state;
    assert_true(fault_sweep(run_everything, NULL) > 30);
}

#define with_hub(test) cmocka_unit_test_setup(test, set_up)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_hub(test_a_body_comes_whole_and_terminated),
        with_hub(test_an_empty_body_is_empty_text),
        with_hub(test_a_sink_takes_the_body_and_progress_is_told),
        with_hub(test_a_token_that_could_end_a_header_is_not_sent),
        with_hub(test_no_transfers_are_no_requests),
        with_hub(test_many_transfers_run_side_by_side_and_each_has_its_own_end),
        with_hub(test_a_refusal_keeps_the_hubs_words),
        with_hub(test_the_body_of_a_refusal_is_bounded),
        with_hub(test_a_larger_body_than_allowed_is_refused),
        with_hub(test_the_limit_counts_what_a_sink_has),
        with_hub(test_a_sinks_failure_is_the_transfers),
        with_hub(test_redirects_are_followed_and_the_token_stays_with_the_hub),
        with_hub(test_a_token_goes_to_the_source_that_it_belongs_to),
        with_hub(test_a_redirect_has_to_lead_somewhere_sound),
        with_hub(test_redirects_come_to_an_end),
        with_hub(test_the_next_page_is_an_address_of_the_hub),
        with_hub(test_a_server_that_is_busy_is_asked_again),
        with_hub(test_a_server_that_stays_busy_is_given_up),
        with_hub(test_retry_after_is_honoured_within_the_deadline),
        with_hub(test_waiting_for_a_retry_after_counts_towards_the_deadline),
        with_hub(test_a_host_that_refuses_is_tried_until_its_time_is_over),
        with_hub(test_an_unsafe_connection_is_not_tried_again),
        with_hub(test_impatience_makes_no_second_try),
        with_hub(test_a_broken_body_is_resumed_where_it_ended),
        with_hub(test_a_body_in_memory_is_resumed_where_it_is_known_to_be_the_same),
        with_hub(test_what_is_not_the_missing_part_begins_anew),
        with_hub(test_a_server_without_ranges_sends_all_and_the_sink_restarts),
        with_hub(test_tries_that_bring_nothing_new_come_to_an_end),
        with_hub(test_progress_resets_the_count_of_tries),
        with_hub(test_a_second_try_begins_at_the_transfers_own_address),
        with_hub(test_a_body_that_stalls_is_asked_for_again),
        with_hub(test_nothing_arriving_ends_the_call),
        with_hub(test_cancelling_stops_everything_soon),
        with_hub(test_cancellation_is_asked_for_ten_times_a_second),
        with_hub(test_a_transport_that_fails_fails_what_has_not_ended),
        with_hub(test_without_memory_the_call_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
