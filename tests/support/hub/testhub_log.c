/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "testhub.h"

static char *header_copy(const exchange *request, const char *name) {
    const char *value = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
    return value ? text_copy(value) : NULL;
}

record *log_begin(testhub *hub, const exchange *request, const char *method) {
    record *line = must(calloc(1, sizeof *line));

    line->time = clock_now();
    line->origin = request->origin;
    line->connection = request->link->number;
    line->method = text_copy(method);
    line->path = text_copy(request->path);
    line->query = text_copy(request->query);
    line->host = header_copy(request, MHD_HTTP_HEADER_HOST);
    line->range = header_copy(request, MHD_HTTP_HEADER_RANGE);
    line->user_agent = header_copy(request, MHD_HTTP_HEADER_USER_AGENT);
    line->accept_encoding = header_copy(request, MHD_HTTP_HEADER_ACCEPT_ENCODING);
    line->authorization = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND,
                                                      MHD_HTTP_HEADER_AUTHORIZATION) != NULL;
    line->proxied = request->proxied;

    hub_lock(hub);
    if (hub->record_count == hub->record_room) {
        hub->record_room = hub->record_room ? hub->record_room * 2 : 256;
        hub->records = must(realloc(hub->records, hub->record_room * sizeof *hub->records));
    }
    hub->records[hub->record_count++] = line;
    hub_unlock(hub);
    return line;
}

void log_end(testhub *hub, record *line) {
    hub_lock(hub);
    line->done = true;
    line->seconds = clock_now() - line->time;
    pthread_cond_broadcast(&hub->changed);
    hub_unlock(hub);
}

static json_t *text_or_null(const char *text) {
    json_t *value = text ? json_string(text) : NULL;
    return value ? value : json_null();
}

static json_t *record_json(const record *line) {
    return must(json_pack("{s:f, s:s, s:I, s:s, s:o, s:o, s:i, s:I, s:b, s:o, s:o, s:o, s:o, s:b, "
                          "s:o, s:b, s:f}",
                          "time", line->time, "origin", line->origin == ORIGIN_CDN ? "cdn" : "hub",
                          "connection", (json_int_t)line->connection, "method", line->method,
                          "path", text_or_null(line->path), "query", text_or_null(line->query),
                          "status", line->status, "bytes", (json_int_t)line->bytes, "authorization",
                          line->authorization, "range", text_or_null(line->range), "user_agent",
                          text_or_null(line->user_agent), "accept_encoding",
                          text_or_null(line->accept_encoding), "host", text_or_null(line->host),
                          "proxied", line->proxied, "fault", text_or_null(line->fault), "done",
                          line->done, "seconds", line->seconds));
}

/* Responses are logged when their last byte is on its way, which a client may see before we do. */
static void wait_for_the_ending(testhub *hub) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 200 * 1000 * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;

    for (;;) {
        bool open = false;
        for (size_t at = 0; at < hub->record_count; at++) {
            open = open || (!hub->records[at]->done && !hub->records[at]->faulty);
        }
        if (!open || pthread_cond_timedwait(&hub->changed, &hub->lock, &until) != 0) return;
    }
}

char *log_dump(testhub *hub) {
    size_t length = 0, room = 1;
    char *out = must(malloc(room));

    out[0] = '\0';
    hub_lock(hub);
    wait_for_the_ending(hub);
    for (size_t at = 0; at < hub->record_count; at++) {
        json_t *value = record_json(hub->records[at]);
        char *line = must(json_dumps(value, JSON_COMPACT));
        size_t more = strlen(line);
        if (length + more + 2 > room) {
            room = (length + more + 2) * 2;
            out = must(realloc(out, room));
        }
        memcpy(out + length, line, more);
        length += more;
        out[length++] = '\n';
        out[length] = '\0';
        free(line);
        json_decref(value);
    }
    hub_unlock(hub);
    return out;
}

/* Requests under way keep their records: nobody frees one. */
void log_reset(testhub *hub) {
    hub_lock(hub);
    wait_for_the_ending(hub);
    hub->record_count = 0;
    hub_unlock(hub);
}
