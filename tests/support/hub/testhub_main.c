/* SPDX-License-Identifier: Apache-2.0 */
/* usage: test_hub --root=DIR [--port=N] [--cdn-port=N] [--token=TEXT]... [--SETTING[=VALUE]]...
 * [--watch-stdin] Settings are those of struct settings, with dashes: --latency-ms=50
 * --redirect-small. Port 0 takes a free one; the port is printed as one line when the Hub answers.
 * --watch-stdin ends it when stdin is closed. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "testhub.h"

enum { POOL_SIZE = 256 * 1024, CONNECTIONS_MAX = 8192 };

settings hub_settings(testhub *hub) {
    hub_lock(hub);
    settings set = hub->set;
    hub_unlock(hub);
    return set;
}

void hub_lock(testhub *hub) { pthread_mutex_lock(&hub->lock); }

void hub_unlock(testhub *hub) { pthread_mutex_unlock(&hub->lock); }

void hub_sever(testhub *hub, const link_state *but) {
    hub_lock(hub);
    for (const link_state *at = hub->links; at; at = at->next) {
        if (at != but) shutdown(at->fd, SHUT_RDWR);
    }
    hub_unlock(hub);
}

void hub_refuse(testhub *hub, origin which, double seconds) {
    listener *from = &hub->listeners[which];

    hub_lock(hub);
    from->refuse_until = clock_monotonic() + seconds;
    if (write(from->wake[1], "", 1) != 1) perror("test_hub: wake");
    while (!from->refusing && clock_monotonic() < from->refuse_until) {
        pthread_cond_wait(&hub->changed, &hub->lock);
    }
    hub_unlock(hub);
}

/* Connections */

static void link_change(void *context, struct MHD_Connection *connection, void **state,
                        enum MHD_ConnectionNotificationCode what) {
    listener *from = context;
    testhub *hub = from->hub;

    hub_lock(hub);
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        link_state *added = must(calloc(1, sizeof *added));
        added->fd =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        added->number = ++hub->link_count;
        added->origin = from->origin;
        added->next = hub->links;
        hub->links = added;
        *state = added;
    } else {
        link_state **at = &hub->links;
        while (*at != *state) at = &(*at)->next;
        *at = (*at)->next;
        free(*state);
        *state = NULL;
    }
    hub_unlock(hub);
}

/* The origins differ in their host too: some clients look at nothing else. */
static int listen_on(origin which, int port, int *got) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)which);
    address.sin_port = htons((uint16_t)port);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        close(fd);
        return -1;
    }
    *got = ntohs(address.sin_port);
    return fd;
}

/* Closes the listening socket for as long as is asked for. */
static void refuse(listener *from) {
    testhub *hub = from->hub;

    close(from->fd);
    for (;;) {
        hub_lock(hub);
        from->refusing = true;
        pthread_cond_broadcast(&hub->changed);
        double left = from->refuse_until - clock_monotonic();
        hub_unlock(hub);
        if (left <= 0) break;
        clock_sleep(left);
    }
    while ((from->fd = listen_on(from->origin, from->port, &from->port)) < 0) clock_sleep(0.01);
    hub_lock(hub);
    from->refusing = false;
    hub_unlock(hub);
}

static void take_connection(listener *from) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int yes = 1;
    int fd = accept4(from->fd, (struct sockaddr *)&address, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    MHD_add_connection(from->daemon, fd, (struct sockaddr *)&address, length);
}

static void *listen_for_ever(void *context) {
    listener *from = context;

    for (;;) {
        struct pollfd watch[2] = {{.fd = from->fd, .events = POLLIN},
                                  {.fd = from->wake[0], .events = POLLIN}};
        if (poll(watch, 2, -1) < 0) continue;
        char byte;
        if ((watch[1].revents & POLLIN) && read(from->wake[0], &byte, 1) == 1) {
            refuse(from);
        } else if (watch[0].revents) {
            take_connection(from);
        }
    }
    return NULL;
}

static bool listener_start(testhub *hub, origin which, int port) {
    listener *from = &hub->listeners[which];
    pthread_t thread;

    from->hub = hub;
    from->origin = which;
    from->fd = listen_on(which, port, &from->port);
    if (from->fd < 0 || pipe2(from->wake, O_CLOEXEC) != 0) {
        fprintf(stderr, "test_hub: cannot listen on port %d: %s\n", port, strerror(errno));
        return false;
    }
    from->daemon = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
            MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC,
        0, NULL, NULL, request_come, hub, MHD_OPTION_URI_LOG_CALLBACK, request_begin, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, request_end, hub, MHD_OPTION_NOTIFY_CONNECTION, link_change,
        from, MHD_OPTION_UNESCAPE_CALLBACK, request_leave_escaped, NULL,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_SIZE, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS_MAX, MHD_OPTION_THREAD_STACK_SIZE, (size_t)(512 * 1024),
        MHD_OPTION_END);
    if (!from->daemon || pthread_create(&thread, NULL, listen_for_ever, from) != 0) {
        fprintf(stderr, "test_hub: cannot start\n");
        return false;
    }
    pthread_detach(thread);
    return true;
}

/* The command line */

static json_t *value_of(const char *text) {
    if (!text) return json_true();
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    return value ? value : json_string(text);
}

static bool apply_argument(testhub *hub, const char *argument, int *ports, bool *watch) {
    if (strncmp(argument, "--", 2) != 0) return false;
    const char *equals = strchr(argument, '='), *text = equals ? equals + 1 : NULL;
    size_t length = equals ? (size_t)(equals - argument) - 2 : strlen(argument) - 2;
    char *key = must(strndup(argument + 2, length));
    for (char *at = key; *at; at++) *at = (char)(*at == '-' ? '_' : *at);

    bool known = true;
    json_t *value = value_of(text);
    if (text && strcmp(key, "root") == 0) {
        hub->root = text;
    } else if (strcmp(key, "port") == 0) {
        ports[ORIGIN_HUB] = (int)json_integer_value(value);
    } else if (strcmp(key, "cdn_port") == 0) {
        ports[ORIGIN_CDN] = (int)json_integer_value(value);
    } else if (text && strcmp(key, "token") == 0) {
        json_array_append_new(hub->tokens, json_string(text));
    } else if (strcmp(key, "watch_stdin") == 0) {
        *watch = true;
    } else {
        known = settings_apply(&hub->set, key, value);
    }
    json_decref(value);
    free(key);
    return known;
}

static void wait_for_the_end(bool watch) {
    char byte;
    while (!watch) pause();
    while (read(STDIN_FILENO, &byte, 1) > 0 || errno == EINTR) continue;
}

int main(int argc, char **argv) {
    static testhub state = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    int ports[ORIGIN_COUNT] = {0, 0};
    bool watch = false;

    signal(SIGPIPE, SIG_IGN);
    json_object_seed(0);
    state.set = (settings){.page_size = 1000,
                           .lfs_threshold = 10 * 1024 * 1024,
                           .sign_seconds = 3600,
                           .rate_limit_headers = true};
    state.tokens = json_array();
    for (int at = 1; at < argc; at++) {
        if (!apply_argument(&state, argv[at], ports, &watch)) {
            fprintf(stderr, "test_hub: '%s' is no option\n", argv[at]);
            return 2;
        }
    }
    if (!state.root) {
        fprintf(stderr, "test_hub: --root=DIR is needed\n");
        return 2;
    }
    state.served = (kni_hub){.alloc = kni_alloc_or_default(NULL), .believes_folder = true};
    state.served.folder = open(state.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (state.served.folder < 0 || kni_hub_init(&state.served, NULL)) {
        fprintf(stderr, "test_hub: '%s' cannot be opened: %s\n", state.root, strerror(errno));
        return 1;
    }
    if (!listener_start(&state, ORIGIN_CDN, ports[ORIGIN_CDN]) ||
        !listener_start(&state, ORIGIN_HUB, ports[ORIGIN_HUB])) {
        return 1;
    }
    printf("%d\n", state.listeners[ORIGIN_HUB].port);
    fflush(stdout);
    wait_for_the_end(watch);
    _exit(0);
}
