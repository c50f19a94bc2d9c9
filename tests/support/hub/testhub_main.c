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

enum { PARTS_MAX = 256, POOL_SIZE = 256 * 1024, CONNECTIONS_MAX = 8192 };

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

/* Requests */

static void *request_begin(void *context, const char *uri, struct MHD_Connection *connection) {
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

static void request_end(void *context, struct MHD_Connection *connection, void **state,
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

/* Splits the path in place; the parts stay escaped. */
static size_t split(char *path, char **parts) {
    size_t count = 0;
    while (*path == '/') path++;
    while (*path && count < PARTS_MAX) {
        parts[count++] = path;
        path += strcspn(path, "/");
        if (*path) *path++ = '\0';
    }
    return count;
}

static void route(testhub *hub, exchange *request, reply *out) {
    char *path = text_copy(request->path), *parts[PARTS_MAX];
    size_t count = split(path, parts);

    if (request->origin == ORIGIN_CDN) {
        files_cdn(hub, request, parts, count, out);
    } else if (count > 0 && strcmp(parts[0], "api") == 0) {
        api_answer(hub, request, parts + 1, count - 1, out);
    } else if (count > 5 && strcmp(parts[0], "kernels") == 0 && strcmp(parts[3], "resolve") == 0) {
        files_resolve(hub, request, "kernels", parts + 1, count - 1, out);
    } else if (count > 4 && strcmp(parts[2], "resolve") == 0) {
        files_resolve(hub, request, "models", parts, count, out);
    } else {
        reply_text(out, 404, "Not Found");
    }
    free(path);
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
    } else if (!request->head && strcmp(method, MHD_HTTP_METHOD_GET) != 0) {
        reply_text(&out, 405, "Method Not Allowed");
    } else {
        route(hub, request, &out);
        add_usual_headers(request, &out);
        if (fault_is(request, "headers")) fault_headers(request, &out);
    }
    return reply_send(hub, request, &out);
}

static enum MHD_Result request_come(void *context, struct MHD_Connection *connection,
                                    const char *url, const char *method, const char *version,
                                    const char *upload, size_t *upload_length, void **state) {
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
static size_t leave_escaped(void *context, struct MHD_Connection *connection, char *text) {
    (void)context;
    (void)connection;
    return strlen(text);
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

static int listen_on(int port, int *got) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
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
    while ((from->fd = listen_on(from->port, &from->port)) < 0) clock_sleep(0.01);
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
    from->fd = listen_on(port, &from->port);
    if (from->fd < 0 || pipe2(from->wake, O_CLOEXEC) != 0) {
        fprintf(stderr, "test_hub: cannot listen on port %d: %s\n", port, strerror(errno));
        return false;
    }
    from->daemon = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
            MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC,
        0, NULL, NULL, request_come, hub, MHD_OPTION_URI_LOG_CALLBACK, request_begin, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, request_end, hub, MHD_OPTION_NOTIFY_CONNECTION, link_change,
        from, MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)POOL_SIZE, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)(512 * 1024), MHD_OPTION_END);
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
    if (!listener_start(&state, ORIGIN_CDN, ports[ORIGIN_CDN]) ||
        !listener_start(&state, ORIGIN_HUB, ports[ORIGIN_HUB])) {
        return 1;
    }
    printf("%d\n", state.listeners[ORIGIN_HUB].port);
    fflush(stdout);
    wait_for_the_end(watch);
    _exit(0);
}
