/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define BAR_WIDTH 24
#define LINE_MS 5000 /* between lines about progress that nobody watches */

static void say(cli *c, const char *colour, const char *kind, const char *format, va_list args) {
    cli_clear_bar(c);
    fprintf(stderr, "kernels: %s%s:%s ", cli_paint(c->colour_err, colour), kind,
            cli_paint(c->colour_err, CLI_PLAIN));
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

void cli_error(cli *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(c, CLI_RED, "error", format, args);
    va_end(args);
}

void cli_warning(cli *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(c, CLI_YELLOW, "warning", format, args);
    va_end(args);
}

int cli_status_of(kn_status status) {
    switch (status) {
    case KN_OK:
        return CLI_OK;
    case KN_ERR_NETWORK:
    case KN_ERR_TIMEOUT:
        return CLI_NETWORK;
    case KN_ERR_UNTRUSTED:
    case KN_ERR_GATED:
    case KN_ERR_DENIED:
        return CLI_REFUSED;
    case KN_ERR_INTEGRITY:
        return CLI_DAMAGED;
    case KN_ERR_CANCELLED:
        return CLI_STOPPED;
    default:
        return CLI_FAILED;
    }
}

int cli_fail(cli *c, const kn_error *err) {
    cli_error(c, "%s", err->message);
    return cli_status_of(err->status);
}

/* ---- progress ---- */

const char *cli_bytes(int64_t bytes) {
    static char texts[4][32];
    static unsigned next;
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    char *out = texts[next++ % 4];
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1000.0 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1000.0;
        unit++;
    }
    snprintf(out, sizeof texts[0], unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return out;
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void cli_clear_bar(cli *c) {
    if (c->bar_is_shown) fprintf(stderr, "\r\033[K");
    c->bar_is_shown = false;
}

static void show_bar(cli *c, int64_t done, int64_t total) {
    static const char full[] = "########################";
    int width = total > 0 ? (int)(done * BAR_WIDTH / total) : 0;
    if (width > BAR_WIDTH) width = BAR_WIDTH;
    fprintf(stderr, "\r[%-*.*s] %s of %s\033[K", BAR_WIDTH, width, full, cli_bytes(done),
            cli_bytes(total));
    c->bar_is_shown = true;
}

void cli_progress(cli *c, int64_t done, int64_t total) {
    if (c->quiet) return;
    if (isatty(STDERR_FILENO)) {
        if (done < total)
            show_bar(c, done, total);
        else
            cli_clear_bar(c);
        return;
    }
    int64_t now = now_ms();
    if (!c->told_ms) c->told_ms = now;
    if (now - c->told_ms < LINE_MS && done < total) return;
    c->told_ms = now;
    fprintf(stderr, "kernels: %s of %s\n", cli_bytes(done), cli_bytes(total));
}
