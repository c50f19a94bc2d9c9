/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

int cmd_get(cli *c) {
    if (cli_value(c, "--revision") && cli_value(c, "--version")) {
        cli_error(c, "Only one of --revision or --version can be specified");
        return CLI_FAILED;
    }
    int status = cli_environment(c, true);
    if (!status) status = cli_engine(c);
    if (status) return status;
    kn_repo_info info = cli_repo(c, c->operands[0]);
    char *folder;
    kn_error err;
    kn_error_init(&err);
    if (kn_engine_install(c->engine, &c->host, &info, &folder, &err)) {
        status = cli_fail(c, &err);
        if (err.status == KN_ERR_UNTRUSTED)
            fprintf(stderr, "`kernels get --trust` fetches it all the same; it says nothing about "
                            "loading it\n");
        return status;
    }
    cli_clear_bar(c);
    if (cli_value(c, "--json")) {
        cli_json json = {.out = stdout};
        cli_json_open(&json, '{');
        cli_json_text_of(&json, "repo_id", info.id);
        cli_json_text_of(&json, "folder", folder);
        cli_json_key(&json, "environment");
        cli_json_environment(c, &json);
        cli_json_close(&json, '}');
        cli_json_end(&json);
    } else {
        printf("%s\n", folder);
    }
    kn_text_free(c->engine, folder);
    return CLI_OK;
}
