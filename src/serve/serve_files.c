/* SPDX-License-Identifier: Apache-2.0 */
/* Files: /resolve/ and ranges. */
#include <string.h>

#include "serve/serve_parts.h"

static const char *content_type(const char *path) {
    const char *dot = strrchr(path, '.');
    if (dot && strcmp(dot, ".json") == 0) return "application/json";
    if (dot && (strcmp(dot, ".py") == 0 || strcmp(dot, ".md") == 0 || strcmp(dot, ".toml") == 0))
        return "text/plain; charset=utf-8";
    return "application/octet-stream";
}

/* What stands between the quotes of Content-Disposition: visible ASCII alone. */
static const char *shown_name(const char *name) {
    for (const char *at = name; *at; at++) {
        if (*at < 0x20 || *at > 0x7E || *at == '"' || *at == '\\') return "file";
    }
    return name;
}

static kni_byte_range range_of(const kni_ask *ask, const kni_commit_file *what,
                               const char *quoted) {
    if (ask->if_range && strcmp(ask->if_range, quoted) != 0) return (kni_byte_range){0};
    return kni_range_parse(ask->range, what->size);
}

void kni_answer_file(kni_ask *ask, const kni_commit_file *what, int file, const char *etag,
                     kni_reply *out) {
    kni_scratch *scratch = ask->scratch;
    const char *quoted = kni_scratch_format(scratch, "\"%s\"", etag);
    kni_byte_range range = range_of(ask, what, quoted);
    long long first = range.first, count = range.count, size = what->size;

    if (range.wrong) {
        kni_beneath_close(file);
        kni_reply_text(ask, out, 416, "Range Not Satisfiable");
        kni_reply_add(out, "Content-Range", kni_scratch_format(scratch, "bytes */%lld", size));
    } else {
        kni_reply_init(ask, out, range.asked ? 206 : 200);
        out->file = file;
        out->offset = first;
        out->length = range.asked ? count : size;
        kni_reply_add(out, "Content-Type", content_type(what->path));
        if (range.asked)
            kni_reply_add(out, "Content-Range",
                          kni_scratch_format(scratch, "bytes %lld-%lld/%lld", first,
                                             first + count - 1, size));
    }
    kni_reply_add(out, "ETag", quoted);
    kni_reply_add(out, "Accept-Ranges", "bytes");
    kni_reply_add(out, "Content-Disposition",
                  kni_scratch_format(scratch, "inline; filename=\"%s\";", shown_name(what->name)));
}

static void answer_no_entry(kni_ask *ask, const char *commit, kni_reply *out) {
    kni_reply_file_error(ask, out, "EntryNotFound", "Entry not found");
    kni_reply_add(out, "X-Repo-Commit", commit);
}

static void answer_entry(kni_ask *ask, const kni_shelf *shelf, const char *commit, const char *path,
                         kni_reply *out) {
    kni_commit_tree *tree;
    const kni_commit_file *what;
    kni_reply_init(ask, out, 0);
    int file = path ? kni_tree_open(ask, shelf, commit, path, &tree, &what, out) : -1;
    if (!path) tree = NULL;
    if (file >= 0) {
        const char *etag = what->lfs ? what->sha256 : what->oid;
        kni_answer_file(ask, what, file, etag, out);
        kni_reply_add(out, "X-Repo-Commit", commit);
        out->found = (kni_found){
            .type = shelf->type,
            .id = shelf->id,
            .commit = commit,
            .path = kni_scratch_copy(ask->scratch, what->path, strlen(what->path)),
            .etag = kni_scratch_copy(ask->scratch, etag, strlen(etag)),
            .size = what->size,
            .lfs = what->lfs,
        };
        if (what->lfs) {
            kni_reply_add(out, "X-Linked-Size",
                          kni_scratch_format(ask->scratch, "%lld", (long long)what->size));
            kni_reply_add(out, "X-Linked-Etag", kni_reply_header(out, "ETag"));
        }
    } else if (out->status == 0) {
        answer_no_entry(ask, commit, out);
    }
    kni_tree_drop(tree);
}

void kni_answer_resolve(kni_ask *ask, const char *type, const kni_parts *parts, kni_reply *out) {
    kni_shelf shelf;
    size_t used;
    kni_parts rest = kni_parts_after(parts, 3);
    const char *revision = kni_revision_of(ask->scratch, &rest, &used);

    kni_shelf_open(ask, type, parts->items[0], parts->items[1], &shelf);
    const char *commit = shelf.exists && revision ? kni_shelf_resolve(ask, &shelf, revision) : NULL;
    if (kni_access_refused(ask, &shelf, true, out)) {
        /* answered */
    } else if (!commit) {
        kni_reply_file_error(
            ask, out, "RevisionNotFound",
            kni_scratch_format(ask->scratch, "Invalid rev id: %s", revision ? revision : ""));
    } else {
        rest = kni_parts_after(&rest, used);
        const char *path = rest.count ? kni_path_of_parts(ask->scratch, &rest) : NULL;
        answer_entry(ask, &shelf, commit, path, out);
    }
    kni_shelf_close(&shelf);
}
