/* SPDX-License-Identifier: Apache-2.0 */
/* The block of examples/c_host on a CUDA device: memory by cudaMalloc, first-party kernels in the
 * place of layers that have no GPU code of their own, outputs compared with the loops, times by the
 * device. KN_BUILTIN_DIR names the first-party kernels where they do not lie beside the library.
 *
 *   cc -O3 examples/cuda_host/cuda_host.c $(pkg-config --cflags --libs kernels) \
 *       -I/usr/local/cuda/include -L/usr/local/cuda/lib64 -lcudart -lm -o cuda_host
 *   ./cuda_host examples/cuda_host/mapping.toml [ROWS]
 */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>

#include "../c_host/block.h"

enum { REPEATS = 100 };

static kn_status cuda_check(cudaError_t code, kn_error *err) {
    if (!code) return KN_OK;
    if (err) snprintf(err->message, sizeof err->message, "CUDA: %s", cudaGetErrorString(code));
    return KN_ERR_RUNTIME;
}

/* What the host says of the model; the machine the engine asks the driver for. */
static kn_status cuda_model_device(void *ctx, void *model, kn_device *out, kn_error *err) {
    (void)ctx, (void)model, (void)err;
    *out = (kn_device){sizeof *out, KN_DEVICE_CUDA, 0, KN_CAPABILITY_UNKNOWN, "cuda"};
    return KN_OK;
}

/* ---- a node on the device ---- */

/* Runs a replaced node on what is in `x` (the host's) REPEATS times; *ms is the mean of them. */
static kn_status run_on_device(const node *n, const float *x, float *out, int64_t rows, float *ms,
                               kn_error *err) {
    const kn_tensor_device gpu = {KN_TENSOR_CUDA, 0};
    size_t row = sizeof(float) * WIDTH * (size_t)rows, in = row * (size_t)n->kind->in;
    node there = *n;
    float *at_x = NULL, *at_out = NULL;
    cudaEvent_t start, end;
    there.weight = NULL;
    kn_status status = cuda_check(cudaMalloc((void **)&at_x, in), err);
    if (!status) status = cuda_check(cudaMalloc((void **)&at_out, row), err);
    if (!status)
        status = cuda_check(cudaMalloc((void **)&there.weight, sizeof(float) * WIDTH), err);
    if (!status) status = cuda_check(cudaMemcpy(at_x, x, in, cudaMemcpyHostToDevice), err);
    if (!status)
        status = cuda_check(
            cudaMemcpy(there.weight, n->weight, sizeof(float) * WIDTH, cudaMemcpyHostToDevice),
            err);
    if (!status) status = cuda_check(cudaEventCreate(&start), err);
    if (!status) status = cuda_check(cudaEventCreate(&end), err);
    if (!status) status = call_kernel(&there, gpu, at_x, at_out, rows, err); /* warm */
    if (!status) status = cuda_check(cudaEventRecord(start, NULL), err);
    for (int i = 0; i < REPEATS && !status; i++)
        status = call_kernel(&there, gpu, at_x, at_out, rows, err);
    if (!status) status = cuda_check(cudaEventRecord(end, NULL), err);
    if (!status) status = cuda_check(cudaEventSynchronize(end), err);
    if (!status) status = cuda_check(cudaEventElapsedTime(ms, start, end), err);
    if (!status) status = cuda_check(cudaMemcpy(out, at_out, row, cudaMemcpyDeviceToHost), err);
    *ms /= REPEATS;
    cudaFree(at_x);
    cudaFree(at_out);
    cudaFree(there.weight);
    return status;
}

static kn_status compare(const node *nodes, float *x, float *own, float *made, int64_t rows,
                         kn_error *err) {
    for (const node *n = nodes; n < nodes + NODES; n++) {
        int64_t count = rows * n->kind->out * WIDTH;
        float ms = 0, worst = 0;
        n->kind->compute(n, x, own, rows);
        if (n->replacement) {
            kn_status status = run_on_device(n, x, made, rows, &ms, err);
            if (status) return status;
            for (int64_t i = 0; i < count; i++)
                worst = fmaxf(worst, fabsf(own[i] - made[i]) / (1.0f + fabsf(own[i])));
            double moved = (double)(rows * WIDTH) * 4.0 * (n->kind->in + n->kind->out);
            printf("%-10s %-10s kernel %8.4f ms, %6.0f GB/s, differs by %.0e\n", n->name,
                   n->kind->layer_name, (double)ms, moved / (double)ms * 1e-6, (double)worst);
            if (!(worst < 1e-4f)) snprintf(err->message, sizeof err->message, "outputs differ");
            if (!(worst < 1e-4f)) return KN_ERR_RUNTIME;
        }
        memcpy(x, own, sizeof *x * (size_t)count);
    }
    puts("outputs agree");
    return KN_OK;
}

int main(int count, char **arguments) {
    static float weights[2 * WIDTH];
    node nodes[NODES];
    int64_t rows = count > 2 ? strtol(arguments[2], NULL, 10) : 4096;
    size_t bytes = sizeof(float) * 2 * WIDTH * (size_t)rows;
    float *x = malloc(bytes), *own = malloc(bytes), *made = malloc(bytes);
    if (count < 2 || rows < 1 || !x || !own || !made) {
        fprintf(stderr, "usage: cuda_host MAPPING [ROWS]\n");
        return 2;
    }
    block_fill(nodes, weights, x, rows);

    kn_error err = KN_ERROR_INIT;
    kn_host host = block_host();
    host.model_device = cuda_model_device;
    const kn_engine_options options = {.size = sizeof options,
                                       .builtin_folder = getenv("KN_BUILTIN_DIR")};
    kn_status status = block_kernelize(&options, arguments[1], &host, nodes, &err);
    if (!status) status = compare(nodes, x, own, made, rows, &err);
    if (status) fprintf(stderr, "%s\n", err.message);
    kn_engine_free(host.ctx, &host);
    free(x);
    free(own);
    free(made);
    return status != KN_OK;
}
