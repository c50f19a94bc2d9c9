/* SPDX-License-Identifier: Apache-2.0 */
/* A program's own graph, a chain of nodes that plain loops or functions of kernels compute, and the
 * host by which the engine sees it. */
#ifndef C_HOST_BLOCK_H
#define C_HOST_BLOCK_H

#include <kernels/kernels.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 4096, NODES = 5 };
#define EPS 1e-5f
typedef struct node node;
typedef struct kind {
    const char *name, *layer_name; /* no layer name: it cannot be replaced */
    int in, out;                   /* widths, in WIDTHs */
    void (*compute)(const node *n, const float *x, float *out, int64_t rows);
} kind;

/* A layer of a kernel: which function it is, and what of a node the function is given. */
typedef struct layer {
    const char *name, *function_name;
    bool has_weight;
    const kn_function *function;
} layer;

struct node {
    const char *name;
    const kind *kind;
    float *weight;            /* of every output column, or of a norm */
    const layer *replacement; /* NULL: the kind's own function */
};

static void rms_norm(const node *n, const float *x, float *out, int64_t rows) {
    for (int64_t r = 0; r < rows; r++, x += WIDTH, out += WIDTH) {
        float sum = 0;
        for (int i = 0; i < WIDTH; i++) sum += x[i] * x[i];
        float scale = 1.0f / sqrtf(sum / WIDTH + EPS);
        for (int i = 0; i < WIDTH; i++) out[i] = x[i] * scale * n->weight[i];
    }
}

static void silu_and_mul(const node *n, const float *x, float *out, int64_t rows) {
    (void)n;
    for (int64_t r = 0; r < rows; r++, x += 2 * WIDTH, out += WIDTH)
        for (int i = 0; i < WIDTH; i++) out[i] = x[i] / (1.0f + expf(-x[i])) * x[WIDTH + i];
}

/* Diagonal projections: of one width to two, or of one to one. */
static void project(const node *n, const float *x, float *out, int64_t rows) {
    for (int64_t r = 0; r < rows; r++, x += WIDTH)
        for (int part = 0; part < n->kind->out; part++, out += WIDTH)
            for (int i = 0; i < WIDTH; i++) out[i] = x[i] * n->weight[part * WIDTH + i];
}

static kn_status call_kernel(const node *n, kn_tensor_device device, float *x, float *out,
                             int64_t rows, kn_error *err) {
    int64_t in_shape[] = {rows, n->kind->in * WIDTH}, out_shape[] = {rows, n->kind->out * WIDTH};
    int64_t width[] = {WIDTH}, steps[] = {1}, in_steps[2], out_steps[2];
    kn_tensor_pack(in_shape, 2, in_steps);
    kn_tensor_pack(out_shape, 2, out_steps);
    const kn_dtype f32 = {KN_DTYPE_FLOAT, 32, 1};
    kn_tensor of_x = {x, device, 2, f32, in_shape, in_steps, 0};
    kn_tensor of_out = {out, device, 2, f32, out_shape, out_steps, 0};
    kn_tensor weight = {n->weight, device, 1, f32, width, steps, 0};
    kn_value args[4] = {kn_value_tensor(&of_out), kn_value_tensor(&of_x)}, result;
    int32_t count = 2;
    if (n->replacement->has_weight) {
        args[count++] = kn_value_tensor(&weight);
        args[count++] = kn_value_float(EPS);
    }
    kn_status status = kn_function_call(n->replacement->function, args, count, &result, err);
    if (!status) kn_value_release(&result);
    return status;
}

/* The block: norm, gated MLP, norm. And what it is fed. */
static void block_fill(node nodes[NODES], float weights[2 * WIDTH], float *x, int64_t rows) {
    static const kind norm = {"Norm", "RMSNorm", 1, 1, rms_norm}, up = {"Up", NULL, 1, 2, project},
                      act = {"Gate", "SiluAndMul", 2, 1, silu_and_mul},
                      down = {"Down", NULL, 1, 1, project};
    const node made[NODES] = {{"input_norm", &norm, weights, NULL},
                              {"up", &up, weights, NULL},
                              {"act", &act, weights, NULL},
                              {"down", &down, weights, NULL},
                              {"post_norm", &norm, weights, NULL}};
    memcpy(nodes, made, sizeof made);
    for (int i = 0; i < 2 * WIDTH; i++) weights[i] = 0.5f + (float)(i % 7) * 0.25f;
    for (int64_t i = 0; i < rows * WIDTH; i++) x[i] = (float)((i * 7919) % 2001 - 1000) * 1e-3f;
}

/* ---- the host: its handles are static, and not counted; its `ctx` is the engine ---- */
static void *unconst(const void *handle) { return (void *)(uintptr_t)handle; }

static kn_status host_walk(void *ctx, void *model, kn_walk *walk, kn_error *err) {
    node *nodes = model;
    uint32_t root, at, id;
    (void)ctx;
    kn_status status = kn_walk_add_node(walk, KN_NO_PARENT, model, "", 0, &root, err);
    for (node *n = nodes; !status && n < nodes + NODES; n++) {
        const kind *k = n->kind;
        const kn_class cls = {sizeof cls, unconst(k), k->name, k->layer_name, false};
        if (!k->layer_name) continue;
        status = kn_walk_add_class(walk, &cls, &id, err);
        if (!status) status = kn_walk_add_node(walk, root, n, n->name, strlen(n->name), &at, err);
        if (!status) status = kn_walk_add_site(walk, at, id, unconst(n->replacement), 0, err);
    }
    return status;
}

/* The build is found already: it is opened, and its functions may be called from now on. */
static kn_status host_import(void *ctx, const kn_kernel_info *info, void **out, kn_error *err) {
    const kn_repo_info build = {.size = sizeof build, .kind = KN_REPO_LOCAL, .id = info->folder};
    kn_native *native;
    kn_status status = kn_engine_get_native(ctx, NULL, &build, &native, err);
    *out = status ? NULL : native;
    return status;
}

static kn_status host_find_layer(void *ctx, void *kernel, const char *name, const char *repo,
                                 kn_layer *out, kn_error *err) {
    static layer layers[] = {{"RMSNorm", "rms_norm", true, NULL},
                             {"SiluAndMul", "silu_and_mul", false, NULL}};
    (void)ctx, (void)repo;
    for (layer *l = layers; l < layers + 2; l++) {
        if (strcmp(l->name, name) != 0) continue;
        out->handle = l;
        return kn_native_find(kernel, l->function_name, &l->function, err);
    }
    return KN_ERR_VALUE;
}

static kn_status host_bind(void *ctx, void *handle, void *class_handle, const kn_forward_info *info,
                           void **out, kn_error *err) {
    (void)ctx, (void)info, (void)err;
    *out = handle;
    return strcmp(((layer *)handle)->name, ((kind *)class_handle)->layer_name) ? KN_ERR_TYPE
                                                                               : KN_OK;
}

static kn_status host_inspect(void *ctx, void *module, void **current, uint32_t *flags,
                              kn_error *err) {
    (void)ctx, (void)err;
    *current = unconst(((node *)module)->replacement);
    *flags = 0;
    return KN_OK;
}

static kn_status host_swap(void *ctx, void *module, void *forward, void **undo, kn_error *err) {
    node *n = module;
    (void)ctx, (void)err;
    *undo = unconst(n->replacement);
    n->replacement = forward;
    return KN_OK;
}

static kn_status host_restore(void *ctx, void *module, void *undo, kn_error *err) {
    (void)ctx, (void)err;
    ((node *)module)->replacement = undo;
    return KN_OK;
}

static kn_host block_host(void) {
    return (kn_host){.size = sizeof(kn_host),
                     .walk = host_walk,
                     .import_kernel = host_import,
                     .find_layer = host_find_layer,
                     .bind = host_bind,
                     .inspect = host_inspect,
                     .swap = host_swap,
                     .restore = host_restore};
}

/* Puts functions of the kernels that a mapping's file names in the place of the nodes' own, and
 * prints what it did. The caller ends the engine, which is host->ctx, in any case. */
static kn_status block_kernelize(const kn_engine_options *options, const char *mapping_file,
                                 kn_host *host, node nodes[NODES], kn_error *err) {
    static const kn_request inference = {.size = sizeof inference,
                                         .mode = KN_MODE_INFERENCE,
                                         .capability = KN_CAPABILITY_ASK,
                                         .fallback = KN_FALLBACK_DEFAULT};
    kn_engine *engine;
    kn_mapping *mapping = NULL;
    kn_plan *plan = NULL;
    char *table = NULL;
    kn_status status = kn_engine_new(options, &engine, err);
    host->ctx = engine;
    if (!status) status = kn_engine_read_mapping(engine, mapping_file, &mapping, err);
    if (!status) status = kn_engine_kernelize(engine, host, nodes, mapping, &inference, &plan, err);
    if (!status) status = kn_plan_table(plan, &table, err);
    if (!status) puts(table);
    if (plan) kn_plan_text_free(plan, table);
    kn_plan_release(plan);
    kn_mapping_release(mapping);
    return status;
}

#endif
