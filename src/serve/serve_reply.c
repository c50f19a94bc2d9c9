/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "serve/serve_parts.h"

void kni_reply_init(kni_ask *ask, kni_reply *out, int status) {
    *out = (kni_reply){.status = status, .file = -1};
    kni_text_init(&out->text, ask->hub->alloc);
}

void kni_reply_clear(kni_reply *reply) {
    kni_text_clear(&reply->text);
    kni_beneath_close(reply->file);
    reply->file = -1;
}

void kni_reply_add(kni_reply *out, const char *name, const char *value) {
    if (out->header_count < KNI_REPLY_HEADERS)
        out->headers[out->header_count++] = (kni_header){name, value};
}

const char *kni_reply_header(const kni_reply *reply, const char *name) {
    for (size_t i = 0; i < reply->header_count; i++) {
        if (kni_text_is_same_word(reply->headers[i].name, name)) return reply->headers[i].value;
    }
    return NULL;
}

void kni_reply_text(kni_ask *ask, kni_reply *out, int status, const char *text) {
    kni_reply_init(ask, out, status);
    kni_text_add(&out->text, text);
    kni_reply_add(out, "Content-Type", "text/plain; charset=utf-8");
}

void kni_reply_json(kni_ask *ask, kni_reply *out, int status) {
    kni_reply_init(ask, out, status);
    kni_reply_add(out, "Content-Type", "application/json; charset=utf-8");
}

/* A header's value is one line of visible characters: the message may quote what was asked for. */
static const char *header_text(kni_ask *ask, const char *message) {
    char shown[512];
    kni_text_shown(message, shown, sizeof shown);
    return kni_scratch_copy(ask->scratch, shown, strlen(shown));
}

static void add_problem(kni_ask *ask, kni_reply *out, const char *code, const char *message) {
    if (code) kni_reply_add(out, "X-Error-Code", code);
    kni_reply_add(out, "X-Error-Message", header_text(ask, message));
}

void kni_reply_error(kni_ask *ask, kni_reply *out, int status, const char *code,
                     const char *message) {
    kni_reply_json(ask, out, status);
    kni_json_object body = kni_object_open(&out->text, NULL);
    kni_object_text(&body, "error", message);
    kni_object_close(&body, NULL);
    add_problem(ask, out, code, message);
    if (status == 401) {
        kni_reply_add(out, "WWW-Authenticate",
                      "Bearer realm=\"Authentication required\", charset=\"UTF-8\"");
    }
}

void kni_reply_file_error(kni_ask *ask, kni_reply *out, const char *code, const char *message) {
    kni_reply_text(ask, out, 404, message);
    add_problem(ask, out, code, message);
}

kni_json_object kni_object_open(kni_text *out, const kni_json *over) {
    kni_text_add(out, "{");
    return (kni_json_object){.out = out, .over = over};
}

static void write_key(kni_json_object *object, const char *key) {
    if (object->has_member) kni_text_add(object->out, ",");
    object->has_member = true;
    kni_json_add_text(object->out, key);
    kni_text_add(object->out, ":");
}

bool kni_object_key(kni_json_object *object, const char *key) {
    if (kni_json_member(object->over, key)) return false;
    write_key(object, key);
    return true;
}

void kni_object_text(kni_json_object *object, const char *key, const char *value) {
    if (kni_object_key(object, key)) kni_json_add_text(object->out, value);
}

void kni_object_integer(kni_json_object *object, const char *key, int64_t value) {
    if (kni_object_key(object, key)) kni_text_addf(object->out, "%lld", (long long)value);
}

void kni_object_boolean(kni_json_object *object, const char *key, bool value) {
    if (kni_object_key(object, key)) kni_text_add(object->out, value ? "true" : "false");
}

void kni_object_close(kni_json_object *object, const char *hidden) {
    const kni_json *value;
    for (const char *key = kni_json_next(object->over, NULL, &value); key;
         key = kni_json_next(object->over, key, &value)) {
        if (hidden && strcmp(key, hidden) == 0) continue;
        write_key(object, key);
        kni_json_add(object->out, value);
    }
    kni_text_add(object->out, "}");
}
