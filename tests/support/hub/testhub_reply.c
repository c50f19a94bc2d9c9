/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "testhub.h"

enum { PIECE = 64 * 1024, STEPS_A_SECOND = 50 };

typedef enum ending { END_RIGHTLY, END_CLOSE, END_RESET, END_STALL } ending;

/* A body on its way. */
typedef struct stream {
    reply body;
    record *record;
    int fd;
    ending ending;
    uint64_t cut; /* where the ending comes */
    bool flips;   /* the byte at `flip` of the whole file is another */
    uint64_t flip;
    long long rate; /* bytes a second; 0: any */
    double start;
} stream;

void reply_init(reply *out, int status) { *out = (reply){.status = status, .file = -1}; }

void reply_header(reply *out, const char *name, const char *format, ...) {
    va_list arguments;
    char *value = NULL;

    if (out->header_count == HEADERS_MAX) return;
    va_start(arguments, format);
    if (vasprintf(&value, format, arguments) < 0) value = NULL;
    va_end(arguments);
    out->names[out->header_count] = text_copy(name);
    out->values[out->header_count++] = must(value);
}

void reply_header_remove(reply *out, const char *name) {
    size_t kept = 0;
    for (size_t at = 0; at < out->header_count; at++) {
        if (strcasecmp(out->names[at], name) == 0) {
            free(out->names[at]);
            free(out->values[at]);
            continue;
        }
        out->names[kept] = out->names[at];
        out->values[kept++] = out->values[at];
    }
    out->header_count = kept;
}

void reply_text(reply *out, int status, const char *text) {
    reply_init(out, status);
    out->text = text_copy(text);
    out->text_length = out->length = strlen(text);
    reply_header(out, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8");
}

void reply_json(reply *out, int status, json_t *value) {
    reply_init(out, status);
    out->text = must(json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY));
    out->text_length = out->length = strlen(out->text);
    json_decref(value);
    reply_header(out, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json; charset=utf-8");
}

void reply_error(reply *out, int status, const char *code, const char *message) {
    reply_json(out, status, json_pack("{s:s}", "error", message));
    if (code) reply_header(out, "X-Error-Code", "%s", code);
    reply_header(out, "X-Error-Message", "%s", message);
    if (status == 401) {
        reply_header(out, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                     "Bearer realm=\"Authentication required\", charset=\"UTF-8\"");
    }
}

static void reply_clear(reply *out) {
    for (size_t at = 0; at < out->header_count; at++) {
        free(out->names[at]);
        free(out->values[at]);
    }
    out->header_count = 0;
    free(out->text);
    free(out->fill);
    if (out->file >= 0) close(out->file);
    out->text = out->fill = NULL;
    out->file = -1;
}

static bool is_closed_by_peer(int fd) {
    struct pollfd watch = {.fd = fd, .events = POLLRDHUP};
    return poll(&watch, 1, 0) > 0 && (watch.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

void connection_stall(int fd) {
    while (!is_closed_by_peer(fd)) clock_sleep(0.02);
}

void connection_reset(int fd) {
    int waiting = 1;
    for (int tries = 0; waiting > 0 && tries < 500; tries++) {
        if (ioctl(fd, SIOCOUTQ, &waiting) != 0 || waiting == 0) break;
        clock_sleep(0.002);
    }
    /* Disconnecting a TCP socket sends RST, whatever its linger option says. */
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    connect(fd, &nobody, sizeof nobody);
}

bool connection_write(int fd, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent > 0) {
            bytes += sent;
            length -= (size_t)sent;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR) return false;
        struct pollfd watch = {.fd = fd, .events = POLLOUT};
        if (poll(&watch, 1, 30000) <= 0) return false;
    }
    return true;
}

void reply_fill(const reply *body, uint64_t position, char *out, size_t length) {
    size_t done = 0;
    if (position < body->text_length) {
        done = body->text_length - (size_t)position;
        if (done > length) done = length;
        memcpy(out, body->text + position, done);
    }
    while (done < length && body->fill_length > 0) {
        size_t at = (size_t)((position + done - body->text_length) % body->fill_length);
        size_t piece = body->fill_length - at;
        if (piece > length - done) piece = length - done;
        memcpy(out + done, body->fill + at, piece);
        done += piece;
    }
}

static ssize_t end_early(stream *body) {
    if (body->ending == END_STALL) connection_stall(body->fd);
    if (body->ending == END_RESET) connection_reset(body->fd);
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

/* How much may be sent now: waits until it is at least one byte. */
static size_t keep_to_rate(const stream *body, uint64_t position, size_t wanted) {
    if (body->rate <= 0) return wanted;
    size_t step = (size_t)(body->rate / STEPS_A_SECOND);
    if (step == 0) step = 1;
    if (wanted > step) wanted = step;
    double due = body->start + (double)(position + wanted) / (double)body->rate;
    clock_sleep(due - clock_monotonic());
    return wanted;
}

static ssize_t stream_read(void *context, uint64_t position, char *out, size_t room) {
    stream *body = context;
    uint64_t left = body->body.length - position;
    size_t length = room < left ? room : (size_t)left;

    if (body->ending != END_RIGHTLY) {
        if (position >= body->cut) return end_early(body);
        if (length > body->cut - position) length = (size_t)(body->cut - position);
    }
    if (length == 0) return MHD_CONTENT_READER_END_OF_STREAM;
    length = keep_to_rate(body, position, length);

    uint64_t place = body->body.offset + position; /* in the whole file */
    if (body->body.file >= 0) {
        ssize_t got = pread(body->body.file, out, length, (off_t)place);
        if (got <= 0) return MHD_CONTENT_READER_END_WITH_ERROR;
        length = (size_t)got;
    } else {
        reply_fill(&body->body, position, out, length);
    }
    if (body->flips && body->flip >= place && body->flip < place + length) {
        out[body->flip - place] = (char)(out[body->flip - place] ^ 1);
    }
    if (body->record) body->record->bytes += length;
    return (ssize_t)length;
}

static void stream_free(void *context) {
    stream *body = context;
    reply_clear(&body->body);
    free(body);
}

static void set_faults(stream *body, const exchange *request) {
    const json_t *rule = request->fault;
    if (fault_is(request, "truncate")) body->ending = END_CLOSE;
    if (fault_is(request, "reset")) body->ending = END_RESET;
    if (fault_is(request, "stall")) body->ending = END_STALL;
    body->cut = (uint64_t)json_number(rule, "bytes", 0);
    if (body->cut >= body->body.length && !body->body.chunked) {
        body->cut = body->body.length ? body->body.length - 1 : 0;
    }
    if (fault_is(request, "flip")) {
        body->flips = true;
        body->flip = (uint64_t)json_number(rule, "offset", 0);
    }
    if (fault_is(request, "slow")) body->rate = json_number(rule, "rate", 1);
}

uint64_t connection_sent(int fd) {
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return 0;
    return info.tcpi_bytes_sent;
}

/* Whole files go from the disk cache to the socket by sendfile, when nothing has to see their
 * bytes. */
static struct MHD_Response *make_response(exchange *request, reply *out) {
    struct MHD_Response *response;
    stream *body = must(calloc(1, sizeof *body));

    body->body = *out;
    body->record = request->head ? NULL : request->record;
    body->fd = request->link->fd;
    body->rate = request->set.bandwidth;
    body->start = clock_monotonic();
    if (request->fault) set_faults(body, request);
    bool plain = body->ending == END_RIGHTLY && !body->flips && body->rate <= 0;

    if (out->file >= 0 && plain && out->length > 0) {
        response = MHD_create_response_from_fd_at_offset64(out->length, out->file, out->offset);
        body->body.file = -1; /* the response closes it */
        stream_free(body);
        request->sent_by_kernel = true;
        request->body_length = out->length;
        request->sent_before = connection_sent(request->link->fd);
    } else {
        uint64_t length = out->chunked ? MHD_SIZE_UNKNOWN : out->length;
        response = MHD_create_response_from_callback(length, PIECE, stream_read, body, stream_free);
    }
    return must(response);
}

/* The reply's headers are freed here, its body with the response. */
enum MHD_Result reply_send(testhub *hub, exchange *request, reply *out) {
    size_t header_count = out->header_count;
    out->header_count = 0; /* not the response's */
    int status = out->status;
    struct MHD_Response *response = make_response(request, out);

    for (size_t at = 0; at < header_count; at++) {
        MHD_add_response_header(response, out->names[at], out->values[at]);
        free(out->names[at]);
        free(out->values[at]);
    }
    if (request->record) {
        hub_lock(hub);
        request->record->status = status;
        hub_unlock(hub);
    }
    enum MHD_Result result = MHD_queue_response(request->connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return result;
}
