/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/json.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define DEPTH_MAX 64

static json_t *to_jansson(const kni_json *value) {
    union {
        const kni_json *in;
        json_t *out;
    } pun = {value}; /* jansson takes most of its arguments without const */
    return pun.out;
}

static kni_json *from_jansson(json_t *value) { return (kni_json *)(void *)value; }

/* jansson parses and frees by recursion, so deep input is turned away before it starts. Up to the
 * first byte where jansson stops with an error, this sees the same strings as it does. */
static bool is_too_deep(const char *bytes, size_t length) {
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        char c = bytes[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > DEPTH_MAX) return true;
        } else if ((c == ']' || c == '}') && depth) {
            depth--;
        }
    }
    return false;
}

/* jansson quotes what it stumbled over, which may hold line breaks; a message is one line. */
static void make_one_line(char *text) {
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7F) *text = ' ';
    }
}

kn_status kni_json_parse(const char *bytes, size_t length, const char *origin, kni_json **out,
                         kn_error *err) {
    *out = NULL;
    if (length > KNI_JSON_LIMIT) {
        return kni_fail(err, KN_ERR_VALUE,
                        "%s: %zu bytes are too many, at most %zu are read as JSON", origin, length,
                        KNI_JSON_LIMIT);
    }
    if (is_too_deep(bytes, length)) {
        return kni_fail(err, KN_ERR_VALUE, "%s: not acceptable JSON: nested deeper than %d levels",
                        origin, DEPTH_MAX);
    }
    json_error_t error;
    json_t *document = json_loadb(bytes, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!document && json_error_code(&error) == json_error_out_of_memory) {
        return kni_no_memory(err, "reading JSON");
    }
    if (!document) {
        make_one_line(error.text);
        return kni_fail(err, KN_ERR_VALUE, "%s: not valid JSON: line %d, column %d: %s", origin,
                        error.line, error.column, error.text);
    }
    *out = from_jansson(document);
    return KN_OK;
}

void kni_json_free(kni_json *document) {
    if (document) json_decref(to_jansson(document));
}

const kni_json *kni_json_member(const kni_json *object, const char *name) {
    return object ? from_jansson(json_object_get(to_jansson(object), name)) : NULL;
}

size_t kni_json_length(const kni_json *array) {
    return array ? json_array_size(to_jansson(array)) : 0;
}

const kni_json *kni_json_item(const kni_json *array, size_t index) {
    return array ? from_jansson(json_array_get(to_jansson(array), index)) : NULL;
}

const char *kni_json_text(const kni_json *value) {
    const char *text = value ? json_string_value(to_jansson(value)) : NULL;
    return text && strlen(text) == json_string_length(to_jansson(value)) ? text : NULL;
}

bool kni_json_integer(const kni_json *value, int64_t *out) {
    if (!value || !json_is_integer(to_jansson(value))) return false;
    *out = json_integer_value(to_jansson(value));
    return true;
}

bool kni_json_is_object(const kni_json *value) {
    return value && json_is_object(to_jansson(value));
}

/* The bytes of the UTF-8 sequence at `at` (RFC 3629, table in section 4); 0 where it is malformed.
 */
static size_t utf8_sequence(const unsigned char *at) {
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

static void add_escaped(kni_text *out, unsigned char c) {
    switch (c) {
    case '"':
        kni_text_add(out, "\\\"");
        break;
    case '\\':
        kni_text_add(out, "\\\\");
        break;
    case '\n':
        kni_text_add(out, "\\n");
        break;
    case '\r':
        kni_text_add(out, "\\r");
        break;
    case '\t':
        kni_text_add(out, "\\t");
        break;
    default:
        kni_text_addf(out, "\\u%04x", c);
        break;
    }
}

void kni_json_add_text(kni_text *out, const char *text) {
    if (!text) {
        kni_text_add(out, "null");
        return;
    }
    kni_text_add(out, "\"");
    const unsigned char *at = (const unsigned char *)text, *plain = at;
    while (*at) {
        size_t length = utf8_sequence(at);
        if (length && *at >= 0x20 && *at != '"' && *at != '\\') {
            at += length;
            continue;
        }
        kni_text_add_n(out, (const char *)plain, (size_t)(at - plain));
        if (length)
            add_escaped(out, *at);
        else
            kni_text_add(out, "\xEF\xBF\xBD"); /* U+FFFD */
        plain = ++at;
    }
    kni_text_add_n(out, (const char *)plain, (size_t)(at - plain));
    kni_text_add(out, "\"");
}
