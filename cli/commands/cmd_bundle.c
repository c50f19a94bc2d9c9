/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles: kernels in one file for machines without a network, and back into a cache. */
#include <string.h>

#include "cli.h"

#define TARGET_MAX 512 /* bytes of a target */

/* ---- what is in one ---- */

static void print_names(FILE *out, const kn_bundle *bundle, size_t index, size_t count,
                        const char *(*get)(const kn_bundle *, size_t, size_t)) {
    for (size_t i = 0; i < count; i++) fprintf(out, "%s%s", i ? ", " : "", get(bundle, index, i));
    if (!count) fprintf(out, "-");
}

static void json_names(cli_json *json, const char *key, const kn_bundle *bundle, size_t index,
                       size_t count, const char *(*get)(const kn_bundle *, size_t, size_t)) {
    cli_json_key(json, key);
    cli_json_open(json, '[');
    for (size_t i = 0; i < count; i++) cli_json_text(json, get(bundle, index, i));
    cli_json_close(json, ']');
}

static void print_json(const kn_bundle *bundle, const char *file) {
    cli_json json = {.out = stdout};
    cli_json_open(&json, '{');
    cli_json_text_of(&json, "file", file);
    cli_json_text_of(&json, "digest", kn_bundle_digest(bundle));
    cli_json_key(&json, "targets");
    cli_json_open(&json, '[');
    for (size_t i = 0; i < kn_bundle_target_count(bundle); i++)
        cli_json_text(&json, kn_bundle_target(bundle, i));
    cli_json_close(&json, ']');
    cli_json_key(&json, "kernels");
    cli_json_open(&json, '[');
    for (size_t i = 0; i < kn_bundle_count(bundle); i++) {
        kn_bundle_item item = {.size = sizeof item};
        kn_bundle_get(bundle, i, &item);
        cli_json_open(&json, '{');
        cli_json_text_of(&json, "repo_id", item.repo);
        cli_json_text_of(&json, "repo_type", item.is_model ? "model" : "kernel");
        cli_json_text_of(&json, "commit", item.commit);
        json_names(&json, "refs", bundle, i, item.ref_count, kn_bundle_ref);
        json_names(&json, "variants", bundle, i, item.variant_count, kn_bundle_variant);
        cli_json_integer_of(&json, "files", (int64_t)item.file_count);
        cli_json_integer_of(&json, "bytes", item.bytes);
        cli_json_close(&json, '}');
    }
    cli_json_close(&json, ']');
    cli_json_close(&json, '}');
    cli_json_end(&json);
}

static void print_human(const kn_bundle *bundle) {
    for (size_t i = 0; i < kn_bundle_count(bundle); i++) {
        kn_bundle_item item = {.size = sizeof item};
        kn_bundle_get(bundle, i, &item);
        printf("%s  %.12s  ", item.repo, item.commit);
        print_names(stdout, bundle, i, item.ref_count, kn_bundle_ref);
        printf("  %s  ", cli_bytes(item.bytes));
        print_names(stdout, bundle, i, item.variant_count, kn_bundle_variant);
        printf("\n");
    }
    printf("sha256 of its manifest: %s\n", kn_bundle_digest(bundle));
}

static int show(cli *c, const kn_bundle *bundle, const char *file) {
    cli_clear_bar(c);
    if (cli_value(c, "--json"))
        print_json(bundle, file);
    else
        print_human(bundle);
    return CLI_OK;
}

/* ---- targets ---- */

typedef struct targets {
    kn_target items[CLI_GIVEN_MAX];
    const kn_target *pointers[CLI_GIVEN_MAX];
    char texts[CLI_GIVEN_MAX][TARGET_MAX]; /* cut into keys and values */
    size_t count;
} targets;

static bool is_key(const char *word) {
    for (size_t i = 0; cli_machine_keys[i]; i++) {
        if (strcmp(cli_machine_keys[i], word) == 0) return true;
    }
    return false;
}

static int refuse(cli *c, const char *name, const char *what, const char *word,
                  const char *expected) {
    cli_error(c, "--target '%s': %s '%s': expected %s", name, what, word, expected);
    return CLI_USAGE;
}

/* "torch=2.13,backend=cu130"; `text` is cut up. */
static int parse_target(cli *c, char *text, kn_target *out) {
    bool has_torch = false, has_backend = false;
    for (char *word = text, *next; word; word = next) {
        next = strchr(word, ',');
        if (next) *next++ = '\0';
        char *value = strchr(word, '=');
        if (value) *value++ = '\0';
        if (!value || !*value || !is_key(word))
            return refuse(c, out->name, "there is", word,
                          "KEY=VALUE with torch, backend, arch, os, cxx11-abi, tvm-ffi or "
                          "capability");
        const char *expected = cli_machine_set(&out->system, &out->capability, word, value);
        if (expected) return refuse(c, out->name, "the value is", value, expected);
        has_torch |= strcmp(word, "torch") == 0;
        has_backend |= strcmp(word, "backend") == 0;
    }
    if (has_torch && has_backend) return CLI_OK;
    cli_error(c, "--target '%s' does not say %s", out->name, has_torch ? "backend" : "torch");
    return CLI_USAGE;
}

static int add_target(cli *c, const char *name, targets *t) {
    kn_target *made = &t->items[t->count];
    char *text = t->texts[t->count];
    if (strlen(name) >= TARGET_MAX) {
        cli_error(c, "--target '%.60s...' is too long", name);
        return CLI_USAGE;
    }
    memcpy(text, name, strlen(name) + 1);
    *made = (kn_target){.size = sizeof *made,
                        .name = name,
                        .system = {.size = sizeof made->system,
                                   .torch_major = -1,
                                   .torch_minor = -1,
                                   .torch_cxx11_abi = -1,
                                   .tvm_ffi_major = -1,
                                   .tvm_ffi_minor = -1,
                                   .arch = "x86_64",
                                   .os = "linux"},
                        .capability = KN_CAPABILITY_UNKNOWN};
    t->pointers[t->count++] = made;
    return parse_target(c, text, made);
}

/* Those of --target; without any, the environment. */
static int read_targets(cli *c, targets *t) {
    int status = CLI_OK;
    for (size_t i = 0; !status; i++) {
        const char *name = cli_value_at(c, "--target", i);
        if (!name) break;
        status = add_target(c, name, t);
    }
    if (status || t->count) return status;
    status = cli_environment(c, true);
    t->items[0] = (kn_target){.size = sizeof t->items[0],
                              .name = "the environment that made it",
                              .system = c->system,
                              .capability = KN_CAPABILITY_UNKNOWN};
    t->pointers[0] = t->items;
    t->count = 1;
    return status;
}

/* ---- the commands ---- */

static int write_bundle(cli *c, const char *lock, const targets *t) {
    const char *file = cli_value(c, "--output");
    const kn_bundle_request request = {.size = sizeof request,
                                       .lock = lock,
                                       .targets = t->pointers,
                                       .target_count = t->count,
                                       .allowed = cli_value(c, "--trust") ? "*" : NULL,
                                       .file = file};
    kn_bundle *bundle;
    kn_error err;
    kn_error_init(&err);
    if (kn_engine_bundle(c->engine, &c->host, &request, &bundle, &err)) return cli_fail(c, &err);
    show(c, bundle, file);
    kn_bundle_free(bundle);
    return CLI_OK;
}

int cmd_bundle(cli *c) {
    if (!cli_value(c, "--output")) {
        cli_error(c, "--output FILE is missing");
        return CLI_USAGE;
    }
    static targets t;
    kn_lockfile *lock = NULL;
    const char *text = NULL;
    int status = read_targets(c, &t);
    if (!status && !c->environment) status = cli_environment(c, false);
    if (!status) status = cli_read_lock(c, c->operands[0], &text, &lock);
    if (!status) status = cli_engine(c);
    if (!status) status = write_bundle(c, text, &t);
    kn_lockfile_free(lock);
    return status;
}

int cmd_import(cli *c) {
    int status = cli_environment(c, false);
    if (!status) status = cli_engine(c);
    kn_bundle *bundle;
    kn_error err;
    kn_error_init(&err);
    if (status) return status;
    bool install = cli_value(c, "--check") == NULL;
    if (kn_engine_import(c->engine, &c->host, c->operands[0], install, &bundle, &err))
        return cli_fail(c, &err);
    show(c, bundle, c->operands[0]);
    kn_bundle_free(bundle);
    return CLI_OK;
}
