/* SPDX-License-Identifier: Apache-2.0 */
/* Faults. A rule is {"kind": ..., "match": regular expression on path?query, "method": "GET",
 * "origin": "hub" | "cdn", "times": 1 (-1: always), "after": 0 (so many matching requests go well
 * first)}, and
 *
 * - drop: RST before any answer
 * - hold {ms}: so much later
 * - refuse {ms}: RST, and nothing listens for so long
 * - reset, truncate, stall {bytes}: so much of the body, then RST, the end, or silence
 * - slow {rate}: bytes a second
 * - flip {offset}: this byte of the file is another
 * - ignore-range: 200 and the whole instead of 206
 * - content-range {value}: 206 with this Content-Range, else with one that begins a byte later
 * - status {status, headers, body}: an error of the server's
 * - body {body | body_hex, status}: this instead of the right body; garbage without one
 * - headers {headers}: the right response with other headers; null takes one away
 * - redirect {location, status}: to elsewhere
 * - loop {status}: to where the client is
 * - flood {text, fill, bytes, chunked, status}: `text`, then `fill` again and again, up to `bytes`
 * - raw {text | text_hex, fill, bytes, then}: the same past HTTP, then "close", "reset" or "stall"
 * - listing {append_hex, replace}: more entries in a page of a listing, or other ones
 * - entries {count}: a listing of so many entries, in pages */
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testhub.h"

typedef struct fault {
    json_t *rule;
    regex_t match;
    bool matches_all;
    long long times, after;
    json_int_t id, fired;
    struct fault *next;
} fault;

static const char *const kinds[] = {"drop",  "hold",    "refuse",   "reset",        "truncate",
                                    "stall", "slow",    "flip",     "ignore-range", "status",
                                    "body",  "headers", "redirect", "loop",         "flood",
                                    "raw",   "listing", "entries",  "content-range"};

static bool is_kind(const char *text) {
    for (size_t at = 0; at < sizeof kinds / sizeof kinds[0]; at++) {
        if (strcmp(kinds[at], text) == 0) return true;
    }
    return false;
}

bool fault_add(testhub *hub, const json_t *rule, json_int_t *id, char **problem) {
    const char *kind = json_text(rule, "kind"), *match = json_text(rule, "match");

    if (!kind || !is_kind(kind)) {
        *problem = text_format("no fault is called '%s'", kind ? kind : "");
        return false;
    }
    fault *added = must(calloc(1, sizeof *added));
    added->matches_all = !match;
    if (match && regcomp(&added->match, match, REG_EXTENDED | REG_NOSUB) != 0) {
        *problem = text_format("'%s' is no extended regular expression", match);
        free(added);
        return false;
    }
    added->rule = must(json_deep_copy(rule));
    added->times = json_number(rule, "times", 1);
    added->after = json_number(rule, "after", 0);

    hub_lock(hub);
    *id = added->id = ++hub->fault_count;
    fault **end = &hub->faults;
    while (*end) end = &(*end)->next;
    *end = added;
    hub_unlock(hub);
    return true;
}

void fault_clear(testhub *hub) {
    hub_lock(hub);
    while (hub->faults) {
        fault *gone = hub->faults;
        hub->faults = gone->next;
        json_decref(gone->rule);
        if (!gone->matches_all) regfree(&gone->match);
        free(gone);
    }
    hub_unlock(hub);
}

json_t *fault_list(testhub *hub) {
    json_t *list = json_array();
    hub_lock(hub);
    for (const fault *at = hub->faults; at; at = at->next) {
        json_array_append_new(
            list, json_pack("{s:I, s:I, s:O}", "id", at->id, "fired", at->fired, "rule", at->rule));
    }
    hub_unlock(hub);
    return list;
}

static bool applies(const fault *rule, const exchange *request, const char *address) {
    const char *method = json_text(rule->rule, "method"), *where = json_text(rule->rule, "origin");

    if (method && strcmp(method, request->record->method) != 0) return false;
    if (where && (strcmp(where, "cdn") == 0) != (request->origin == ORIGIN_CDN)) return false;
    return rule->matches_all || regexec(&rule->match, address, 0, NULL, 0) == 0;
}

json_t *fault_take(testhub *hub, const exchange *request) {
    char *address =
        text_format("%s%s%s", request->path, request->query[0] ? "?" : "", request->query);
    json_t *taken = NULL;

    hub_lock(hub);
    for (fault *at = hub->faults; at && !taken; at = at->next) {
        if (at->times == 0 || !applies(at, request, address)) continue;
        if (at->after > 0) {
            at->after--;
            continue;
        }
        if (at->times > 0) at->times--;
        at->fired++;
        taken = json_incref(at->rule);
        request->record->fault = text_copy(json_text(at->rule, "kind"));
        request->record->faulty = true;
    }
    hub_unlock(hub);
    free(address);
    return taken;
}

bool fault_is(const exchange *request, const char *kind) {
    return request->fault && strcmp(json_text(request->fault, "kind"), kind) == 0;
}

void fault_headers(const exchange *request, reply *out) {
    const char *name;
    const json_t *value;
    json_t *headers = json_object_get(request->fault, "headers");

    json_object_foreach(headers, name, value) {
        reply_header_remove(out, name);
        if (json_is_string(value)) reply_header(out, name, "%s", json_string_value(value));
    }
}

/* The text under `key`, or what `key`_hex encodes. */
static char *text_of(const json_t *rule, const char *key, const char *otherwise, size_t *length) {
    char *hex_key = text_format("%s_hex", key);
    const char *hex = json_text(rule, hex_key), *text = json_text(rule, key);
    char *out = hex ? hex_decode(hex, length) : NULL;

    free(hex_key);
    if (out) return out;
    if (!text) text = otherwise;
    *length = strlen(text);
    return text_copy(text);
}

static void body_reply(const exchange *request, const char *otherwise, int status, reply *out) {
    size_t length;
    char *text = text_of(request->fault, "body", otherwise, &length);

    reply_init(out, (int)json_number(request->fault, "status", status));
    out->text = text;
    out->text_length = out->length = length;
    reply_header(out, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json; charset=utf-8");
    fault_headers(request, out);
}

static void flood_body(const json_t *rule, reply *out) {
    out->text = text_of(rule, "text", "", &out->text_length);
    out->fill = text_of(rule, "fill", "", &out->fill_length);
    out->length = (uint64_t)json_number(rule, "bytes", (long long)out->text_length);
    if (out->fill_length == 0) out->length = out->text_length;
}

static void flood_reply(const exchange *request, reply *out) {
    reply_init(out, (int)json_number(request->fault, "status", 200));
    flood_body(request->fault, out);
    out->chunked = json_flag(request->fault, "chunked");
    reply_header(out, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json; charset=utf-8");
    fault_headers(request, out);
}

static void write_raw(const exchange *request) {
    const char *then = json_text(request->fault, "then");
    int fd = request->link->fd;
    reply body;
    char piece[16 * 1024];

    reply_init(&body, 0);
    flood_body(request->fault, &body);
    for (uint64_t at = 0; at < body.length;) {
        size_t length = body.length - at < sizeof piece ? (size_t)(body.length - at) : sizeof piece;
        reply_fill(&body, at, piece, length);
        if (!connection_write(fd, piece, length)) break;
        request->record->bytes += length;
        at += length;
    }
    free(body.text);
    free(body.fill);
    if (then && strcmp(then, "reset") == 0) connection_reset(fd);
    if (then && strcmp(then, "stall") == 0) connection_stall(fd);
}

static void redirect_reply(const exchange *request, const char *location, reply *out) {
    reply_text(out, (int)json_number(request->fault, "status", 302), "Redirecting");
    reply_header(out, MHD_HTTP_HEADER_LOCATION, "%s", location);
    fault_headers(request, out);
}

bool fault_reply(testhub *hub, exchange *request, reply *out, bool *closed) {
    const json_t *rule = request->fault;
    const char *location = json_text(rule, "location");

    *closed = false;
    if (fault_is(request, "hold")) {
        clock_sleep((double)json_number(rule, "ms", 0) / 1000);
        return false;
    }
    if (fault_is(request, "drop") || fault_is(request, "refuse")) {
        if (fault_is(request, "refuse")) {
            hub_refuse(hub, request->link->origin, (double)json_number(rule, "ms", 100) / 1000);
        }
        connection_reset(request->link->fd);
        *closed = true;
    } else if (fault_is(request, "raw")) {
        write_raw(request);
        *closed = true;
    } else if (fault_is(request, "status")) {
        body_reply(request, "{\"error\":\"Something went wrong\"}", 500, out);
    } else if (fault_is(request, "body")) {
        body_reply(request, "{\"error\": [1, 2,, \"\\", 200, out);
    } else if (fault_is(request, "redirect")) {
        redirect_reply(request, location ? location : "/", out);
    } else if (fault_is(request, "loop")) {
        redirect_reply(request, request->path, out);
    } else if (fault_is(request, "flood")) {
        flood_reply(request, out);
    } else {
        return false;
    }
    return true;
}
