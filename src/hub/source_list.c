/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/source_list.h"

#include <string.h>

#include "base/error.h"

#define SHOWN_MAX 201
#define KEYS "hub mirror directory token-variable token-file"

void kni_sources_clear(kni_sources *s) {
    for (size_t i = 0; i < s->count; i++) {
        kni_free(s->alloc, s->items[i].address);
        kni_free(s->alloc, s->items[i].token_variable);
        kni_free(s->alloc, s->items[i].token_file);
    }
    kni_free(s->alloc, s->items);
    *s = (kni_sources){.alloc = s->alloc};
}

bool kni_url_is_directory(const char *address) {
    return strncmp(address, KNI_DIRECTORY_URL, strlen(KNI_DIRECTORY_URL)) == 0;
}

static kn_status no_memory(kn_error *err) { return kni_no_memory(err, "reading kernels.toml"); }

/* Copies `text` without slashes at its end behind `start`. */
static kn_status set_address(const kni_sources *s, kni_source *source, const char *start,
                             const char *text, kn_error *err) {
    size_t length = strlen(text);
    while (length > 1 && text[length - 1] == '/') length--;
    kni_text out;
    kni_text_init(&out, s->alloc);
    kni_text_add(&out, start);
    kni_text_add_n(&out, text, length);
    source->address = kni_text_take(&out);
    return source->address ? KN_OK : no_memory(err);
}

static kn_status read_directory(const kni_sources *s, kni_source *source, const kni_placed *value,
                                const char *text, kn_error *err) {
    char shown[SHOWN_MAX];
    if (kni_url_is_directory(text)) text += strlen(KNI_DIRECTORY_URL);
    if (text[0] != '/')
        return kni_placed_fail(&value->at, err,
                               "directory is '%s': expected an absolute path, /srv/kernels, or "
                               "file:///srv/kernels",
                               kni_text_shown(text, shown, sizeof shown));
    return set_address(s, source, KNI_DIRECTORY_URL, text, err);
}

static kn_status read_web(const kni_sources *s, kni_source *source, const char *key,
                          const kni_placed *value, const char *text, kn_error *err) {
    char shown[SHOWN_MAX];
    if (kni_url_is_endpoint(text)) return set_address(s, source, "", text, err);
    return kni_placed_fail(&value->at, err,
                           "%s is '%s': expected an address such as https://kernels.example.com "
                           "(http or https and a host, without user, query or fragment)",
                           key, kni_text_shown(text, shown, sizeof shown));
}

static kn_status read_member(const kni_sources *s, kni_source *source, const char *key,
                             const kni_placed *value, kn_error *err) {
    const char *text;
    bool is_directory = strcmp(key, "directory") == 0, is_mirror = strcmp(key, "mirror") == 0;
    bool is_address = is_directory || is_mirror || strcmp(key, "hub") == 0;
    if (!kni_placed_is_key(KEYS, key))
        return kni_placed_fail_key(&value->at, key, "[[source]]", KEYS, err);
    kn_status status = kni_placed_text(value, key, &text, err);
    if (status) return status;
    if (is_address && source->address)
        return kni_placed_fail(&value->at, err,
                               "a source is one of hub, mirror and directory; begin another with "
                               "[[source]]");
    if (is_address) source->is_mirror = is_directory || is_mirror;
    if (is_directory) return read_directory(s, source, value, text, err);
    if (is_address) return read_web(s, source, key, value, text, err);
    char **place = strcmp(key, "token-file") == 0 ? &source->token_file : &source->token_variable;
    *place = kni_text_copy(s->alloc, text);
    return *place ? KN_OK : no_memory(err);
}

static kn_status read_source(const kni_sources *s, kni_source *source, const kni_placed *table,
                             kn_error *err) {
    kni_placed value;
    kn_status status = KN_OK;
    if (!kni_json_is_object(table->value))
        return kni_placed_fail(&table->at, err, "source: expected tables, [[source]]");
    for (const char *key = kni_placed_next(table, NULL, &value); key && !status;
         key = kni_placed_next(table, key, &value))
        status = read_member(s, source, key, &value, err);
    if (status) return status;
    bool has_token = source->token_variable || source->token_file;
    if (!source->address)
        return kni_placed_fail(&table->at, err,
                               "a source without an address: expected hub, mirror or directory");
    if (source->token_variable && source->token_file)
        return kni_placed_fail(&table->at, err, "a source with both token-variable and token-file");
    if (has_token && kni_url_is_directory(source->address))
        return kni_placed_fail(&table->at, err, "a directory needs no token");
    return KN_OK;
}

kn_status kni_sources_read(kni_sources *s, const kni_placed *list, kn_error *err) {
    if (!kni_json_is_array(list->value))
        return kni_placed_fail(&list->at, err, "source: expected tables, [[source]]");
    kn_status status = KN_OK;
    for (size_t i = 0; i < kni_json_length(list->value) && !status; i++) {
        kni_placed table = kni_placed_item(list, i);
        if (s->count == KNI_SOURCES_MAX)
            return kni_placed_fail(&table.at, err, "more than %d sources", KNI_SOURCES_MAX);
        if (!kni_reserve(s->alloc, &s->items, &s->capacity, s->count + 1, sizeof *s->items))
            return no_memory(err);
        kni_source *source = &s->items[s->count++];
        *source = (kni_source){.said = table.at};
        status = read_source(s, source, &table, err);
    }
    return status;
}

kn_status kni_mirror_ref_parse(const char *bytes, size_t length, const char *what,
                               char out[KNI_COMMIT_MAX], kn_error *err) {
    while (length && strchr(" \t\r\n", bytes[length - 1])) length--;
    if (length < KNI_COMMIT_MAX) {
        memcpy(out, bytes, length);
        out[length] = '\0';
        if (kni_is_commit(out)) return KN_OK;
    }
    out[0] = '\0';
    return kni_fail(err, KN_ERR_NETWORK, "%s: expected the id of a commit in the mirror's file",
                    what);
}
