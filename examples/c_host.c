/* SPDX-License-Identifier: Apache-2.0 */
/* A C program kernelizes a graph of its own: a chain of functions on one number. The host tells the
 * engine what is in the graph and how a function is replaced; the engine decides and carries out.
 * After `make build`, in the root of the repository:
 *
 *   gcc -std=c11 -Iinclude examples/c_host.c -Lbuild/wheel -lkernels -o build/c_host
 *   LD_LIBRARY_PATH=build/wheel build/c_host
 */
#include <kernels/kernels.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* ---- the program's own graph ---- */

typedef struct layer {
    const char *name;
    double (*compute)(double);
} layer;

typedef struct kind {
    const char *name, *layer_name; /* no layer name: cannot be replaced */
    double (*compute)(double);
} kind;

typedef struct node {
    const char *name;
    const kind *kind;
    const layer *replacement; /* NULL: the kind's own function */
} node;

typedef struct graph {
    node nodes[3];
} graph;

static double add_one(double x) { return x + 1.0; }
static double slow_square(double x) {
    double result = 1.0;
    for (int i = 0; i < 2; i++) result *= x;
    return result;
}
static double fast_square(double x) { return x * x; }

static double run(const graph *g, double x) {
    for (size_t i = 0; i < 3; i++) {
        const node *n = &g->nodes[i];
        x = n->replacement ? n->replacement->compute(x) : n->kind->compute(x);
    }
    return x;
}

/* ---- the host: everything here is static, so handles are neither counted nor freed ---- */

static void keep(void *handle) { (void)handle; }

/* The engine's handles are `void *`. It never writes through them. */
static void *unconst(const void *handle) { return (void *)(uintptr_t)handle; }

static kn_status host_system(void *ctx, kn_system *out, kn_error *err) {
    (void)ctx, (void)err;
    *out =
        (kn_system){sizeof *out, -1, -1, -1, -1, -1, "cpu", "x86_64", "linux", false, NULL, false};
    return KN_OK;
}

static kn_status host_walk(void *ctx, void *model, kn_walk *walk, kn_error *err) {
    graph *g = model;
    const kind *last = NULL;
    uint32_t root, at, class_id = 0;
    (void)ctx;
    kn_status status = kn_walk_add_node(walk, KN_NO_PARENT, g, "", 0, &root, err);
    for (size_t i = 0; !status && i < 3; i++) {
        node *n = &g->nodes[i];
        if (!n->kind->layer_name) continue;
        kn_class cls = {sizeof cls, unconst(n->kind), n->kind->name, n->kind->layer_name, false};
        if (n->kind != last) status = kn_walk_add_class(walk, &cls, &class_id, err);
        last = n->kind;
        if (!status) status = kn_walk_add_node(walk, root, n, n->name, strlen(n->name), &at, err);
        void *current = unconst(n->replacement);
        if (!status) status = kn_walk_add_site(walk, at, class_id, current, 0, err);
    }
    return status;
}

static kn_status host_model_device(void *ctx, void *model, kn_device *out, kn_error *err) {
    (void)ctx, (void)model, (void)err;
    *out = (kn_device){sizeof *out, KN_DEVICE_CPU, -1, KN_CAPABILITY_UNKNOWN, "cpu"};
    return KN_OK;
}

static kn_status host_capability(void *ctx, kn_device_type type, int64_t *out, kn_error *err) {
    (void)ctx, (void)type, (void)err;
    *out = KN_CAPABILITY_UNKNOWN;
    return KN_OK;
}

static kn_status host_unlike(void *ctx, kn_device_type type, bool *out, kn_error *err) {
    (void)ctx, (void)type, (void)err;
    *out = false;
    return KN_OK;
}

/* The object of a repository is the layer itself: to load it is to hand it over. */
static kn_status host_load(void *ctx, void *repo_object, kn_layer *out, kn_error *err) {
    (void)ctx, (void)err;
    *out = (kn_layer){out->size, repo_object, false, false};
    return KN_OK;
}

/* Any layer fits any class here. A host with signatures compares them and returns KN_ERR_TYPE. */
static kn_status host_bind(void *ctx, void *handle, void *class_handle, const kn_forward_info *info,
                           void **out, kn_error *err) {
    (void)ctx, (void)class_handle, (void)info, (void)err;
    *out = handle;
    return KN_OK;
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

static kn_status host_describe(void *ctx, void *forward, kn_forward_info *out, kn_error *err) {
    (void)ctx, (void)err;
    out->repo = "this program";
    out->layer_name = ((const layer *)forward)->name;
    return KN_OK;
}

static bool host_watch(void *ctx, void *object) {
    (void)ctx, (void)object;
    return false;
}

static const char *host_model_name(void *ctx, void *model) {
    (void)ctx, (void)model;
    return "the graph";
}

static void host_log(void *ctx, kn_log_level level, kn_log_topic topic, const char *message) {
    (void)ctx, (void)level, (void)topic;
    fprintf(stderr, "%s\n", message);
}

static bool host_cancelled(void *ctx) {
    (void)ctx;
    return false;
}

/* Not set: conditions and predicates (there are none here), kernels in directories, functions,
 * unpickling. */
static const kn_host host = {
    .size = sizeof host,
    .retain = keep,
    .release = keep,
    .system = host_system,
    .walk = host_walk,
    .model_device = host_model_device,
    .capability = host_capability,
    .has_unlike_devices = host_unlike,
    .load = host_load,
    .bind = host_bind,
    .inspect = host_inspect,
    .swap = host_swap,
    .restore = host_restore,
    .describe = host_describe,
    .watch = host_watch,
    .model_name = host_model_name,
    .log = host_log,
    .cancelled = host_cancelled,
};

/* ---- the mapping's value ---- */

static int repo_equal(void *a, void *b) { return a == b; }

static bool repo_hash(void *object, uint64_t *out) {
    *out = (uint64_t)(uintptr_t)object;
    return true;
}

static kn_status repo_describe(void *object, kn_repo_info *out, kn_error *err) {
    (void)err;
    out->kind = KN_REPO_HOST;
    out->id = "this program";
    out->layer_name = ((const layer *)object)->name;
    return KN_OK;
}

static const kn_repo_ops repo_ops = {sizeof repo_ops, keep,      keep,
                                     repo_equal,      repo_hash, repo_describe};

static kn_status kernelize(kn_engine *engine, graph *g, kn_error *err) {
    static layer fast = {"FastSquare", fast_square};
    kn_repo *repo;
    kn_status status = kn_repo_new(NULL, &fast, &repo_ops, &repo, err);
    if (status) return status;
    kn_mode_repo modes[] = {{KN_MODE_INFERENCE, repo}};
    kn_mapping_entry entry = {"Square", KN_DEVICE_CPU, {0, KN_CAPABILITY_MAX}, modes, 1};
    status = kn_engine_register(engine, &entry, 1, true, err);
    kn_repo_release(repo); /* the mapping holds it now */
    if (status) return status;

    kn_request request = {.size = sizeof request,
                          .mode = KN_MODE_INFERENCE,
                          .capability = KN_CAPABILITY_ASK,
                          .fallback = KN_FALLBACK_DEFAULT};
    kn_plan *plan;
    status = kn_engine_kernelize(engine, &host, g, NULL, &request, &plan, err);
    if (status) return status;
    char *table;
    status = kn_plan_table(plan, &table, err);
    if (!status) printf("%s\n", table);
    if (!status) kn_plan_text_free(plan, table);
    kn_plan_release(plan);
    return status;
}

int main(void) {
    static const kind square = {"SlowSquare", "Square", slow_square},
                      plus = {"AddOne", NULL, add_one};
    graph g = {{{"first", &square, NULL}, {"second", &plus, NULL}, {"third", &square, NULL}}};
    kn_error err = KN_ERROR_INIT;
    kn_engine_options options = {.size = sizeof options};
    kn_engine *engine = NULL;

    double before = run(&g, 3.0);
    kn_status status = kn_engine_new(&options, &engine, &err);
    if (!status) status = kernelize(engine, &g, &err);
    if (status) fprintf(stderr, "error %d: %s\n", (int)status, err.message);
    printf("before %g, after %g\n", before, run(&g, 3.0));
    if (engine) kn_engine_free(engine, &host);
    return status != KN_OK;
}
