/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli.h"

#define BACKENDS_MAX 32

/* What is printed; texts are borrowed from `about`. */
typedef struct facts {
    kn_about_info about;
    kn_metadata_info metadata;
    const char *operand;  /* the repository or directory as it was named */
    const char *revision; /* the branch, tag or commit */
    const char *backends[BACKENDS_MAX];
    size_t backend_count;
} facts;

/* The backends of all builds, each once, sorted. */
static void collect_backends(facts *f) {
    for (size_t i = 0; i < kn_variants_count(f->about.variants); i++) {
        kn_variant v = {.size = sizeof v};
        kn_variants_get(f->about.variants, i, &v);
        size_t at = 0;
        while (at < f->backend_count && strcmp(f->backends[at], v.backend) < 0) at++;
        bool is_there = at < f->backend_count && strcmp(f->backends[at], v.backend) == 0;
        if (is_there || f->backend_count == BACKENDS_MAX) continue;
        memmove(&f->backends[at + 1], &f->backends[at],
                (f->backend_count - at) * sizeof f->backends[0]);
        f->backends[at] = v.backend;
        f->backend_count++;
    }
}

static void line(const char *name, const char *value) {
    printf("%s: %s\n", name, value ? value : "-");
}

/* The first lines are upstream's. */
static void print_human(const cli *c, const facts *f) {
    const kn_metadata_info *m = &f->metadata;
    const kn_metadata *metadata = f->about.metadata;
    size_t depends = metadata ? kn_metadata_python_depends_count(metadata) : 0;
    if (f->about.path) {
        line("Path", f->operand);
    } else {
        line("Repository", f->operand);
        line("Revision", f->revision);
    }
    line("Name", m->name);
    if (metadata && m->version >= 0)
        printf("Version: %lld\n", (long long)m->version);
    else
        line("Version", NULL);
    line("Minimum kernels version", m->kernels_minver);
    line("License", m->license);
    line("Upstream", m->upstream);
    line("Source", m->source);
    printf("Python dependencies: %s", depends ? "" : "-");
    for (size_t i = 0; i < depends; i++)
        printf("%s%s", i ? ", " : "", kn_metadata_python_depends(metadata, i));
    printf("\nBackends: ");
    for (size_t i = 0; i < f->backend_count; i++) printf("%s%s", i ? ", " : "", f->backends[i]);
    printf("\n");
    if (f->about.commit) line("Commit", f->about.commit);
    if (f->about.repo && strcmp(f->about.repo, f->operand) != 0)
        line("Redirected to", f->about.repo);
    for (size_t i = 0; i < (metadata ? kn_metadata_kernel_depends_count(metadata) : 0); i++) {
        kn_kernel_depend depend = {.size = sizeof depend};
        kn_metadata_kernel_depends(metadata, i, &depend);
        if (depend.revision)
            printf("Needs: %s at %s\n", depend.repo_id, depend.revision);
        else
            printf("Needs: %s version %lld\n", depend.repo_id, (long long)depend.version);
    }
    cli_print_builds(c, &f->about);
}

static void print_metadata(cli_json *json, const facts *f) {
    const kn_metadata *metadata = f->about.metadata;
    cli_json_text_of(json, "name", f->metadata.name);
    cli_json_key(json, "version");
    if (f->metadata.version >= 0)
        cli_json_integer(json, f->metadata.version);
    else
        cli_json_text(json, NULL);
    cli_json_text_of(json, "kernels_minver", f->metadata.kernels_minver);
    cli_json_text_of(json, "license", f->metadata.license);
    cli_json_text_of(json, "upstream", f->metadata.upstream);
    cli_json_text_of(json, "source", f->metadata.source);
    cli_json_key(json, "python_depends");
    cli_json_open(json, '[');
    for (size_t i = 0; i < kn_metadata_python_depends_count(metadata); i++)
        cli_json_text(json, kn_metadata_python_depends(metadata, i));
    cli_json_close(json, ']');
}

static void print_json(const cli *c, const facts *f) {
    cli_json json = {.out = stdout};
    cli_json_open(&json, '{');
    if (f->about.path) {
        cli_json_text_of(&json, "path", f->operand);
    } else {
        cli_json_text_of(&json, "repo_id", f->operand);
        cli_json_text_of(&json, "revision", f->revision);
    }
    if (f->about.metadata) print_metadata(&json, f);
    cli_json_key(&json, "backends");
    cli_json_open(&json, '[');
    for (size_t i = 0; i < f->backend_count; i++) cli_json_text(&json, f->backends[i]);
    cli_json_close(&json, ']');
    cli_json_text_of(&json, "commit", f->about.commit);
    cli_json_key(&json, "variants");
    cli_json_variants(&json, f->about.variants);
    cli_json_key(&json, "builds");
    cli_json_builds(c, &json, &f->about);
    cli_json_close(&json, '}');
    cli_json_end(&json);
}

static int print(cli *c, facts *f) {
    if (!kn_variants_count(f->about.variants)) {
        if (f->about.path)
            cli_error(c, "No build variants found in: %s/build", f->operand);
        else
            cli_error(c, "No build variants found in %s (revision: %s)", f->operand, f->revision);
        return CLI_FAILED;
    }
    f->metadata = (kn_metadata_info){.size = sizeof f->metadata, .version = -1};
    if (f->about.metadata) kn_metadata_get(f->about.metadata, &f->metadata);
    collect_backends(f);
    if (cli_value(c, "--json"))
        print_json(c, f);
    else
        print_human(c, f);
    return CLI_OK;
}

/* Without a revision it is the newest version, or the main branch where there are none. `newest`
 * owns the texts that then stand in `info`, with the branch's name in *ref. */
static kn_status choose_revision(cli *c, kn_repo_info *info, kn_versions **newest, const char **ref,
                                 kn_error *err) {
    if (info->kind == KN_REPO_LOCAL || info->revision || info->version) return KN_OK;
    kn_status status = kn_engine_versions(c->engine, &c->host, info, false, newest, err);
    size_t count = status ? 0 : kn_versions_count(*newest);
    if (!count) return status;
    kn_version_entry entry = {.size = sizeof entry};
    kn_versions_get(*newest, count - 1, &entry);
    info->revision = entry.commit;
    *ref = entry.ref;
    return KN_OK;
}

int cmd_info(cli *c) {
    const char *revision = cli_value(c, "--revision"), *version = cli_value(c, "--version");
    kn_repo_info info = cli_repo(c, c->operands[0]);
    if (info.kind == KN_REPO_LOCAL && (revision || version)) {
        cli_error(c, "--revision and --version cannot be used with a local path");
        return CLI_FAILED;
    }
    if (revision && version) {
        cli_error(c, "Only one of --revision or --version can be specified");
        return CLI_FAILED;
    }
    int status = cli_environment(c, false);
    if (!status) status = cli_engine(c);
    if (status) return status;
    kn_versions *newest = NULL;
    kn_about *about = NULL;
    const char *ref = NULL;
    kn_error err;
    kn_error_init(&err);
    kn_status found = choose_revision(c, &info, &newest, &ref, &err);
    if (!found) found = kn_engine_about(c->engine, &c->host, &info, &about, &err);
    if (found) {
        status = cli_fail(c, &err);
    } else {
        facts f = {.about = {.size = sizeof f.about}};
        kn_about_get(about, &f.about);
        f.operand = f.about.path && info.kind == KN_REPO_HUB ? f.about.path : info.id;
        f.revision = ref ? ref : f.about.ref ? f.about.ref : revision ? revision : f.about.commit;
        status = print(c, &f);
    }
    kn_about_free(about);
    kn_versions_free(newest);
    return status;
}
