/* SPDX-License-Identifier: Apache-2.0 */
/* Which build a machine would get: this one, or one that the options describe. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define ARCHS_MAX 64

/* "2.10" or "none"; false for other text. */
static bool parse_pair(const char *text, int *major, int *minor) {
    *major = *minor = -1;
    if (strcmp(text, "none") == 0) return true;
    char *end;
    long first = strtol(text, &end, 10);
    if (end == text || *end != '.' || first < 0 || first > 999) return false;
    const char *rest = end + 1;
    long second = strtol(rest, &end, 10);
    if (end == rest || (*end && *end != '.' && *end != '+') || second < 0 || second > 999)
        return false;
    *major = (int)first;
    *minor = (int)second;
    return true;
}

static int refuse_value(cli *c, const char *option, const char *value, const char *expected) {
    cli_error(c, "%s is '%s': expected %s", option, value, expected);
    return CLI_USAGE;
}

/* "9.0" or "90"; KN_CAPABILITY_UNKNOWN where the option is not given. */
static bool parse_capability(const char *text, int64_t *out) {
    *out = KN_CAPABILITY_UNKNOWN;
    if (!text) return true;
    int major, minor;
    if (strchr(text, '.')) {
        if (!parse_pair(text, &major, &minor) || minor > 9) return false;
        *out = (int64_t)major * 10 + minor;
        return true;
    }
    char *end;
    long value = strtol(text, &end, 10);
    *out = value;
    return end != text && !*end && value >= 10 && value <= 9999;
}

/* Puts what the options say in the place of what the environment has. */
static int describe_machine(cli *c, kn_gpu *gpu) {
    const char *torch = cli_value(c, "--torch"), *tvm_ffi = cli_value(c, "--tvm-ffi");
    const char *abi = cli_value(c, "--cxx11-abi"), *capability = cli_value(c, "--capability");
    kn_system *s = &c->system;
    if (torch && !parse_pair(torch, &s->torch_major, &s->torch_minor))
        return refuse_value(c, "--torch", torch, "a version such as 2.10, or none");
    if (tvm_ffi && !parse_pair(tvm_ffi, &s->tvm_ffi_major, &s->tvm_ffi_minor))
        return refuse_value(c, "--tvm-ffi", tvm_ffi, "a version such as 0.1, or none");
    if (abi && strcmp(abi, "0") != 0 && strcmp(abi, "1") != 0)
        return refuse_value(c, "--cxx11-abi", abi, "0 or 1");
    if (!parse_capability(capability, &gpu->capability))
        return refuse_value(c, "--capability", capability, "a compute capability such as 9.0");
    if (torch) s->torch_cxx11_abi = s->torch_major < 0 ? -1 : 1; /* all wheels since 2.7 */
    if (abi) s->torch_cxx11_abi = abi[0] - '0';
    if (cli_value(c, "--backend")) s->backend = cli_value(c, "--backend");
    if (cli_value(c, "--arch")) s->arch = cli_value(c, "--arch");
    if (cli_value(c, "--os")) s->os = cli_value(c, "--os");
    return CLI_OK;
}

static bool is_elsewhere(const cli *c) {
    static const char *const names[] = {"--torch", "--tvm-ffi", "--backend", "--arch", "--os"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (cli_value(c, names[i])) return true;
    }
    return false;
}

/* What the machine gets. */
typedef struct result {
    kn_about_info about;
    kn_variant best;  /* of size 0: there are no builds */
    bool runs;        /* `best` has code for the GPU, as far as both are known */
    char archs[1024]; /* what it has code for, where it does not */
} result;

static void check_gpu(result *r, const kn_gpu *gpu) {
    const kn_metadata *metadata = r->about.metadata;
    const char *archs[ARCHS_MAX];
    size_t count = 0, length = 0;
    if (!metadata || !r->best.accepted || !r->about.variant ||
        strcmp(r->about.variant, r->best.name) != 0)
        return;
    for (; count < ARCHS_MAX && count < kn_metadata_archs_count(metadata); count++)
        archs[count] = kn_metadata_archs(metadata, count);
    r->runs = kn_archs_support(r->best.backend, archs, count, gpu);
    for (size_t i = 0; i < count && length < sizeof r->archs; i++) {
        length += (size_t)snprintf(r->archs + length, sizeof r->archs - length, "%s%s",
                                   i ? ", " : "", archs[i]);
    }
}

static void print_human(const cli *c, const result *r) {
    bool found = r->best.accepted && r->runs;
    printf("Machine: ");
    cli_describe_environment(c, stdout);
    printf("\nKernel: %s", r->about.path ? r->about.path : r->about.repo);
    if (r->about.ref) printf(" at %s", r->about.ref);
    if (r->about.commit) printf(" (commit %s)", r->about.commit);
    printf("\nVariant: %s%s%s\n\n", cli_paint(c->colour_out && found, CLI_BOLD),
           found ? r->best.name : "none", cli_paint(c->colour_out && found, CLI_PLAIN));
    cli_print_variants(r->about.variants, c->colour_out);
    if (!r->runs)
        printf("%s: no code for this GPU's compute capability, only for %s\n", r->best.name,
               r->archs);
}

static void print_json(const cli *c, const result *r) {
    cli_json json = {.out = stdout};
    bool found = r->best.accepted && r->runs;
    cli_json_open(&json, '{');
    cli_json_text_of(&json, "repo_id", r->about.repo);
    cli_json_text_of(&json, "path", r->about.path);
    cli_json_text_of(&json, "revision", r->about.ref);
    cli_json_text_of(&json, "commit", r->about.commit);
    cli_json_key(&json, "environment");
    cli_json_environment(c, &json);
    cli_json_text_of(&json, "variant", found ? r->best.name : NULL);
    cli_json_boolean_of(&json, "supports_gpu", r->runs);
    cli_json_key(&json, "variants");
    cli_json_variants(&json, r->about.variants);
    cli_json_close(&json, '}');
    cli_json_end(&json);
}

int cmd_resolve(cli *c) {
    kn_gpu gpu = {.size = sizeof gpu};
    int status = cli_environment(c, !is_elsewhere(c));
    if (!status) status = describe_machine(c, &gpu);
    if (!status) status = cli_engine(c);
    if (status) return status;
    kn_repo_info info = cli_repo(c, c->operands[0]);
    kn_about *about;
    kn_error err;
    kn_error_init(&err);
    if (kn_engine_about(c->engine, &c->host, &info, &about, &err)) return cli_fail(c, &err);
    result r = {.about = {.size = sizeof r.about}, .best = {.size = sizeof r.best}, .runs = true};
    kn_about_get(about, &r.about);
    if (kn_variants_count(r.about.variants)) kn_variants_get(r.about.variants, 0, &r.best);
    check_gpu(&r, &gpu);
    if (cli_value(c, "--json"))
        print_json(c, &r);
    else
        print_human(c, &r);
    status = r.best.accepted && r.runs ? CLI_OK : CLI_FAILED;
    kn_about_free(about);
    return status;
}
