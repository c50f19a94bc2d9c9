/* SPDX-License-Identifier: Apache-2.0 */
/* What is under /api/: publishers, repositories, refs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testhub.h"

static const char created_at[] = TEST_HUB_DATE;

static bool is_granted(const repository *repo, const char *token) {
    const json_t *grant;
    size_t at;

    json_array_foreach(json_object_get(repo->about, "grants"), at, grant) {
        if (json_is_string(grant) && strcmp(json_string_value(grant), token) == 0) return true;
    }
    return false;
}

/* To the anonymous, what is missing and what is hidden look alike. */
static void answer_missing(const exchange *request, reply *out) {
    if (request->token) {
        reply_error(out, 404, "RepoNotFound", "Repository not found");
    } else {
        reply_error(out, 401, "RepoNotFound", "Invalid username or password.");
    }
}

static bool token_refused(testhub *hub, const exchange *request, reply *out) {
    if (request->token && !token_is_valid(hub, request->token)) {
        reply_error(out, 401, NULL, "Invalid credentials in Authorization header");
        return true;
    }
    if (!request->token && request->set.require_token) {
        answer_missing(request, out);
        return true;
    }
    return false;
}

static bool gate_is_shut(const exchange *request, const repository *repo, reply *out) {
    const json_t *gated = json_object_get(repo->about, "gated");
    char *message;

    if (!gated || json_is_false(gated) || json_is_null(gated)) return false;
    if (request->token && is_granted(repo, request->token)) return false;
    if (request->token) {
        message =
            text_format("Access to %.*s %s is restricted and you are not in the authorized "
                        "list. Visit %s/%s to ask for access.",
                        (int)strlen(repo->type) - 1, repo->type, repo->id, request->base, repo->id);
    } else {
        message = text_format("Access to %.*s %s is restricted. You must have access to it and be "
                              "authenticated to access it. Please log in.",
                              (int)strlen(repo->type) - 1, repo->type, repo->id);
    }
    reply_error(out, request->token ? 403 : 401, "GatedRepo", message);
    free(message);
    return true;
}

bool access_refused(testhub *hub, const exchange *request, const repository *repo, bool files,
                    reply *out) {
    if (token_refused(hub, request, out)) return true;
    bool hidden = json_flag(repo->about, "private");
    if (hidden && request->token) {
        hidden = json_object_get(repo->about, "grants") && !is_granted(repo, request->token);
    }
    if (!repo->about || hidden) {
        answer_missing(request, out);
        return true;
    }
    return files && gate_is_shut(request, repo, out);
}

char *revision_from(char **parts, size_t count, size_t *used) {
    *used = 0;
    if (count == 0) return NULL;
    if (count >= 3 && strcmp(parts[0], "refs") == 0) {
        char *kind = text_unescape(parts[1], strlen(parts[1]));
        char *name = text_unescape(parts[2], strlen(parts[2]));
        char *revision = kind && name ? text_format("refs/%s/%s", kind, name) : NULL;
        free(kind);
        free(name);
        *used = 3;
        return revision;
    }
    *used = 1;
    return text_unescape(parts[0], strlen(parts[0]));
}

char *path_from(char **parts, size_t count) {
    char *path = text_copy("");

    for (size_t at = 0; at < count; at++) {
        char *part = text_unescape(parts[at], strlen(parts[at]));
        if (!part || strcmp(part, "..") == 0 || strcmp(part, ".") == 0) {
            free(part);
            free(path);
            return NULL;
        }
        char *longer = text_format("%s%s%s", path, path[0] ? "/" : "", part);
        free(part);
        free(path);
        path = longer;
    }
    return path;
}

static void answer_nothing(reply *out) {
    reply_error(out, 404, NULL, "Sorry, we can't find the page you are looking for.");
}

static void answer_publisher(testhub *hub, const exchange *request, const char *kind,
                             const char *name, reply *out) {
    char *plain = text_unescape(name, strlen(name));
    char *file = text_format("%s/%s/%s.json", hub->root, kind, plain ? plain : "");
    bool hostile = !plain || strchr(plain, '/') || plain[0] == '.';
    json_t *about = hostile ? NULL : json_load_file(file, 0, NULL);

    if (token_refused(hub, request, out)) {
        json_decref(about);
    } else if (!about) {
        answer_nothing(out);
    } else {
        bool user = strcmp(kind, "users") == 0;
        json_t *all =
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:i, s:i, s:i, s:i, s:s}", "_id",
                      "64f000000000000000000000", "avatarUrl", "", user ? "user" : "name", plain,
                      "fullname", plain, "type", user ? "user" : "org", "isVerified", 0, "numUsers",
                      1, "numModels", 0, "numSpaces", 0, "numDatasets", 0, "createdAt", created_at);
        json_object_update(all, about);
        json_decref(about);
        reply_json(out, 200, all);
    }
    free(file);
    free(plain);
}

static json_t *refs_of(const repository *repo, const char *kind, const char *prefix) {
    json_t *list = json_array();
    const char *name;
    const json_t *commit;

    json_object_foreach(json_object_get(repo->about, kind), name, commit) {
        char *ref = text_format("%s%s", prefix, name);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", name, "ref", ref,
                                              "targetCommit", json_string_value(commit)));
        free(ref);
    }
    return list;
}

static void answer_refs(const exchange *request, const repository *repo, reply *out) {
    json_t *refs = json_pack("{s:o, s:o, s:o}", "tags", refs_of(repo, "tags", "refs/tags/"),
                             "branches", refs_of(repo, "branches", "refs/heads/"), "converts",
                             refs_of(repo, "converts", "refs/convert/"));
    char *pulls = query_get(request->query, "include_prs");
    if (pulls) json_object_set_new(refs, "pullRequests", refs_of(repo, "pulls", "refs/pr/"));
    free(pulls);
    reply_json(out, 200, refs);
}

static json_t *siblings_json(const snapshot *tree, bool with_blobs) {
    json_t *list = json_array();
    for (size_t at = 0; at < tree->count; at++) {
        const entry *file = tree->by_path[at];
        if (file->directory) continue;
        json_t *sibling = json_pack("{s:s}", "rfilename", file->path);
        if (with_blobs) {
            json_object_set_new(sibling, "blobId", json_string(file->oid));
            json_object_set_new(sibling, "size", json_integer((json_int_t)file->size));
            if (file->lfs) json_object_set_new(sibling, "lfs", api_lfs(file, "sha256"));
        }
        json_array_append_new(list, sibling);
    }
    return list;
}

static void answer_info(testhub *hub, const exchange *request, const repository *repo,
                        const char *commit, reply *out) {
    const json_t *gated = json_object_get(repo->about, "gated");
    json_t *info = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:b, s:O, s:b, s:i, s:i, s:s}", "_id",
        "64f000000000000000000001", "id", repo->id, "author", repo->organization, "sha", commit,
        "lastModified", api_commit_text(repo, commit, "date", created_at), "private",
        json_flag(repo->about, "private"), "gated", gated ? gated : json_false(), "disabled", 0,
        "downloads", 0, "likes", 0, "createdAt", created_at);

    if (strcmp(repo->type, "models") == 0) {
        char *blobs = query_get(request->query, "blobs");
        const snapshot *tree = store_snapshot(hub, repo, commit, request->set.lfs_threshold);
        json_object_set_new(info, "modelId", json_string(repo->id));
        json_object_set_new(info, "tags", json_array());
        if (tree) json_object_set_new(info, "siblings", siblings_json(tree, blobs != NULL));
        free(blobs);
    }
    json_object_update(info, json_object_get(repo->about, "info"));
    reply_json(out, 200, info);
}

static void answer_commits(const repository *repo, const char *commit, reply *out) {
    json_t *list = json_array();
    const char *at = commit;

    for (int left = 1000; at && left > 0; left--) {
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:[{s:s}], s:s}", "id", at, "title",
                                        api_commit_text(repo, at, "title", "Upload"), "message", "",
                                        "authors", "user", repo->organization, "date",
                                        api_commit_text(repo, at, "date", created_at)));
        at = api_commit_text(repo, at, "parent", NULL);
    }
    reply_json(out, 200, list);
}

/* What is asked about a repository at a revision. */
static void answer_at(testhub *hub, const exchange *request, const repository *repo,
                      const char *what, char **parts, size_t count, reply *out) {
    size_t used;
    char *revision = revision_from(parts, count, &used);
    char *commit = revision ? store_resolve(repo, revision) : NULL;

    if (!commit) {
        char *message = text_format("Invalid rev id: %s", revision ? revision : "");
        reply_error(out, 404, "RevisionNotFound", message);
        free(message);
    } else if (strcmp(what, "tree") == 0) {
        api_tree(hub, request, repo, commit, parts + used, count - used, out);
    } else if (strcmp(what, "commits") == 0 && count == used) {
        answer_commits(repo, commit, out);
    } else if (strcmp(what, "revision") == 0 && count == used) {
        answer_info(hub, request, repo, commit, out);
    } else {
        answer_nothing(out);
    }
    free(commit);
    free(revision);
}

/* `parts` follow /api/<type>s/. */
static void answer_repository(testhub *hub, const exchange *request, const char *type, char **parts,
                              size_t count, reply *out) {
    repository repo;
    char *main_branch = text_copy("main");

    store_open(&repo, hub->root, type, parts[0], parts[1]);
    if (access_refused(hub, request, &repo, false, out)) {
        /* answered */
    } else if (count == 2) {
        answer_at(hub, request, &repo, "revision", &main_branch, 1, out);
    } else if (count == 3 && strcmp(parts[2], "refs") == 0) {
        answer_refs(request, &repo, out);
    } else if (count >= 4) {
        answer_at(hub, request, &repo, parts[2], parts + 3, count - 3, out);
    } else {
        answer_nothing(out);
    }
    free(main_branch);
    store_close(&repo);
}

void api_answer(testhub *hub, exchange *request, char **parts, size_t count, reply *out) {
    const char *first = count > 0 ? parts[0] : "";
    bool publisher = count == 3 && strcmp(parts[2], "overview") == 0;

    if (publisher && (strcmp(first, "organizations") == 0 || strcmp(first, "users") == 0)) {
        answer_publisher(hub, request, first, parts[1], out);
    } else if (strcmp(first, "resolve-cache") == 0) {
        files_resolve_cache(hub, request, parts + 1, count - 1, out);
    } else if (count >= 3 && (strcmp(first, "kernels") == 0 || strcmp(first, "models") == 0)) {
        answer_repository(hub, request, first, parts + 1, count - 1, out);
    } else if (count == 1 && strcmp(first, "agent-harnesses") == 0) {
        /* huggingface_hub asks for it once a day. */
        reply_json(out, 200, json_pack("{s:[], s:{}}", "standardEnvVars", "harnesses"));
    } else if (count == 1 && strcmp(first, "whoami-v2") == 0 && request->token) {
        reply_json(out, 200,
                   json_pack("{s:s, s:s, s:s, s:[]}", "type", "user", "name", "tester", "fullname",
                             "tester", "orgs"));
    } else {
        answer_nothing(out);
    }
}
