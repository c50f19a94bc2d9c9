/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "os/clock.h"
#include "serve/server.h"

#define BACKLOG 1024
#define LOOK_MS 500  /* between looks at the connections */
#define PAUSE_MS 100 /* when there are no descriptors left */

static int listen_on(const struct addrinfo *at) {
    int yes = 1;
    int file = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (file < 0) return -1;
    setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(file, at->ai_addr, at->ai_addrlen) == 0 && listen(file, BACKLOG) == 0) return file;
    int problem = errno;
    close(file);
    errno = problem;
    return -1;
}

static void learn_port(kn_server *server) {
    struct sockaddr_storage bound = {0};
    socklen_t length = sizeof bound;
    if (getsockname(server->listening, (struct sockaddr *)&bound, &length)) return;
    if (bound.ss_family == AF_INET6)
        server->port = ntohs(((const struct sockaddr_in6 *)(const void *)&bound)->sin6_port);
    else
        server->port = ntohs(((const struct sockaddr_in *)(const void *)&bound)->sin_port);
}

kn_status kni_server_bind(kn_server *server, const char *host, int port, kn_error *err) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found;
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    int problem = getaddrinfo(host, service, &hints, &found);
    if (problem)
        return kni_fail(err, KN_ERR_VALUE, "'%s' is no address of this machine: %s", host,
                        gai_strerror(problem));
    for (const struct addrinfo *at = found; at && server->listening < 0; at = at->ai_next)
        server->listening = listen_on(at);
    problem = errno;
    freeaddrinfo(found);
    if (server->listening < 0)
        return kni_fail(err, KN_ERR_OS, "cannot listen on %s, port %d: %s", host, port,
                        strerror(problem));
    learn_port(server);

    kni_text url;
    bool is_v6 = strchr(host, ':') != NULL;
    kni_text_init(&url, server->alloc);
    kni_text_addf(&url, "%s://%s%s%s:%d", server->tls ? "https" : "http", is_v6 ? "[" : "", host,
                  is_v6 ? "]" : "", server->port);
    server->url = kni_text_take(&url);
    return server->url ? KN_OK : kni_no_memory(err, "listening");
}

static void take_connection(kn_server *server) {
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int yes = 1;
    int file = accept4(server->listening, (struct sockaddr *)&address, &length,
                       SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (file < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            kni_sleep_ms(PAUSE_MS);
        return;
    }
    setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (server->tls)
        kni_pump_start(server, file, (struct sockaddr *)&address, length);
    else
        MHD_add_connection(server->daemon, file, (struct sockaddr *)&address, length);
}

static void *listen_on_and_on(void *context) {
    kn_server *server = context;
    int64_t looked = kni_clock_ms();
    for (;;) {
        struct pollfd watch[2] = {{.fd = server->wake, .events = POLLIN},
                                  {.fd = server->listening, .events = POLLIN}};
        int ready = poll(watch, 2, LOOK_MS);
        if (ready > 0 && watch[0].revents) return NULL;
        if (ready > 0 && watch[1].revents) take_connection(server);
        if (kni_clock_ms() - looked < LOOK_MS) continue;
        kni_links_watch(server);
        looked = kni_clock_ms();
    }
}

kn_status kni_server_listen(kn_server *server, kn_error *err) {
    server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->wake < 0 || pthread_create(&server->listener, NULL, listen_on_and_on, server))
        return kni_fail(err, KN_ERR_OS, "cannot start a thread: %s", strerror(errno));
    server->listens = true;
    return KN_OK;
}

void kni_server_stop_listening(kn_server *server) {
    uint64_t one = 1;
    if (server->listens && write(server->wake, &one, sizeof one) == sizeof one)
        pthread_join(server->listener, NULL);
    server->listens = false;
    if (server->listening >= 0) close(server->listening);
    if (server->wake >= 0) close(server->wake);
    server->listening = server->wake = -1;
}
