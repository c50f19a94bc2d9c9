/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cache/place.h"
#include "cache/record.h"
#include "codec/json.h"

kn_status kni_own_read(const kni_cache *cache, bool from_private, const char *name, size_t limit,
                       char **out, size_t *length, kn_error *err) {
    *out = NULL;
    *length = 0;
    const char *base = from_private ? cache->private : cache->own;
    if (!base) return KN_OK;
    char *path = kni_path_join(cache->alloc, base, name);
    if (!path) return kni_no_memory(err, "reading a record of the cache");
    kn_status status = kni_file_read(cache->alloc, path, limit, out, length, NULL);
    kni_free(cache->alloc, path);
    return kni_best_effort(status, "reading a record of the cache", err);
}

/* The private one is looked at first: it was written when the other could not be. */
kn_status kni_cache_document_read(const kni_cache *cache, const char *name, size_t limit,
                                  char **out, size_t *length, kn_error *err) {
    *out = NULL;
    *length = 0;
    kn_status status = kni_path_check("the document", name, err);
    if (!status) status = kni_own_read(cache, true, name, limit, out, length, err);
    if (!status && !*out) status = kni_own_read(cache, false, name, limit, out, length, err);
    return status;
}

kn_status kni_cache_document_write(const kni_cache *cache, const char *name, const char *bytes,
                                   size_t length, kn_error *err) {
    kn_status status = kni_path_check("the document", name, err);
    if (status) return status;
    status = kni_store_write(cache->own, name, bytes, length, err);
    if (!cache->private || status == KN_ERR_NOMEM) return status;
    if (!status) { /* an older one there would hide it */
        kni_store_remove(cache->private, name, NULL);
        return KN_OK;
    }
    /* The reason that is told is that of the cache. */
    return kni_store_write(cache->private, name, bytes, length, NULL) ? status : KN_OK;
}

static bool copy_text(const kni_cache *cache, const kni_json *object, const char *name, char **out,
                      bool *no_memory) {
    const char *text = kni_json_text(kni_json_member(object, name));
    *out = kni_text_copy(cache->alloc, text);
    if (text && !*out) *no_memory = true;
    return *out != NULL;
}

/* The record of a request has its own text in it, as two may have one file name. */
kn_status kni_resolution_parse(const kni_cache *cache, const char *request, const char *bytes,
                               size_t length, kni_resolution *out, bool *found, kn_error *err) {
    *out = (kni_resolution){0};
    *found = false;
    kni_json *document;
    kn_error ignored = KN_ERROR_INIT;
    kn_status status = kni_json_parse(bytes, length, "a resolution", &document, &ignored);
    if (status == KN_ERR_NOMEM) return kni_no_memory(err, "reading a record of the cache");
    if (status) return KN_OK;

    const char *asked = kni_json_text(kni_json_member(document, "request"));
    const char *commit = kni_json_text(kni_json_member(document, "commit"));
    bool no_memory = false;
    bool good = asked && strcmp(asked, request) == 0 &&
                kni_json_integer(kni_json_member(document, "time"), &out->time) && out->time >= 0;
    if (good) {
        copy_text(cache, document, "ref", &out->ref, &no_memory);
        copy_text(cache, document, "source", &out->source, &no_memory);
        copy_text(cache, document, "redirect_revision", &out->redirect_revision, &no_memory);
        bool redirect =
            copy_text(cache, document, "redirect_repo", &out->redirect_repo, &no_memory);
        good = redirect ? !commit : commit && kni_is_commit(commit);
        if (good && commit) memcpy(out->commit, commit, strlen(commit) + 1);
    }
    kni_json_free(document);
    if (no_memory) status = kni_no_memory(err, "reading a record of the cache");
    if (no_memory || !good) kni_resolution_clear(cache, out);
    *found = good && !no_memory;
    return no_memory ? status : KN_OK;
}

static char *resolution_name(const kni_cache *cache, const char *request) {
    kni_text text;
    kni_text_init(&text, cache->alloc);
    kni_text_addf(&text, "resolutions/%016llx.json", (unsigned long long)kni_hash_text(request));
    return kni_text_take(&text);
}

static kn_status read_one(const kni_cache *cache, bool from_private, const char *request,
                          const char *name, kni_resolution *out, bool *found, kn_error *err) {
    *out = (kni_resolution){0};
    *found = false;
    char *bytes;
    size_t length;
    kn_status status =
        kni_own_read(cache, from_private, name, KNI_RECORD_MAX, &bytes, &length, err);
    if (!status && bytes) {
        status = kni_resolution_parse(cache, request, bytes, length, out, found, err);
    }
    kni_free(cache->alloc, bytes);
    return status;
}

/* Of both places the later one: whoever can write to the cache may have asked since. */
kn_status kni_cache_resolution_read(const kni_cache *cache, const char *request,
                                    kni_resolution *out, bool *found, kn_error *err) {
    kni_resolution other = {0};
    bool other_found = false;
    *out = (kni_resolution){0};
    *found = false;
    char *name = resolution_name(cache, request);
    if (!name) return kni_no_memory(err, "reading a record of the cache");
    kn_status status = read_one(cache, false, request, name, out, found, err);
    if (!status) status = read_one(cache, true, request, name, &other, &other_found, err);
    kni_free(cache->alloc, name);
    if (status) {
        kni_resolution_clear(cache, out);
        *found = false;
        return status;
    }
    if (other_found && (!*found || other.time > out->time)) {
        kni_resolution older = *out;
        *out = other;
        other = older;
        *found = true;
    }
    kni_resolution_clear(cache, &other);
    return KN_OK;
}

static void add_member(kni_text *text, const char *name, const char *value) {
    if (!value) return;
    kni_text_addf(text, ", \"%s\": ", name);
    kni_json_add_text(text, value);
}

kn_status kni_cache_resolution_write(const kni_cache *cache, const char *request,
                                     const kni_resolution *resolution, kn_error *err) {
    bool redirect = resolution->redirect_repo != NULL;
    if (!redirect || resolution->commit[0]) {
        kn_status status = kni_commit_check(resolution->commit, err);
        if (status) return status;
    }
    kni_text text;
    kni_text_init(&text, cache->alloc);
    kni_text_add(&text, "{\"request\": ");
    kni_json_add_text(&text, request);
    kni_text_addf(&text, ", \"time\": %lld", (long long)resolution->time);
    add_member(&text, "commit", redirect ? NULL : resolution->commit);
    add_member(&text, "ref", resolution->ref);
    add_member(&text, "redirect_repo", resolution->redirect_repo);
    add_member(&text, "redirect_revision", resolution->redirect_revision);
    add_member(&text, "source", resolution->source);
    kni_text_add(&text, "}\n");
    size_t length = text.length;
    char *bytes = kni_text_take(&text), *name = resolution_name(cache, request);
    kn_status status = bytes && name ? kni_cache_document_write(cache, name, bytes, length, err)
                                     : kni_no_memory(err, "recording what a revision came to");
    kni_free(cache->alloc, bytes);
    kni_free(cache->alloc, name);
    return status;
}

void kni_resolution_clear(const kni_cache *cache, kni_resolution *resolution) {
    kni_free(cache->alloc, resolution->ref);
    kni_free(cache->alloc, resolution->redirect_repo);
    kni_free(cache->alloc, resolution->redirect_revision);
    kni_free(cache->alloc, resolution->source);
    *resolution = (kni_resolution){0};
}
