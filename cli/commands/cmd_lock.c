/* SPDX-License-Identifier: Apache-2.0 */
/* A project's lock file: made, checked against the project, or compared with what it would be. */
#include <string.h>

#include "cli.h"

#define COMMIT_SHOWN 12

static const char *kind_word(kn_lock_change_kind kind) {
    static const char *const words[] = {[KN_LOCK_ADDED] = "added",
                                        [KN_LOCK_REMOVED] = "removed",
                                        [KN_LOCK_MOVED] = "moved",
                                        [KN_LOCK_DIGESTS] = "digests"};
    return words[kind];
}

static void print_change(const cli *c, const kn_lock_change *change) {
    static const char signs[] = {[KN_LOCK_ADDED] = '+',
                                 [KN_LOCK_REMOVED] = '-',
                                 [KN_LOCK_MOVED] = '~',
                                 [KN_LOCK_DIGESTS] = '~'};
    static const char *const colours[] = {[KN_LOCK_ADDED] = CLI_GREEN,
                                          [KN_LOCK_REMOVED] = CLI_RED,
                                          [KN_LOCK_MOVED] = CLI_YELLOW,
                                          [KN_LOCK_DIGESTS] = CLI_YELLOW};
    printf("%s%c%s %s", cli_paint(c->colour_out, colours[change->kind]), signs[change->kind],
           cli_paint(c->colour_out, CLI_PLAIN), change->repo_id);
    if (change->revision)
        printf(" (revision %s)", change->revision);
    else if (change->version >= 0)
        printf(" (version %lld)", (long long)change->version);
    if (change->kind == KN_LOCK_MOVED)
        printf("  %.*s -> %.*s\n", COMMIT_SHOWN, change->before, COMMIT_SHOWN, change->after);
    else if (change->kind == KN_LOCK_DIGESTS)
        printf("  the digests of its files\n");
    else
        printf("  %.*s\n", COMMIT_SHOWN, change->after ? change->after : change->before);
}

static void json_kernel(cli_json *json, const char *repo_id, int64_t version,
                        const char *revision) {
    cli_json_text_of(json, "repo_id", repo_id);
    if (revision || version < 0)
        cli_json_text_of(json, "version", NULL);
    else
        cli_json_integer_of(json, "version", version);
    cli_json_text_of(json, "revision", revision);
}

static void json_changes(cli_json *json, const kn_lock_changes *changes) {
    cli_json_key(json, "changes");
    cli_json_open(json, '[');
    for (size_t i = 0; i < kn_lock_changes_count(changes); i++) {
        kn_lock_change change = {.size = sizeof change};
        kn_lock_changes_get(changes, i, &change);
        cli_json_open(json, '{');
        cli_json_text_of(json, "kind", kind_word(change.kind));
        json_kernel(json, change.repo_id, change.version, change.revision);
        cli_json_text_of(json, "before", change.before);
        cli_json_text_of(json, "after", change.after);
        cli_json_close(json, '}');
    }
    cli_json_close(json, ']');
}

static void print_json(const kn_lock_info *info, const kn_lock_changes *changes, bool written) {
    cli_json json = {.out = stdout};
    cli_json_open(&json, '{');
    cli_json_text_of(&json, "lockfile", info->path);
    cli_json_boolean_of(&json, "written", written);
    json_changes(&json, changes);
    cli_json_key(&json, "kernels");
    cli_json_open(&json, '[');
    for (size_t i = 0; i < kn_lockfile_count(info->after); i++) {
        kn_locked locked = {.size = sizeof locked};
        kn_lockfile_get(info->after, i, &locked);
        cli_json_open(&json, '{');
        json_kernel(&json, locked.repo_id, locked.version, locked.revision);
        cli_json_text_of(&json, "commit", locked.commit);
        cli_json_integer_of(&json, "digests", (int64_t)locked.file_count);
        cli_json_close(&json, '}');
    }
    cli_json_close(&json, ']');
    cli_json_close(&json, '}');
    cli_json_end(&json);
}

/* `written`: the lock file has its new content. */
static void print_human(const cli *c, const kn_lock_info *info, const kn_lock_changes *changes,
                        bool written) {
    for (size_t i = 0; i < kn_lock_changes_count(changes); i++) {
        kn_lock_change change = {.size = sizeof change};
        kn_lock_changes_get(changes, i, &change);
        print_change(c, &change);
    }
    size_t count = kn_lockfile_count(info->after);
    if (written)
        printf("%zu kernel%s locked in %s\n", count, count == 1 ? " is" : "s are", info->path);
    else if (!kn_lock_changes_count(changes))
        printf("%s is what the project needs\n", info->path);
}

/* What was found is told, and written unless it is only to be told. */
static int finish(cli *c, const kn_lock *lock) {
    kn_lock_info info = {.size = sizeof info};
    kn_lock_changes *changes;
    kn_error err;
    kn_error_init(&err);
    kn_lock_get(lock, &info);
    bool check = cli_value(c, "--check") != NULL, write = !check && !cli_value(c, "--diff");
    if (kn_lockfile_compare(NULL, info.before, info.after, &changes, &err))
        return cli_fail(c, &err);
    bool fits = kn_lock_changes_count(changes) == 0;
    int status = write && kn_lock_write(lock, &err) ? cli_fail(c, &err) : CLI_OK;
    if (!status && cli_value(c, "--json"))
        print_json(&info, changes, write);
    else if (!status)
        print_human(c, &info, changes, write);
    if (check && !fits) {
        cli_error(c, "'%s' does not fit pyproject.toml any more: `kernels lock` makes it anew",
                  info.path);
        status = CLI_FAILED;
    }
    kn_lock_changes_free(changes);
    return status;
}

int cmd_lock(cli *c) {
    int status = cli_environment(c, false);
    if (!status) status = cli_engine(c);
    if (status) return status;
    const char *upgrade = cli_value(c, "--upgrade");
    const kn_lock_request request = {
        .size = sizeof request,
        .project = c->operand_count ? c->operands[0] : ".",
        .upgrade = upgrade && !*upgrade ? "*" : upgrade,
        .allowed = cli_value(c, "--trust") ? "*" : NULL,
        .digests = cli_value(c, "--digests") != NULL,
    };
    kn_lock *lock;
    kn_error err;
    kn_error_init(&err);
    if (kn_engine_lock(c->engine, &c->host, &request, &lock, &err)) {
        status = cli_fail(c, &err);
        if (err.status == KN_ERR_UNTRUSTED)
            fprintf(stderr, "`kernels lock --trust` locks it all the same; it says nothing about "
                            "loading it\n");
        return status;
    }
    cli_clear_bar(c);
    status = finish(c, lock);
    kn_lock_free(lock);
    return status;
}
