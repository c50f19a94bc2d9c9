/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/response_head.h"

#include <string.h>

const char *kni_head_find(const kn_http_header *headers, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(headers[i].name, name) == 0) return headers[i].value;
    }
    return NULL;
}

/* Digits at *at, which is moved behind them; -1 where there are none, or too many. */
static int64_t read_digits(const char **at) {
    if (**at < '0' || **at > '9') return -1;
    int64_t value = 0;
    for (; **at >= '0' && **at <= '9'; ++*at) {
        if (value > (INT64_MAX - 9) / 10) return -1;
        value = value * 10 + (**at - '0');
    }
    return value;
}

int64_t kni_head_range_start(const char *value) {
    if (!value || strncmp(value, "bytes ", 6) != 0) return -1;
    value += 6;
    int64_t start = read_digits(&value);
    return *value == '-' ? start : -1;
}

int64_t kni_head_length(const char *value) {
    int64_t length = value ? read_digits(&value) : -1;
    return value && !*value ? length : -1;
}

/* Whether the parameters of a link, up to `end`, say rel=next or rel="next". */
static bool is_next(const char *at, const char *end) {
    while (at < end) {
        while (at < end && (*at == ';' || *at == ' ' || *at == '\t')) at++;
        size_t left = (size_t)(end - at);
        if (left >= 10 && strncmp(at, "rel=\"next\"", 10) == 0) return true;
        if (left >= 8 && strncmp(at, "rel=next", 8) == 0 && (left == 8 || strchr("; \t", at[8])))
            return true;
        for (bool quoted = false; at < end && (quoted || *at != ';'); at++) {
            if (*at == '"') quoted = !quoted;
        }
    }
    return false;
}

/* The end of a link's parameters: the next comma that is in no quotes. */
static const char *link_end(const char *at) {
    bool quoted = false;
    for (; *at && (quoted || *at != ','); at++) {
        if (*at == '"') quoted = !quoted;
    }
    return at;
}

/* The target in a value of Link ("<a>; rel=\"next\", <b>; rel=\"last\""); NULL: none. */
static const char *next_in(const char *value, size_t *length) {
    while ((value = strchr(value, '<'))) {
        const char *target = value + 1, *close = strchr(target, '>');
        if (!close) return NULL;
        value = link_end(close + 1);
        if (!is_next(close + 1, value)) continue;
        *length = (size_t)(close - target);
        return target;
    }
    return NULL;
}

kn_status kni_head_next(const kn_alloc *alloc, const kn_http_header *headers, size_t count,
                        char **out, bool *found) {
    *out = NULL;
    *found = false;
    for (size_t i = 0; i < count; i++) {
        size_t length;
        if (strcmp(headers[i].name, "link") != 0) continue;
        const char *target = next_in(headers[i].value, &length);
        if (!target) continue;
        *found = true;
        *out = kni_text_copy_n(alloc, target, length);
        return *out ? KN_OK : KN_ERR_NOMEM;
    }
    return KN_OK;
}
