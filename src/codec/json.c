/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/json.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define DEPTH_MAX 64
#define PARTS_MAX 1000000

static json_t *to_jansson(const kni_json *value) {
    union {
        const kni_json *in;
        json_t *out;
    } pun = {value}; /* jansson takes most of its arguments without const */
    return pun.out;
}

static kni_json *from_jansson(json_t *value) { return (kni_json *)(void *)value; }

/* jansson parses and frees by recursion, and makes up to a hundred bytes of one ("[[],[],..."), so
 * what is deep or of very many parts is turned away before it starts: the reason, or NULL. Up to
 * the first byte where jansson stops with an error, this sees the same strings as it does. */
static const char *why_too_complex(const char *bytes, size_t length) {
    size_t depth = 0, parts = 0;
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
            if (++depth > DEPTH_MAX) return "nested deeper than 64 levels";
            parts++;
        } else if ((c == ']' || c == '}') && depth) {
            depth--;
        } else if (c == ',') {
            parts++;
        }
        if (parts > PARTS_MAX) return "more than 1000000 values";
    }
    return NULL;
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
    const char *problem = why_too_complex(bytes, length);
    if (problem) return kni_fail(err, KN_ERR_VALUE, "%s: not acceptable JSON: %s", origin, problem);
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

bool kni_json_boolean(const kni_json *value, bool *out) {
    if (!value || !json_is_boolean(to_jansson(value))) return false;
    *out = json_is_true(to_jansson(value));
    return true;
}

bool kni_json_is_object(const kni_json *value) {
    return value && json_is_object(to_jansson(value));
}

bool kni_json_is_array(const kni_json *value) { return value && json_is_array(to_jansson(value)); }

bool kni_json_is_null(const kni_json *value) { return value && json_is_null(to_jansson(value)); }

const char *kni_json_next(const kni_json *object, const char *after, const kni_json **value) {
    json_t *members = object ? to_jansson(object) : NULL;
    void *at = after ? json_object_iter_next(members, json_object_key_to_iter(after))
                     : json_object_iter(members);
    if (!at) return NULL;
    *value = from_jansson(json_object_iter_value(at));
    return json_object_iter_key(at);
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
    const char *at = text, *plain = at;
    while (*at) {
        size_t length = kni_utf8_sequence(at);
        if (length && (unsigned char)*at >= 0x20 && *at != '"' && *at != '\\') {
            at += length;
            continue;
        }
        kni_text_add_n(out, plain, (size_t)(at - plain));
        if (length)
            add_escaped(out, (unsigned char)*at);
        else
            kni_text_add(out, "\xEF\xBF\xBD"); /* U+FFFD */
        plain = ++at;
    }
    kni_text_add_n(out, plain, (size_t)(at - plain));
    kni_text_add(out, "\"");
}

static int add_piece(const char *bytes, size_t length, void *out) {
    kni_text_add_n(out, bytes, length);
    return 0;
}

void kni_json_add(kni_text *out, const kni_json *value) {
    if (!value)
        kni_text_add(out, "null");
    else if (json_dump_callback(to_jansson(value), add_piece, out, JSON_COMPACT | JSON_ENCODE_ANY))
        out->failed = true;
}
