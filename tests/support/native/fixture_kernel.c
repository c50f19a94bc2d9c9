/* SPDX-License-Identifier: Apache-2.0 */
/* A native kernel for tests, twice: one that needs nothing, and with FIXTURE_NEEDS_TVM_FFI one that
 * is linked with libtvm_ffi. */
#include <kernels/native.h>
#include <stddef.h>

#define FUNCTION(name)                                                                            \
    __attribute__((visibility("default"))) int __tvm_ffi_##name(void *self, const kn_value *args, \
                                                                int32_t count, kn_value *result); \
    int __tvm_ffi_##name(void *self, const kn_value *args, int32_t count, kn_value *result)

FUNCTION(nothing) {
    (void)self, (void)args, (void)count, (void)result;
    return 0;
}

FUNCTION(count) {
    (void)self, (void)args;
    *result = kn_value_int(count);
    return 0;
}

/* Its first argument, if that is no borrowed one. */
FUNCTION(echo) {
    (void)self;
    if (count != 1) return -1;
    *result = args[0];
    if (args[0].type >= KN_VALUE_OBJECT) __atomic_add_fetch((uint64_t *)args[0].as.object, 1, 0);
    return 0;
}

/* x + 1 into y, both float32 and packed. */
FUNCTION(add_one) {
    (void)self, (void)result;
    if (count != 2 || args[0].type != KN_VALUE_TENSOR || args[1].type != KN_VALUE_TENSOR) return -1;
    const kn_tensor *x = args[0].as.tensor, *y = args[1].as.tensor;
    int64_t elements = 1;
    for (int32_t i = 0; i < x->ndim; i++) elements *= x->shape[i];
    for (int64_t i = 0; i < elements; i++)
        ((float *)y->data)[i] = ((const float *)x->data)[i] + 1.0f;
    return 0;
}

/* The sum of a shape's dimensions. */
FUNCTION(sum_shape) {
    (void)self;
    const int64_t *dimensions[2];
    if (count != 1 || args[0].type != KN_VALUE_SHAPE) return -1;
    __builtin_memcpy(dimensions, (const char *)args[0].as.object + 24, sizeof dimensions);
    int64_t sum = 0;
    for (size_t i = 0; i < (size_t)dimensions[1]; i++) sum += dimensions[0][i];
    *result = kn_value_int(sum);
    return 0;
}

/* Calls its first argument with the others. */
FUNCTION(apply) {
    (void)self;
    int (*call)(void *, const kn_value *, int32_t, kn_value *);
    if (count < 1 || args[0].type != KN_VALUE_FUNCTION) return -1;
    __builtin_memcpy(&call, (const char *)args[0].as.object + 24, sizeof call);
    return call(args[0].as.object, args + 1, count - 1, result);
}

FUNCTION(fail_silently) {
    (void)self, (void)args, (void)count, (void)result;
    return -1;
}

#ifdef FIXTURE_NEEDS_TVM_FFI

extern void TVMFFIErrorSetRaisedFromCStr(const char *kind, const char *message);
extern void *TVMFFIEnvGetStream(int32_t type, int32_t id);

FUNCTION(raise) {
    (void)self, (void)result;
    if (count != 2) return -1;
    TVMFFIErrorSetRaisedFromCStr(args[0].as.text, args[1].as.text);
    return -1;
}

FUNCTION(stream_of) {
    (void)self;
    if (count != 1 || args[0].type != KN_VALUE_DEVICE) return -1;
    *result =
        kn_value_pointer(TVMFFIEnvGetStream(args[0].as.device.place, args[0].as.device.index));
    return 0;
}

#endif
