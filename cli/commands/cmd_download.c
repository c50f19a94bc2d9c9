/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of a project's lock file, in upstream's words. */
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* What upstream says on standard error. */
static void announce(const kn_lockfile *lock) {
    for (size_t i = 0; i < kn_lockfile_count(lock); i++) {
        kn_locked locked = {.size = sizeof locked};
        kn_lockfile_get(lock, i, &locked);
        fprintf(stderr, "Downloading kernel: %s (revision: %s)\n", locked.repo_id, locked.commit);
    }
}

static bool has_untrusted(const kn_prefetched *fetched) {
    for (size_t i = 0; i < kn_prefetched_count(fetched); i++) {
        kn_prefetched_item item = {.size = sizeof item};
        kn_prefetched_get(fetched, i, &item);
        if (item.status == KN_ERR_UNTRUSTED) return true;
    }
    return false;
}

/* As upstream does, what the lock names is downloaded whoever published it, since nothing of it is
 * run: that its publisher is trusted is asked first, so that it is known when it is loaded. */
static kn_status download(cli *c, const char *lock, kn_prefetched **out, kn_error *err) {
    kn_prefetch_request request = {.size = sizeof request,
                                   .lock = lock,
                                   .all_variants = cli_value(c, "--all-variants") != NULL};
    kn_status status = kn_engine_prefetch(c->engine, &c->host, &request, out, err);
    if (status || !has_untrusted(*out)) return status;
    kn_prefetched_free(*out);
    cli_warning(c, "not every publisher is trusted: such kernels are downloaded, and loaded only "
                   "with trust_remote_code");
    request.allowed = "*";
    return kn_engine_prefetch(c->engine, &c->host, &request, out, err);
}

static void print_json(const kn_prefetched *fetched, const char *file) {
    cli_json json = {.out = stdout};
    const char *digest = kn_prefetched_digest(fetched);
    cli_json_open(&json, '{');
    cli_json_text_of(&json, "lockfile", file);
    cli_json_text_of(&json, "digest", *digest ? digest : NULL);
    cli_json_key(&json, "kernels");
    cli_json_open(&json, '[');
    for (size_t i = 0; i < kn_prefetched_count(fetched); i++) {
        kn_prefetched_item item = {.size = sizeof item};
        kn_prefetched_get(fetched, i, &item);
        cli_json_open(&json, '{');
        cli_json_text_of(&json, "repo_id", item.repo ? item.repo : item.name);
        cli_json_text_of(&json, "commit", item.commit);
        cli_json_text_of(&json, "variant", item.variant);
        cli_json_text_of(&json, "folder", item.folder);
        cli_json_text_of(&json, "problem", item.message);
        cli_json_close(&json, '}');
    }
    cli_json_close(&json, ']');
    cli_json_close(&json, '}');
    cli_json_end(&json);
}

/* Tells of every failure; the exit status is that of the first. */
static int tell(cli *c, const kn_prefetched *fetched, const char *file) {
    int status = CLI_OK;
    bool as_json = cli_value(c, "--json") != NULL;
    cli_clear_bar(c);
    if (as_json) print_json(fetched, file);
    for (size_t i = 0; i < kn_prefetched_count(fetched); i++) {
        kn_prefetched_item item = {.size = sizeof item};
        kn_prefetched_get(fetched, i, &item);
        if (item.status && item.is_dependency) continue; /* told by what needs it */
        if (!item.status && !as_json) printf("%s\n", item.folder);
        if (!item.status) continue;
        kn_error err;
        kn_error_init(&err);
        err.status = item.status;
        snprintf(err.message, sizeof err.message, "%s", item.message);
        int one = cli_fail(c, &err);
        if (!status) status = one;
    }
    return status;
}

static int run(cli *c, const char *file, const char *lock) {
    kn_prefetched *fetched;
    kn_error err;
    kn_error_init(&err);
    int status = cli_environment(c, cli_value(c, "--all-variants") == NULL);
    if (!status) status = cli_engine(c);
    if (status) return status;
    if (download(c, lock, &fetched, &err)) return cli_fail(c, &err);
    status = tell(c, fetched, file);
    kn_prefetched_free(fetched);
    return status;
}

int cmd_download(cli *c) {
    char file[4096];
    snprintf(file, sizeof file, "%s/kernels.lock", c->operands[0]);
    if (access(file, F_OK)) {
        cli_error(c, "No kernels.lock file found in: %s", c->operands[0]);
        return CLI_FAILED;
    }
    kn_lockfile *lock;
    const char *text;
    int status = cli_read_lock(c, file, &text, &lock);
    if (status) return status;
    announce(lock);
    status = run(c, file, text);
    kn_lockfile_free(lock);
    return status;
}
