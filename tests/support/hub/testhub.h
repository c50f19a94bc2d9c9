/* SPDX-License-Identifier: Apache-2.0 */
/* test_hub: a loopback Hub for tests and benchmarks. It serves a directory tree of repositories as
 * the public Hub does, breaks rules when told to, and keeps a log of what was asked.
 *
 * The answers are those of src/serve, which `kernels serve` gives, too; serve/hub.h tells how the
 * folder looks. organizations/<org>.json may say {"trustedKernelPublisher": true} here. Running out
 * of memory ends the program: it is a tool of the tests. */
#ifndef TESTHUB_H
#define TESTHUB_H

#include <jansson.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "serve/serve_parts.h"

typedef enum origin { ORIGIN_HUB = 0, ORIGIN_CDN = 1, ORIGIN_COUNT = 2 } origin;

/* What can be set on the command line and at run time. */
typedef struct settings {
    long long latency_ms;    /* before each response */
    long long bandwidth;     /* bytes a second for each connection; 0: as fast as it goes */
    long long page_size;     /* entries in a page of a listing */
    long long lfs_threshold; /* files of at least so many bytes are LFS files */
    long long sign_seconds;  /* how long a signed address holds */
    bool redirect_small;     /* a file that is not LFS: a relative 307 to /api/resolve-cache/ */
    bool redirect_large;     /* an LFS file: a signed 302 to the other origin */
    bool require_token;      /* nothing for the anonymous */
    bool rate_limit_headers; /* RateLimit headers on each response, as the public Hub */
} settings;

/* A connection. */
typedef struct link {
    unsigned number;
    origin origin;
    int fd;
    struct link *next;
} link_state;

/* A line of the log. */
typedef struct record {
    double time; /* seconds since the epoch, at arrival */
    double seconds;
    origin origin;
    unsigned connection;
    char *method, *path, *query, *host, *range, *user_agent, *accept_encoding, *fault;
    bool authorization, proxied, done, faulty;
    int status;
    unsigned long long bytes; /* of the body */
} record;

/* A request being answered. */
typedef struct exchange {
    struct MHD_Connection *connection;
    link_state *link;
    settings set;
    origin origin; /* the one that is meant; another than the link's when it came through the proxy
                    */
    bool started, proxied, head;
    char *uri;   /* as it came */
    char *path;  /* without scheme, authority and query; still escaped */
    char *query; /* still escaped; "" without one */
    char *base;  /* "http://host:port" by which the client knows us */
    char *token; /* NULL for the anonymous */
    char *upload;
    size_t upload_length;
    json_t *fault; /* the rule that applies, or NULL; read only */
    record *record;
    uint64_t sent_before; /* on this connection, for the log */
    uint64_t body_length; /* of a body that the kernel sends by itself */
    bool sent_by_kernel;
} exchange;

enum { HEADERS_MAX = 40 };

/* A response. It owns its texts and its file. */
typedef struct reply {
    int status;
    size_t header_count;
    char *names[HEADERS_MAX], *values[HEADERS_MAX];
    char *text; /* the body, unless it comes from `file` or from `fill` */
    int file;   /* -1 without one */
    uint64_t offset, length;
    char *fill; /* `text`, then this again and again up to `length` */
    size_t text_length, fill_length;
    bool chunked; /* Transfer-Encoding: chunked instead of Content-Length */
} reply;

struct fault;

/* Who accepts connections for an origin. */
typedef struct listener {
    struct testhub *hub;
    struct MHD_Daemon *daemon;
    origin origin;
    int fd, wake[2], port;
    double refuse_until; /* by clock_monotonic */
    bool refusing;       /* nothing listens now */
} listener;

/* The whole program's state; what changes is changed under `lock`. */
typedef struct testhub {
    const char *root;
    kni_hub served; /* of `root` */
    listener listeners[ORIGIN_COUNT];
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a request ended, or a listener changed its state */
    settings set;
    json_t *tokens; /* those that are valid; NULL or empty: any */
    struct fault *faults;
    json_int_t fault_count;
    record **records;
    size_t record_count, record_room;
    link_state *links;
    unsigned link_count;
} testhub;

/* testhub_util.c */
void *must(void *memory); /* ends the program when it is NULL */
char *text_copy(const char *text);
char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *hex_decode(const char *hex, size_t *length); /* NULL when it is not hex */
void hex_encode(const unsigned char *bytes, size_t count, char *out);
double clock_now(void); /* seconds since the epoch */
double clock_monotonic(void);
void clock_sleep(double seconds);
const char *json_text(const json_t *object, const char *key);
long long json_number(const json_t *object, const char *key, long long otherwise);
bool json_flag(const json_t *object, const char *key);

/* testhub_log.c */
record *log_begin(testhub *hub, const exchange *request, const char *method);
void log_end(testhub *hub, record *line);
char *log_dump(testhub *hub); /* JSON lines; waits a moment for what is just ending */
void log_reset(testhub *hub);

/* testhub_fault.c */
bool fault_add(testhub *hub, const json_t *rule, json_int_t *id, char **problem);
void fault_clear(testhub *hub);
json_t *fault_list(testhub *hub);
/* The first rule that applies, counted as used up once more. Release with json_decref. */
json_t *fault_take(testhub *hub, const exchange *request);
bool fault_is(const exchange *request, const char *kind);
/* A response that takes the place of the right one; false: there is none, answer rightly. `closed`
 * is set when the connection was written to or cut and nothing may be answered. */
bool fault_reply(testhub *hub, exchange *request, reply *out, bool *closed);
/* Changes the headers of a right response. */
void fault_headers(const exchange *request, reply *out);

/* testhub_reply.c */
void reply_init(reply *out, int status);
void reply_header(reply *out, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void reply_header_remove(reply *out, const char *name);
void reply_json(reply *out, int status, json_t *value); /* takes the value */
void reply_text(reply *out, int status, const char *text);
void reply_error(reply *out, int status, const char *code, const char *message);
enum MHD_Result reply_send(testhub *hub, exchange *request, reply *out);
/* Ends the connection with RST once all that was written has arrived. */
void connection_reset(int fd);
void connection_stall(int fd); /* until the other side closes */
/* Writes all of it, past libmicrohttpd. */
bool connection_write(int fd, const char *bytes, size_t length);
uint64_t connection_sent(int fd); /* all bytes that went out, heads included */
/* What a body of `text` and `fill` is at a place. */
void reply_fill(const reply *body, uint64_t position, char *out, size_t length);

/* testhub_answer.c: what the Hub of src/serve answers, and what the tests want of it besides */
void answer_hub(testhub *hub, exchange *request, const char *method, reply *out);
void answer_cdn(testhub *hub, exchange *request, const char *method, reply *out);

/* testhub_control.c */
void control_answer(testhub *hub, exchange *request, reply *out);
bool settings_apply(settings *set, const char *key, const json_t *value);
bool token_is_valid(testhub *hub, const char *token);

/* testhub_request.c: libmicrohttpd's callbacks, whose context is the testhub */
void *request_begin(void *context, const char *uri, struct MHD_Connection *connection);
enum MHD_Result request_come(void *context, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *upload,
                             size_t *upload_length, void **state);
void request_end(void *context, struct MHD_Connection *connection, void **state,
                 enum MHD_RequestTerminationCode how);
size_t request_leave_escaped(void *context, struct MHD_Connection *connection, char *text);

/* testhub_main.c */
settings hub_settings(testhub *hub);
void hub_lock(testhub *hub);
void hub_unlock(testhub *hub);
void hub_sever(testhub *hub, const link_state *but);         /* cuts all connections, but one */
void hub_refuse(testhub *hub, origin which, double seconds); /* returns when nothing listens */

#endif
