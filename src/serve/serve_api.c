/* SPDX-License-Identifier: Apache-2.0 */
/* What is under /api/: publishers, repositories, refs. */
#include <string.h>

#include "serve/serve_parts.h"

#define HISTORY_MAX 1000

static void answer_nothing(kni_ask *ask, kni_reply *out) {
    kni_reply_error(ask, out, 404, NULL, "Sorry, we can't find the page you are looking for.");
}

/* Whether the name is one of those between the commas. */
static bool is_listed(const char *names, const char *name) {
    size_t length = strlen(name);
    while (names && *names) {
        size_t other = strcspn(names, ",");
        if (other == length && strncmp(names, name, length) == 0) return true;
        names += other;
        if (*names) names++;
    }
    return false;
}

/* What organizations/<name>.json or users/<name>.json says. */
static kni_json *publisher_about(kni_ask *ask, const char *kind, const char *name) {
    const char *file = kni_scratch_format(ask->scratch, "%s/%s.json", kind, name);
    kni_json *about = NULL;
    char *text;
    size_t length;
    if (!kni_beneath_read(ask->hub->alloc, ask->hub->folder, file, KNI_JSON_LIMIT, &text, &length))
        ask->scratch->failed = true;
    if (text) kni_json_parse(text, length, file, &about, NULL);
    kni_free(ask->hub->alloc, text);
    if (about && !kni_json_is_object(about)) {
        kni_json_free(about);
        about = NULL;
    }
    return about;
}

static void describe_publisher(kni_ask *ask, const kni_json *about, bool user, const char *name,
                               kni_reply *out) {
    bool believed = ask->hub->believes_folder;
    kni_reply_json(ask, out, 200);
    kni_json_object all = kni_object_open(&out->text, about);
    kni_object_text(&all, "_id", "64f000000000000000000000");
    kni_object_text(&all, "avatarUrl", "");
    kni_object_text(&all, user ? "user" : "name", name);
    kni_object_text(&all, "fullname", name);
    kni_object_text(&all, "type", user ? "user" : "org");
    kni_object_boolean(&all, "isVerified", false);
    kni_object_integer(&all, "numUsers", 1);
    kni_object_integer(&all, "numModels", 0);
    kni_object_integer(&all, "numSpaces", 0);
    kni_object_integer(&all, "numDatasets", 0);
    kni_object_text(&all, "createdAt", KNI_SERVE_DATE);
    if (!believed && is_listed(ask->hub->trusted, name)) {
        all.over = NULL;
        kni_object_boolean(&all, "trustedKernelPublisher", true);
        all.over = about;
    }
    kni_object_close(&all, believed ? NULL : "trustedKernelPublisher");
}

static void answer_publisher(kni_ask *ask, const char *kind, const char *part, kni_reply *out) {
    bool user = strcmp(kind, "users") == 0;
    const char *name = kni_unescape(ask->scratch, part, strlen(part));
    if (kni_token_refused(ask, out)) return;
    if (!name || !kni_is_served_name(name)) {
        answer_nothing(ask, out);
        return;
    }
    kni_json *about = publisher_about(ask, kind, name);
    if (about || (!user && !ask->hub->believes_folder && kni_shelf_has_publisher(ask, name))) {
        describe_publisher(ask, about, user, name, out);
    } else {
        answer_nothing(ask, out);
    }
    kni_json_free(about);
}

static void add_refs(kni_json_object *all, const kni_served_ref *refs, const char *key,
                     const char *kind, const char *prefix) {
    if (!kni_object_key(all, key)) return;
    bool has_ref = false;
    kni_text_add(all->out, "[");
    for (const kni_served_ref *at = refs; at; at = at->next) {
        if (strcmp(at->kind, kind) != 0) continue;
        if (has_ref) kni_text_add(all->out, ",");
        has_ref = true;
        kni_json_object ref = kni_object_open(all->out, NULL);
        kni_object_text(&ref, "name", at->name);
        if (kni_object_key(&ref, "ref")) {
            kni_text full;
            kni_text_init(&full, all->out->alloc);
            kni_text_addf(&full, "%s%s", prefix, at->name);
            kni_json_add_text(all->out, full.bytes);
            all->out->failed |= full.failed;
            kni_text_clear(&full);
        }
        kni_object_text(&ref, "targetCommit", at->commit);
        kni_object_close(&ref, NULL);
    }
    kni_text_add(all->out, "]");
}

static void answer_refs(kni_ask *ask, const kni_shelf *shelf, kni_reply *out) {
    const kni_served_ref *refs = kni_shelf_refs(ask, shelf);
    kni_reply_json(ask, out, 200);
    kni_json_object all = kni_object_open(&out->text, NULL);
    add_refs(&all, refs, "tags", "tags", "refs/tags/");
    add_refs(&all, refs, "branches", "branches", "refs/heads/");
    add_refs(&all, refs, "converts", "converts", "refs/convert/");
    if (kni_query_get(ask->scratch, ask->query, "include_prs"))
        add_refs(&all, refs, "pullRequests", "pulls", "refs/pr/");
    kni_object_close(&all, NULL);
}

static void add_siblings(kni_text *out, const kni_commit_tree *tree, bool with_blobs) {
    bool has_sibling = false;
    kni_text_add(out, "[");
    for (size_t at = 0; at < tree->count; at++) {
        const kni_commit_file *file = tree->by_path[at];
        if (file->directory) continue;
        if (has_sibling) kni_text_add(out, ",");
        has_sibling = true;
        kni_json_object sibling = kni_object_open(out, NULL);
        kni_object_text(&sibling, "rfilename", file->path);
        if (with_blobs) {
            kni_object_text(&sibling, "blobId", file->oid);
            kni_object_integer(&sibling, "size", file->size);
            if (file->lfs && kni_object_key(&sibling, "lfs")) kni_add_lfs(out, file, "sha256");
        }
        kni_object_close(&sibling, NULL);
    }
    kni_text_add(out, "]");
}

static void describe_commit(kni_ask *ask, const kni_shelf *shelf, const char *commit,
                            const kni_commit_tree *tree, kni_reply *out) {
    const kni_json *gated = kni_json_member(shelf->about, "gated");
    bool hidden = false;
    kni_json_boolean(kni_json_member(shelf->about, "private"), &hidden);
    kni_reply_json(ask, out, 200);
    kni_json_object info = kni_object_open(&out->text, kni_json_member(shelf->about, "info"));
    kni_object_text(&info, "_id", "64f000000000000000000001");
    kni_object_text(&info, "id", shelf->id);
    kni_object_text(&info, "author", shelf->organization);
    kni_object_text(&info, "sha", commit);
    kni_object_text(&info, "lastModified",
                    kni_shelf_commit_text(shelf, commit, "date", KNI_SERVE_DATE));
    kni_object_boolean(&info, "private", hidden);
    if (!gated)
        kni_object_boolean(&info, "gated", false);
    else if (kni_object_key(&info, "gated"))
        kni_json_add(info.out, gated);
    kni_object_boolean(&info, "disabled", false);
    kni_object_integer(&info, "downloads", 0);
    kni_object_integer(&info, "likes", 0);
    kni_object_text(&info, "createdAt", KNI_SERVE_DATE);
    if (tree) {
        kni_object_text(&info, "modelId", shelf->id);
        if (kni_object_key(&info, "tags")) kni_text_add(info.out, "[]");
        if (kni_object_key(&info, "siblings"))
            add_siblings(info.out, tree, kni_query_get(ask->scratch, ask->query, "blobs") != NULL);
    }
    kni_object_close(&info, NULL);
}

static void answer_info(kni_ask *ask, const kni_shelf *shelf, const char *commit, kni_reply *out) {
    kni_commit_tree *tree = NULL;
    if (strcmp(shelf->type, "models") == 0) {
        tree = kni_tree_get(ask, shelf, commit, out);
        if (!tree) return;
    }
    describe_commit(ask, shelf, commit, tree, out);
    kni_tree_drop(tree);
}

static void add_author(kni_json_object *commit, const char *name) {
    if (!kni_object_key(commit, "authors")) return;
    kni_text_add(commit->out, "[");
    kni_json_object author = kni_object_open(commit->out, NULL);
    kni_object_text(&author, "user", name);
    kni_object_close(&author, NULL);
    kni_text_add(commit->out, "]");
}

static void answer_commits(kni_ask *ask, const kni_shelf *shelf, const char *commit,
                           kni_reply *out) {
    const char *at = commit;
    kni_reply_json(ask, out, 200);
    kni_text_add(&out->text, "[");
    for (int left = HISTORY_MAX; at && left > 0; left--) {
        if (at != commit) kni_text_add(&out->text, ",");
        kni_json_object line = kni_object_open(&out->text, NULL);
        kni_object_text(&line, "id", at);
        kni_object_text(&line, "title", kni_shelf_commit_text(shelf, at, "title", "Upload"));
        kni_object_text(&line, "message", "");
        add_author(&line, shelf->organization);
        kni_object_text(&line, "date", kni_shelf_commit_text(shelf, at, "date", KNI_SERVE_DATE));
        kni_object_close(&line, NULL);
        at = kni_shelf_commit_text(shelf, at, "parent", NULL);
    }
    kni_text_add(&out->text, "]");
}

static void answer_no_revision(kni_ask *ask, const char *revision, kni_reply *out) {
    const char *message =
        kni_scratch_format(ask->scratch, "Invalid rev id: %s", revision ? revision : "");
    kni_reply_error(ask, out, 404, "RevisionNotFound", message);
}

/* What is asked about a repository at a revision: `parts` are "tree", the revision, and so on. */
static void answer_at(kni_ask *ask, const kni_shelf *shelf, const kni_parts *parts,
                      kni_reply *out) {
    size_t used;
    kni_parts rest = kni_parts_after(parts, 1);
    const char *revision = kni_revision_of(ask->scratch, &rest, &used);
    const char *commit = revision ? kni_shelf_resolve(ask, shelf, revision) : NULL;
    rest = kni_parts_after(&rest, used);

    if (!commit) {
        answer_no_revision(ask, revision, out);
    } else if (kni_parts_is(parts, 0, "tree")) {
        kni_answer_tree(ask, shelf, commit, &rest, out);
    } else if (kni_parts_is(parts, 0, "commits") && rest.count == 0) {
        answer_commits(ask, shelf, commit, out);
    } else if (kni_parts_is(parts, 0, "revision") && rest.count == 0) {
        answer_info(ask, shelf, commit, out);
    } else {
        answer_nothing(ask, out);
    }
}

static void answer_default(kni_ask *ask, const kni_shelf *shelf, kni_reply *out) {
    const char *commit = kni_shelf_default(ask, shelf);
    if (commit)
        answer_info(ask, shelf, commit, out);
    else
        answer_no_revision(ask, "main", out);
}

/* `parts`: <type>s, <org>, <name> and what follows. */
static void answer_repository(kni_ask *ask, const kni_parts *parts, kni_reply *out) {
    kni_shelf shelf;
    kni_parts rest = kni_parts_after(parts, 3);

    kni_shelf_open(ask, parts->items[0], parts->items[1], parts->items[2], &shelf);
    if (kni_access_refused(ask, &shelf, false, out)) {
        /* answered */
    } else if (rest.count == 0) {
        answer_default(ask, &shelf, out);
    } else if (rest.count == 1 && kni_parts_is(&rest, 0, "refs")) {
        answer_refs(ask, &shelf, out);
    } else if (rest.count >= 2) {
        answer_at(ask, &shelf, &rest, out);
    } else {
        answer_nothing(ask, out);
    }
    kni_shelf_close(&shelf);
}

static void answer_user(kni_ask *ask, kni_reply *out) {
    if (kni_token_refused(ask, out)) return;
    kni_reply_json(ask, out, 200);
    kni_text_add(&out->text,
                 "{\"type\":\"user\",\"name\":\"user\",\"fullname\":\"user\",\"orgs\":[]}");
}

void kni_answer_api(kni_ask *ask, const kni_parts *parts, kni_reply *out) {
    const char *first = parts->count > 0 ? parts->items[0] : "";
    bool publisher = parts->count == 3 && kni_parts_is(parts, 2, "overview");

    if (publisher && (strcmp(first, "organizations") == 0 || strcmp(first, "users") == 0)) {
        answer_publisher(ask, first, parts->items[1], out);
    } else if (parts->count >= 3 &&
               (strcmp(first, "kernels") == 0 || strcmp(first, "models") == 0)) {
        answer_repository(ask, parts, out);
    } else if (parts->count == 1 && strcmp(first, "agent-harnesses") == 0) {
        /* huggingface_hub asks for it once a day. */
        kni_reply_json(ask, out, 200);
        kni_text_add(&out->text, "{\"standardEnvVars\":[],\"harnesses\":{}}");
    } else if (parts->count == 1 && strcmp(first, "whoami-v2") == 0 && ask->token) {
        answer_user(ask, out);
    } else {
        answer_nothing(ask, out);
    }
}
