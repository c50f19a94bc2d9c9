/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in a request: paths, queries, ranges. Pure. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "serve/serve_parts.h"

void kni_parts_of(kni_scratch *scratch, const char *path, kni_parts *out) {
    *out = (kni_parts){.count = 0};
    path += strspn(path, "/");
    while (*path) {
        size_t length = strcspn(path, "/");
        if (out->count == KNI_PARTS_MAX) {
            out->count = 0;
            return;
        }
        out->items[out->count++] = kni_scratch_copy(scratch, path, length);
        path += length;
        if (*path) path++;
    }
}

kni_parts kni_parts_after(const kni_parts *parts, size_t count) {
    kni_parts rest = {.count = 0};
    for (size_t i = count; i < parts->count; i++) rest.items[rest.count++] = parts->items[i];
    return rest;
}

bool kni_parts_is(const kni_parts *parts, size_t at, const char *text) {
    return at < parts->count && strcmp(parts->items[at], text) == 0;
}

static int digit_value(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

const char *kni_unescape(kni_scratch *scratch, const char *text, size_t length) {
    char *out = kni_scratch_take(scratch, length + 1);
    size_t to = 0;
    if (!out) return "";
    for (size_t at = 0; at < length; at++) {
        int high = -1, low = -1;
        if (text[at] == '%' && length - at > 2) {
            high = digit_value(text[at + 1]);
            low = digit_value(text[at + 2]);
        }
        if (high < 0 || low < 0) {
            out[to++] = text[at];
            continue;
        }
        if (high == 0 && low == 0) return NULL;
        out[to++] = (char)(high * 16 + low);
        at += 2;
    }
    return out;
}

const char *kni_escape(kni_scratch *scratch, const char *text, bool keep_slashes) {
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    static const char digits[] = "0123456789ABCDEF";
    char *out = kni_scratch_take(scratch, strlen(text) * 3 + 1);
    size_t to = 0;
    if (!out) return "";
    for (const char *at = text; *at; at++) {
        unsigned char byte = (unsigned char)*at;
        if (strchr(safe, *at) || (keep_slashes && *at == '/')) {
            out[to++] = *at;
        } else {
            out[to++] = '%';
            out[to++] = digits[byte >> 4];
            out[to++] = digits[byte & 15];
        }
    }
    return out;
}

const char *kni_query_get(kni_scratch *scratch, const char *query, const char *name) {
    size_t name_length = strlen(name);
    while (*query) {
        size_t length = strcspn(query, "&");
        if (length > name_length && query[name_length] == '=' &&
            strncmp(query, name, name_length) == 0) {
            return kni_unescape(scratch, query + name_length + 1, length - name_length - 1);
        }
        query += length;
        if (*query) query++;
    }
    return NULL;
}

const char *kni_revision_of(kni_scratch *scratch, const kni_parts *parts, size_t *used) {
    const char *revision;
    *used = 0;
    if (parts->count == 0) return NULL;
    if (parts->count >= 3 && kni_parts_is(parts, 0, "refs")) {
        const char *kind = kni_unescape(scratch, parts->items[1], strlen(parts->items[1]));
        const char *name = kni_unescape(scratch, parts->items[2], strlen(parts->items[2]));
        *used = 3;
        revision = kind && name ? kni_scratch_format(scratch, "refs/%s/%s", kind, name) : NULL;
    } else {
        *used = 1;
        revision = kni_unescape(scratch, parts->items[0], strlen(parts->items[0]));
    }
    return revision && kni_path_stays_inside(revision) ? revision : NULL;
}

const char *kni_path_of_parts(kni_scratch *scratch, const kni_parts *parts) {
    const char *path = "";
    for (size_t at = 0; at < parts->count; at++) {
        const char *part = kni_unescape(scratch, parts->items[at], strlen(parts->items[at]));
        if (!part) return NULL;
        path = kni_scratch_format(scratch, "%s%s%s", path, at ? "/" : "", part);
    }
    return parts->count == 0 || kni_path_stays_inside(path) ? path : NULL;
}

bool kni_is_served_name(const char *text) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    size_t length = strlen(text);
    return length > 0 && length <= 96 && strspn(text, letters) == length && text[0] != '.' &&
           text[0] != '-' && !strstr(text, "--");
}

static bool read_digits(const char **text, int64_t *number) {
    char *end;
    if (**text < '0' || **text > '9') return false;
    *number = strtoll(*text, &end, 10);
    *text = end;
    return true;
}

kni_byte_range kni_range_parse(const char *text, int64_t size) {
    kni_byte_range range = {0};
    int64_t first = 0, last = 0;

    if (!text || strncmp(text, "bytes=", 6) != 0) return range;
    text += 6;
    bool has_first = read_digits(&text, &first);
    if (*text++ != '-') return range;
    bool has_last = read_digits(&text, &last);
    if (*text || (!has_first && !has_last)) return range;

    range.asked = true;
    if (!has_first) {
        first = last < size ? size - last : 0;
        range.wrong = last == 0 || size == 0;
        last = size - 1;
    } else {
        if (!has_last || last >= size) last = size - 1;
        range.wrong = first >= size || last < first;
    }
    range.first = first;
    range.count = range.wrong ? 0 : last - first + 1;
    return range;
}
