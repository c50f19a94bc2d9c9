/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void kni_text_init(kni_text *text, const kn_alloc *alloc) { *text = (kni_text){.alloc = alloc}; }

void kni_text_clear(kni_text *text) {
    kni_free(text->alloc, text->bytes);
    kni_text_init(text, text->alloc);
}

static bool make_room(kni_text *text, size_t more) {
    if (text->failed) return false;
    if (!kni_reserve(text->alloc, &text->bytes, &text->capacity, text->length + more + 1, 1))
        text->failed = true;
    return !text->failed;
}

void kni_text_add_n(kni_text *text, const char *bytes, size_t length) {
    if (!make_room(text, length)) return;
    if (length) memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

void kni_text_add(kni_text *text, const char *bytes) { kni_text_add_n(text, bytes, strlen(bytes)); }

void kni_text_addf(kni_text *text, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0) text->failed = true;
    if (length < 0 || !make_room(text, (size_t)length)) return;
    va_start(args, format);
    vsnprintf(text->bytes + text->length, (size_t)length + 1, format, args);
    va_end(args);
    text->length += (size_t)length;
}

char *kni_text_take(kni_text *text) {
    if (text->failed || !make_room(text, 0)) {
        kni_text_clear(text);
        return NULL;
    }
    char *bytes = text->bytes;
    bytes[text->length] = '\0';
    kni_text_init(text, text->alloc);
    return bytes;
}

size_t kni_utf8_sequence(const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    if (at[0] < 0x80) return 1;
    size_t more = at[0] >= 0xF0 ? 3 : at[0] >= 0xE0 ? 2 : 1;
    if (at[0] < 0xC2 || at[0] > 0xF4) return 0;
    if (at[0] == 0xE0 && at[1] < 0xA0) return 0; /* overlong */
    if (at[0] == 0xED && at[1] > 0x9F) return 0; /* surrogates */
    if (at[0] == 0xF0 && at[1] < 0x90) return 0; /* overlong */
    if (at[0] == 0xF4 && at[1] > 0x8F) return 0; /* above U+10FFFF */
    for (size_t i = 1; i <= more; i++) {
        if ((at[i] & 0xC0) != 0x80) return 0; /* also ends at the NUL */
    }
    return more + 1;
}

const char *kni_text_shown(const char *text, char *out, size_t size) {
    size_t used = 0;
    while (*text) {
        size_t length = kni_utf8_sequence(text), taken = length ? length : 1;
        if (used + taken > size - 1) break;
        unsigned char first = (unsigned char)text[0];
        bool control = first < 0x20 || first == 0x7F || /* and those from U+0080 to U+009F */
                       (length == 2 && first == 0xC2 && (unsigned char)text[1] < 0xA0);
        if (!length || control)
            out[used++] = control ? ' ' : '?';
        else
            for (size_t i = 0; i < length; i++) out[used++] = text[i];
        text += taken;
    }
    out[used] = '\0';
    return out;
}

/* The character at `*at`, which is moved behind it. A byte that begins no UTF-8 sequence is one
 * character. */
static uint32_t next_character(const char **at) {
    const unsigned char *bytes = (const unsigned char *)*at;
    size_t length = bytes[0] >= 0xF0 ? 4 : bytes[0] >= 0xE0 ? 3 : bytes[0] >= 0xC0 ? 2 : 1;
    uint32_t character = bytes[0];
    size_t taken = 1;
    while (taken < length && (bytes[taken] & 0xC0u) == 0x80u)
        character = character << 8 | bytes[taken++];
    *at += taken;
    return character;
}

/* Matches one set at `pattern` (after its '['); returns what follows ']', or NULL when it is not
 * closed. */
static const char *match_set(const char *pattern, uint32_t c, bool *matches) {
    bool negated = *pattern == '!';
    if (negated) pattern++;
    bool found = false;
    const char *first = pattern;
    while (*pattern && (*pattern != ']' || pattern == first)) {
        uint32_t low = next_character(&pattern), high = low;
        if (pattern[0] == '-' && pattern[1] && pattern[1] != ']') {
            pattern++;
            high = next_character(&pattern);
        }
        if (low <= c && c <= high) found = true;
    }
    if (!*pattern) return NULL;
    *matches = found != negated;
    return pattern + 1;
}

/* What follows one pattern element if it matches `c`, else NULL. */
static const char *match_one(const char *pattern, uint32_t c) {
    if (*pattern == '?') return pattern + 1;
    if (*pattern == '[') {
        bool matches = false;
        const char *after = match_set(pattern + 1, c, &matches);
        if (after) return matches ? after : NULL;
    }
    return next_character(&pattern) == c ? pattern : NULL;
}

bool kni_glob_match(const char *pattern, const char *text) {
    const char *star = NULL, *star_text = NULL;
    while (*text) {
        const char *rest = text, *after;
        uint32_t c = next_character(&rest);
        if (*pattern == '*') {
            star = ++pattern;
            star_text = text;
        } else if (*pattern && (after = match_one(pattern, c)) != NULL) {
            pattern = after;
            text = rest;
        } else if (star) {
            pattern = star;
            next_character(&star_text);
            text = star_text;
        } else {
            return false;
        }
    }
    while (*pattern == '*') pattern++;
    return *pattern == '\0';
}

uint64_t kni_hash_mix(uint64_t a, uint64_t b) {
    uint64_t h = (a ^ (b + 0x9E3779B97F4A7C15u + (a << 6) + (a >> 2))) * 0xFF51AFD7ED558CCDu;
    return h ^ (h >> 32);
}

static char lower(char c) { return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c); }

bool kni_text_is_same_word(const char *a, const char *b) {
    while (*a && lower(*a) == lower(*b)) a++, b++;
    return *a == *b;
}

uint64_t kni_hash_bytes(const void *bytes, size_t length) {
    const unsigned char *at = bytes;
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < length; i++) h = (h ^ at[i]) * 0x100000001B3u;
    return kni_hash_mix(h, length);
}

uint64_t kni_hash_text(const char *text) { return kni_hash_bytes(text, strlen(text)); }

bool kni_is_commit(const char *text) {
    size_t length = strspn(text, "0123456789abcdef");
    return text[length] == '\0' && (length == 40 || length == 64);
}

bool kni_text_is_version(const char *name) {
    if (*name == 'v') name++;
    size_t digits = strspn(name, "0123456789");
    return digits > 0 && name[digits] == '.' && strspn(name + digits + 1, "0123456789") > 0;
}

void kni_text_hex(const unsigned char *bytes, size_t length, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}
