/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "os/beneath.h"
#include "os/clock.h"

#define CONNECTIONS 1024
#define PER_ADDRESS 512
#define TIMEOUT_S 60
#define THREADS_MAX 16
#define SPARE_DESCRIPTORS 128
#define HEAD_BYTES ((size_t)32 * 1024) /* of a request, and what goes with it */

static kn_status copy_text(const kn_server *server, const char *text, char **out, kn_error *err) {
    *out = kni_text_copy(server->alloc, text);
    return text && !*out ? kni_no_memory(err, "starting the server") : KN_OK;
}

static int or_else(int given, int otherwise) { return given > 0 ? given : otherwise; }

static kn_status take_options(kn_server *server, const kn_serve_options *options, kn_error *err) {
    server->timeout_s = or_else(options->timeout_s, TIMEOUT_S);
    server->log = options->log;
    server->log_ctx = options->log_ctx;
    kn_status status = copy_text(server, options->trusted, &server->trusted, err);
    if (!status) status = copy_text(server, options->url, &server->given_url, err);
    if (!status && options->token_file)
        status = kni_tokens_read(server->alloc, options->token_file, &server->tokens, err);
    if (!status && !options->tls_cert != !options->tls_key)
        status = kni_fail(err, KN_ERR_VALUE,
                          "TLS needs a certificate and its key: only one of the two was given");
    if (!status && options->tls_cert)
        status = kni_tls_open(options->tls_cert, options->tls_key, &server->tls, err);
    return status;
}

static kn_status open_folder(kn_server *server, const char *folder, kn_error *err) {
    server->hub.alloc = server->alloc;
    server->hub.trusted = server->trusted;
    server->hub.folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (server->hub.folder < 0)
        return kni_fail(err, errno == ENOENT ? KN_ERR_NOT_FOUND : KN_ERR_OS,
                        "'%s' cannot be served: %s", folder, strerror(errno));
    kn_status status = kni_beneath_check(server->hub.folder, err);
    return status ? status : kni_hub_init(&server->hub, err);
}

/* As many as were asked for, else as many as there are files for. Without the check a file that
 * cannot be opened would look like one that is not there. */
static kn_status choose_connections(kn_server *server, int asked, kn_error *err) {
    struct rlimit limit = {.rlim_cur = RLIM_INFINITY};
    const rlim_t each = server->tls ? 4 : 2; /* a socket and a file, with TLS three sockets */
    getrlimit(RLIMIT_NOFILE, &limit);
    rlim_t most =
        limit.rlim_cur > SPARE_DESCRIPTORS ? (limit.rlim_cur - SPARE_DESCRIPTORS) / each : 0;
    server->max_connections = or_else(asked, most < CONNECTIONS ? (int)most : CONNECTIONS);
    if (server->max_connections > 0 && (rlim_t)server->max_connections <= most) return KN_OK;
    return kni_fail(err, KN_ERR_OS,
                    "the %llu open files that are allowed are enough for %llu connections: raise "
                    "`ulimit -n`, or lower the number of connections",
                    (unsigned long long)limit.rlim_cur, (unsigned long long)most);
}

static unsigned thread_count(const kn_server *server) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned count = processors < 2             ? 2
                     : processors > THREADS_MAX ? THREADS_MAX
                                                : (unsigned)processors;
    unsigned most = (unsigned)server->max_connections;
    return count < most ? count : most;
}

static kn_status start_daemon(kn_server *server, const kn_serve_options *options, kn_error *err) {
    const struct MHD_OptionItem pool[] = {{MHD_OPTION_THREAD_POOL_SIZE, thread_count(server), NULL},
                                          {MHD_OPTION_END, 0, NULL}};
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC, 0, NULL, NULL,
        kni_request_come, server, MHD_OPTION_URI_LOG_CALLBACK, kni_request_begin, server,
        MHD_OPTION_NOTIFY_COMPLETED, kni_request_end, server, MHD_OPTION_NOTIFY_CONNECTION,
        kni_link_change, server, MHD_OPTION_UNESCAPE_CALLBACK, kni_request_leave_escaped, server,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEAD_BYTES, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)server->max_connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)or_else(options->max_per_address, PER_ADDRESS), MHD_OPTION_ARRAY,
        thread_count(server) > 1 ? pool : pool + 1, MHD_OPTION_END);
    return server->daemon ? KN_OK
                          : kni_fail(err, KN_ERR_OS, "the server's threads cannot be started: %s",
                                     strerror(errno));
}

static void server_free(kn_server *server) {
    kni_server_stop_listening(server);
    if (server->daemon) MHD_stop_daemon(server->daemon);
    if (server->hub.lock) kni_hub_clear(&server->hub);
    kni_beneath_close(server->hub.folder);
    kni_tokens_clear(&server->tokens, server->alloc);
    SSL_CTX_free(server->tls);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    kni_free(server->alloc, server->trusted);
    kni_free(server->alloc, server->given_url);
    kni_free(server->alloc, server->url);
    kni_free(server->alloc, server);
}

/* Threads begin with the signals of the one that makes them blocked: those are the program's, and
 * a client that goes away is no reason to end it. */
static kn_status start_threads(kn_server *server, const kn_serve_options *options, kn_error *err) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    kn_status status = start_daemon(server, options, err);
    if (!status) status = kni_server_listen(server, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

static kn_status server_start(const kn_serve_options *options, kn_server **out, kn_error *err) {
    const kn_alloc *alloc = kni_alloc_or_default(options->alloc);
    kn_server *server = kni_new(alloc, sizeof *server);
    *out = NULL;
    if (!server) return kni_no_memory(err, "starting the server");
    server->head.module = kni_serve_table();
    server->alloc = alloc;
    server->listening = server->wake = server->hub.folder = -1;
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->changed, NULL);
    kn_status status = take_options(server, options, err);
    if (!status) status = choose_connections(server, options->max_connections, err);
    if (!status) status = open_folder(server, options->folder, err);
    if (!status)
        status = kni_server_bind(server, options->host ? options->host : "127.0.0.1", options->port,
                                 err);
    if (!status) status = start_threads(server, options, err);
    if (status)
        server_free(server);
    else
        *out = server;
    return status;
}

static const char *server_url(const kn_server *server) { return server->url; }

static int server_port(const kn_server *server) { return server->port; }

/* Under the server's lock: until `*count` is 0, or the time has come. */
static void wait_for_none(kn_server *server, const size_t *count, int64_t until_ms) {
    while (*count) {
        int64_t left = until_ms - kni_clock_ms();
        if (left <= 0) return;
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += left / 1000;
        until.tv_nsec += left % 1000 * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&server->changed, &server->lock, &until);
    }
}

static void server_stop(kn_server *server, int seconds) {
    int64_t until_ms = kni_clock_ms() + (int64_t)seconds * 1000;
    kni_server_stop_listening(server);
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    kni_links_end_waiting(server);
    wait_for_none(server, &server->answers, until_ms);
    pthread_mutex_unlock(&server->lock);
    MHD_stop_daemon(server->daemon);
    server->daemon = NULL;

    pthread_mutex_lock(&server->lock);
    wait_for_none(server, &server->pump_count, until_ms);
    kni_pumps_cut(server);
    while (server->pump_count) pthread_cond_wait(&server->changed, &server->lock);
    pthread_mutex_unlock(&server->lock);
    server_free(server);
}

static const kni_serve table = {
    .size = sizeof(kni_serve),
    .start = server_start,
    .url = server_url,
    .port = server_port,
    .stop = server_stop,
};

const kni_serve *kni_serve_table(void) { return &table; }
