/* SPDX-License-Identifier: Apache-2.0 */
/* The transport against a server of a few lines, over real sockets. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "net/net_parts.h"
#include "support/failing_alloc.h"
#include "support/unit.h"

#define BIG ((size_t)8 << 20)
#define TOGETHER 3
#define CONNECTIONS_MAX 64

/* ---- the server ---- */

static struct {
    int listener, port;
    pthread_t thread, workers[CONNECTIONS_MAX];
    size_t worker_count;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int waiting; /* requests for /together that are there */
    bool over;
} server;

static void send_all(int fd, const char *bytes, size_t length) {
    while (length) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent <= 0) return;
        bytes += sent;
        length -= (size_t)sent;
    }
}

static void send_text(int fd, const char *text) { send_all(fd, text, strlen(text)); }

static void send_whole(int fd, const char *body) {
    char head[128];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", strlen(body));
    send_text(fd, head);
    send_text(fd, body);
}

/* Answers when as many as TOGETHER have come, or never. */
static void wait_for_others(void) {
    pthread_mutex_lock(&server.mutex);
    server.waiting++;
    pthread_cond_broadcast(&server.changed);
    while (server.waiting < TOGETHER && !server.over)
        pthread_cond_wait(&server.changed, &server.mutex);
    pthread_mutex_unlock(&server.mutex);
}

static void wait_for_end(void) {
    pthread_mutex_lock(&server.mutex);
    while (!server.over) pthread_cond_wait(&server.changed, &server.mutex);
    pthread_mutex_unlock(&server.mutex);
}

static void send_big(int fd) {
    char *body = malloc(BIG);
    assert_non_null(body);
    for (size_t i = 0; i < BIG; i++) body[i] = (char)(i * 7 + i / 251);
    char head[128];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", BIG);
    send_text(fd, head);
    send_all(fd, body, BIG);
    free(body);
}

static void send_endless_head(int fd) {
    send_text(fd, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 2000; i++) send_text(fd, "X-More: and more\r\n");
    send_text(fd, "\r\n");
}

/* False: the connection ends. */
static bool serve(int fd, const char *request) {
    char path[64] = "";
    sscanf(request, "GET %63s", path);
    if (!strcmp(path, "/hello")) {
        send_whole(fd, "hello");
    } else if (!strcmp(path, "/echo")) {
        send_whole(fd, request);
    } else if (!strcmp(path, "/together")) {
        wait_for_others();
        send_whole(fd, "all here");
    } else if (!strcmp(path, "/heads")) {
        send_text(fd, "HTTP/1.1 103 Early Hints\r\nX-Early: yes\r\n\r\n"
                      "HTTP/1.1 200 OK\r\nX-MiXed:  a Value \t\r\nX-Empty:\r\nX-MiXed: b\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n"
                      "5\r\nhello\r\n0\r\nX-Trailer: late\r\n\r\n");
    } else if (!strcmp(path, "/redirect")) {
        send_text(fd, "HTTP/1.1 302 Found\r\nLocation: /hello\r\nContent-Length: 0\r\n\r\n");
    } else if (!strcmp(path, "/encoded")) {
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc");
    } else if (!strcmp(path, "/big")) {
        send_big(fd);
    } else if (!strcmp(path, "/truncated")) {
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
        return false;
    } else if (!strcmp(path, "/reset")) {
        struct linger now = {.l_onoff = 1};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        return false;
    } else if (!strcmp(path, "/endless")) {
        send_endless_head(fd);
        return false;
    } else if (!strcmp(path, "/silent")) {
        wait_for_end();
        return false;
    } else {
        return false;
    }
    return true;
}

static void *serve_connection(void *ctx) {
    int fd = (int)(intptr_t)ctx;
    char request[4096];
    size_t used = 0;
    for (;;) {
        ssize_t got = recv(fd, request + used, sizeof request - 1 - used, 0);
        if (got <= 0) break;
        used += (size_t)got;
        request[used] = '\0';
        if (request[0] != 'G') { /* a TLS handshake */
            send_text(fd, "HTTP/1.1 400 Bad Request\r\n\r\n");
            break;
        }
        if (!strstr(request, "\r\n\r\n")) continue;
        used = 0;
        if (!serve(fd, request)) break;
    }
    close(fd);
    return NULL;
}

static void *serve_all(void *ctx) {
    (void)ctx;
    for (;;) {
        int fd = accept(server.listener, NULL, NULL);
        if (fd < 0) return NULL;
        if (server.worker_count == CONNECTIONS_MAX) abort();
        pthread_create(&server.workers[server.worker_count++], NULL, serve_connection,
                       (void *)(intptr_t)fd);
    }
}

static int start_server(void **state) {
    (void)state;
    memset(&server, 0, sizeof server);
    pthread_mutex_init(&server.mutex, NULL);
    pthread_cond_init(&server.changed, NULL);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server.listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(getsockname(server.listener, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(listen(server.listener, 64), 0);
    server.port = ntohs(address.sin_port);
    return pthread_create(&server.thread, NULL, serve_all, NULL);
}

static int end_server(void **state) {
    (void)state;
    pthread_mutex_lock(&server.mutex);
    server.over = true;
    pthread_cond_broadcast(&server.changed);
    pthread_mutex_unlock(&server.mutex);
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.listener);
    for (size_t i = 0; i < server.worker_count; i++) pthread_join(server.workers[i], NULL);
    return 0;
}

/* ---- a request and what comes of it ---- */

typedef struct fetched {
    char url[128];
    kn_transport *transport;
    int heads, bodies, ends, status;
    char head[1024]; /* "name=value;" */
    char *body;
    size_t length;
    kn_http_failure failure;
    int result_status;
    char message[256];
    int refuse_head, refuse_body;   /* the call, from 1, that returns false */
    struct fetched *stops, *starts; /* from within on_head */
} fetched;

static void begin(kn_transport *transport, fetched *one, const char *path);

static bool on_head(void *token, int status, const kn_http_header *headers, size_t count) {
    fetched *one = token;
    one->status = status;
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(one->head + used, sizeof one->head - used, "%s=%s;",
                                 headers[i].name, headers[i].value);
    if (one->stops) one->transport->stop(one->transport->ctx, one->stops);
    if (one->starts) begin(one->transport, one->starts, "/hello");
    return ++one->heads != one->refuse_head;
}

static bool on_body(void *token, const void *bytes, size_t length) {
    fetched *one = token;
    assert_true(length > 0);
    assert_int_equal(one->heads, 1);
    one->body = realloc(one->body, one->length + length + 1);
    assert_non_null(one->body);
    memcpy(one->body + one->length, bytes, length);
    one->length += length;
    one->body[one->length] = '\0';
    return ++one->bodies != one->refuse_body;
}

static void on_done(void *token, const kn_http_result *result) {
    fetched *one = token;
    one->ends++;
    one->failure = result->failure;
    one->result_status = result->status;
    snprintf(one->message, sizeof one->message, "%s", result->message);
}

static void begin_at(kn_transport *transport, fetched *one, const char *url) {
    static const char *const headers[] = {"X-Asked: yes", "Accept-Encoding: identity"};
    snprintf(one->url, sizeof one->url, "%s", url);
    one->transport = transport;
    kn_http_request request = {
        .size = sizeof request,
        .url = one->url,
        .headers = headers,
        .header_count = 2,
        .token = one,
        .on_head = on_head,
        .on_body = on_body,
        .on_done = on_done,
    };
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(transport->start(transport->ctx, &request, &err), KN_OK);
}

static void begin(kn_transport *transport, fetched *one, const char *path) {
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", server.port, path);
    begin_at(transport, one, url);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void poll_once(kn_transport *transport, int timeout_ms) {
    kn_error err = KN_ERROR_INIT;
    if (transport->poll(transport->ctx, timeout_ms, &err)) fail_msg("%s", err.message);
}

static void finish(fetched *one) {
    for (double until = seconds() + 30; !one->ends;) {
        assert_true(seconds() < until);
        poll_once(one->transport, 100);
    }
    assert_int_equal(one->ends, 1);
}

static kn_transport open_transport(int max_connections) {
    kn_transport transport;
    kn_error err = KN_ERROR_INIT;
    if (kni_curl_transport_new(NULL, max_connections, &transport, &err))
        fail_msg("%s", err.message);
    return transport;
}

static void fetch(kn_transport *transport, fetched *one, const char *path) {
    begin(transport, one, path);
    finish(one);
}

/* ---- the tests ---- */

static void test_a_response_comes_whole_and_the_connection_stays(void **state) {
    (void)state;
    kn_transport transport = open_transport(4);
    for (int i = 0; i < 3; i++) {
        fetched one = {0};
        fetch(&transport, &one, "/hello");
        assert_int_equal(one.failure, KN_HTTP_DONE);
        assert_int_equal(one.status, 200);
        assert_int_equal(one.result_status, 200);
        assert_int_equal(one.heads, 1);
        assert_string_equal(one.head, "content-length=5;");
        assert_string_equal(one.body, "hello");
        free(one.body);
    }
    assert_int_equal(server.worker_count, 1);
    transport.free(transport.ctx);
}

static void test_the_request_is_what_was_asked_for(void **state) {
    (void)state;
    kn_transport transport = open_transport(4);
    fetched one = {0};
    fetch(&transport, &one, "/echo");
    assert_contains(one.body, "GET /echo HTTP/1.1\r\n");
    assert_contains(one.body, "\r\nX-Asked: yes\r\n");
    assert_contains(one.body, "\r\nAccept-Encoding: identity\r\n");
    free(one.body);
    transport.free(transport.ctx);
}

static void test_a_large_body_comes_as_it_was_sent(void **state) {
    (void)state;
    kn_transport transport = open_transport(4);
    fetched one = {0};
    fetch(&transport, &one, "/big");
    assert_int_equal(one.failure, KN_HTTP_DONE);
    assert_int_equal(one.length, BIG);
    for (size_t i = 0; i < BIG; i++) {
        if (one.body[i] != (char)(i * 7 + i / 251)) fail_msg("byte %zu differs", i);
    }
    free(one.body);
    transport.free(transport.ctx);
}

static void test_only_the_last_head_is_told_and_names_are_in_lower_case(void **state) {
    (void)state;
    kn_transport transport = open_transport(4);
    fetched one = {0};
    fetch(&transport, &one, "/heads");
    assert_int_equal(one.failure, KN_HTTP_DONE);
    assert_int_equal(one.heads, 1);
    assert_string_equal(one.head, "x-mixed=a Value;x-empty=;x-mixed=b;transfer-encoding=chunked;");
    assert_string_equal(one.body, "hello");
    free(one.body);
    transport.free(transport.ctx);
}

static void test_redirects_and_encodings_are_left_to_the_caller(void **state) {
    (void)state;
    kn_transport transport = open_transport(4);
    fetched redirect = {0}, encoded = {0};
    fetch(&transport, &redirect, "/redirect");
    assert_int_equal(redirect.failure, KN_HTTP_DONE);
    assert_int_equal(redirect.status, 302);
    assert_contains(redirect.head, "location=/hello;");
    fetch(&transport, &encoded, "/encoded");
    assert_string_equal(encoded.body, "abc"); /* it was not asked for, so nothing is undone */
    free(encoded.body);
    transport.free(transport.ctx);
}

static void test_transfers_run_side_by_side(void **state) {
    (void)state;
    kn_transport transport = open_transport(TOGETHER);
    fetched all[TOGETHER] = {0};
    for (int i = 0; i < TOGETHER; i++) begin(&transport, &all[i], "/together");
    for (int i = 0; i < TOGETHER; i++) {
        finish(&all[i]);
        assert_string_equal(all[i].body, "all here");
        free(all[i].body);
    }
    assert_int_equal(server.worker_count, TOGETHER);
    transport.free(transport.ctx);
}

static void test_a_host_gets_no_more_connections_than_allowed(void **state) {
    (void)state;
    kn_transport transport = open_transport(2);
    enum { COUNT = 30 };
    static fetched all[COUNT];
    memset(all, 0, sizeof all);
    for (int i = 0; i < COUNT; i++) begin(&transport, &all[i], "/hello");
    for (int i = 0; i < COUNT; i++) {
        finish(&all[i]);
        assert_string_equal(all[i].body, "hello");
        free(all[i].body);
    }
    assert_int_equal(server.worker_count, 2);
    transport.free(transport.ctx);
}

static void test_what_goes_wrong_is_told_apart(void **state) {
    (void)state;
    kn_transport transport = open_transport(4);
    fetched truncated = {0}, reset = {0}, refused = {0}, unknown = {0}, unsafe = {0}, scheme = {0},
            endless = {0};
    char url[128];
    fetch(&transport, &truncated, "/truncated");
    assert_int_equal(truncated.failure, KN_HTTP_BROKEN);
    assert_int_equal(truncated.result_status, 200);
    assert_string_equal(truncated.body, "01234");
    free(truncated.body);

    fetch(&transport, &reset, "/reset");
    assert_int_equal(reset.failure, KN_HTTP_BROKEN);
    assert_int_equal(reset.result_status, 0);
    assert_int_equal(reset.heads, 0);

    begin_at(&transport, &refused, "http://127.0.0.1:1/");
    finish(&refused);
    assert_int_equal(refused.failure, KN_HTTP_CONNECT);
    assert_contains(refused.message, "127.0.0.1");

    begin_at(&transport, &unknown, "http://name.invalid/");
    finish(&unknown);
    assert_int_equal(unknown.failure, KN_HTTP_RESOLVE);

    snprintf(url, sizeof url, "https://127.0.0.1:%d/hello", server.port);
    begin_at(&transport, &unsafe, url);
    finish(&unsafe);
    assert_int_equal(unsafe.failure, KN_HTTP_SECURITY);
    assert_int_equal(unsafe.heads, 0);

    begin_at(&transport, &scheme, "file:///etc/hostname");
    finish(&scheme);
    assert_int_equal(scheme.failure, KN_HTTP_FAILED);
    assert_int_equal(scheme.bodies, 0);

    fetch(&transport, &endless, "/endless");
    assert_int_equal(endless.failure, KN_HTTP_FAILED);
    assert_int_equal(endless.heads, 0);
    assert_string_equal(endless.message, "the head of the response is too long");
    transport.free(transport.ctx);
}

static void test_a_callback_that_returns_false_ends_its_transfer(void **state) {
    (void)state;
    kn_transport transport = open_transport(4);
    fetched head = {.refuse_head = 1}, body = {.refuse_body = 1}, after = {0};
    fetch(&transport, &head, "/big");
    assert_int_equal(head.failure, KN_HTTP_STOPPED);
    assert_int_equal(head.bodies, 0);
    fetch(&transport, &body, "/big");
    assert_int_equal(body.failure, KN_HTTP_STOPPED);
    assert_int_equal(body.bodies, 1);
    free(body.body);
    fetch(&transport, &after, "/hello");
    assert_string_equal(after.body, "hello");
    free(after.body);
    transport.free(transport.ctx);
}

static void test_what_is_stopped_is_heard_of_no_more(void **state) {
    (void)state;
    kn_transport transport = open_transport(2);
    fetched silent = {0}, queued = {0}, first = {0}, other = {0};
    begin(&transport, &silent, "/silent");
    begin(&transport, &first, "/silent");
    begin(&transport, &queued, "/hello"); /* no room for it yet */
    for (int i = 0; i < 5; i++) poll_once(&transport, 10);
    transport.stop(transport.ctx, &silent);
    transport.stop(transport.ctx, &queued);
    transport.stop(transport.ctx, &state); /* unknown */
    fetch(&transport, &other, "/hello");
    assert_string_equal(other.body, "hello");
    assert_int_equal(silent.ends + queued.ends + queued.heads + first.ends, 0);
    free(other.body);
    transport.free(transport.ctx); /* with one under way */
    assert_int_equal(first.ends, 0);
}

static void test_callbacks_may_start_and_stop(void **state) {
    (void)state;
    kn_transport transport = open_transport(4);
    fetched silent = {0}, started = {0}, one = {.stops = &silent, .starts = &started};
    begin(&transport, &silent, "/silent");
    fetch(&transport, &one, "/hello");
    finish(&started);
    assert_string_equal(started.body, "hello");
    assert_int_equal(silent.ends, 0);
    free(one.body);
    free(started.body);

    fetched self = {0};
    self.stops = &self;
    begin(&transport, &self, "/big");
    for (int i = 0; i < 50 && !self.heads; i++) poll_once(&transport, 100);
    for (int i = 0; i < 5; i++) poll_once(&transport, 10);
    assert_int_equal(self.heads, 1);
    assert_int_equal(self.bodies + self.ends, 0);
    transport.free(transport.ctx);
}

static void test_polling_waits_when_nothing_happens(void **state) {
    (void)state;
    kn_transport transport = open_transport(4);
    double start = seconds();
    poll_once(&transport, 60);
    assert_true(seconds() - start > 0.05);
    transport.free(transport.ctx);
}

/* How many sockets of this process are connected to the server. */
static int connections_to_server(void) {
    int count = 0;
    for (int fd = 0; fd < 256; fd++) {
        struct sockaddr_in peer = {0};
        socklen_t length = sizeof peer;
        bool is_one = getpeername(fd, (struct sockaddr *)&peer, &length) == 0 &&
                      ntohs(peer.sin_port) == server.port;
        count += is_one;
    }
    return count;
}

static void test_a_child_has_none_of_its_parents_connections(void **state) {
    (void)state;
    kn_transport transport = open_transport(4);
    fetched one = {0}, again = {0};
    begin(&transport, &one, "/hello");
    while (!one.ends) poll_once(&transport, 100);
    assert_int_equal(connections_to_server(), 1);
    pid_t child = fork();
    if (!child) _exit(connections_to_server());
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    begin(&transport, &again, "/hello"); /* over the connection that there is */
    while (!again.ends) poll_once(&transport, 100);
    assert_string_equal(again.body, "hello");
    assert_int_equal(server.worker_count, 1);
    transport.free(transport.ctx);
    assert_int_equal(connections_to_server(), 0);
    free(one.body);
    free(again.body);
}

/* libcurl's own memory is not ours to let fail. */
static kn_status fetch_head(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    kn_transport transport;
    kn_status status = kni_curl_transport_new(alloc, 4, &transport, err);
    if (status) return status;
    fetched one = {0};
    snprintf(one.url, sizeof one.url, "http://127.0.0.1:%d/hello", server.port);
    kn_http_request request = {.size = sizeof request,
                               .url = one.url,
                               .token = &one,
                               .on_head = on_head,
                               .on_body = on_body,
                               .on_done = on_done};
    status = transport.start(transport.ctx, &request, err);
    for (int i = 0; !status && !one.ends && i < 100; i++)
        status = transport.poll(transport.ctx, 100, err);
    transport.free(transport.ctx);
    free(one.body);
    return status;
}

static void test_without_memory_it_fails_cleanly(void **state) {
    (void)state;
    assert_true(fault_sweep(fetch_head, NULL) >= 4);
}

#define with_server(test) cmocka_unit_test_setup_teardown(test, start_server, end_server)

int main(void) {
    static const char *const proxies[] = {"http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY",
                                          "ALL_PROXY"};
    for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++) unsetenv(proxies[i]);
    const struct CMUnitTest tests[] = {
        with_server(test_a_response_comes_whole_and_the_connection_stays),
        with_server(test_the_request_is_what_was_asked_for),
        with_server(test_a_large_body_comes_as_it_was_sent),
        with_server(test_only_the_last_head_is_told_and_names_are_in_lower_case),
        with_server(test_redirects_and_encodings_are_left_to_the_caller),
        with_server(test_transfers_run_side_by_side),
        with_server(test_a_host_gets_no_more_connections_than_allowed),
        with_server(test_what_goes_wrong_is_told_apart),
        with_server(test_a_callback_that_returns_false_ends_its_transfer),
        with_server(test_what_is_stopped_is_heard_of_no_more),
        with_server(test_callbacks_may_start_and_stop),
        with_server(test_a_child_has_none_of_its_parents_connections),
        with_server(test_polling_waits_when_nothing_happens),
        with_server(test_without_memory_it_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
