/* SPDX-License-Identifier: Apache-2.0 */
/* Repositories on disk. In the plain form repo.json is
 *   {"branches": {"main": "<commit>"}, "tags": {}, "pulls": {"1": "<commit>"}, "converts": {},
 *    "commits": {"<commit>": {"title": "...", "date": "2026-01-01T00:00:00.000Z"}},
 *    "private": false, "gated": false | "auto" | "manual", "grants": ["token", ...],
 *    "lfs": ["*.so", ...], "info": {fields for the answer of /api/kernels/<id>}}
 * and all of it may be left out. */
#include <stdlib.h>
#include <string.h>

#include "serve/serve_parts.h"

static void read_about(kni_ask *ask, kni_shelf *shelf) {
    const char *file = kni_scratch_format(ask->scratch, "%s/repo.json", shelf->folder);
    char *text;
    size_t length;
    if (!kni_beneath_read(ask->hub->alloc, ask->hub->folder, file, KNI_JSON_LIMIT, &text,
                          &length)) {
        ask->scratch->failed = true;
    }
    if (text) kni_json_parse(text, length, file, &shelf->about, NULL);
    kni_free(ask->hub->alloc, text);
    shelf->exists = kni_json_is_object(shelf->about);
}

static bool has_folder(const kni_ask *ask, const char *path) {
    int folder = kni_beneath_folder(ask->hub->folder, path, NULL);
    kni_beneath_close(folder);
    return folder >= 0;
}

void kni_shelf_open(kni_ask *ask, const char *type, const char *organization, const char *name,
                    kni_shelf *out) {
    *out = (kni_shelf){.type = type, .organization = organization};
    out->id = kni_scratch_format(ask->scratch, "%s/%s", organization, name);
    if (!kni_is_served_name(organization) || !kni_is_served_name(name)) return;
    out->folder = kni_scratch_format(ask->scratch, "%s/%s", type, out->id);
    read_about(ask, out);
    if (out->exists) return;
    out->folder = kni_scratch_format(ask->scratch, "%s--%s--%s", type, organization, name);
    out->exists = out->is_cache = has_folder(ask, out->folder);
}

void kni_shelf_close(kni_shelf *shelf) { kni_json_free(shelf->about); }

static const char *look_up(const kni_shelf *shelf, const char *revision) {
    static const struct {
        const char *prefix, *kind;
    } places[] = {{"", "branches"},       {"", "tags"},          {"refs/heads/", "branches"},
                  {"refs/tags/", "tags"}, {"refs/pr/", "pulls"}, {"refs/convert/", "converts"}};

    for (size_t at = 0; at < sizeof places / sizeof places[0]; at++) {
        size_t length = strlen(places[at].prefix);
        if (strncmp(revision, places[at].prefix, length) != 0) continue;
        const kni_json *refs = kni_json_member(shelf->about, places[at].kind);
        const char *commit = kni_json_text(kni_json_member(refs, revision + length));
        if (commit) return commit;
    }
    return NULL;
}

const char *kni_shelf_commit_folder(kni_ask *ask, const kni_shelf *shelf, const char *commit) {
    const char *where = shelf->is_cache ? "snapshots" : "commits";
    return kni_scratch_format(ask->scratch, "%s/%s/%s", shelf->folder, where, commit);
}

static bool is_commit(const char *text) { return strlen(text) == 40 && kni_is_commit(text); }

const char *kni_shelf_resolve(kni_ask *ask, const kni_shelf *shelf, const char *revision) {
    const char *commit = revision;
    if (!is_commit(revision))
        commit = shelf->is_cache ? kni_cached_ref(ask, shelf, revision) : look_up(shelf, revision);
    if (!commit || !is_commit(commit)) return NULL;
    if (!has_folder(ask, kni_shelf_commit_folder(ask, shelf, commit))) return NULL;
    return kni_scratch_copy(ask->scratch, commit, 40); /* it may be of repo.json */
}

static const kni_served_ref *described_refs(kni_ask *ask, const kni_shelf *shelf) {
    static const char *const kinds[] = {"branches", "tags", "pulls", "converts"};
    const kni_served_ref *first = NULL;
    kni_served_ref **end = (kni_served_ref **)(uintptr_t)&first;
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        const kni_json *refs = kni_json_member(shelf->about, kinds[kind]), *value;
        for (const char *name = kni_json_next(refs, NULL, &value); name;
             name = kni_json_next(refs, name, &value)) {
            kni_served_ref *added = kni_scratch_take(ask->scratch, sizeof *added);
            if (!added) return first;
            *added = (kni_served_ref){kinds[kind], name, kni_json_text(value), NULL};
            *end = added;
            end = &added->next;
        }
    }
    return first;
}

const kni_served_ref *kni_shelf_refs(kni_ask *ask, const kni_shelf *shelf) {
    return shelf->is_cache ? kni_cached_refs(ask, shelf) : described_refs(ask, shelf);
}

const char *kni_shelf_default(kni_ask *ask, const kni_shelf *shelf) {
    const char *commit = kni_shelf_resolve(ask, shelf, "main");
    if (commit || !shelf->is_cache) return commit;
    for (const kni_served_ref *at = kni_shelf_refs(ask, shelf); at; at = at->next) {
        const char *other = kni_shelf_resolve(ask, shelf, at->commit);
        if (other) commit = other;
    }
    return commit;
}

const char *kni_shelf_commit_text(const kni_shelf *shelf, const char *commit, const char *key,
                                  const char *otherwise) {
    const kni_json *commits = kni_json_member(shelf->about, "commits");
    const char *text = kni_json_text(kni_json_member(kni_json_member(commits, commit), key));
    return text ? text : otherwise;
}

/* Whether one of the hub's folders is a cached repository of it. */
typedef struct publisher_search {
    const char *name;
    bool found;
} publisher_search;

static bool look_for_publisher(void *ctx, const char *folder) {
    static const char *const types[] = {"kernels--", "models--"};
    publisher_search *search = ctx;
    size_t length = strlen(search->name);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t prefix = strlen(types[i]);
        if (strncmp(folder, types[i], prefix) == 0 &&
            strncmp(folder + prefix, search->name, length) == 0 &&
            strncmp(folder + prefix + length, "--", 2) == 0) {
            search->found = true;
        }
    }
    return !search->found;
}

bool kni_shelf_has_publisher(kni_ask *ask, const char *organization) {
    if (!kni_is_served_name(organization)) return false;
    if (has_folder(ask, kni_scratch_format(ask->scratch, "kernels/%s", organization)) ||
        has_folder(ask, kni_scratch_format(ask->scratch, "models/%s", organization))) {
        return true;
    }
    publisher_search search = {.name = organization};
    kni_beneath_each(ask->hub->folder, ".", look_for_publisher, &search);
    return search.found;
}
