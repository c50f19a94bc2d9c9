/* SPDX-License-Identifier: Apache-2.0 */
/* Listings: /api/<type>s/<org>/<name>/tree/<revision>[/<path>], in pages. */
#include <stdlib.h>
#include <string.h>

#include "serve/serve_parts.h"

#define EXPANDED_PAGE 50

/* A page of a listing. */
typedef struct listing {
    const char *folder, *commit;
    const kni_shelf *shelf;
    bool recursive, expand;
    int64_t first, size, total; /* `total`: of the whole listing */
} listing;

void kni_add_lfs(kni_text *out, const kni_commit_file *file, const char *digest_name) {
    kni_json_object lfs = kni_object_open(out, NULL);
    kni_object_text(&lfs, digest_name, file->sha256);
    kni_object_integer(&lfs, "size", file->size);
    kni_object_integer(&lfs, "pointerSize", file->pointer_size);
    kni_object_close(&lfs, NULL);
}

static bool is_true(const char *text) {
    return text &&
           (strcmp(text, "1") == 0 || strcmp(text, "true") == 0 || strcmp(text, "True") == 0);
}

static bool is_inside(const kni_commit_file *at, const listing *page) {
    size_t length = strlen(page->folder);
    if (length > 0 && (strncmp(at->path, page->folder, length) != 0 || at->path[length] != '/'))
        return false;
    const char *rest = at->path + length + (length > 0);
    return page->recursive || !strchr(rest, '/');
}

static void add_expanded(kni_json_object *entry, const kni_commit_file *at, const listing *page) {
    if (kni_object_key(entry, "lastCommit")) {
        kni_json_object last = kni_object_open(entry->out, NULL);
        kni_object_text(&last, "id", page->commit);
        kni_object_text(&last, "title",
                        kni_shelf_commit_text(page->shelf, page->commit, "title", "Upload"));
        kni_object_text(&last, "date",
                        kni_shelf_commit_text(page->shelf, page->commit, "date", KNI_SERVE_DATE));
        kni_object_close(&last, NULL);
    }
    if (!at->directory && kni_object_key(entry, "securityFileStatus"))
        kni_text_add(entry->out, "{\"status\":\"safe\",\"avScan\":{\"status\":\"safe\"},"
                                 "\"pickleImportScan\":null}");
}

static void add_entry(kni_text *out, const kni_commit_file *at, const listing *page) {
    kni_json_object entry = kni_object_open(out, NULL);
    kni_object_text(&entry, "type", at->directory ? "directory" : "file");
    kni_object_text(&entry, "oid", at->oid);
    kni_object_integer(&entry, "size", at->size);
    kni_object_text(&entry, "path", at->path);
    if (at->lfs && kni_object_key(&entry, "lfs")) kni_add_lfs(out, at, "oid");
    if (page->expand) add_expanded(&entry, at, page);
    kni_object_close(&entry, NULL);
}

static void add_page(kni_text *out, const kni_commit_tree *tree, listing *page) {
    bool has_entry = false;
    kni_text_add(out, "[");
    for (size_t at = 0; at < tree->count; at++) {
        if (!is_inside(&tree->files[at], page)) continue;
        if (page->total >= page->first && page->total - page->first < page->size) {
            if (has_entry) kni_text_add(out, ",");
            has_entry = true;
            add_entry(out, &tree->files[at], page);
        }
        page->total++;
    }
    kni_text_add(out, "]");
}

/* Cursors are opaque, and have characters that a client must not unescape or escape again. */
static void link_next(kni_ask *ask, const listing *page, kni_reply *out) {
    if (page->total - page->first <= page->size) return;
    long long next = page->first + page->size;
    const char *link = kni_scratch_format(
        ask->scratch,
        "<%s%s?expand=%s&recursive=%s&limit=%lld&cursor=ZXlKbWFXeGxJam9pSW4w%%3D%%3A%lld>; "
        "rel=\"next\"",
        ask->base, ask->path, page->expand ? "true" : "false", page->recursive ? "true" : "false",
        (long long)page->size, next);
    kni_reply_add(out, "Link", link);
}

static int64_t cursor_of(const kni_ask *ask) {
    const char *cursor = kni_query_get(ask->scratch, ask->query, "cursor");
    const char *colon = cursor ? strrchr(cursor, ':') : NULL;
    int64_t first = colon ? strtoll(colon + 1, NULL, 10) : 0;
    return first > 0 ? first : 0;
}

static listing page_of(const kni_ask *ask, const kni_shelf *shelf, const char *commit,
                       const char *folder) {
    const char *limit = kni_query_get(ask->scratch, ask->query, "limit");
    int64_t asked = limit ? strtoll(limit, NULL, 10) : 0;
    listing page = {.shelf = shelf, .commit = commit, .folder = folder, .first = cursor_of(ask)};
    page.recursive = is_true(kni_query_get(ask->scratch, ask->query, "recursive"));
    page.expand = is_true(kni_query_get(ask->scratch, ask->query, "expand"));
    page.size = ask->page_size;
    if (page.expand && page.size > EXPANDED_PAGE) page.size = EXPANDED_PAGE;
    if (asked > 0 && asked < page.size) page.size = asked;
    return page;
}

void kni_answer_tree(kni_ask *ask, const kni_shelf *shelf, const char *commit,
                     const kni_parts *parts, kni_reply *out) {
    kni_commit_tree *tree = kni_tree_get(ask, shelf, commit, out);
    if (!tree) return;
    const char *folder = kni_path_of_parts(ask->scratch, parts);
    const kni_commit_file *at = folder && folder[0] ? kni_tree_find(tree, folder) : NULL;

    if (!folder || (folder[0] && (!at || !at->directory))) {
        const char *message = kni_scratch_format(ask->scratch, "%s does not exist on \"%s\"",
                                                 folder ? folder : "it", commit);
        kni_reply_error(ask, out, 404, "EntryNotFound", message);
    } else {
        listing page = page_of(ask, shelf, commit, folder);
        kni_reply_json(ask, out, 200);
        add_page(&out->text, tree, &page);
        link_next(ask, &page, out);
    }
    kni_tree_drop(tree);
}
