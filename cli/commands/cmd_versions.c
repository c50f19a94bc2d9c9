/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

static void print_human(const cli *c, const kn_versions *versions, const char *repo) {
    size_t count = kn_versions_count(versions);
    if (!count) printf("Repository does not support kernel versions: %s\n", repo);
    for (size_t i = 0; i < count; i++) {
        kn_version_entry entry = {.size = sizeof entry};
        kn_versions_get(versions, i, &entry);
        printf("Version %lld:\n\n", (long long)entry.version);
        if (entry.variants)
            cli_print_variants(entry.variants, c->colour_out);
        else
            printf("%s\n", entry.message);
        if (entry.variants && !kn_variants_count(entry.variants)) printf("\n");
    }
}

static void print_json(const cli *c, const kn_versions *versions, const char *repo) {
    cli_json json = {.out = stdout};
    cli_json_open(&json, '{');
    cli_json_text_of(&json, "repo_id", repo);
    cli_json_key(&json, "environment");
    cli_json_environment(c, &json);
    cli_json_key(&json, "versions");
    cli_json_open(&json, '[');
    for (size_t i = 0; i < kn_versions_count(versions); i++) {
        kn_version_entry entry = {.size = sizeof entry};
        kn_versions_get(versions, i, &entry);
        cli_json_open(&json, '{');
        cli_json_integer_of(&json, "version", entry.version);
        cli_json_text_of(&json, "revision", entry.ref);
        cli_json_text_of(&json, "commit", entry.commit);
        cli_json_key(&json, "variants");
        if (entry.variants)
            cli_json_variants(&json, entry.variants);
        else
            cli_json_text(&json, NULL);
        cli_json_text_of(&json, "problem", entry.message);
        cli_json_close(&json, '}');
    }
    cli_json_close(&json, ']');
    cli_json_close(&json, '}');
    cli_json_end(&json);
}

int cmd_versions(cli *c) {
    int status = cli_environment(c, true);
    if (!status) status = cli_engine(c);
    if (status) return status;
    kn_repo_info info = cli_repo(c, c->operands[0]);
    kn_versions *versions;
    kn_error err;
    kn_error_init(&err);
    if (kn_engine_versions(c->engine, &c->host, &info, true, &versions, &err))
        return cli_fail(c, &err);
    if (cli_value(c, "--json"))
        print_json(c, versions, info.id);
    else
        print_human(c, versions, info.id);
    kn_versions_free(versions);
    return CLI_OK;
}
