/* SPDX-License-Identifier: Apache-2.0 */
/* Which kernels a mapping gives a machine: this one, or one that the options describe. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define LAYERS_MAX 1024
#define COLUMNS 6

/* One layer of the mapping, and what it gets. */
typedef struct row {
    const char *layer; /* the mapping's */
    const char *reason;
    char message[KN_ERROR_TEXT_MAX];
    kn_mode repo_mode;  /* 0: it has none */
    kn_repo_info info;  /* the mapping's; of size 0: none */
    size_t number;      /* of its kernel among those that are looked up */
    kn_about_info told; /* of that */
    kn_variant best;    /* of size 0: none fits */
    kn_status status;   /* of what is mapped and cannot be had */
} row;

typedef struct plan {
    cli *c;
    kn_mapping *mapping;
    kn_device device;
    kn_mode mode;
    kn_gpu gpu;
    const char *names[LAYERS_MAX];
    row rows[LAYERS_MAX];
    size_t count;
    bool is_too_much; /* there are more layers than that */
    const kn_repo_info *wanted[LAYERS_MAX];
    size_t wanted_count;
    kn_abouts *abouts; /* of those */
} plan;

/* ---- what is asked for ---- */

static kn_device_type device_of_backend(const char *backend) {
    static const struct {
        const char *start;
        kn_device_type type;
    } known[] = {{"cu", KN_DEVICE_CUDA},  {"rocm", KN_DEVICE_ROCM}, {"xpu", KN_DEVICE_XPU},
                 {"cann", KN_DEVICE_NPU}, {"metal", KN_DEVICE_MPS}, {"neuron", KN_DEVICE_NEURON},
                 {"tpu", KN_DEVICE_TPU}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strncmp(backend, known[i].start, strlen(known[i].start)) == 0) return known[i].type;
    }
    return KN_DEVICE_CPU;
}

static int find_device(plan *p) {
    const char *named = cli_value(p->c, "--device");
    kn_error err;
    kn_error_init(&err);
    p->device = (kn_device){.size = sizeof p->device, .index = -1};
    p->device.type = device_of_backend(p->c->system.backend);
    if (named && kn_device_type_parse(named, &p->device.type, &err)) {
        cli_fail(p->c, &err);
        return CLI_USAGE;
    }
    snprintf(p->device.name, sizeof p->device.name, "%s", kn_device_type_name(p->device.type));
    p->device.capability =
        kn_device_type_has_capability(p->device.type) ? p->gpu.capability : KN_CAPABILITY_UNKNOWN;
    return CLI_OK;
}

static int find_mode(plan *p) {
    static const struct {
        const char *name;
        kn_mode mode;
    } known[] = {{"inference", KN_MODE_INFERENCE},
                 {"training", KN_MODE_TRAINING},
                 {"inference|torch_compile", KN_MODE_INFERENCE | KN_MODE_TORCH_COMPILE},
                 {"training|torch_compile", KN_MODE_TRAINING | KN_MODE_TORCH_COMPILE}};
    const char *named = cli_value(p->c, "--mode");
    p->mode = KN_MODE_INFERENCE;
    if (!named) return CLI_OK;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(named, known[i].name) != 0) continue;
        p->mode = known[i].mode;
        return CLI_OK;
    }
    cli_error(p->c,
              "--mode is '%s': expected inference or training, each with or without "
              "|torch_compile",
              named);
    return CLI_USAGE;
}

/* ---- what there is ---- */

static bool note_layer(void *ctx, const kn_mapping_entry *entry) {
    plan *p = ctx;
    for (size_t i = 0; i < p->count; i++) {
        if (strcmp(p->names[i], entry->layer) == 0) return true;
    }
    p->is_too_much = p->count == LAYERS_MAX;
    if (!p->is_too_much) p->names[p->count++] = entry->layer;
    return !p->is_too_much;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *reason_of(kn_mapping_answer answer) {
    static const kn_reason reasons[] = {[KN_MAPPING_FOUND] = KN_REASON_MAPPED,
                                        [KN_MAPPING_NO_LAYER] = KN_REASON_NO_LAYER,
                                        [KN_MAPPING_NO_DEVICE] = KN_REASON_NO_DEVICE,
                                        [KN_MAPPING_NO_PROPERTIES] = KN_REASON_NO_PROPERTIES,
                                        [KN_MAPPING_NO_MODE] = KN_REASON_NO_MODE};
    return kn_reason_text(reasons[answer]);
}

/* No build fits: why the best does not. */
static void refuse(row *r, const char *why) {
    r->status = KN_ERR_NOT_FOUND;
    r->reason = kn_reason_text(KN_REASON_CANNOT_LOAD);
    snprintf(r->message, sizeof r->message, "%s", why);
}

static void append(row *r, const char *remark) {
    size_t length = strlen(r->message);
    snprintf(r->message + length, sizeof r->message - length, "; %s", remark);
}

/* What became of the kernel of a layer that is mapped. */
static void fill_kernel(const plan *p, row *r) {
    char archs[1024], why[2048];
    kn_error err;
    kn_error_init(&err);
    r->told.size = sizeof r->told;
    kn_abouts_get(p->abouts, r->number, &r->told);
    r->status = r->told.status;
    if (r->status) {
        bool denied = r->status == KN_ERR_DENIED;
        r->reason = kn_reason_text(denied ? KN_REASON_DENIED : KN_REASON_CANNOT_LOAD);
        snprintf(r->message, sizeof r->message, "%s", r->told.message);
        return;
    }
    kn_variant best = {.size = sizeof best};
    if (kn_variants_count(r->told.variants)) kn_variants_get(r->told.variants, 0, &best);
    if (!best.name) {
        refuse(r, "there are no builds in it");
    } else if (!best.accepted) {
        snprintf(why, sizeof why, "no build fits: %s: %s", best.name, best.reason);
        refuse(r, why);
    } else if (!cli_supports_gpu(&r->told, &best, &p->gpu, archs, sizeof archs)) {
        snprintf(why, sizeof why, "%s has no code for this GPU's compute capability, only for %s",
                 best.name, archs);
        refuse(r, why);
    } else if (!cli_can_be_loaded(p->c, &r->info, &best, &p->gpu, &err)) {
        refuse(r, err.message);
    } else {
        r->best = best;
        if (r->told.note) append(r, r->told.note);
    }
}

static int fill_row(plan *p, row *r) {
    kn_mode_repo found;
    kn_error err;
    kn_error_init(&err);
    int64_t capability = p->device.capability;
    bool has_ranges = kn_mapping_has_ranges(p->mapping, r->layer, p->device.type);
    if (capability < 0 && !has_ranges) capability = 0; /* it makes no difference */
    kn_mapping_answer answer = kn_mapping_explain(p->mapping, r->layer, p->device.type, capability,
                                                  p->mode, &found, r->message);
    if (answer == KN_MAPPING_NO_PROPERTIES && capability < 0)
        append(r, "give it with --capability");
    r->reason = reason_of(answer);
    if (answer != KN_MAPPING_FOUND) return CLI_OK;
    r->repo_mode = found.mode;
    if (kn_repo_describe(found.repo, &r->info, &err)) return cli_fail(p->c, &err);
    r->info.refresh = cli_value(p->c, "--refresh") != NULL;
    r->number = p->wanted_count;
    p->wanted[p->wanted_count++] = &r->info;
    return CLI_OK;
}

/* All kernels at the same time. */
static int look_up(plan *p) {
    kn_error err;
    kn_error_init(&err);
    if (kn_engine_about_all(p->c->engine, &p->c->host, p->wanted, p->wanted_count, &p->abouts,
                            &err))
        return cli_fail(p->c, &err);
    for (size_t i = 0; i < p->count; i++)
        if (p->rows[i].info.id) fill_kernel(p, &p->rows[i]);
    return CLI_OK;
}

static int fill(plan *p) {
    kn_mapping_each(p->mapping, note_layer, p);
    qsort(p->names, p->count, sizeof *p->names, compare_names);
    if (p->is_too_much) {
        cli_error(p->c, "'%s' has more than %d layers", p->c->operands[0], LAYERS_MAX);
        return CLI_FAILED;
    }
    int status = CLI_OK;
    for (size_t i = 0; i < p->count && !status; i++) {
        p->rows[i].layer = p->names[i];
        status = fill_row(p, &p->rows[i]);
    }
    return status ? status : look_up(p);
}

/* ---- how it is told ---- */

static void write_cells(const plan *p, const row *r, char cells[COLUMNS][300]) {
    char mode[KN_MODE_TEXT_MAX];
    snprintf(cells[0], 300, "%s", r->layer);
    snprintf(cells[1], 300, "%s", p->device.name);
    snprintf(cells[2], 300, "%s", kn_mode_text(p->mode, mode));
    if (r->info.id)
        snprintf(cells[3], 300, "%.140s:%.140s", r->told.repo ? r->told.repo : r->info.id,
                 r->info.layer_name);
    else
        snprintf(cells[3], 300, "original forward");
    snprintf(cells[4], 300, "%.12s", r->told.commit ? r->told.commit : "-");
    snprintf(cells[5], 300, "%s", r->best.name ? r->best.name : "-");
}

static void print_table(const plan *p) {
    static const char *const heads[COLUMNS] = {"layer",  "device", "mode",
                                               "kernel", "commit", "variant"};
    int widths[COLUMNS];
    char cells[COLUMNS][300];
    for (size_t k = 0; k < COLUMNS; k++) widths[k] = (int)strlen(heads[k]);
    for (size_t i = 0; i < p->count; i++) {
        write_cells(p, &p->rows[i], cells);
        for (size_t k = 0; k < COLUMNS; k++)
            if ((int)strlen(cells[k]) > widths[k]) widths[k] = (int)strlen(cells[k]);
    }
    printf("Machine: ");
    cli_describe_environment(p->c, stdout);
    printf("\n\n");
    for (size_t k = 0; k < COLUMNS; k++) printf("%-*s  ", widths[k], heads[k]);
    printf("why\n");
    for (size_t i = 0; i < p->count; i++) {
        const row *r = &p->rows[i];
        write_cells(p, r, cells);
        for (size_t k = 0; k < COLUMNS; k++) printf("%-*s  ", widths[k], cells[k]);
        printf("%s%s%s: %.*s\n", cli_paint(p->c->colour_out && r->status, CLI_RED), r->reason,
               cli_paint(p->c->colour_out && r->status, CLI_PLAIN), (int)strcspn(r->message, "\n"),
               r->message);
    }
}

static void print_row(const plan *p, cli_json *json, const row *r) {
    char mode[KN_MODE_TEXT_MAX];
    cli_json_open(json, '{');
    cli_json_text_of(json, "layer_name", r->layer);
    cli_json_text_of(json, "device", p->device.name);
    cli_json_text_of(json, "action", r->best.name ? "replace" : "keep");
    cli_json_text_of(json, "reason", r->reason);
    cli_json_text_of(json, "message", r->message);
    cli_json_text_of(json, "repo", r->told.repo ? r->told.repo : r->info.id);
    cli_json_text_of(json, "repo_layer", r->info.layer_name);
    cli_json_text_of(json, "repo_mode", r->repo_mode ? kn_mode_text(r->repo_mode, mode) : NULL);
    cli_json_text_of(json, "version", r->info.version);
    cli_json_text_of(json, "revision", r->told.ref ? r->told.ref : r->info.revision);
    cli_json_text_of(json, "commit", r->told.commit);
    cli_json_text_of(json, "variant", r->best.name);
    cli_json_text_of(json, "policy", r->told.note);
    cli_json_close(json, '}');
}

static void print_json(const plan *p) {
    cli_json json = {.out = stdout};
    char mode[KN_MODE_TEXT_MAX];
    cli_json_open(&json, '{');
    cli_json_text_of(&json, "file", p->c->operands[0]);
    cli_json_key(&json, "environment");
    cli_json_environment(p->c, &json);
    cli_json_text_of(&json, "mode", kn_mode_text(p->mode, mode));
    cli_json_text_of(&json, "device", p->device.name);
    if (p->device.capability < 0)
        cli_json_text_of(&json, "capability", NULL);
    else
        cli_json_integer_of(&json, "capability", p->device.capability);
    cli_json_key(&json, "layers");
    cli_json_open(&json, '[');
    for (size_t i = 0; i < p->count; i++) print_row(p, &json, &p->rows[i]);
    cli_json_close(&json, ']');
    cli_json_close(&json, '}');
    cli_json_end(&json);
}

/* The first failure's. */
static int tell(const plan *p) {
    int status = CLI_OK;
    if (cli_value(p->c, "--json"))
        print_json(p);
    else
        print_table(p);
    for (size_t i = 0; i < p->count && !status; i++) status = cli_status_of(p->rows[i].status);
    return status;
}

int cmd_plan(cli *c) {
    static plan p; /* too large for the stack */
    p.c = c;
    p.gpu.size = sizeof p.gpu;
    kn_error err;
    kn_error_init(&err);
    int status = cli_environment(c, !cli_is_elsewhere(c));
    if (!status) status = cli_target(c, &p.gpu);
    if (!status) status = find_device(&p);
    if (!status) status = find_mode(&p);
    if (!status) status = cli_engine(c);
    if (status) return status;
    if (kn_engine_read_mapping(c->engine, c->operands[0], &p.mapping, &err))
        return cli_fail(c, &err);
    status = fill(&p);
    if (!status) status = tell(&p);
    kn_abouts_free(p.abouts);
    kn_mapping_release(p.mapping);
    return status;
}
