/* SPDX-License-Identifier: Apache-2.0 */
#include "native/memory.h"

#include <string.h>

#include "base/alloc.h"

#define ALIGNMENT ((size_t)64)

/* One block: this, shape and strides, and the elements from the next multiple of ALIGNMENT on. */
typedef struct memory {
    kn_managed_tensor managed;
    int64_t numbers[];
} memory;

static void delete_memory(kn_managed_tensor *self) { kni_free(kni_alloc_or_default(NULL), self); }

/* false: more than there can be. */
static bool multiply(size_t *size, int64_t by) {
    return by >= 0 && !__builtin_mul_overflow(*size, (size_t)by, size);
}

/* How many bytes the elements take; false: more than there can be. */
static bool bytes_of(const kn_tensor *tensor, size_t *out) {
    size_t bits = (size_t)tensor->dtype.bits * tensor->dtype.lanes;
    *out = (bits + 7) / 8;
    for (int32_t i = 0; i < tensor->ndim; i++)
        if (!multiply(out, tensor->shape[i])) return false;
    return true;
}

static memory *new_memory(const kn_tensor *prototype) {
    size_t dimensions = prototype->ndim > 0 ? (size_t)prototype->ndim : 0, bytes;
    size_t head = sizeof(memory) + 2 * dimensions * sizeof(int64_t) + ALIGNMENT;
    if (!bytes_of(prototype, &bytes) || bytes > SIZE_MAX - head) return NULL;
    memory *made = kni_new(kni_alloc_or_default(NULL), head + bytes);
    if (!made) return NULL;
    kn_tensor *tensor = &made->managed.tensor;
    *tensor = *prototype;
    tensor->byte_offset = 0;
    tensor->shape = made->numbers;
    tensor->strides = made->numbers + dimensions;
    if (dimensions) memcpy(tensor->shape, prototype->shape, dimensions * sizeof(int64_t));
    kn_tensor_pack(tensor->shape, prototype->ndim, tensor->strides);
    char *after = (char *)(made->numbers + 2 * dimensions);
    tensor->data = after + (ALIGNMENT - (uintptr_t)after % ALIGNMENT) % ALIGNMENT;
    return made;
}

int kni_native_allocate(kn_tensor *prototype, kn_managed_tensor **out, void *ctx,
                        void (*failed)(void *ctx, const char *kind, const char *message)) {
    *out = NULL;
    if (prototype->device.place != KN_TENSOR_CPU) {
        failed(ctx, "RuntimeError",
               "the kernel wants to allocate a tensor on a device, and the program that calls it "
               "has not said how: pass the output as an argument, or set an allocator "
               "(TVMFFIEnvSetDLPackManagedTensorAllocator)");
        return -1;
    }
    memory *made = new_memory(prototype);
    if (!made) {
        failed(ctx, "MemoryError", "out of memory for a tensor that a kernel returns");
        return -1;
    }
    made->managed.major = 1;
    made->managed.deleter = delete_memory;
    *out = &made->managed;
    return 0;
}
