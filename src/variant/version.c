/* SPDX-License-Identifier: Apache-2.0 */
#include "variant/version.h"

#include <string.h>

#include "base/error.h"

#define SHOWN_MAX 80

/* What is left to parse. */
typedef struct cursor {
    const char *at, *end;
} cursor;

/* ---- characters ---- */

size_t kni_version_space(const char *at, const char *end) {
    static const char *const wide[] = {
        "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\xA8",
        "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80",
    };
    size_t left = (size_t)(end - at);
    if (!left) return 0;
    unsigned char c = (unsigned char)*at;
    if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31);
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        size_t length = strlen(wide[i]);
        if (left >= length && memcmp(at, wide[i], length) == 0) return length;
    }
    /* U+2000 to U+200A */
    bool is_typographic = left >= 3 && memcmp(at, "\xE2\x80", 2) == 0 &&
                          (unsigned char)at[2] >= 0x80 && (unsigned char)at[2] <= 0x8A;
    return is_typographic ? 3 : 0;
}

kni_part kni_version_trim(kni_part text) {
    const char *at = text.at, *end = text.at + text.length;
    size_t length;
    while ((length = kni_version_space(at, end)) > 0) at += length;
    while (end > at) {
        const char *last = end - 1;
        while (last > at && ((unsigned char)*last & 0xC0u) == 0x80u) last--;
        if (kni_version_space(last, end) != (size_t)(end - last)) break;
        end = last;
    }
    return (kni_part){at, (size_t)(end - at)};
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_alphanumeric(char c) {
    return is_digit(c) || (kni_version_lower(c) >= 'a' && kni_version_lower(c) <= 'z');
}

static bool is_separator(char c) { return c == '.' || c == '-' || c == '_'; }

/* ---- parsing ---- */

static bool take(cursor *from, char c) {
    if (from->at == from->end || *from->at != c) return false;
    from->at++;
    return true;
}

static void skip_separator(cursor *from) {
    if (from->at < from->end && is_separator(*from->at)) from->at++;
}

static kni_part without_zeros(kni_part digits) {
    while (digits.length && *digits.at == '0') {
        digits.at++;
        digits.length--;
    }
    return digits;
}

/* false where there is no digit. */
static bool take_number(cursor *from, kni_part *out) {
    const char *start = from->at;
    while (from->at < from->end && is_digit(*from->at)) from->at++;
    *out = without_zeros((kni_part){start, (size_t)(from->at - start)});
    return from->at > start;
}

static bool take_word(cursor *from, const char *word) {
    const char *at = from->at;
    for (; *word; word++, at++) {
        if (at == from->end || kni_version_lower(*at) != *word) return false;
    }
    from->at = at;
    return true;
}

/* A separator or none, one of `words` (that end with NULL), a separator or none, a number or none.
 * Returns the number of the word; -1, with nothing taken, where there is none. */
static int take_segment(cursor *from, const char *const *words, kni_part *number) {
    cursor at = *from;
    skip_separator(&at);
    for (int i = 0; words[i]; i++) {
        if (!take_word(&at, words[i])) continue;
        skip_separator(&at);
        take_number(&at, number);
        *from = at;
        return i;
    }
    return -1;
}

static void take_pre(cursor *from, kni_version *out) {
    /* A word stands before those that it begins with. */
    static const char *const words[] = {"alpha", "a",  "beta", "b", "preview",
                                        "pre",   "rc", "c",    NULL};
    static const kni_pre_kind kinds[] = {KNI_PRE_A,  KNI_PRE_A,  KNI_PRE_B,  KNI_PRE_B,
                                         KNI_PRE_RC, KNI_PRE_RC, KNI_PRE_RC, KNI_PRE_RC};
    int word = take_segment(from, words, &out->pre);
    out->pre_kind = word < 0 ? KNI_PRE_NONE : kinds[word];
}

/* "-1" is a post-release too. */
static void take_post(cursor *from, kni_version *out) {
    static const char *const words[] = {"post", "rev", "r", NULL};
    cursor at = *from;
    if (take(&at, '-') && take_number(&at, &out->post)) {
        out->has_post = true;
        *from = at;
    } else {
        out->has_post = take_segment(from, words, &out->post) >= 0;
    }
}

static bool take_release(cursor *from, kni_version *out) {
    kni_part number;
    const char *start = from->at, *end;
    if (!take_number(from, &number)) return false;
    do {
        end = from->at;
    } while (take(from, '.') && take_number(from, &number));
    from->at = end; /* a dot that no number follows is left */
    out->release = (kni_part){start, (size_t)(end - start)};
    return true;
}

static bool take_local(cursor *from, kni_version *out) {
    const char *start = from->at;
    for (;;) {
        const char *segment = from->at;
        while (from->at < from->end && is_alphanumeric(*from->at)) from->at++;
        if (from->at == segment) return false;
        if (from->at == from->end || !is_separator(*from->at)) break;
        from->at++;
    }
    out->local = (kni_part){start, (size_t)(from->at - start)};
    return true;
}

bool kni_version_parse(kni_part text, kni_version *out) {
    static const char *const dev[] = {"dev", NULL};
    cursor from = {text.at, text.at + text.length};
    *out = (kni_version){.pre_kind = KNI_PRE_NONE};
    if (!text.length || text.length > KN_VERSION_LENGTH_MAX) return false;

    take_word(&from, "v");
    cursor at = from;
    kni_part epoch;
    if (take_number(&at, &epoch) && take(&at, '!')) {
        out->epoch = epoch;
        from = at;
    }
    if (!take_release(&from, out)) return false;
    take_pre(&from, out);
    take_post(&from, out);
    out->has_dev = take_segment(&from, dev, &out->dev) >= 0;
    if (take(&from, '+') && !take_local(&from, out)) return false;
    return from.at == from.end;
}

/* ---- comparing ---- */

/* Takes what stands before the next separator off `*rest`, and the separator. */
static kni_part next_segment(kni_part *rest) {
    size_t length = 0;
    while (length < rest->length && !is_separator(rest->at[length])) length++;
    kni_part segment = {rest->at, length};
    if (length < rest->length) length++;
    *rest = (kni_part){rest->at + length, rest->length - length};
    return segment;
}

static int compare_numbers(kni_part a, kni_part b) {
    if (a.length != b.length) return a.length < b.length ? -1 : 1;
    return a.length ? memcmp(a.at, b.at, a.length) : 0;
}

static bool is_number(kni_part segment) {
    for (size_t i = 0; i < segment.length; i++) {
        if (!is_digit(segment.at[i])) return false;
    }
    return true;
}

size_t kni_version_release_count(const kni_version *version) {
    size_t count = 0;
    for (kni_part rest = version->release; rest.length; count++) next_segment(&rest);
    return count;
}

int kni_version_compare_release(const kni_version *a, const kni_version *b, size_t count) {
    int order = compare_numbers(a->epoch, b->epoch);
    kni_part x = a->release, y = b->release;
    for (; !order && count && (x.length || y.length); count--)
        order = compare_numbers(without_zeros(next_segment(&x)), without_zeros(next_segment(&y)));
    return order;
}

/* A development release alone comes before every pre-release. */
static int pre_rank(const kni_version *version) {
    bool is_dev_only = version->pre_kind == KNI_PRE_NONE && version->has_dev && !version->has_post;
    return is_dev_only ? -1 : (int)version->pre_kind;
}

int kni_version_compare_public(const kni_version *a, const kni_version *b) {
    int order = kni_version_compare_release(a, b, SIZE_MAX);
    if (!order) order = pre_rank(a) - pre_rank(b);
    if (!order) order = compare_numbers(a->pre, b->pre);
    if (!order) order = a->has_post - b->has_post;
    if (!order) order = compare_numbers(a->post, b->post);
    if (!order) order = b->has_dev - a->has_dev;
    if (!order) order = compare_numbers(a->dev, b->dev);
    return order;
}

static int compare_words(kni_part a, kni_part b) {
    for (size_t i = 0; i < a.length && i < b.length; i++) {
        int order = kni_version_lower(a.at[i]) - kni_version_lower(b.at[i]);
        if (order) return order;
    }
    return (a.length > b.length) - (a.length < b.length);
}

/* Words come before numbers, and what has fewer segments before what goes on. */
static int compare_local(kni_part a, kni_part b) {
    while (a.length && b.length) {
        kni_part x = next_segment(&a), y = next_segment(&b);
        bool x_is_number = is_number(x), y_is_number = is_number(y);
        int order = x_is_number - y_is_number;
        if (!order) {
            order = x_is_number ? compare_numbers(without_zeros(x), without_zeros(y))
                                : compare_words(x, y);
        }
        if (order) return order;
    }
    return (a.length > 0) - (b.length > 0);
}

int kni_version_compare(const kni_version *a, const kni_version *b) {
    int order = kni_version_compare_public(a, b);
    return order ? order : compare_local(a->local, b->local);
}

bool kni_version_is_prerelease(const kni_version *version) {
    return version->has_dev || version->pre_kind != KNI_PRE_NONE;
}

bool kni_version_same_pre(const kni_version *a, const kni_version *b) {
    return a->pre_kind == b->pre_kind && compare_numbers(a->pre, b->pre) == 0;
}

/* ---- normalized text ---- */

/* What is appended has room: KN_VERSION_TEXT_MAX is chosen so. */
static kn_version_span put(kn_version_info *out, size_t *length, kni_part part) {
    kn_version_span span = {(uint16_t)*length, (uint16_t)part.length};
    for (size_t i = 0; i < part.length; i++) out->text[(*length)++] = kni_version_lower(part.at[i]);
    return span;
}

static kn_version_span put_text(kn_version_info *out, size_t *length, const char *text) {
    return put(out, length, (kni_part){text, strlen(text)});
}

static kn_version_span put_number(kn_version_info *out, size_t *length, kni_part number) {
    return number.length ? put(out, length, number) : put_text(out, length, "0");
}

/* Numbers without leading zeros, with dots between segments. */
static kn_version_span put_segments(kn_version_info *out, size_t *length, kni_part rest) {
    size_t start = *length;
    while (rest.length) {
        kni_part segment = next_segment(&rest);
        if (*length > start) put_text(out, length, ".");
        if (is_number(segment))
            put_number(out, length, without_zeros(segment));
        else
            put(out, length, segment);
    }
    return (kn_version_span){(uint16_t)start, (uint16_t)(*length - start)};
}

void kni_version_describe(const kni_version *version, kn_version_info *out) {
    static const char *const kinds[] = {"a", "b", "rc"};
    size_t length = 0;
    *out = (kn_version_info){.size = out->size};
    if (version->epoch.length) {
        out->epoch = put(out, &length, version->epoch);
        put_text(out, &length, "!");
    }
    out->release = put_segments(out, &length, version->release);
    if (version->pre_kind != KNI_PRE_NONE) {
        out->pre_kind = put_text(out, &length, kinds[version->pre_kind]);
        out->pre = put_number(out, &length, version->pre);
    }
    if (version->has_post) {
        put_text(out, &length, ".post");
        out->post = put_number(out, &length, version->post);
    }
    if (version->has_dev) {
        put_text(out, &length, ".dev");
        out->dev = put_number(out, &length, version->dev);
    }
    if (version->local.length) {
        put_text(out, &length, "+");
        out->local = put_segments(out, &length, version->local);
    }
}

/* ---- public ---- */

int kni_version_shown(kni_part text) {
    if (text.length <= SHOWN_MAX) return (int)text.length;
    int length = SHOWN_MAX;
    while (length > 0 && ((unsigned char)text.at[length] & 0xC0u) == 0x80u) length--;
    return length;
}

static kn_status read_version(const char *text, kni_version *out, kn_error *err) {
    kni_part trimmed = kni_version_trim((kni_part){text, strlen(text)});
    if (kni_version_parse(trimmed, out)) return KN_OK;
    if (trimmed.length > KN_VERSION_LENGTH_MAX) {
        return kni_fail(
            err, KN_ERR_VALUE, "version '%.*s...' has %zu bytes, expected at most %d; shorten it",
            kni_version_shown(trimmed), trimmed.at, trimmed.length, KN_VERSION_LENGTH_MAX);
    }
    return kni_fail(
        err, KN_ERR_VALUE,
        "'%.*s' is no version, expected one as in PEP 440, such as '1.2.3', '1.0rc1' or '2.1.post1'",
        kni_version_shown(trimmed), trimmed.at);
}

kn_status kn_version_parse(const char *text, kn_version_info *out, kn_error *err) {
    kn_version_info info = {.size = out->size};
    kni_version version;
    kn_status status = read_version(text, &version, err);
    if (!status) kni_version_describe(&version, &info);
    memcpy(out, &info, out->size < sizeof info ? out->size : sizeof info);
    return status;
}

kn_status kn_version_compare(const char *a, const char *b, int *out, kn_error *err) {
    *out = 0;
    kni_version x, y;
    kn_status status = read_version(a, &x, err);
    if (!status) status = read_version(b, &y, err);
    if (status) return status;
    int order = kni_version_compare(&x, &y);
    *out = (order > 0) - (order < 0);
    return KN_OK;
}
