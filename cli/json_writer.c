/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli.h"

static void new_line(const cli_json *json) {
    fputc('\n', json->out);
    for (int i = 0; i < json->depth; i++) fputs("  ", json->out);
}

static void before_value(cli_json *json) {
    if (json->after_key) {
        json->after_key = false;
    } else if (json->depth) {
        if (json->has_item[json->depth]) fputc(',', json->out);
        json->has_item[json->depth] = true;
        new_line(json);
    }
}

void cli_json_open(cli_json *json, char bracket) {
    before_value(json);
    fputc(bracket, json->out);
    json->has_item[++json->depth] = false;
}

void cli_json_close(cli_json *json, char bracket) {
    bool has_item = json->has_item[json->depth--];
    if (has_item) new_line(json);
    fputc(bracket, json->out);
}

/* The code point at `*at`, which moves behind it; U+FFFD, and one byte, where it is no UTF-8. */
static uint32_t next_code(const char **at) {
    const unsigned char *s = (const unsigned char *)*at;
    size_t length = s[0] < 0x80 ? 1 : s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : s[0] >= 0xC0 ? 2 : 0;
    uint32_t code = length == 1 ? s[0] : s[0] & (0x7Fu >> length);
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    bool good = length > 0;
    for (size_t i = 1; i < length && good; i++) {
        good = (s[i] & 0xC0) == 0x80;
        code = code << 6 | (s[i] & 0x3Fu);
    }
    good = good && code >= least[length] && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
    *at += good ? length : 1;
    return good ? code : 0xFFFD;
}

static void put_text(FILE *out, const char *text) {
    fputc('"', out);
    while (*text) {
        uint32_t code = next_code(&text);
        const char *named = code < 0x80 ? strchr("\"\"\\\\\nn\rr\tt\bb\ff", (int)code) : NULL;
        if (named && (code == '"' || code == '\\' || code < 0x20))
            fprintf(out, "\\%c", named[1]);
        else if (code >= 0x20 && code < 0x7F)
            fputc((int)code, out);
        else if (code < 0x10000)
            fprintf(out, "\\u%04x", (unsigned)code);
        else
            fprintf(out, "\\u%04x\\u%04x", (unsigned)(0xD7C0 + (code >> 10)),
                    (unsigned)(0xDC00 + (code & 0x3FF)));
    }
    fputc('"', out);
}

void cli_json_key(cli_json *json, const char *key) {
    before_value(json);
    put_text(json->out, key);
    fputs(": ", json->out);
    json->after_key = true;
}

void cli_json_text(cli_json *json, const char *text) {
    before_value(json);
    if (text)
        put_text(json->out, text);
    else
        fputs("null", json->out);
}

void cli_json_integer(cli_json *json, int64_t value) {
    before_value(json);
    fprintf(json->out, "%lld", (long long)value);
}

void cli_json_boolean(cli_json *json, bool value) {
    before_value(json);
    fputs(value ? "true" : "false", json->out);
}

void cli_json_text_of(cli_json *json, const char *key, const char *text) {
    cli_json_key(json, key);
    cli_json_text(json, text);
}

void cli_json_integer_of(cli_json *json, const char *key, int64_t value) {
    cli_json_key(json, key);
    cli_json_integer(json, value);
}

void cli_json_boolean_of(cli_json *json, const char *key, bool value) {
    cli_json_key(json, key);
    cli_json_boolean(json, value);
}

void cli_json_end(cli_json *json) { fputc('\n', json->out); }
