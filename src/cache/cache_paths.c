/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cache/place.h"

#define ID_PART_MAX 96
#define SHOWN_MAX 200

static bool is_hex(const char *text) {
    size_t length = strspn(text, "0123456789abcdef");
    return text[length] == '\0' && (length == 40 || length == 64);
}

bool kni_is_oid(const char *text) { return is_hex(text); }

/* A name from outside as a message may show it. */
static const char *shown(const char *name, char out[SHOWN_MAX + 1]) {
    size_t i = 0;
    for (; name[i] && i < SHOWN_MAX; i++) {
        out[i] = name[i] >= 0x20 && name[i] < 0x7F ? name[i] : '?';
    }
    out[i] = '\0';
    return out;
}

kn_status kni_commit_check(const char *commit, kn_error *err) {
    char text[SHOWN_MAX + 1];
    if (kni_is_commit(commit)) return KN_OK;
    return kni_fail(err, KN_ERR_VALUE,
                    "'%s' is no commit: expected 40 or 64 hexadecimal digits in lower case",
                    shown(commit, text));
}

kn_status kni_content_check(const kni_content *content, kn_error *err) {
    char text[SHOWN_MAX + 1];
    if (!content->oid || !kni_is_oid(content->oid)) {
        return kni_fail(err, KN_ERR_VALUE,
                        "'%s' is no object id: expected 40 or 64 hexadecimal digits in lower case",
                        shown(content->oid ? content->oid : "", text));
    }
    if (content->size < 0) {
        return kni_fail(err, KN_ERR_VALUE, "a file of %lld bytes: expected 0 or more",
                        (long long)content->size);
    }
    return KN_OK;
}

kn_status kni_path_check(const char *what, const char *path, kn_error *err) {
    char text[SHOWN_MAX + 1];
    if (kni_path_stays_inside(path)) return KN_OK;
    return kni_fail(err, KN_ERR_VALUE,
                    "%s '%s' cannot be kept in the cache: expected a relative path without empty "
                    "parts, '..', backslashes and control characters, of at most %d bytes and %d "
                    "in a part",
                    what, shown(path, text), KNI_PATH_MAX, KNI_NAME_MAX);
}

/* The letters that the Hub allows, and "--" nowhere, which joins the parts in the folder's name. */
static bool is_id_part(const char *part, size_t length) {
    if (length == 0 || length > ID_PART_MAX || part[0] == '.' || part[0] == '-' ||
        part[length - 1] == '.' || part[length - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        char c = part[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '_' && c != '-' && c != '.') return false;
        if (i && (c == '-' || c == '.') && part[i - 1] == c) return false;
    }
    return true;
}

static bool is_repo_id(const char *id) {
    const char *slash = strchr(id, '/');
    if (!slash) return is_id_part(id, strlen(id));
    return is_id_part(id, (size_t)(slash - id)) && is_id_part(slash + 1, strlen(slash + 1));
}

static char *private_folder(const kn_alloc *alloc, const char *user_folder, const char *folder,
                            const char *name) {
    kni_text text;
    kni_text_init(&text, alloc);
    kni_text_addf(&text, "%s/%s-%016llx", user_folder, name,
                  (unsigned long long)kni_hash_text(folder));
    return kni_text_take(&text);
}

/* The folder's name: "kernels--org--name". */
static char *folder_name(const kn_alloc *alloc, const char *prefix, const char *repo_id) {
    kni_text text;
    kni_text_init(&text, alloc);
    const char *slash = strchr(repo_id, '/');
    kni_text_addf(&text, "%s--%.*s", prefix, slash ? (int)(slash - repo_id) : (int)strlen(repo_id),
                  repo_id);
    if (slash) kni_text_addf(&text, "--%s", slash + 1);
    return kni_text_take(&text);
}

kn_status kni_cache_open(const kn_alloc *alloc, const char *root, const char *prefix,
                         const char *repo_id, const char *user_folder, kni_cache *out,
                         kn_error *err) {
    alloc = kni_alloc_or_default(alloc);
    *out = (kni_cache){.alloc = alloc};
    char text[SHOWN_MAX + 1];
    if (!is_repo_id(repo_id)) {
        return kni_fail(err, KN_ERR_VALUE,
                        "'%s' is no repository: expected 'organization/name' of letters, digits, "
                        "'-', '_' and '.'",
                        shown(repo_id, text));
    }
    char *name = folder_name(alloc, prefix, repo_id);
    char *locks = name ? kni_path_join(alloc, root, ".locks") : NULL;
    if (locks) {
        out->folder = kni_path_join(alloc, root, name);
        out->locks = kni_path_join(alloc, locks, name);
    }
    if (out->folder) out->own = kni_path_join(alloc, out->folder, ".kernels");
    if (out->own && user_folder) {
        out->private = private_folder(alloc, user_folder, out->folder, name);
    }
    kni_free(alloc, locks);
    kni_free(alloc, name);
    if (out->own && out->locks && (out->private || !user_folder)) return KN_OK;
    kni_cache_close(out);
    return kni_no_memory(err, "opening the cache");
}

void kni_cache_close(kni_cache *cache) {
    if (!cache->alloc) return;
    kni_free(cache->alloc, cache->folder);
    kni_free(cache->alloc, cache->locks);
    kni_free(cache->alloc, cache->own);
    kni_free(cache->alloc, cache->private);
    *cache = (kni_cache){0};
}

char *kni_path_of(const kni_cache *cache, const char *a, const char *b, const char *c) {
    kni_text text;
    kni_text_init(&text, cache->alloc);
    kni_text_addf(&text, "%s/%s", a, b);
    if (c) kni_text_addf(&text, "/%s", c);
    return kni_text_take(&text);
}
