/* SPDX-License-Identifier: Apache-2.0 */
/* What the Hub in memory has and what it answers; memory_transport.c moves it. */
#include "support/memory_hub.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/memory_answer.h"
#include "support/plain_digest.h"
#include "support/unit.h"

void memory_hub_open(memory_hub *hub) {
    memset(hub, 0, sizeof *hub);
    assert_int_equal(pthread_mutex_init(&hub->lock, NULL), 0);
}

void memory_hub_close(memory_hub *hub) {
    for (size_t i = 0; i < hub->repo_count; i++) {
        hub_repo *repo = hub->repos[i];
        for (size_t k = 0; k < repo->file_count; k++) free(repo->files[k].bytes);
        free(repo->files);
        free(repo);
    }
    pthread_mutex_destroy(&hub->lock);
}

void memory_hub_calm(memory_hub *hub) {
    hub->count = hub->fault_seen = hub->faults = hub->fault_at = hub->fault_many = 0;
    hub->fault = HUB_FAULT_NONE;
    hub->fault_on = NULL;
    hub->told_store = false;
}

void memory_hub_fail(memory_hub *hub, hub_fault fault, size_t at, size_t many) {
    memory_hub_calm(hub);
    hub->fault = fault;
    hub->fault_status = 500;
    hub->fault_at = at;
    hub->fault_many = many;
}

size_t memory_hub_asked(const memory_hub *hub, const char *part) {
    size_t found = 0;
    for (size_t i = 0; i < hub->count; i++) found += strstr(hub->asked[i], part) != NULL;
    return found;
}

/* ---- what there is ---- */

hub_repo *memory_hub_repo(memory_hub *hub, const char *id) {
    for (size_t i = 0; i < hub->repo_count; i++) {
        if (strcmp(hub->repos[i]->id, id) == 0) return hub->repos[i];
    }
    assert_true(hub->repo_count < sizeof hub->repos / sizeof *hub->repos);
    hub_repo *repo = calloc(1, sizeof *repo);
    assert_non_null(repo);
    snprintf(repo->id, sizeof repo->id, "%s", id);
    hub->repos[hub->repo_count++] = repo;
    return repo;
}

static void set_ref(hub_repo *repo, const char *name, const char *commit, bool is_tag) {
    size_t at = 0;
    while (at < repo->ref_count && strcmp(repo->refs[at].name, name) != 0) at++;
    assert_true(at < sizeof repo->refs / sizeof *repo->refs);
    if (at == repo->ref_count) repo->ref_count++;
    hub_ref *ref = &repo->refs[at];
    snprintf(ref->name, sizeof ref->name, "%s", name);
    snprintf(ref->commit, sizeof ref->commit, "%s", commit);
    ref->is_tag = is_tag;
}

void hub_repo_branch(hub_repo *repo, const char *name, const char *commit) {
    set_ref(repo, name, commit, false);
}

void hub_repo_tag(hub_repo *repo, const char *name, const char *commit) {
    set_ref(repo, name, commit, true);
}

void hub_repo_drop(hub_repo *repo, const char *name) {
    for (size_t i = 0; i < repo->ref_count; i++) {
        if (strcmp(repo->refs[i].name, name) == 0) repo->refs[i] = repo->refs[--repo->ref_count];
    }
}

static hub_file *put(hub_repo *repo, const char *commit, const char *path, const char *text) {
    size_t at = 0;
    for (; at < repo->file_count; at++) {
        const hub_file *file = &repo->files[at];
        if (strcmp(file->commit, commit) == 0 && strcmp(file->path, path) == 0) break;
    }
    if (at == repo->file_count) {
        repo->files = realloc(repo->files, ++repo->file_count * sizeof *repo->files);
        assert_non_null(repo->files);
        repo->files[at] = (hub_file){.length = 0};
    }
    hub_file *file = &repo->files[at];
    snprintf(file->commit, sizeof file->commit, "%s", commit);
    snprintf(file->path, sizeof file->path, "%s", path);
    free(file->bytes);
    file->length = strlen(text);
    file->bytes = malloc(file->length + 1);
    assert_non_null(file->bytes);
    memcpy(file->bytes, text, file->length + 1);
    return file;
}

hub_file *hub_repo_put(hub_repo *repo, const char *commit, const char *path, const char *text) {
    hub_file *file = put(repo, commit, path, text);
    plain_git_oid(text, strlen(text), file->oid);
    return file;
}

hub_file *hub_repo_put_large(hub_repo *repo, const char *commit, const char *path,
                             const char *text) {
    hub_file *file = put(repo, commit, path, text);
    plain_sha256(text, strlen(text), file->oid);
    file->is_large = true;
    return file;
}

void hub_file_spoil(hub_file *file) {
    assert_true(file->length > 0);
    file->bytes[file->length - 1] ^= 1;
}

/* ---- what it answers ---- */

static bool begins(const char **at, const char *with) {
    size_t length = strlen(with);
    if (strncmp(*at, with, length) != 0) return false;
    *at += length;
    return true;
}

static void refuse(hub_answer *a, int status, const char *code) {
    a->status = status;
    hub_answer_header(a, "x-error-code", code);
}

static void answer_publisher(memory_hub *hub, const char *at, hub_answer *a) {
    size_t length = strcspn(at, "/");
    for (size_t i = 0; i < hub->repo_count; i++) {
        const hub_repo *repo = hub->repos[i];
        if (strncmp(repo->id, at, length) != 0 || repo->id[length] != '/') continue;
        if (repo->standing == HUB_NOBODY) break;
        hub_answer_text(a, "{\"name\": \"it\", \"trustedKernelPublisher\": %s}",
                        repo->standing == HUB_TRUSTED ? "true" : "false");
        return;
    }
    a->status = 404;
}

static void answer_refs(const hub_repo *repo, hub_answer *a) {
    for (int tags = 0; tags < 2; tags++) {
        const char *separator = "";
        hub_answer_text(a, tags ? "], \"tags\": [" : "{\"branches\": [");
        for (size_t i = 0; i < repo->ref_count; i++) {
            const hub_ref *ref = &repo->refs[i];
            if (ref->is_tag != tags || strchr(ref->name, '/')) continue;
            hub_answer_text(a, "%s{\"name\": \"%s\", \"targetCommit\": \"%s\"}", separator,
                            ref->name, ref->commit);
            separator = ", ";
        }
    }
    hub_answer_text(a, "], \"converts\": []}");
}

/* Any ref, or the beginning of a commit that has files. */
static void answer_revision(const hub_repo *repo, const char *revision, hub_answer *a) {
    char name[128] = "";
    for (size_t length = 0; *revision && length + 1 < sizeof name; length++) {
        bool is_slash = strncmp(revision, "%2F", 3) == 0;
        name[length] = is_slash ? '/' : *revision;
        revision += is_slash ? 3 : 1;
    }
    const char *commit = NULL;
    for (size_t i = 0; i < repo->ref_count; i++) {
        if (strcmp(repo->refs[i].name, name) == 0) commit = repo->refs[i].commit;
    }
    for (size_t i = 0; i < repo->file_count; i++) {
        if (strncmp(repo->files[i].commit, name, strlen(name)) == 0) commit = repo->files[i].commit;
    }
    if (commit)
        hub_answer_text(a, "{\"id\": \"%s\", \"sha\": \"%s\"}", repo->id, commit);
    else
        refuse(a, 404, "RevisionNotFound");
}

static void answer_tree(const memory_hub *hub, const hub_repo *repo, const char *at,
                        hub_answer *a) {
    size_t length = strcspn(at, "?"), from = 0, seen = 0, shown = 0;
    const char *cursor = strstr(at, "cursor=");
    if (cursor) from = strtoul(cursor + 7, NULL, 10);
    hub_answer_text(a, "[{\"type\": \"directory\", \"path\": \"build\", \"oid\": \"0\"}");
    for (size_t i = 0; i < repo->file_count; i++) {
        const hub_file *file = &repo->files[i];
        if (strncmp(file->commit, at, length) != 0 || seen++ < from) continue;
        if (hub->page && shown++ == hub->page) {
            char next[300];
            snprintf(next, sizeof next,
                     "<%s/api/%s/%s/tree/%s?recursive=true&cursor=%zu>; rel=\"next\"", HUB_ENDPOINT,
                     repo->is_model ? "models" : "kernels", repo->id, file->commit, seen - 1);
            hub_answer_header(a, "link", next);
            break;
        }
        hub_answer_text(a, ", {\"type\": \"file\", \"path\": \"%s\", \"size\": %zu, \"oid\": ",
                        file->path, file->length);
        if (file->is_large)
            hub_answer_text(a, "\"0\", \"lfs\": {\"oid\": \"%s\", \"size\": %zu}}", file->oid,
                            file->length);
        else
            hub_answer_text(a, "\"%s\"}", file->oid);
    }
    hub_answer_text(a, "]");
    if (!seen) refuse(a, 404, "RevisionNotFound");
}

static void answer_file(const hub_repo *repo, const char *at, hub_answer *a) {
    for (size_t i = 0; i < repo->file_count; i++) {
        const hub_file *file = &repo->files[i];
        size_t length = strlen(file->commit);
        if (strncmp(file->commit, at, length) != 0 || strcmp(at + length + 1, file->path) != 0)
            continue;
        hub_answer_header(a, "x-repo-commit", file->commit);
        if (file->is_large) {
            char location[128];
            snprintf(location, sizeof location, "%s/%s?signed", HUB_STORE, file->oid);
            a->status = 302;
            hub_answer_header(a, "location", location);
        } else {
            hub_answer_bytes(a, file->bytes, file->length);
        }
        return;
    }
    refuse(a, 404, "EntryNotFound");
}

static void answer_store(const memory_hub *hub, const char *at, hub_answer *a) {
    a->status = 404;
    for (size_t i = 0; i < hub->repo_count; i++) {
        const hub_repo *repo = hub->repos[i];
        for (size_t k = 0; k < repo->file_count; k++) {
            const hub_file *file = &repo->files[k];
            if (!file->is_large || strncmp(file->oid, at, strlen(file->oid)) != 0) continue;
            a->status = 200;
            a->length = 0;
            hub_answer_bytes(a, file->bytes, file->length);
        }
    }
}

/* The repository that an address goes on with; else NULL, which has been answered. */
static const hub_repo *find_repo(const memory_hub *hub, bool is_model, const char **at,
                                 hub_answer *a) {
    for (size_t i = 0; i < hub->repo_count; i++) {
        const hub_repo *repo = hub->repos[i];
        const char *rest = *at;
        if (repo->is_model != is_model || !begins(&rest, repo->id) || *rest != '/') continue;
        *at = rest + 1;
        return repo;
    }
    refuse(a, 401, "RepoNotFound");
    return NULL;
}

void memory_hub_answer(memory_hub *hub, const char *url, hub_answer *a) {
    const char *at = url;
    a->status = 200;
    if (begins(&at, HUB_STORE "/")) {
        answer_store(hub, at, a);
        return;
    }
    if (!begins(&at, HUB_ENDPOINT "/")) fail_msg("'%s' is not the Hub's", url);
    if (begins(&at, "api/organizations/")) {
        answer_publisher(hub, at, a);
        return;
    }
    bool is_api = begins(&at, "api/"), is_kernel = begins(&at, "kernels/");
    if (is_api && !is_kernel) assert_true(begins(&at, "models/"));
    const hub_repo *repo = find_repo(hub, !is_kernel, &at, a);
    if (!repo) return;
    if (!is_api && begins(&at, "resolve/"))
        answer_file(repo, at, a);
    else if (is_api && strcmp(at, "refs") == 0)
        answer_refs(repo, a);
    else if (is_api && begins(&at, "revision/"))
        answer_revision(repo, at, a);
    else if (is_api && begins(&at, "tree/"))
        answer_tree(hub, repo, at, a);
    else
        fail_msg("the Hub has no '%s'", url);
}
