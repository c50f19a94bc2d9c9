/* SPDX-License-Identifier: Apache-2.0 */
/* Which build a machine would get: this one, or one that the options describe. */
#include <string.h>

#include "cli.h"

/* What the machine gets. */
typedef struct result {
    kn_about_info about;
    kn_variant best;  /* of size 0: there are no builds */
    bool runs;        /* `best` has code for the GPU, as far as both are known */
    char archs[1024]; /* what it has code for, where it does not */
    bool loads;       /* nothing speaks against its shared objects, as far as they are here */
    kn_error problem; /* what does */
} result;

static bool is_found(const result *r) { return r->best.accepted && r->runs && r->loads; }

static void print_human(const cli *c, const result *r) {
    bool found = is_found(r);
    printf("Machine: ");
    cli_describe_environment(c, stdout);
    printf("\nKernel: %s", r->about.path ? r->about.path : r->about.repo);
    if (r->about.ref) printf(" at %s", r->about.ref);
    if (r->about.commit) printf(" (commit %s)", r->about.commit);
    if (r->about.note) printf("\nPolicy: %s", r->about.note);
    printf("\nVariant: %s%s%s\n\n", cli_paint(c->colour_out && found, CLI_BOLD),
           found ? r->best.name : "none", cli_paint(c->colour_out && found, CLI_PLAIN));
    cli_print_variants(r->about.variants, c->colour_out);
    if (!r->runs)
        printf("%s: no code for this GPU's compute capability, only for %s\n", r->best.name,
               r->archs);
    if (!r->loads) printf("%s\n", r->problem.message);
}

static void print_json(const cli *c, const result *r) {
    cli_json json = {.out = stdout};
    bool found = is_found(r);
    cli_json_open(&json, '{');
    cli_json_text_of(&json, "repo_id", r->about.repo);
    cli_json_text_of(&json, "path", r->about.path);
    cli_json_text_of(&json, "revision", r->about.ref);
    cli_json_text_of(&json, "commit", r->about.commit);
    cli_json_text_of(&json, "policy", r->about.note);
    cli_json_key(&json, "environment");
    cli_json_environment(c, &json);
    cli_json_text_of(&json, "variant", found ? r->best.name : NULL);
    cli_json_boolean_of(&json, "supports_gpu", r->runs);
    cli_json_text_of(&json, "problem", r->loads ? NULL : r->problem.message);
    cli_json_key(&json, "variants");
    cli_json_variants(&json, r->about.variants);
    cli_json_close(&json, '}');
    cli_json_end(&json);
}

int cmd_resolve(cli *c) {
    kn_gpu gpu = {.size = sizeof gpu};
    int status = cli_environment(c, !cli_is_elsewhere(c));
    if (!status) status = cli_target(c, &gpu);
    if (!status) status = cli_engine(c);
    if (status) return status;
    kn_repo_info info = cli_repo(c, c->operands[0]);
    kn_about *about;
    kn_error err;
    kn_error_init(&err);
    if (kn_engine_about(c->engine, &c->host, &info, &about, &err)) return cli_fail(c, &err);
    result r = {.about = {.size = sizeof r.about}, .best = {.size = sizeof r.best}};
    kn_error_init(&r.problem);
    kn_about_get(about, &r.about);
    if (kn_variants_count(r.about.variants)) kn_variants_get(r.about.variants, 0, &r.best);
    r.runs = cli_supports_gpu(&r.about, &r.best, &gpu, r.archs, sizeof r.archs);
    r.loads = cli_can_be_loaded(c, &info, &r.best, &gpu, &r.problem);
    if (cli_value(c, "--json"))
        print_json(c, &r);
    else
        print_human(c, &r);
    status = is_found(&r) ? CLI_OK : CLI_FAILED;
    kn_about_free(about);
    return status;
}
