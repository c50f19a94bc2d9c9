/* SPDX-License-Identifier: Apache-2.0 */
/* The builds are fetched here, and verified in Python, by the package sigstore. */
#include <string.h>

#include "cli.h"

/* The folder of the build for the environment, or of all builds, which is the caller's; CLI_OK, or
 * a status after a message. */
static int fetch(cli *c, bool all, char **folder) {
    kn_repo_info info = cli_repo(c, c->operands[0]);
    info.kind = KN_REPO_HUB;
    info.version = c->operands[1];
    kn_fetched builds;
    kn_error err;
    kn_error_init(&err);
    int status = cli_engine(c);
    if (status) return status;
    kn_status found =
        all ? kn_engine_fetch_folder(c->engine, &c->host, &info, "build", &builds, &err)
            : kn_engine_install(c->engine, &c->host, &info, folder, &err);
    if (found) return cli_fail(c, &err);
    if (all) {
        *folder = builds.folder;
        builds.folder = NULL;
        kn_fetched_clear(c->engine, &builds);
    }
    cli_clear_bar(c);
    return CLI_OK;
}

int cmd_verify_signature(cli *c) {
    const char *version = c->operands[1];
    if (!*version || version[strspn(version, "0123456789")]) {
        cli_error(c, "'%s' is no version: expected a number, 1", version);
        cli_print_usage(stderr, c->command);
        return CLI_USAGE;
    }
    int status = cli_check_python(c, false, "verifies signatures");
    char *folder;
    if (!status) status = fetch(c, cli_value(c, "--all-variants") != NULL, &folder);
    if (status) return status;
    const char *const passed[] = {"--all-variants", "--filter-unsigned", "--filter-no-digest",
                                  "--json"};
    const char *words[8];
    size_t count = 0;
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) {
        if (cli_value(c, passed[i])) words[count++] = passed[i];
    }
    words[count++] = "--";
    words[count++] = folder;
    status = cli_run_python(c, "_verify_command", words, count);
    kn_text_free(c->engine, folder);
    return status;
}
