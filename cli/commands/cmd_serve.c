/* SPDX-License-Identifier: Apache-2.0 */
/* The Hub that is served: it runs on threads of its own; this one waits for a signal. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "cli.h"

#define PORT 8017
#define STOP_SECONDS 10
#define TEXT_MAX 1024 /* of what a request says, as the log shows it */

/* What a client sent, on one line of ASCII. */
static const char *shown(const char *text, char out[TEXT_MAX]) {
    size_t used = 0;
    for (; *text && used < TEXT_MAX - 1; text++)
        out[used++] = *text > 0x20 && *text < 0x7F && *text != '"' ? *text
                      : *text == ' '                               ? ' '
                                                                   : '?';
    out[used] = '\0';
    return out;
}

/* By the threads of the server: each line is one write. */
static void log_request(void *ctx, const kn_served *request) {
    char when[32], method[TEXT_MAX], target[TEXT_MAX], agent[TEXT_MAX];
    time_t now = time(NULL);
    struct tm parts;
    (void)ctx;
    gmtime_r(&now, &parts);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &parts);
    fprintf(stderr, "%s %s \"%s %s\" %d %lld%s %.1fms \"%s\"\n", when, request->address,
            shown(request->method, method), shown(request->target, target), request->status,
            (long long)request->bytes, request->cut ? " cut" : "",
            (double)request->microseconds / 1000,
            shown(request->user_agent ? request->user_agent : "-", agent));
}

/* A number from `least` to `most` into *out, which stays where the option was not given. */
static int take_number(cli *c, const char *option, long least, long most, int *out) {
    const char *text = cli_value(c, option);
    if (!text) return CLI_OK;
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno || *end || end == text || number < least || number > most) {
        cli_error(c, "%s takes a number from %ld to %ld, not '%s'", option, least, most, text);
        return CLI_USAGE;
    }
    *out = (int)number;
    return CLI_OK;
}

static int read_options(cli *c, kn_serve_options *out) {
    *out = (kn_serve_options){
        .size = sizeof *out,
        .folder = c->operands[0],
        .host = cli_value(c, "--host"),
        .port = PORT,
        .url = cli_value(c, "--url"),
        .token_file = cli_value(c, "--token-file"),
        .tls_cert = cli_value(c, "--tls-cert"),
        .tls_key = cli_value(c, "--tls-key"),
        .trusted = cli_value(c, "--trust"),
        .log = cli_value(c, "--quiet") ? NULL : log_request,
    };
    int status = take_number(c, "--port", 0, 65535, &out->port);
    if (!status) status = take_number(c, "--max-connections", 1, 100000, &out->max_connections);
    if (!status) status = take_number(c, "--max-per-address", 1, 100000, &out->max_per_address);
    if (!status) status = take_number(c, "--timeout", 1, 86400, &out->timeout_s);
    return status;
}

/* As many open files as the system lets it have: each connection takes some. */
static void allow_files(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* Until SIGINT or SIGTERM, which are blocked but for here: none is missed. */
static void wait_for_signal(const sigset_t *before) {
    while (!cli_is_stopped()) sigsuspend(before);
}

int cmd_serve(cli *c) {
    kn_serve_options options;
    int status = read_options(c, &options);
    if (!status) status = cli_environment(c, false);
    if (!status) status = cli_engine(c);
    if (status) return status;
    if (c->net_library[0]) options.net_library = c->net_library;
    allow_files();

    sigset_t ends, before;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, &before);
    kn_server *server;
    kn_error err;
    kn_error_init(&err);
    if (kn_server_start(&options, &server, &err)) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        return cli_fail(c, &err);
    }
    printf("%s\n", kn_server_url(server));
    if (fflush(stdout) == 0) wait_for_signal(&before); /* else main tells of it */
    sigprocmask(SIG_SETMASK, &before, NULL);
    kn_server_stop(server, STOP_SECONDS);
    return CLI_OK;
}
