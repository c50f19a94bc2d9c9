/* SPDX-License-Identifier: Apache-2.0 */
/* The cache: what is in it, how large it is, whether it is whole, and what can go. */
#include <string.h>

#include "cli.h"

/* The cache is read; CLI_FAILED after a message where a repository that is named is not there. */
static int open_stored(cli *c, kn_stored **stored) {
    kn_error err;
    kn_error_init(&err);
    if (kn_stored_read(NULL, stored, &err)) return cli_fail(c, &err);
    for (int i = 0; i < c->operand_count; i++) {
        bool found = false;
        for (size_t r = 0; r < kn_stored_repo_count(*stored); r++) {
            kn_stored_repo repo = {.size = sizeof repo};
            kn_stored_repo_get(*stored, r, &repo);
            if (strcmp(repo.id, c->operands[i]) == 0) found = true;
        }
        if (found) continue;
        cli_error(c, "there is nothing of '%s' in the cache ('%s'): `kernels cache list` lists it",
                  c->operands[i], kn_stored_folder(*stored));
        kn_stored_free(*stored);
        *stored = NULL;
        return CLI_FAILED;
    }
    return CLI_OK;
}

/* Whether the operands name this repository; without operands all are meant. */
static bool is_meant(const cli *c, const char *id) {
    for (int i = 0; i < c->operand_count; i++) {
        if (strcmp(c->operands[i], id) == 0) return true;
    }
    return !c->operand_count;
}

static const char *trust_word(kn_stored_trust trust) {
    return trust == KN_STORED_TRUSTED     ? "trusted"
           : trust == KN_STORED_UNTRUSTED ? "untrusted"
                                          : NULL;
}

/* ---- list and size ---- */

static void list_human(const kn_stored *stored, size_t at, const kn_stored_repo *repo) {
    printf("%s  %s%s\n", repo->id, cli_bytes(repo->bytes), repo->is_model ? "  (model)" : "");
    for (size_t i = 0; i < repo->revision_count; i++) {
        kn_stored_revision r = {.size = sizeof r};
        kn_stored_revision_get(stored, at, i, &r);
        printf("  %.12s  %-12s  %-10s  %s", r.commit, r.refs[0] ? r.refs : "-", cli_bytes(r.bytes),
               r.variants[0] ? r.variants : "-");
        if (r.missing_count) printf("  (%zu files are missing)", r.missing_count);
        printf("\n");
    }
    if (repo->partial_bytes) printf("  unfinished downloads: %s\n", cli_bytes(repo->partial_bytes));
}

static void list_json(cli_json *json, const kn_stored *stored, size_t at,
                      const kn_stored_repo *repo) {
    cli_json_open(json, '{');
    cli_json_text_of(json, "repo_id", repo->id);
    cli_json_text_of(json, "repo_type", repo->is_model ? "model" : "kernel");
    cli_json_text_of(json, "folder", repo->folder);
    cli_json_integer_of(json, "bytes", repo->bytes);
    cli_json_integer_of(json, "partial_bytes", repo->partial_bytes);
    cli_json_text_of(json, "publisher", trust_word(repo->trust));
    cli_json_key(json, "revisions");
    cli_json_open(json, '[');
    for (size_t i = 0; i < repo->revision_count; i++) {
        kn_stored_revision r = {.size = sizeof r};
        kn_stored_revision_get(stored, at, i, &r);
        cli_json_open(json, '{');
        cli_json_text_of(json, "commit", r.commit);
        cli_json_text_of(json, "refs", r.refs);
        cli_json_text_of(json, "variants", r.variants);
        cli_json_integer_of(json, "bytes", r.bytes);
        cli_json_integer_of(json, "files", (int64_t)r.file_count);
        cli_json_integer_of(json, "missing_files", (int64_t)r.missing_count);
        cli_json_boolean_of(json, "is_named", r.is_named);
        cli_json_close(json, '}');
    }
    cli_json_close(json, ']');
    cli_json_close(json, '}');
}

int cmd_cache_list(cli *c) {
    kn_stored *stored;
    int status = open_stored(c, &stored);
    if (status) return status;
    bool as_json = cli_value(c, "--json") != NULL;
    cli_json json = {.out = stdout};
    if (as_json) {
        cli_json_open(&json, '{');
        cli_json_text_of(&json, "folder", kn_stored_folder(stored));
        cli_json_key(&json, "repositories");
        cli_json_open(&json, '[');
    }
    for (size_t i = 0; i < kn_stored_repo_count(stored); i++) {
        kn_stored_repo repo = {.size = sizeof repo};
        kn_stored_repo_get(stored, i, &repo);
        if (!is_meant(c, repo.id)) continue;
        if (as_json)
            list_json(&json, stored, i, &repo);
        else
            list_human(stored, i, &repo);
    }
    if (as_json) {
        cli_json_close(&json, ']');
        cli_json_close(&json, '}');
        cli_json_end(&json);
    } else if (!kn_stored_repo_count(stored)) {
        printf("There are no kernels in the cache (%s).\n", kn_stored_folder(stored));
    }
    kn_stored_free(stored);
    return CLI_OK;
}

int cmd_cache_size(cli *c) {
    kn_stored *stored;
    int status = open_stored(c, &stored);
    if (status) return status;
    int64_t bytes = 0, partial = 0;
    size_t revisions = 0, count = 0;
    for (size_t i = 0; i < kn_stored_repo_count(stored); i++) {
        kn_stored_repo repo = {.size = sizeof repo};
        kn_stored_repo_get(stored, i, &repo);
        if (!is_meant(c, repo.id)) continue;
        bytes += repo.bytes;
        partial += repo.partial_bytes;
        revisions += repo.revision_count;
        count++;
    }
    if (cli_value(c, "--json")) {
        cli_json json = {.out = stdout};
        cli_json_open(&json, '{');
        cli_json_text_of(&json, "folder", kn_stored_folder(stored));
        cli_json_integer_of(&json, "bytes", bytes);
        cli_json_integer_of(&json, "partial_bytes", partial);
        cli_json_integer_of(&json, "repositories", (int64_t)count);
        cli_json_integer_of(&json, "revisions", (int64_t)revisions);
        cli_json_close(&json, '}');
        cli_json_end(&json);
    } else {
        printf("%s in %zu revisions of %zu repositories (%s)\n", cli_bytes(bytes), revisions, count,
               kn_stored_folder(stored));
    }
    kn_stored_free(stored);
    return CLI_OK;
}

/* ---- prune and verify: events, as they come ---- */

typedef struct events {
    cli *c;
    cli_json *json; /* NULL: for people */
    size_t damaged, missing, unknown;
    int64_t freed;
} events;

static const char *event_word(kn_stored_event_kind kind) {
    static const char *const words[] = {
        [KN_STORED_DAMAGED] = "damaged",   [KN_STORED_MISSING] = "missing",
        [KN_STORED_UNKNOWN] = "unchecked", [KN_STORED_REVISION] = "revision",
        [KN_STORED_CONTENT] = "content",   [KN_STORED_PARTIAL] = "unfinished",
        [KN_STORED_BUSY] = "busy"};
    return words[kind];
}

static void on_event(void *ctx, const kn_stored_event *event) {
    events *e = ctx;
    e->damaged += event->kind == KN_STORED_DAMAGED;
    e->missing += event->kind == KN_STORED_MISSING;
    e->unknown += event->kind == KN_STORED_UNKNOWN;
    e->freed += event->bytes;
    if (e->json) {
        cli_json_open(e->json, '{');
        cli_json_text_of(e->json, "kind", event_word(event->kind));
        cli_json_text_of(e->json, "repo_id", event->repo);
        cli_json_text_of(e->json, "name", event->name);
        cli_json_integer_of(e->json, "bytes", event->bytes);
        cli_json_close(e->json, '}');
    } else if (event->kind == KN_STORED_BUSY) {
        cli_warning(e->c, "'%s' was left alone: another process is at work on it", event->repo);
    } else if (event->kind != KN_STORED_UNKNOWN) {
        cli_clear_bar(e->c);
        printf("%-10s  %s  %s  %s\n", event_word(event->kind), event->repo, event->name,
               cli_bytes(event->bytes));
    }
}

static void begin(events *e, cli_json *json, const char *folder) {
    if (!cli_value(e->c, "--json")) return;
    e->json = json;
    cli_json_open(json, '{');
    cli_json_text_of(json, "folder", folder);
    cli_json_key(json, "found");
    cli_json_open(json, '[');
}

int cmd_cache_prune(cli *c) {
    kn_stored *stored;
    int status = open_stored(c, &stored);
    if (status) return status;
    bool remove = cli_value(c, "--dry-run") == NULL;
    cli_json json = {.out = stdout};
    events e = {.c = c};
    kn_error err;
    kn_error_init(&err);
    begin(&e, &json, kn_stored_folder(stored));
    for (size_t i = 0; i < kn_stored_repo_count(stored) && !err.status; i++) {
        kn_stored_repo repo = {.size = sizeof repo};
        kn_stored_repo_get(stored, i, &repo);
        if (is_meant(c, repo.id)) kn_stored_prune(stored, i, remove, on_event, &e, &err);
    }
    if (e.json) {
        cli_json_close(&json, ']');
        cli_json_integer_of(&json, "bytes", e.freed);
        cli_json_boolean_of(&json, "removed", remove);
        cli_json_close(&json, '}');
        cli_json_end(&json);
    } else {
        printf("%s %s\n", cli_bytes(e.freed), remove ? "freed" : "would be freed");
    }
    kn_stored_free(stored);
    return err.status ? cli_fail(c, &err) : CLI_OK;
}

int cmd_cache_verify(cli *c) {
    kn_stored *stored;
    int status = cli_environment(c, false);
    if (!status) status = cli_engine(c);
    if (!status) status = open_stored(c, &stored);
    if (status) return status;
    bool remove = cli_value(c, "--remove") != NULL;
    cli_json json = {.out = stdout};
    events e = {.c = c};
    size_t checked = 0, one;
    kn_error err;
    kn_error_init(&err);
    begin(&e, &json, kn_stored_folder(stored));
    for (size_t i = 0; i < kn_stored_repo_count(stored) && !err.status; i++) {
        kn_stored_repo repo = {.size = sizeof repo};
        kn_stored_repo_get(stored, i, &repo);
        if (!is_meant(c, repo.id)) continue;
        kn_engine_verify_stored(c->engine, &c->host, stored, i, remove, on_event, &e, &one, &err);
        checked += one;
    }
    cli_clear_bar(c);
    if (e.json) {
        cli_json_close(&json, ']');
        cli_json_integer_of(&json, "checked", (int64_t)checked);
        cli_json_close(&json, '}');
        cli_json_end(&json);
    } else {
        printf("%zu files checked: %zu damaged, %zu missing\n", checked, e.damaged, e.missing);
        if (e.unknown)
            printf("%zu copies were not checked: the cache does not say what they should be\n",
                   e.unknown);
        if (e.damaged && !remove)
            printf("`kernels cache verify --remove` takes damaged content away, to be fetched again"
                   "\n");
    }
    kn_stored_free(stored);
    if (err.status) return cli_fail(c, &err);
    return e.damaged || e.missing ? CLI_DAMAGED : CLI_OK;
}
