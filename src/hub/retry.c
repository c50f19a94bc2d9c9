/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/retry.h"

#include <string.h>

#define DAY_S 86400

static bool is_passing_status(int status) {
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

static int64_t backoff_ms(int failures) {
    int64_t wait = KNI_RETRY_BASE_MS;
    for (int i = 0; i < failures && wait < KNI_RETRY_CEIL_MS; i++) wait *= 2;
    return wait < KNI_RETRY_CEIL_MS ? wait : KNI_RETRY_CEIL_MS;
}

/* The last try is made when the time is over, not before. */
static kni_retry decide_connect(const kni_retry_facts *facts, int64_t *wait_ms) {
    int64_t left = facts->connect_ms - facts->elapsed_ms, wait = backoff_ms(facts->failures);
    if (left <= 0) return KNI_RETRY_GIVE_UP;
    *wait_ms = wait < left ? wait : left;
    return KNI_RETRY_WAIT;
}

static kni_retry decide_asked(const kni_retry_facts *facts, int64_t *wait_ms) {
    *wait_ms = facts->asked_ms;
    if (facts->asked_ms >= facts->remaining_ms) return KNI_RETRY_TOO_LONG;
    /* A server that says "0" all the time is not asked all the time. */
    if (facts->asked_ms < KNI_RETRY_BASE_MS) *wait_ms = KNI_RETRY_BASE_MS;
    return KNI_RETRY_WAIT;
}

kni_retry kni_retry_decide(const kni_retry_facts *facts, int64_t *wait_ms) {
    if (facts->impatient) return KNI_RETRY_GIVE_UP;
    if (facts->failure == KN_HTTP_RESOLVE || facts->failure == KN_HTTP_CONNECT)
        return decide_connect(facts, wait_ms);
    bool refused = facts->http_status >= 400;
    if (refused ? !is_passing_status(facts->http_status) : facts->failure != KN_HTTP_BROKEN)
        return KNI_RETRY_GIVE_UP;
    if (facts->failures >= KNI_RETRY_MAX) return KNI_RETRY_GIVE_UP;
    if (refused && facts->asked_ms != KNI_RETRY_NOT_ASKED) return decide_asked(facts, wait_ms);
    *wait_ms = backoff_ms(facts->failures);
    return KNI_RETRY_WAIT;
}

/* ---- what a response asks for ---- */

/* Decimal digits at *at, which is moved behind them; -1 where there are none. At most `most`. */
static int64_t read_number(const char **at, int64_t most) {
    if (**at < '0' || **at > '9') return -1;
    int64_t value = 0;
    for (; **at >= '0' && **at <= '9'; ++*at) {
        if (value <= most) value = value * 10 + (**at - '0');
    }
    return value < most ? value : most;
}

/* The number that is all of `text`, in seconds; -1 where it is none. */
static int64_t whole_number(const char *text) {
    int64_t value = read_number(&text, DAY_S);
    return *text ? -1 : value;
}

static int month_of(const char *name) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (int i = 0; i < 12; i++) {
        if (strncmp(name, months + 3 * (size_t)i, 3) == 0) return i + 1;
    }
    return 0;
}

/* Days from 1970-01-01 in the Gregorian calendar, counted in years that begin in March. */
static int64_t days_of(int64_t year, int month, int64_t day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t m = month > 2 ? month - 3 : month + 9;
    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static bool take_text(const char **at, const char *text) {
    size_t length = strlen(text);
    if (strncmp(*at, text, length) != 0) return false;
    *at += length;
    return true;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, IMF-fixdate, the one that servers may send) as seconds
 * since 1970; -1 for anything else. */
static int64_t read_date(const char *text) {
    const char *at = strchr(text, ',');
    if (!at || at[1] != ' ') return -1;
    at += 2;
    int64_t day = read_number(&at, 99);
    if (day < 1 || !take_text(&at, " ")) return -1;
    int month = month_of(at);
    if (!month) return -1;
    at += 3;
    if (!take_text(&at, " ")) return -1;
    int64_t year = read_number(&at, 9999);
    if (year < 1970 || !take_text(&at, " ")) return -1;
    int64_t hour = read_number(&at, 99);
    if (hour < 0 || !take_text(&at, ":")) return -1;
    int64_t minute = read_number(&at, 99);
    if (minute < 0 || !take_text(&at, ":")) return -1;
    int64_t second = read_number(&at, 99);
    if (second < 0 || strcmp(at, " GMT") != 0) return -1;
    return ((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
}

/* The parameter t of RateLimit: "api";r=0;t=55 */
static int64_t reset_of(const char *rate_limit) {
    for (const char *at = rate_limit; (at = strchr(at, ';'));) {
        at++;
        while (*at == ' ') at++;
        if (!take_text(&at, "t=")) continue;
        return read_number(&at, DAY_S);
    }
    return -1;
}

static int64_t until(const char *retry_after, const char *date) {
    int64_t then = read_date(retry_after), now = date ? read_date(date) : -1;
    if (then < 0 || now < 0) return -1;
    int64_t wait = then > now ? then - now : 0;
    return wait < DAY_S ? wait : DAY_S;
}

int64_t kni_retry_asked_ms(const char *retry_after, const char *date, const char *rate_limit,
                           const char *rate_limit_reset) {
    int64_t seconds = -1;
    if (retry_after) seconds = whole_number(retry_after);
    if (seconds < 0 && retry_after) seconds = until(retry_after, date);
    if (seconds < 0 && rate_limit) seconds = reset_of(rate_limit);
    if (seconds < 0 && rate_limit_reset) seconds = whole_number(rate_limit_reset);
    return seconds < 0 ? KNI_RETRY_NOT_ASKED : seconds * 1000;
}
