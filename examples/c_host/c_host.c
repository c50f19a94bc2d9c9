/* SPDX-License-Identifier: Apache-2.0 */
/* A C program kernelizes a graph of its own: a small transformer block (norm, gated MLP, norm; its
 * projections are diagonal, to be short). Its layers are plain loops, and first-party kernels take
 * their place; both are compared and timed. libtvm_ffi is needed to run these (docs/native.md).
 *
 *   cc -O3 -march=native examples/c_host/c_host.c $(pkg-config --cflags --libs kernels) -lm -o
 * c_host
 *   ./c_host examples/c_host/mapping.toml [ROWS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "block.h"

enum { REPEATS = 20 };

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The shortest time of a node, on what is in `x`. */
static double time_node(const node *n, float *x, float *out, int64_t rows) {
    const kn_tensor_device cpu = {KN_TENSOR_CPU, 0};
    double best = INFINITY;
    for (int i = 0; i < REPEATS; i++) {
        double start = seconds();
        if (!n->replacement)
            n->kind->compute(n, x, out, rows);
        else if (call_kernel(n, cpu, x, out, rows, NULL))
            return 0;
        best = fmin(best, seconds() - start);
    }
    return best;
}

/* Runs both the loops and what kernelize put in their place, and compares. */
static int compare(const node *nodes, float *x, float *own, float *made, int64_t rows) {
    for (const node *n = nodes; n < nodes + NODES; n++) {
        node plain = *n;
        plain.replacement = NULL;
        double loops = time_node(&plain, x, own, rows), kernel = time_node(n, x, made, rows);
        float worst = 0;
        for (int64_t i = 0; i < rows * n->kind->out * WIDTH; i++)
            worst = fmaxf(worst, fabsf(own[i] - made[i]) / (1.0f + fabsf(own[i])));
        if (n->replacement)
            printf("%-10s %-10s loops %7.3f ms, kernel %7.3f ms, %4.1f x, differs by %.0e\n",
                   n->name, n->kind->layer_name, loops * 1e3, kernel * 1e3, loops / kernel,
                   (double)worst);
        if (!(worst < 1e-4f)) return 1;
        memcpy(x, own, sizeof *x * (size_t)(rows * n->kind->out * WIDTH));
    }
    puts("outputs agree");
    return 0;
}

int main(int count, char **arguments) {
    static float weights[2 * WIDTH];
    node nodes[NODES];
    int64_t rows = count > 2 ? strtol(arguments[2], NULL, 10) : 512;
    size_t bytes = sizeof(float) * 2 * WIDTH * (size_t)rows;
    float *x = malloc(bytes), *own = malloc(bytes), *made = malloc(bytes);
    if (count < 2 || rows < 1 || !x || !own || !made) {
        fprintf(stderr, "usage: c_host MAPPING [ROWS]\n");
        return 2;
    }
    block_fill(nodes, weights, x, rows);

    kn_error err = KN_ERROR_INIT;
    kn_host host = block_host();
    kn_status status = block_kernelize(NULL, arguments[1], &host, nodes, &err);
    if (status) fprintf(stderr, "%s\n", err.message);
    if (!status) status = (kn_status)compare(nodes, x, own, made, rows);
    kn_engine_free(host.ctx, &host);
    free(x);
    free(own);
    free(made);
    return status != KN_OK;
}
