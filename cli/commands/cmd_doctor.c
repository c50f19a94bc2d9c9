/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine is, which sources there are, who is trusted, what would load offline; and every
 * problem with its remedy. Makes no request. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

#define PROBLEMS_MAX 32

typedef struct doctor {
    cli *c;
    cli_json *json; /* NULL: for people */
    kn_settings_info settings;
    const kn_config *config; /* NULL: it makes no sense */
    struct {
        char what[640], remedy[240];
    } problems[PROBLEMS_MAX];
    size_t problem_count;
    int64_t capability; /* of the first GPU */
} doctor;

static void problem(doctor *d, const char *what, const char *remedy) {
    if (d->problem_count == PROBLEMS_MAX) return;
    snprintf(d->problems[d->problem_count].what, sizeof d->problems[0].what, "%s", what);
    snprintf(d->problems[d->problem_count].remedy, sizeof d->problems[0].remedy, "%s", remedy);
    d->problem_count++;
}

static void line(const doctor *d, const char *name, const char *text) {
    if (d->json) return;
    printf("%s%-12s%s %s\n", cli_paint(d->c->colour_out, CLI_BOLD), name,
           cli_paint(d->c->colour_out, CLI_PLAIN), text);
}

static void look_at_environment(doctor *d) {
    const cli *c = d->c;
    if (d->json) {
        cli_json_key(d->json, "environment");
        cli_json_environment(c, d->json);
        cli_json_text_of(d->json, "package", c->about.kernels);
    } else {
        printf("%s%-12s%s ", cli_paint(c->colour_out, CLI_BOLD), "machine",
               cli_paint(c->colour_out, CLI_PLAIN));
        cli_describe_environment(c, stdout);
        printf("\n");
        line(d, "package", c->about.kernels ? c->about.kernels : "none");
    }
    if (c->about.prefix && !c->about.torch)
        problem(d, "there is no torch in this environment, so only kernels that need none run here",
                "install torch into it, or name another environment with --python");
    if (c->about.torch && c->system.torch_cxx11_abi < 0)
        problem(
            d, "which C++ ABI this torch has cannot be told: its TorchConfig.cmake does not say it",
            "install torch again; builds that name an ABI are refused until then");
    kn_error err;
    kn_error_init(&err);
    if (kn_engine_load_network(c->engine, &err))
        problem(d, err.message, "name the module with KERNELS_NET_LIBRARY");
}

/* ---- GPUs ---- */

static void tell_gpu(const doctor *d, const kn_gpu_about *gpu) {
    char text[400];
    int major = (int)(gpu->capability / 10), minor = (int)(gpu->capability % 10);
    if (!d->json) {
        snprintf(text, sizeof text, "%s, compute capability %d.%d, %s", gpu->name, major, minor,
                 cli_bytes((int64_t)gpu->memory));
        line(d, "gpu", text);
        return;
    }
    snprintf(text, sizeof text, "%d.%d", major, minor);
    cli_json_open(d->json, '{');
    cli_json_text_of(d->json, "name", gpu->name);
    cli_json_text_of(d->json, "capability", text);
    cli_json_integer_of(d->json, "memory", (int64_t)gpu->memory);
    cli_json_close(d->json, '}');
}

/* Whether the driver and its devices are what the environment's torch wants, or who named CUDA. */
static void check_gpus(doctor *d, const kn_gpus *gpus, const kn_error *no_driver) {
    const char *backend = d->c->system.backend;
    const char *wants = d->c->about.torch ? "torch was built for CUDA" : "KERNELS_BACKEND is CUDA";
    int cuda = gpus ? kn_gpus_cuda(gpus) : 0;
    char what[640];
    if (strncmp(backend, "cu", 2) != 0) return;
    if (!gpus) {
        snprintf(what, sizeof what, "%s (%s), and %.500s", wants, backend, no_driver->message);
        problem(d, what, "install NVIDIA's driver, or start the container with the GPUs");
    } else if (!kn_gpus_count(gpus)) {
        snprintf(what, sizeof what, "%s (%s), and the driver has no device", wants, backend);
        problem(d, what, "see whether CUDA_VISIBLE_DEVICES hides it, and what `nvidia-smi` says");
    } else if (cuda / 10 < (int)strtol(backend + 2, NULL, 10) / 10) {
        snprintf(what, sizeof what, "%s (%s), and the driver supports %d.%d", wants, backend,
                 cuda / 10, cuda % 10);
        problem(d, what,
                d->c->about.torch
                    ? "install a newer driver, or a torch that was built for an older CUDA"
                    : "install a newer driver, or name an older CUDA");
    }
}

static void look_at_gpus(doctor *d) {
    kn_gpus *gpus;
    kn_error err;
    kn_error_init(&err);
    char cuda[32] = "";
    if (!kn_gpus_read(NULL, NULL, &gpus, &err))
        snprintf(cuda, sizeof cuda, "%d.%d", kn_gpus_cuda(gpus) / 10, kn_gpus_cuda(gpus) % 10);
    if (d->json) {
        cli_json_text_of(d->json, "cuda_driver", gpus ? cuda : NULL);
        cli_json_key(d->json, "gpus");
        cli_json_open(d->json, '[');
    } else {
        line(d, "cuda driver", gpus ? cuda : err.message);
    }
    for (size_t i = 0; gpus && i < kn_gpus_count(gpus); i++) {
        kn_gpu_about gpu = {.size = sizeof gpu};
        kn_gpus_get(gpus, i, &gpu);
        tell_gpu(d, &gpu);
        if (i == 0) d->capability = gpu.capability;
    }
    if (d->json) cli_json_close(d->json, ']');
    check_gpus(d, gpus, &err);
    kn_gpus_free(gpus);
}

/* ---- kernels.toml ---- */

static kn_config_rule rule_of(const kn_config *config, size_t index) {
    kn_config_rule rule = {.size = sizeof rule};
    kn_config_rule_get(config, index, &rule);
    return rule;
}

static bool is_source(const kn_config_rule *rule) { return strcmp(rule->kind, "source") == 0; }

/* Who says so, as "FILE:LINE", or the environment. */
static const char *place_of(const doctor *d, const kn_config_rule *rule, char out[320]) {
    if (!rule->file)
        return d->settings.endpoint_is_named ? "HF_ENDPOINT" : "where nothing else is said";
    snprintf(out, 320, "%.300s:%d", rule->file, rule->line);
    return out;
}

static void check_source(doctor *d, const kn_config_rule *rule) {
    char what[640], place[320];
    struct stat about;
    const char *folder = rule->subject + strlen("file://");
    place_of(d, rule, place);
    if (strcmp(rule->value, "directory") == 0 &&
        (stat(folder, &about) || !S_ISDIR(about.st_mode))) {
        snprintf(what, sizeof what, "the source '%.200s' (%s) is no directory", folder, place);
        problem(d, what, "copy a cache there, or correct the path");
    }
    if (rule->token_variable && !getenv(rule->token_variable)) {
        snprintf(what, sizeof what, "the source %.150s (%s) has no token: %.100s is not set",
                 rule->subject, place, rule->token_variable);
        problem(d, what, "set that variable, or take token-variable out");
    }
    if (rule->token_file && rule->token_file[0] == '/' && access(rule->token_file, R_OK)) {
        snprintf(what, sizeof what, "the source %.150s (%s) has no token: '%.100s' cannot be read",
                 rule->subject, place, rule->token_file);
        problem(d, what, "write the token into that file, or take token-file out");
    }
}

static void tell_source(doctor *d, const kn_config_rule *rule) {
    char place[320], text[1024];
    if (d->json) {
        cli_json_open(d->json, '{');
        cli_json_text_of(d->json, "kind", rule->value);
        cli_json_text_of(d->json, "address", rule->subject);
        cli_json_text_of(d->json, "token_source",
                         rule->token_variable ? rule->token_variable : rule->token_file);
        cli_json_text_of(d->json, "file", rule->file);
        cli_json_integer_of(d->json, "line", rule->line);
        cli_json_close(d->json, '}');
    } else {
        snprintf(text, sizeof text, "%s %s (%s)", rule->value, rule->subject,
                 place_of(d, rule, place));
        line(d, "source", text);
    }
    check_source(d, rule);
}

/* In the order in which they are asked: that of the environment, if it names one, stands first. */
static void look_at_list(doctor *d) {
    const kn_settings_info *s = &d->settings;
    size_t sources = 0, hubs = 0, trusted = 0;
    for (size_t i = 0; i < kn_config_rule_count(d->config); i++) {
        kn_config_rule rule = rule_of(d->config, i);
        sources += is_source(&rule);
        hubs += is_source(&rule) && strcmp(rule.value, "hub") == 0;
        trusted += strcmp(rule.kind, "trust") == 0;
    }
    if (d->json) {
        cli_json_key(d->json, "sources");
        cli_json_open(d->json, '[');
    }
    if (s->endpoint_is_named || !sources) {
        kn_config_rule own = {.value = "hub", .subject = s->endpoint};
        tell_source(d, &own);
        hubs++;
    }
    for (size_t i = 0; i < kn_config_rule_count(d->config); i++) {
        kn_config_rule rule = rule_of(d->config, i);
        if (is_source(&rule)) tell_source(d, &rule);
    }
    if (d->json) cli_json_close(d->json, ']');
    if (!hubs && !trusted)
        problem(d,
                "all sources are mirrors, which vouch for nobody, and kernels.toml trusts nobody",
                "list what is to be loaded in [trust] of kernels.toml");
}

static void tell_rule(const doctor *d, const kn_config_rule *rule) {
    char place[320], text[1024];
    if (!d->json) {
        bool is_pin = strcmp(rule->kind, "pin") == 0; /* else the value is what kind it is of */
        const char *value = rule->value ? rule->value : "";
        if (is_pin)
            snprintf(text, sizeof text, "%s = %s (%s)", rule->subject, value,
                     place_of(d, rule, place));
        else
            snprintf(text, sizeof text, "%s%s%s (%s)", value, *value ? " " : "", rule->subject,
                     place_of(d, rule, place));
        line(d, rule->kind, text);
        return;
    }
    cli_json_open(d->json, '{');
    cli_json_text_of(d->json, "kind", rule->kind);
    cli_json_text_of(d->json, "subject", rule->subject);
    cli_json_text_of(d->json, "value", rule->value);
    cli_json_text_of(d->json, "file", rule->file);
    cli_json_integer_of(d->json, "line", rule->line);
    cli_json_close(d->json, '}');
}

static void look_at_config(doctor *d) {
    kn_error err;
    kn_error_init(&err);
    if (kn_engine_read_config(d->c->engine, &d->config, &err)) {
        static const char *const unknown[] = {"config_files", "rules", "sources"};
        problem(d, err.message, "correct the file: until then no kernel is looked for");
        for (size_t i = 0; d->json && i < 3; i++) cli_json_text_of(d->json, unknown[i], NULL);
        return;
    }
    if (d->json) {
        cli_json_key(d->json, "config_files");
        cli_json_open(d->json, '[');
    }
    for (size_t i = 0; i < kn_config_file_count(d->config); i++) {
        if (d->json)
            cli_json_text(d->json, kn_config_file(d->config, i));
        else
            line(d, "rules", kn_config_file(d->config, i));
    }
    if (d->json) {
        cli_json_close(d->json, ']');
        cli_json_key(d->json, "rules");
        cli_json_open(d->json, '[');
    }
    for (size_t i = 0; i < kn_config_rule_count(d->config); i++) {
        kn_config_rule rule = rule_of(d->config, i);
        if (!is_source(&rule)) tell_rule(d, &rule);
    }
    if (d->json) cli_json_close(d->json, ']');
    look_at_list(d);
}

static void look_at_sources(doctor *d) {
    const kn_settings_info *s = &d->settings;
    if (d->json) {
        cli_json_text_of(d->json, "endpoint", s->endpoint);
        cli_json_boolean_of(d->json, "offline", s->offline);
        cli_json_text_of(d->json, "token_source", s->token_source);
        cli_json_text_of(d->json, "local_kernels", s->local_kernels);
        cli_json_text_of(d->json, "trust", s->strict_trust ? "strict" : "default");
        return;
    }
    line(d, "requests", s->offline ? "none: offline by the environment" : "allowed");
    line(d, "token", s->token_source ? s->token_source : "none");
    if (s->local_kernels) line(d, "directories", s->local_kernels);
    line(d, "trust",
         s->strict_trust ? "publishers that the Hub calls trusted, also offline (strict)"
                         : "publishers that the Hub calls trusted");
}

/* The nearest folder above that is there has to be writable. */
static bool can_write(const char *folder) {
    char path[4096];
    snprintf(path, sizeof path, "%s", folder);
    while (access(path, F_OK) != 0) {
        char *slash = strrchr(path, '/');
        if (!slash || slash == path) return access("/", W_OK) == 0;
        *slash = '\0';
    }
    return access(path, W_OK | X_OK) == 0;
}

static void look_at_cache(doctor *d) {
    const char *folder = d->settings.cache;
    struct stat about;
    bool is_file = stat(folder, &about) == 0 && !S_ISDIR(about.st_mode);
    char what[300];
    if (d->json)
        cli_json_text_of(d->json, "cache", folder);
    else
        line(d, "cache", folder);
    if (is_file) {
        snprintf(what, sizeof what, "the cache '%.200s' is no directory", folder);
        problem(d, what, "remove the file, or name a directory with KERNELS_CACHE");
    } else if (!can_write(folder)) {
        snprintf(what, sizeof what, "the cache '%.200s' cannot be written", folder);
        problem(d, what, "nothing can be fetched into it; name another with KERNELS_CACHE");
    }
}

/* Whether this revision would load with no request; *why: the reason if not. */
static bool loads_offline(doctor *d, const char *repo, const char *commit, kn_error *why) {
    kn_repo_info info = {.size = sizeof info,
                         .kind = KN_REPO_HUB,
                         .id = repo,
                         .revision = commit,
                         .cache_only = true};
    char *folder;
    kn_error_init(why);
    if (kn_engine_install(d->c->engine, &d->c->host, &info, &folder, why)) return false;
    kn_gpu gpu = {.size = sizeof gpu, .capability = d->capability};
    const char *slash = strrchr(folder, '/');
    kn_status status = kn_objects_check(NULL, folder, repo, slash + 1, &gpu, why);
    kn_text_free(d->c->engine, folder);
    return !status;
}

static void tell_revision(doctor *d, const kn_stored_repo *repo, const kn_stored_revision *r) {
    kn_error why;
    bool loads = loads_offline(d, repo->id, r->commit, &why);
    const char *trust = repo->trust == KN_STORED_TRUSTED     ? "trusted"
                        : repo->trust == KN_STORED_UNTRUSTED ? "untrusted"
                                                             : NULL;
    if (d->json) {
        cli_json_open(d->json, '{');
        cli_json_text_of(d->json, "repo_id", repo->id);
        cli_json_text_of(d->json, "commit", r->commit);
        cli_json_text_of(d->json, "refs", r->refs);
        cli_json_text_of(d->json, "publisher", trust);
        cli_json_boolean_of(d->json, "loads_offline", loads);
        cli_json_text_of(d->json, "reason", loads ? NULL : why.message);
        cli_json_close(d->json, '}');
    } else {
        const char *words = loads ? "loads offline" : "does not load offline";
        printf("  %s  %s  %.12s: %s%s%s, publisher %s\n", repo->id, r->refs[0] ? r->refs : "-",
               r->commit, cli_paint(d->c->colour_out, loads ? CLI_GREEN : CLI_YELLOW), words,
               cli_paint(d->c->colour_out, CLI_PLAIN), trust ? trust : "never asked");
        if (!loads) printf("    %.*s\n", (int)strcspn(why.message, "\n"), why.message);
    }
    if (why.status == KN_ERR_INTEGRITY)
        problem(d, why.message, "load it once while online, or `kernels cache verify --remove`");
}

static void look_at_kernels(doctor *d) {
    kn_stored *stored;
    kn_error err;
    kn_error_init(&err);
    if (d->json) {
        cli_json_key(d->json, "kernels");
        cli_json_open(d->json, '[');
    }
    if (kn_stored_read(NULL, &stored, &err)) {
        problem(d, err.message, "see to it that the cache can be read");
        stored = NULL;
    }
    size_t count = stored ? kn_stored_repo_count(stored) : 0;
    if (!d->json && stored) printf("%s\n", count ? "kernels" : "kernels      none in the cache");
    for (size_t i = 0; i < count; i++) {
        kn_stored_repo repo = {.size = sizeof repo};
        kn_stored_repo_get(stored, i, &repo);
        for (size_t r = 0; r < repo.revision_count; r++) {
            kn_stored_revision revision = {.size = sizeof revision};
            kn_stored_revision_get(stored, i, r, &revision);
            tell_revision(d, &repo, &revision);
        }
    }
    if (d->json) cli_json_close(d->json, ']');
    kn_stored_free(stored);
}

static void tell_problems(const doctor *d) {
    if (d->json) {
        cli_json_key(d->json, "problems");
        cli_json_open(d->json, '[');
    } else {
        printf("%s\n", d->problem_count ? "problems" : "problems     none");
    }
    for (size_t i = 0; i < d->problem_count; i++) {
        if (d->json) {
            cli_json_open(d->json, '{');
            cli_json_text_of(d->json, "problem", d->problems[i].what);
            cli_json_text_of(d->json, "remedy", d->problems[i].remedy);
            cli_json_close(d->json, '}');
        } else {
            printf("  %s%s%s\n    %s\n", cli_paint(d->c->colour_out, CLI_RED), d->problems[i].what,
                   cli_paint(d->c->colour_out, CLI_PLAIN), d->problems[i].remedy);
        }
    }
    if (d->json) cli_json_close(d->json, ']');
}

int cmd_doctor(cli *c) {
    doctor d = {0};
    cli_json json = {.out = stdout};
    kn_settings *settings = NULL;
    kn_error err;
    kn_error_init(&err);
    int status = cli_environment(c, false);
    if (!status) status = cli_machine(c);
    if (!status) status = cli_engine(c);
    if (status) return status;
    c->holds_warnings = true; /* what a look at each kernel would warn of is told with it */
    d.c = c;
    d.capability = KN_CAPABILITY_UNKNOWN;
    d.json = cli_value(c, "--json") ? &json : NULL;
    d.settings.size = sizeof d.settings;
    if (d.json) cli_json_open(&json, '{');
    look_at_environment(&d);
    look_at_gpus(&d);
    if (kn_settings_read(NULL, &settings, &err)) {
        problem(&d, err.message, "correct the variable that it names");
    } else {
        kn_settings_get(settings, &d.settings);
        look_at_config(&d);
        look_at_sources(&d);
        look_at_cache(&d);
        look_at_kernels(&d);
    }
    tell_problems(&d);
    if (d.json) {
        cli_json_close(&json, '}');
        cli_json_end(&json);
    }
    kn_settings_free(settings);
    return d.problem_count ? CLI_FAILED : CLI_OK;
}
