/* SPDX-License-Identifier: Apache-2.0 */
/* Listings: /api/<type>s/<org>/<name>/tree/<revision>[/<path>], in pages. */
#include <stdlib.h>
#include <string.h>

#include "testhub.h"

enum { EXPANDED_PAGE = 50 };

json_t *api_lfs(const entry *file, const char *digest_name) {
    return json_pack("{s:s, s:I, s:i}", digest_name, file->sha256, "size", (json_int_t)file->size,
                     "pointerSize", (int)file->pointer_size);
}

const char *api_commit_text(const repository *repo, const char *commit, const char *key,
                            const char *otherwise) {
    const json_t *commits = json_object_get(repo->about, "commits");
    const char *text = json_text(json_object_get(commits, commit), key);
    return text ? text : otherwise;
}

/* A page of a listing. */
typedef struct listing {
    const char *folder, *commit;
    bool recursive, expand;
    uint64_t first, size, total; /* `total`: as far as is known, more than first + size if there is
                                    more */
} listing;

static bool is_true(const char *text) {
    return text &&
           (strcmp(text, "1") == 0 || strcmp(text, "true") == 0 || strcmp(text, "True") == 0);
}

static bool is_inside(const entry *at, const listing *page) {
    size_t length = strlen(page->folder);
    if (length > 0 && (strncmp(at->path, page->folder, length) != 0 || at->path[length] != '/')) {
        return false;
    }
    const char *rest = at->path + length + (length > 0);
    return page->recursive || !strchr(rest, '/');
}

static json_t *entry_json(const repository *repo, const entry *at, const listing *page) {
    json_t *out = json_pack("{s:s, s:s, s:I, s:s}", "type", at->directory ? "directory" : "file",
                            "oid", at->oid, "size", (json_int_t)at->size, "path", at->path);
    if (at->lfs) json_object_set_new(out, "lfs", api_lfs(at, "oid"));
    if (page->expand) {
        json_object_set_new(out, "lastCommit",
                            json_pack("{s:s, s:s, s:s}", "id", page->commit, "title",
                                      api_commit_text(repo, page->commit, "title", "Upload"),
                                      "date",
                                      api_commit_text(repo, page->commit, "date", TEST_HUB_DATE)));
        if (!at->directory) {
            json_object_set_new(out, "securityFileStatus",
                                json_pack("{s:s, s:{s:s}, s:n}", "status", "safe", "avScan",
                                          "status", "safe", "pickleImportScan"));
        }
    }
    return out;
}

/* Cursors are opaque, and have characters that a client must not unescape or escape again. */
static void link_next(const exchange *request, const listing *page, reply *out) {
    if (page->first + page->size >= page->total) return;
    reply_header(
        out, MHD_HTTP_HEADER_LINK,
        "<%s%s?expand=%s&recursive=%s&limit=%llu&cursor=ZXlKbWFXeGxJam9pSW4w%%3D%%3A%llu>; "
        "rel=\"next\"",
        request->base, request->path, page->expand ? "true" : "false",
        page->recursive ? "true" : "false", (unsigned long long)page->size,
        (unsigned long long)(page->first + page->size));
}

static uint64_t cursor_of(const char *query) {
    char *cursor = query_get(query, "cursor");
    const char *colon = cursor ? strrchr(cursor, ':') : NULL;
    uint64_t first = colon ? strtoull(colon + 1, NULL, 10) : 0;
    free(cursor);
    return first;
}

static json_t *invented_entry(uint64_t number) {
    char *path = text_format("build/torch-universal/made_up_%llu.py", (unsigned long long)number);
    char *oid = text_format("%040llx", (unsigned long long)number);
    json_t *out =
        json_pack("{s:s, s:s, s:i, s:s}", "type", "file", "oid", oid, "size", 1, "path", path);
    free(oid);
    free(path);
    return out;
}

static json_t *list_page(const exchange *request, const repository *repo, const snapshot *tree,
                         listing *page) {
    json_t *list = json_array();
    uint64_t position = 0;

    for (size_t at = 0; at < tree->count; at++) {
        if (!is_inside(&tree->entries[at], page)) continue;
        if (position >= page->first && position < page->first + page->size) {
            json_array_append_new(list, entry_json(repo, &tree->entries[at], page));
        }
        position++;
    }
    page->total = position;
    if (fault_is(request, "entries")) {
        page->total = (uint64_t)json_number(request->fault, "count", 0);
        json_array_clear(list);
        for (uint64_t at = page->first; at < page->first + page->size && at < page->total; at++) {
            json_array_append_new(list, invented_entry(at));
        }
    }
    return list;
}

/* Puts the bytes of a listing fault before the bracket that closes the list. */
static void add_hostile(const exchange *request, reply *out) {
    const char *hex = json_text(request->fault, "append_hex");
    size_t length = 0;
    char *more = hex ? hex_decode(hex, &length) : NULL;

    if (!more) return;
    if (json_flag(request->fault, "replace")) out->text_length = 2;
    bool alone = out->text_length == 2;
    char *text = must(malloc(out->text_length + length + 2));
    size_t at = alone ? 1 : out->text_length - 1;
    memcpy(text, out->text, at);
    if (!alone) text[at++] = ',';
    memcpy(text + at, more, length);
    text[at + length] = ']';
    free(more);
    free(out->text);
    out->text = text;
    out->text_length = out->length = at + length + 1;
}

void api_tree(testhub *hub, const exchange *request, const repository *repo, const char *commit,
              char **parts, size_t count, reply *out) {
    const snapshot *tree = store_snapshot(hub, repo, commit, request->set.lfs_threshold);
    char *folder = path_from(parts, count);
    char *recursive = query_get(request->query, "recursive");
    char *expand = query_get(request->query, "expand");
    char *limit = query_get(request->query, "limit");
    const entry *at = folder && folder[0] ? store_find(tree, folder) : NULL;

    if (!folder || (folder[0] && (!at || !at->directory))) {
        char *message = text_format("%s does not exist on \"%s\"", folder ? folder : "it", commit);
        reply_error(out, 404, "EntryNotFound", message);
        free(message);
    } else {
        listing page = {.folder = folder, .commit = commit, .first = cursor_of(request->query)};
        page.recursive = is_true(recursive);
        page.expand = is_true(expand);
        page.size = (uint64_t)request->set.page_size;
        if (page.expand && page.size > EXPANDED_PAGE) page.size = EXPANDED_PAGE;
        uint64_t asked = limit ? strtoull(limit, NULL, 10) : 0;
        if (asked > 0 && asked < page.size) page.size = asked;
        json_t *list = list_page(request, repo, tree, &page);
        reply_json(out, 200, list);
        link_next(request, &page, out);
        if (fault_is(request, "listing")) add_hostile(request, out);
    }
    free(folder);
    free(recursive);
    free(expand);
    free(limit);
}
