/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: how long each may take for what. */
#include <arpa/inet.h>
#include <linux/tcp.h>
#include <string.h>

#include "os/clock.h"
#include "serve/server.h"

#define BYTES_A_SECOND 1024

bool kni_pace_is_slow(kni_pace *pace, int64_t now_ms, int64_t bytes, int timeout_s) {
    if (pace->bytes < 0) pace->bytes = bytes;
    if (now_ms - pace->since_ms < (int64_t)timeout_s * 1000) return false;
    bool slow = bytes - pace->bytes < (int64_t)timeout_s * BYTES_A_SECOND;
    *pace = (kni_pace){now_ms, bytes};
    return slow;
}

/* What the client has acknowledged; 0 where the socket is none of TCP (a pump looks after it). */
static int64_t bytes_taken(int file) {
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    if (getsockopt(file, IPPROTO_TCP, TCP_INFO, &info, &length)) return 0;
    return (int64_t)info.tcpi_bytes_acked;
}

static bool is_tcp(int file) {
    int domain = 0;
    socklen_t length = sizeof domain;
    return !getsockopt(file, SOL_SOCKET, SO_DOMAIN, &domain, &length) && domain != AF_UNIX;
}

static void describe_address(const struct sockaddr *address, char out[INET6_ADDRSTRLEN]) {
    static const char mapped[] = "::ffff:";
    const void *bytes = NULL;
    if (address && address->sa_family == AF_INET)
        bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    if (address && address->sa_family == AF_INET6)
        bytes = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    if (!bytes || !inet_ntop(address->sa_family, bytes, out, INET6_ADDRSTRLEN)) {
        memcpy(out, "-", 2);
    } else if (strncmp(out, mapped, sizeof mapped - 1) == 0 && strchr(out, '.')) {
        memmove(out, out + sizeof mapped - 1, strlen(out + sizeof mapped - 1) + 1);
    }
}

static kni_link *link_add(kn_server *server, struct MHD_Connection *connection) {
    kni_link *link = kni_new(server->alloc, sizeof *link);
    if (!link) return NULL;
    link->file = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    link->pace.since_ms = kni_clock_ms();
    describe_address(
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr,
        link->address);
    pthread_mutex_lock(&server->lock);
    link->next = server->links;
    link->at = &server->links;
    if (link->next) link->next->at = &link->next;
    server->links = link;
    if (server->stopping) shutdown(link->file, SHUT_RDWR); /* it was taken just before the end */
    pthread_mutex_unlock(&server->lock);
    return link;
}

static void link_remove(kn_server *server, kni_link *link) {
    if (!link) return;
    pthread_mutex_lock(&server->lock);
    *link->at = link->next;
    if (link->next) link->next->at = link->at;
    pthread_mutex_unlock(&server->lock);
    kni_free(server->alloc, link);
}

void kni_link_change(void *context, struct MHD_Connection *connection, void **state,
                     enum MHD_ConnectionNotificationCode what) {
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *state = link_add(context, connection);
    } else {
        link_remove(context, *state);
        *state = NULL;
    }
}

bool kni_link_set(kn_server *server, kni_link *link, kni_link_state state) {
    pthread_mutex_lock(&server->lock);
    if (link->state != KNI_LINK_WAITING) server->answers--;
    if (state != KNI_LINK_WAITING) server->answers++;
    link->state = state;
    link->pace = (kni_pace){kni_clock_ms(), -1};
    bool goes_on = !server->stopping;
    if (!goes_on) {
        if (state == KNI_LINK_WAITING) shutdown(link->file, SHUT_RDWR);
        pthread_cond_broadcast(&server->changed);
    }
    pthread_mutex_unlock(&server->lock);
    return goes_on;
}

void kni_links_watch(kn_server *server) {
    int64_t now = kni_clock_ms();
    pthread_mutex_lock(&server->lock);
    for (kni_link *at = server->links; at; at = at->next) {
        bool late = false;
        if (at->state == KNI_LINK_WAITING)
            late = now - at->pace.since_ms >= (int64_t)server->timeout_s * 1000;
        else if (at->state == KNI_LINK_SENDING && is_tcp(at->file))
            late = kni_pace_is_slow(&at->pace, now, bytes_taken(at->file), server->timeout_s);
        if (late) shutdown(at->file, SHUT_RDWR);
    }
    pthread_mutex_unlock(&server->lock);
}

void kni_links_end_waiting(kn_server *server) {
    for (const kni_link *at = server->links; at; at = at->next) {
        if (at->state == KNI_LINK_WAITING) shutdown(at->file, SHUT_RDWR);
    }
}
