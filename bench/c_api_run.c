/* SPDX-License-Identifier: Apache-2.0 */
/* What bench_c_api.py runs.
 * usage: c_api_run memory          KiB that are resident for the library once an engine is there
 *        c_api_run kernelize NODES ROUNDS    ms of each kernelize of a graph of NODES nodes, and of
 *                                     the processor's time in it */
#include <kernels/kernels.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- memory ---- */

/* KiB of /proc/self/smaps that are resident in mappings with one of these in their name. */
static long resident(const char *const *names, size_t count) {
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[512];
    long sum = 0, here;
    bool counts = false;
    if (!file) exit(2);
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%*x-%*x %*s %*x %*s %*s") != EOF && strchr(line, '-') &&
            line[strspn(line, "0123456789abcdef")] == '-') {
            counts = false;
            for (size_t i = 0; i < count; i++) counts |= strstr(line, names[i]) != NULL;
        } else if (counts && sscanf(line, "Rss: %ld kB", &here) == 1) {
            sum += here;
        }
    }
    fclose(file);
    return sum;
}

static int measure_memory(void) {
    static const char *const heap[] = {"[heap]"}, *const files[] = {"libkernels", "libjansson"};
    kn_engine *engine;
    free(malloc(1)); /* so that there is a heap */
    long before = resident(heap, 1);
    if (kn_engine_new(NULL, &engine, NULL)) return 1;
    long after = resident(heap, 1);
    printf("%ld %ld\n", resident(files, 2), after - before);
    kn_engine_free(engine, NULL);
    return 0;
}

/* ---- kernelize: a graph of blocks of 1,000 nodes, of two classes in turn ---- */

typedef struct node {
    char name[12];
    void *forward;
} node;

typedef struct graph {
    node *nodes;
    size_t count;
} graph;

enum { IN_BLOCK = 1000 };
static char fast[2], classes[2];

static kn_status walk_graph(void *ctx, void *model, kn_walk *walk, kn_error *err) {
    const graph *g = model;
    uint32_t root, block = 0, at, ids[2];
    (void)ctx;
    kn_status status = kn_walk_add_node(walk, KN_NO_PARENT, model, "", 0, &root, err);
    for (int i = 0; i < 2 && !status; i++) {
        const kn_class cls = {sizeof cls, &classes[i], i ? "Act" : "Norm", i ? "Act" : "Norm",
                              false};
        status = kn_walk_add_class(walk, &cls, &ids[i], err);
    }
    for (size_t i = 0; i < g->count && !status; i++) {
        node *n = &g->nodes[i];
        if (i % IN_BLOCK == 0)
            status = kn_walk_add_node(walk, root, n, n->name, strlen(n->name), &block, err);
        if (!status) status = kn_walk_add_node(walk, block, n, n->name, strlen(n->name), &at, err);
        if (!status) status = kn_walk_add_site(walk, at, ids[i % 2], n->forward, 0, err);
    }
    return status;
}

static kn_status load(void *ctx, void *repo_object, kn_layer *out, kn_error *err) {
    (void)ctx, (void)err;
    out->handle = repo_object;
    return KN_OK;
}

static kn_status bind(void *ctx, void *layer, void *class_handle, const kn_forward_info *info,
                      void **out, kn_error *err) {
    (void)ctx, (void)class_handle, (void)info, (void)err;
    *out = layer;
    return KN_OK;
}

static kn_status inspect(void *ctx, void *module, void **current, uint32_t *flags, kn_error *err) {
    (void)ctx, (void)err;
    *current = ((node *)module)->forward;
    *flags = 0;
    return KN_OK;
}

static kn_status swap(void *ctx, void *module, void *forward, void **undo, kn_error *err) {
    node *n = module;
    (void)ctx, (void)err;
    *undo = n->forward;
    n->forward = forward;
    return KN_OK;
}

static kn_status restore(void *ctx, void *module, void *undo, kn_error *err) {
    (void)ctx, (void)err;
    ((node *)module)->forward = undo;
    return KN_OK;
}

static const kn_host host = {.size = sizeof host,
                             .walk = walk_graph,
                             .load = load,
                             .bind = bind,
                             .inspect = inspect,
                             .swap = swap,
                             .restore = restore};

static void keep(void *object) { (void)object; }
static int equal(void *a, void *b) { return a == b; }
static bool hash(void *object, uint64_t *out) {
    *out = (uint64_t)(uintptr_t)object;
    return true;
}
static kn_status describe(void *object, kn_repo_info *out, kn_error *err) {
    (void)object, (void)err;
    out->kind = KN_REPO_HOST;
    out->id = "this program";
    return KN_OK;
}
static const kn_repo_ops repo_ops = {sizeof repo_ops, keep, keep, equal, hash, describe};

static kn_status map_layers(kn_engine *engine) {
    kn_status status = KN_OK;
    for (int i = 0; i < 2 && !status; i++) {
        kn_mode_repo mode = {KN_MODE_INFERENCE, NULL};
        const kn_mapping_entry entry = {
            i ? "Act" : "Norm", KN_DEVICE_CPU, {0, KN_CAPABILITY_MAX}, &mode, 1};
        status = kn_repo_new(NULL, &fast[i], &repo_ops, &mode.repo, NULL);
        if (!status) status = kn_engine_register(engine, &entry, 1, true, NULL);
        kn_repo_release(mode.repo);
    }
    return status;
}

static double now_ms(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int measure_kernelize(size_t count, int rounds) {
    graph g = {calloc(count, sizeof(node)), count};
    kn_engine *engine;
    const kn_request request = {.size = sizeof request,
                                .mode = KN_MODE_INFERENCE,
                                .capability = KN_CAPABILITY_ASK,
                                .fallback = KN_FALLBACK_DEFAULT};
    if (!g.nodes || kn_engine_new(NULL, &engine, NULL) || map_layers(engine)) return 1;
    for (size_t i = 0; i < count; i++) snprintf(g.nodes[i].name, sizeof g.nodes[i].name, "%zu", i);
    for (int round = 0; round < rounds; round++) {
        double start = now_ms(CLOCK_MONOTONIC), busy = now_ms(CLOCK_THREAD_CPUTIME_ID);
        if (kn_engine_kernelize(engine, &host, &g, NULL, &request, NULL, NULL)) return 1;
        busy = now_ms(CLOCK_THREAD_CPUTIME_ID) - busy;
        printf("%.3f %.3f\n", now_ms(CLOCK_MONOTONIC) - start, busy);
        if (g.nodes[count - 1].forward != &fast[(count - 1) % 2]) return 1;
        if (kn_engine_unkernelize(engine, &host, &g, NULL, NULL)) return 1;
    }
    kn_engine_free(engine, &host);
    free(g.nodes);
    return 0;
}

int main(int count, char **arguments) {
    if (count == 2 && strcmp(arguments[1], "memory") == 0) return measure_memory();
    if (count == 4 && strcmp(arguments[1], "kernelize") == 0)
        return measure_kernelize(strtoul(arguments[2], NULL, 10),
                                 (int)strtol(arguments[3], NULL, 10));
    return 2;
}
