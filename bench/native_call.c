/* SPDX-License-Identifier: Apache-2.0 */
/* native_call KERNEL ROUNDS: nanoseconds for a call of a native kernel's function `nothing` with
 * two tensors: by its own entry, and through kn_function_call, in turns; one line a round. */
#include <dlfcn.h>
#include <kernels/native.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CALLS 1000000

typedef int (*entry)(void *self, const kn_value *args, int32_t count, kn_value *result);

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

static double time_entry(entry call, kn_tensor *x, kn_tensor *y) {
    double start = now();
    for (int i = 0; i < CALLS; i++) {
        kn_value args[] = {kn_value_tensor(x), kn_value_tensor(y)}, result = kn_value_none();
        if (call(NULL, args, 2, &result)) abort();
    }
    return (now() - start) / CALLS;
}

static double time_call(const kn_function *function, kn_tensor *x, kn_tensor *y) {
    double start = now();
    for (int i = 0; i < CALLS; i++) {
        kn_value args[] = {kn_value_tensor(x), kn_value_tensor(y)}, result;
        if (kn_function_call(function, args, 2, &result, NULL)) abort();
    }
    return (now() - start) / CALLS;
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    const kn_engine_options options = {.size = sizeof options};
    const kn_repo_info info = {.size = sizeof info, .kind = KN_REPO_LOCAL, .id = arguments[1]};
    kn_error err = KN_ERROR_INIT;
    kn_engine *engine;
    kn_native *native;
    const kn_function *function;
    kn_native_info about = {.size = sizeof about};
    if (kn_engine_new(&options, &engine, &err) ||
        kn_engine_get_native(engine, NULL, &info, &native, &err) ||
        kn_native_find(native, "nothing", &function, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    kn_native_get(native, &about);
    void *symbol = dlsym(dlopen(about.library, RTLD_NOW | RTLD_NOLOAD), "__tvm_ffi_nothing");
    entry call;
    memcpy(&call, &symbol, sizeof call);
    int64_t shape[] = {1}, strides[] = {1};
    float data[2] = {0};
    kn_tensor x = {data, {KN_TENSOR_CPU, 0}, 1, {KN_DTYPE_FLOAT, 32, 1}, shape, strides, 0};
    kn_tensor y = x;
    for (int i = (int)strtol(arguments[2], NULL, 10); i > 0; i--)
        printf("%.2f %.2f\n", time_entry(call, &x, &y), time_call(function, &x, &y));
    kn_engine_free(engine, NULL);
    return 0;
}
