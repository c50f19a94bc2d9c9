/* SPDX-License-Identifier: Apache-2.0 */
/* The served Hub over real sockets. */
#define _GNU_SOURCE

#include "serve/server.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/clock.h"
#include "support/failing_alloc.h"
#include "support/scratch_folder.h"
#include "support/unit.h"

#define COMMIT "1111111111111111111111111111111111111111"
#define SMALL "/kernels/open/toy/resolve/main/small"
#define BIG "/kernels/open/toy/resolve/main/big"
#define BIG_BYTES ((size_t)16 << 20) /* more than sockets hold */
#define CLIENTS 64
#define WAIT_MS 20000

static scratch_folder scratch;
static kn_server *server;
static int port;

static int set_up(void **state) {
    (void)state;
    signal(SIGPIPE, SIG_DFL); /* a client that goes away does not end the program */
    scratch_folder_make(&scratch);
    scratch_file(&scratch, "dir/kernels/open/toy/repo.json",
                 "{\"branches\": {\"main\": \"" COMMIT "\"}}");
    scratch_file(&scratch, "dir/kernels/open/toy/commits/" COMMIT "/small", "hello\n");
    scratch_file(&scratch, "dir/kernels/open/toy/commits/" COMMIT "/big", "");
    scratch_file(&scratch, "tokens", "# of the team\nsesame\n\n other \r\n");
    return truncate(scratch_path(&scratch, "dir/kernels/open/toy/commits/" COMMIT "/big"),
                    (off_t)BIG_BYTES);
}

static int tear_down(void **state) {
    (void)state;
    if (server) kni_serve_table()->stop(server, 0);
    server = NULL;
    scratch_folder_remove(&scratch);
    return 0;
}

#define server_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static void start(kn_serve_options options) {
    kn_error err = KN_ERROR_INIT;
    options.size = sizeof options;
    options.folder = scratch_path(&scratch, "dir");
    if (kni_serve_table()->start(&options, &server, &err)) fail_msg("%s", err.message);
    port = kni_serve_table()->port(server);
}

static int dial(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(file, (struct sockaddr *)&address, sizeof address)) {
        close(file);
        return -1;
    }
    return file;
}

/* False: the other side has closed. */
static bool say(int file, const char *text) {
    return send(file, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

/* What comes until the other side closes, up to `room` - 1 bytes of it; -1: it does not within
 * WAIT_MS. */
static int64_t hear(int file, char *out, size_t room) {
    static const size_t piece = 65536;
    char *buffer = malloc(piece);
    int64_t total = 0;
    size_t kept = 0;
    for (;;) {
        struct pollfd watch = {.fd = file, .events = POLLIN};
        if (poll(&watch, 1, WAIT_MS) <= 0) {
            total = -1;
            break;
        }
        ssize_t got = recv(file, buffer, piece, 0);
        if (got <= 0) break;
        for (ssize_t i = 0; i < got && kept + 1 < room; i++) out[kept++] = buffer[i];
        total += got;
    }
    if (room) out[kept] = '\0';
    free(buffer);
    return total;
}

/* Sends a request, and returns what comes before the connection ends. */
static const char *talk(const char *request) {
    static char answer[4096];
    int file = dial();
    assert_true(file >= 0);
    say(file, request);
    assert_true(hear(file, answer, sizeof answer) >= 0);
    close(file);
    return answer;
}

#define GET(target, more) \
    "GET " target " HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n" more "\r\n"

static void assert_status(const char *answer, const char *status) {
    if (strncmp(answer, "HTTP/1.", 7) != 0 || strncmp(answer + 9, status, 3) != 0)
        fail_msg("not %s: '%s'", status, answer);
}

/* What the last line of the log would say. */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char logged[512];

static void note(void *ctx, const kn_served *line) {
    (void)ctx;
    pthread_mutex_lock(&log_lock);
    snprintf(logged, sizeof logged, "%s %s %s %s %d %lld%s", line->address, line->method,
             line->target, line->user_agent ? line->user_agent : "-", line->status,
             (long long)line->bytes, line->cut ? " cut" : "");
    pthread_mutex_unlock(&log_lock);
}

static bool is_logged(const char *part) {
    pthread_mutex_lock(&log_lock);
    bool found = strstr(logged, part) != NULL;
    pthread_mutex_unlock(&log_lock);
    return found;
}

static void test_files_are_sent(void **state) {
    (void)state;
    start((kn_serve_options){0});
    const char *answer = talk(GET(SMALL, ""));
    assert_status(answer, "200");
    assert_contains(answer, "\r\n\r\nhello\n");
    assert_status(talk(GET(SMALL, "Range: bytes=1-2\r\n")), "206");
    int file = dial();
    say(file, GET(BIG, ""));
    assert_true(hear(file, NULL, 0) > (int64_t)BIG_BYTES);
    close(file);
}

static void test_bodies_and_large_heads_are_refused(void **state) {
    (void)state;
    char many[8192] = "GET " SMALL " HTTP/1.1\r\nHost: hub\r\n", *large = malloc(70000);
    start((kn_serve_options){0});
    assert_status(talk("POST " SMALL " HTTP/1.1\r\nHost: hub\r\nContent-Length: 4\r\n\r\nbody"),
                  "413");
    assert_status(
        talk("GET " SMALL " HTTP/1.1\r\nHost: hub\r\nContent-Length: 99999999999\r\n\r\n"), "413");
    assert_status(talk("PUT " SMALL " HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n"),
                  "413");
    assert_status(talk("DELETE " SMALL " HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n"),
                  "405");
    assert_status(talk("GET http://other/ HTTP/1.1\r\nHost: hub\r\n\r\n"), "400");
    for (int i = 0; i < 80; i++) {
        size_t used = strlen(many);
        snprintf(many + used, sizeof many - used, "X-H%d: a\r\n", i);
    }
    snprintf(many + strlen(many), sizeof many - strlen(many), "\r\n");
    assert_status(talk(many), "431");
    snprintf(large, 70000, "GET /%065000d HTTP/1.1\r\nHost: hub\r\n\r\n", 0);
    assert_status(talk(large), "414");
    free(large);
    assert_status(talk(GET(SMALL, "")), "200");
}

static void test_tokens_are_asked_for(void **state) {
    (void)state;
    start((kn_serve_options){.token_file = scratch_path(&scratch, "tokens")});
    assert_status(talk(GET(SMALL, "")), "401");
    assert_status(talk(GET(SMALL, "Authorization: Bearer sesam\r\n")), "401");
    assert_status(talk(GET(SMALL, "Authorization: Bearer # of the team\r\n")), "401");
    assert_status(talk(GET(SMALL, "Authorization: Bearer \r\n")), "401");
    assert_status(talk(GET(SMALL, "Authorization: Bearer sesame\r\n")), "200");
    assert_status(talk(GET(SMALL, "Authorization: Bearer  other\r\n")), "200");
}

/* What begins, and does not end, is cut after the timeout: a head, a head byte by byte, an answer
 * that nobody takes. */
static void test_nobody_can_hold_a_connection(void **state) {
    (void)state;
    start((kn_serve_options){.timeout_s = 1, .log = note});
    int silent = dial(), slow = dial(), deaf = dial(), small = 4096;
    setsockopt(deaf, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    say(silent, "GET " SMALL);
    say(deaf, GET(BIG, ""));
    int64_t began = kni_clock_ms();
    bool taken = true;
    while (taken && kni_clock_ms() - began < WAIT_MS) {
        taken = say(slow, "a");
        kni_sleep_ms(50);
    }
    assert_false(taken);
    assert_true(hear(silent, NULL, 0) == 0);
    while (!is_logged(" cut") && kni_clock_ms() - began < WAIT_MS) kni_sleep_ms(50);
    assert_true(is_logged("GET " BIG " - 200 16777216 cut"));
    close(silent);
    close(slow);
    close(deaf);
}

static void test_one_address_has_so_many_connections(void **state) {
    (void)state;
    start((kn_serve_options){.max_per_address = 3, .max_connections = 8});
    int held[3];
    char answer[256];
    for (size_t i = 0; i < 3; i++) {
        held[i] = dial();
        say(held[i], "GET " SMALL " HTTP/1.1\r\nHost: hub\r\n\r\n");
        assert_true(recv(held[i], answer, sizeof answer, 0) > 0);
    }
    int more = dial();
    say(more, GET(SMALL, ""));
    assert_true(hear(more, NULL, 0) == 0);
    close(more);
    close(held[0]);
    bool let_in = false;
    for (int i = 0; i < 100 && !let_in; i++) {
        int file = dial();
        say(file, GET(SMALL, ""));
        let_in = hear(file, answer, sizeof answer) > 0;
        close(file);
        kni_sleep_ms(20);
    }
    assert_true(let_in);
    close(held[1]);
    close(held[2]);
}

static void *fetch_small(void *ctx) {
    int *good = ctx;
    for (int i = 0; i < 5; i++) {
        char answer[1024];
        int file = dial();
        if (file < 0) continue;
        say(file, GET(SMALL, ""));
        hear(file, answer, sizeof answer);
        *good += strncmp(answer, "HTTP/1.1 200", 12) == 0 && strstr(answer, "\r\n\r\nhello\n");
        close(file);
    }
    return NULL;
}

static void test_many_clients_are_served_at_once(void **state) {
    (void)state;
    pthread_t threads[CLIENTS];
    int good[CLIENTS] = {0};
    start((kn_serve_options){0});
    for (size_t i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fetch_small, &good[i]), 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(good[i], 5);
    }
}

static void *stop_server(void *ctx) {
    kni_serve_table()->stop(server, *(const int *)ctx);
    return NULL;
}

static void test_a_transfer_ends_before_the_server_does(void **state) {
    (void)state;
    const int seconds = WAIT_MS / 1000;
    pthread_t stopping;
    start((kn_serve_options){0});
    int idle = dial(), file = dial();
    char byte;
    say(file, "GET " BIG " HTTP/1.1\r\nHost: hub\r\n\r\n");
    assert_int_equal(recv(file, &byte, 1, 0), 1);
    pthread_create(&stopping, NULL, stop_server, (void *)(uintptr_t)&seconds);
    assert_true(hear(idle, NULL, 0) == 0);
    assert_true(hear(file, NULL, 0) > (int64_t)BIG_BYTES);
    pthread_join(stopping, NULL);
    server = NULL;
    assert_int_equal(dial(), -1);
    close(idle);
    close(file);
}

static void test_a_transfer_that_does_not_end_is_cut(void **state) {
    (void)state;
    start((kn_serve_options){0});
    int file = dial();
    char byte;
    say(file, "GET " BIG " HTTP/1.1\r\nHost: hub\r\n\r\n");
    assert_int_equal(recv(file, &byte, 1, 0), 1);
    int64_t began = kni_clock_ms();
    kni_serve_table()->stop(server, 1);
    server = NULL;
    assert_true(kni_clock_ms() - began < WAIT_MS);
    int64_t got = hear(file, NULL, 0);
    assert_true(got >= 0 && got < (int64_t)BIG_BYTES);
    close(file);
}

static void test_each_request_is_told(void **state) {
    (void)state;
    start((kn_serve_options){.log = note});
    talk(GET(SMALL "?x=%0a", "User-Agent: test\r\n"));
    kni_serve_table()->stop(server, 1);
    server = NULL;
    assert_string_equal(logged, "127.0.0.1 GET " SMALL "?x=%0a test 200 6");
}

/* ---- TLS ---- */

/* A key, and a certificate that it signs itself. */
static void write_certificate(const char *name) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    assert_non_null(key);
    assert_non_null(cert);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)"hub", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    FILE *out = fopen(scratch_path(&scratch, name), "w");
    assert_non_null(out);
    PEM_write_X509(out, cert);
    PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
    assert_int_equal(fclose(out), 0);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void start_tls(kn_serve_options options) {
    write_certificate("hub.pem");
    options.tls_cert = options.tls_key = scratch_path(&scratch, "hub.pem");
    start(options);
    assert_contains(kni_serve_table()->url(server), "https://127.0.0.1:");
}

static SSL *shake_hands(int file, SSL_CTX *context) {
    SSL *tls = SSL_new(context);
    SSL_set_fd(tls, file);
    if (SSL_connect(tls) == 1) return tls;
    SSL_free(tls);
    return NULL;
}

static int64_t hear_tls(SSL *tls, char *out, size_t room) {
    static char buffer[16384];
    int64_t total = 0;
    size_t kept = 0;
    int got;
    while ((got = SSL_read(tls, buffer, sizeof buffer)) > 0) {
        for (int i = 0; i < got && kept + 1 < room; i++) out[kept++] = buffer[i];
        total += got;
    }
    if (room) out[kept] = '\0';
    return total;
}

static void test_tls_carries_small_and_large(void **state) {
    (void)state;
    static const char small[] = "GET " SMALL " HTTP/1.1\r\nHost: hub\r\n\r\n";
    static const char big[] = GET(BIG, "");
    char answer[1024];
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    start_tls((kn_serve_options){0});
    int file = dial();
    SSL *tls = shake_hands(file, context);
    assert_non_null(tls);
    SSL_write(tls, small, sizeof small - 1);
    int got = SSL_read(tls, answer, sizeof answer - 1);
    assert_true(got > 0);
    answer[got] = '\0';
    assert_status(answer, "200");
    SSL_write(tls, big, sizeof big - 1);
    assert_true(hear_tls(tls, answer, sizeof answer) > (int64_t)BIG_BYTES);
    SSL_free(tls);
    close(file);
    SSL_CTX_free(context);
}

static void test_tls_before_1_2_is_refused(void **state) {
    (void)state;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
    SSL_CTX_set_security_level(context, 0);
    start_tls((kn_serve_options){0});
    int file = dial();
    assert_null(shake_hands(file, context));
    close(file);
    SSL_CTX_free(context);
}

static void test_tls_connections_can_be_held_by_nobody_either(void **state) {
    (void)state;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    start_tls((kn_serve_options){.timeout_s = 1});
    int plain = dial(), idle = dial();
    say(plain, GET(SMALL, "")); /* no handshake */
    SSL *tls = shake_hands(idle, context);
    assert_non_null(tls);
    assert_true(hear_tls(tls, NULL, 0) == 0);
    assert_true(hear(plain, NULL, 0) >= 0);
    int silent = dial();
    kni_serve_table()->stop(server, 0);
    server = NULL;
    assert_true(hear(silent, NULL, 0) == 0);
    SSL_free(tls);
    close(plain);
    close(idle);
    close(silent);
    SSL_CTX_free(context);
}

/* ---- starting ---- */

static void assert_refused(kn_serve_options options, const char *part) {
    kn_error err = KN_ERROR_INIT;
    options.size = sizeof options;
    if (!options.folder) options.folder = scratch.path;
    assert_int_not_equal(kni_serve_table()->start(&options, &server, &err), KN_OK);
    assert_null(server);
    assert_contains(err.message, part);
}

static void test_what_cannot_be_served_is_told(void **state) {
    (void)state;
    scratch_file(&scratch, "empty", "# nothing\n\n");
    write_certificate("one.pem");
    write_certificate("two.pem");
    const char *tokens = scratch_path(&scratch, "empty");
    const char *one = scratch_path(&scratch, "one.pem"), *two = scratch_path(&scratch, "two.pem");
    assert_refused((kn_serve_options){.folder = "/nonexistent"}, "/nonexistent");
    assert_refused((kn_serve_options){.token_file = tokens}, "no token");
    assert_refused((kn_serve_options){.token_file = "/nonexistent"}, "/nonexistent");
    assert_refused((kn_serve_options){.tls_cert = one}, "only one of the two");
    assert_refused((kn_serve_options){.tls_cert = tokens, .tls_key = one}, "the certificate");
    assert_refused((kn_serve_options){.tls_cert = one, .tls_key = two}, "the key");
    assert_refused((kn_serve_options){.host = "host.invalid"}, "host.invalid");
    assert_refused((kn_serve_options){.max_connections = 1 << 30}, "ulimit -n");
    start((kn_serve_options){0});
    kn_server *first = server;
    server = NULL;
    assert_refused((kn_serve_options){.port = port}, "cannot listen");
    kni_serve_table()->stop(first, 0);
}

static kn_status start_and_stop(const kn_alloc *alloc, void *ctx, kn_error *err) {
    kn_server *one;
    kn_serve_options options = {.size = sizeof options, .alloc = alloc, .folder = ctx};
    options.trusted = "open";
    options.url = "http://hub";
    options.token_file = scratch_path(&scratch, "tokens");
    kn_status status = kni_serve_table()->start(&options, &one, err);
    if (!status) kni_serve_table()->stop(one, 0);
    return status;
}

static void test_starting_needs_memory(void **state) {
    (void)state;
    assert_true(fault_sweep(start_and_stop, scratch.path) > 5);
}

/* ---- pure parts ---- */

static void test_a_pace_is_looked_at_over_the_timeout(void **state) {
    (void)state;
    kni_pace pace = {.since_ms = 1000, .bytes = 0};
    assert_false(kni_pace_is_slow(&pace, 10999, 0, 10));
    assert_true(kni_pace_is_slow(&pace, 11000, 10 * 1024 - 1, 10));
    pace = (kni_pace){.since_ms = 1000, .bytes = 500};
    assert_false(kni_pace_is_slow(&pace, 11000, 500 + 10 * 1024, 10));
    assert_int_equal(pace.since_ms, 11000);
    assert_true(kni_pace_is_slow(&pace, 21000, 500 + 10 * 1024, 10));
    pace = (kni_pace){.since_ms = 1000, .bytes = -1};
    assert_false(kni_pace_is_slow(&pace, 1500, 1 << 20, 10));
    assert_true(kni_pace_is_slow(&pace, 11500, (1 << 20) + 1, 10));
}

static void test_a_host_that_could_be_none_is_not_repeated(void **state) {
    (void)state;
    kni_scratch texts;
    kni_scratch_init(&texts, kni_alloc_or_default(NULL));
    assert_string_equal(kni_base_of_host(&texts, "http", "hub.local:80"), "http://hub.local:80");
    assert_string_equal(kni_base_of_host(&texts, "https", "[::1]:80"), "https://[::1]:80");
    assert_null(kni_base_of_host(&texts, "http", NULL));
    assert_null(kni_base_of_host(&texts, "http", ""));
    assert_null(kni_base_of_host(&texts, "http", "a>; rel=\"next\""));
    assert_null(kni_base_of_host(&texts, "http", "a/b"));
    assert_null(kni_base_of_host(&texts, "http", "user@host"));
    kni_scratch_clear(&texts);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        server_test(test_files_are_sent),
        server_test(test_bodies_and_large_heads_are_refused),
        server_test(test_tokens_are_asked_for),
        server_test(test_nobody_can_hold_a_connection),
        server_test(test_one_address_has_so_many_connections),
        server_test(test_many_clients_are_served_at_once),
        server_test(test_a_transfer_ends_before_the_server_does),
        server_test(test_a_transfer_that_does_not_end_is_cut),
        server_test(test_each_request_is_told),
        server_test(test_tls_carries_small_and_large),
        server_test(test_tls_before_1_2_is_refused),
        server_test(test_tls_connections_can_be_held_by_nobody_either),
        server_test(test_what_cannot_be_served_is_told),
        server_test(test_starting_needs_memory),
        cmocka_unit_test(test_a_pace_is_looked_at_over_the_timeout),
        cmocka_unit_test(test_a_host_that_could_be_none_is_not_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
