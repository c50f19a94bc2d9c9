/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_tensor.h"

#include "kb_cuda.h"

void kb_fail(const char *message) {
    aoti_torch_check(false, "builtin kernel", "kb_tensor.c", 0, message);
    __builtin_unreachable(); /* it has thrown */
}

static void require_ok(int32_t status) {
    kb_require(status == 0, "a call into torch failed; its log line above says why");
}

void kb_tensor_drop(kb_tensor *tensor) {
    if (tensor->handle) aoti_torch_delete_tensor_object(tensor->handle);
    tensor->handle = NULL;
}

static int32_t torch_dtype_of(kb_dtype type) {
    if (type == KB_F32) return aoti_torch_dtype_float32();
    return type == KB_BF16 ? aoti_torch_dtype_bfloat16() : aoti_torch_dtype_float16();
}

static kb_dtype dtype_from_torch(int32_t dtype) {
    if (dtype == aoti_torch_dtype_float32()) return KB_F32;
    if (dtype == aoti_torch_dtype_bfloat16()) return KB_BF16;
    kb_require(dtype == aoti_torch_dtype_float16(),
               "builtin kernel: the dtype must be float32, bfloat16 or float16");
    return KB_F16;
}

#ifdef KB_HAS_CUDA
static int32_t torch_device_type_of(kb_device_type type) {
    return type == KB_DEVICE_CUDA ? aoti_torch_device_type_cuda() : aoti_torch_device_type_cpu();
}

static kb_device device_of(kb_handle handle) {
    int32_t type = 0, index = 0;
    require_ok(aoti_torch_get_device_type(handle, &type));
    if (type == aoti_torch_device_type_cpu()) return (kb_device){KB_DEVICE_CPU, 0};
    kb_require(type == aoti_torch_device_type_cuda(), "builtin kernel: CPU and CUDA tensors only");
    require_ok(aoti_torch_get_device_index(handle, &index));
    return (kb_device){KB_DEVICE_CUDA, index};
}
#else
static int32_t torch_device_type_of(kb_device_type type) {
    (void)type;
    return aoti_torch_device_type_cpu();
}

static kb_device device_of(kb_handle handle) {
    int32_t type = 0;
    require_ok(aoti_torch_get_device_type(handle, &type));
    kb_require(type == aoti_torch_device_type_cpu(), "builtin kernel: CPU tensors only");
    return (kb_device){KB_DEVICE_CPU, 0};
}
#endif

/* Fills in what the handle says, but for the type. */
static void layout_describe(kb_tensor *tensor) {
    int64_t *sizes = NULL, *strides = NULL;
    tensor->device = device_of(tensor->handle);
    require_ok(aoti_torch_get_dim(tensor->handle, &tensor->ndim));
    kb_require(tensor->ndim >= 0 && tensor->ndim <= KB_MAX_DIMS,
               "builtin kernel: too many dimensions");
    require_ok(aoti_torch_get_sizes(tensor->handle, &sizes));
    require_ok(aoti_torch_get_strides(tensor->handle, &strides));
    require_ok(aoti_torch_get_data_ptr(tensor->handle, &tensor->data));
    tensor->sizes = sizes;
    tensor->strides = strides;
}

static int32_t torch_dtype_in(const kb_tensor *tensor) {
    int32_t dtype = 0;
    require_ok(aoti_torch_get_dtype(tensor->handle, &dtype));
    return dtype;
}

static void tensor_describe(kb_tensor *tensor) {
    layout_describe(tensor);
    tensor->type = dtype_from_torch(torch_dtype_in(tensor));
}

kb_tensor kb_tensor_take(kb_word word) {
    KB_OWNED kb_tensor tensor = {.handle = (kb_handle)(uintptr_t)word};
    tensor_describe(&tensor);
    kb_tensor taken = tensor;
    tensor.handle = NULL;
    return taken;
}

kb_tensor kb_tensor_take_indices(kb_word word) {
    KB_OWNED kb_tensor tensor = {.handle = (kb_handle)(uintptr_t)word};
    layout_describe(&tensor);
    kb_require(torch_dtype_in(&tensor) == aoti_torch_dtype_int64(),
               "builtin kernel: indices must be int64");
    kb_require(kb_tensor_is_contiguous(&tensor), "builtin kernel: indices must be contiguous");
    kb_tensor taken = tensor;
    tensor.handle = NULL;
    return taken;
}

kb_tensor kb_tensor_take_optional(kb_word word) {
    kb_word *boxed = (kb_word *)(uintptr_t)word;
    if (!boxed) return (kb_tensor){0};
    kb_word value = *boxed;
    if (torch_delete_stable_ivalue)
        torch_delete_stable_ivalue(boxed);
    else if (kb_operator_delete)
        kb_operator_delete(boxed);
    return kb_tensor_take(value);
}

kb_word kb_tensor_give(kb_tensor *tensor) {
    kb_word word = (kb_word)(uintptr_t)tensor->handle;
    tensor->handle = NULL;
    return word;
}

kb_tensor kb_tensor_new(kb_device device, int64_t ndim, const int64_t *sizes,
                        const int64_t *strides, kb_dtype type) {
    KB_OWNED kb_tensor tensor = {0};
    require_ok(aoti_torch_empty_strided(ndim, sizes, strides, torch_dtype_of(type),
                                        torch_device_type_of(device.type), device.index,
                                        &tensor.handle));
    tensor_describe(&tensor);
    kb_tensor made = tensor;
    tensor.handle = NULL;
    return made;
}

kb_tensor kb_tensor_new_contiguous(kb_device device, int64_t ndim, const int64_t *sizes,
                                   kb_dtype type) {
    int64_t strides[KB_MAX_DIMS];
    kb_strides_contiguous(ndim, sizes, strides);
    return kb_tensor_new(device, ndim, sizes, strides, type);
}

void kb_tensor_copy_as(kb_tensor *tensor, const int64_t *strides) {
    KB_OWNED kb_tensor copy =
        kb_tensor_new(tensor->device, tensor->ndim, tensor->sizes, strides, tensor->type);
    require_ok(aoti_torch_copy_(copy.handle, tensor->handle, 0));
    kb_tensor source = *tensor;
    *tensor = copy;
    copy = source; /* released here */
}

void kb_tensor_make_strides(kb_tensor *tensor, const int64_t *strides) {
    if (kb_sizes_product(tensor->sizes, 0, tensor->ndim) == 0) return;
    for (int64_t i = 0; i < tensor->ndim; i++) {
        if (tensor->sizes[i] == 1 || tensor->strides[i] == strides[i]) continue;
        kb_tensor_copy_as(tensor, strides);
        return;
    }
}

/* Above 0 where dimension `a` goes outside of `b`, below 0 where inside, 0 where it is undecided:
 * the order that torch's infer_dense_strides has. */
static int dims_compare(const kb_tensor *tensor, int64_t a, int64_t b) {
    int64_t left = tensor->strides[a], right = tensor->strides[b];
    if (left == 0 || right == 0) return 0;
    if (left != right) return left > right ? 1 : -1;
    return tensor->sizes[a] > tensor->sizes[b] ? 1 : 0;
}

/* Dimensions from the innermost to the outermost. Insertion sort, as undecided pairs make no
 * proper order and the outcome must be torch's. */
static void dims_sort(const kb_tensor *tensor, int64_t *order) {
    for (int64_t i = 0; i < tensor->ndim; i++) order[i] = tensor->ndim - 1 - i;
    for (int64_t i = 1; i < tensor->ndim; i++) {
        int64_t moving = i;
        for (int64_t other = i - 1; other >= 0; other--) {
            int outcome = dims_compare(tensor, order[other], order[moving]);
            if (outcome < 0) break;
            if (outcome == 0) continue;
            int64_t kept = order[other];
            order[other] = order[moving];
            order[moving] = kept;
            moving = other;
        }
    }
}

void kb_strides_preserved(const kb_tensor *tensor, int64_t *strides) {
    int64_t order[KB_MAX_DIMS], step = 1;
    if (kb_tensor_is_contiguous(tensor) ||
        kb_layout_is_dense(tensor->ndim, tensor->sizes, tensor->strides)) {
        for (int64_t i = 0; i < tensor->ndim; i++) strides[i] = tensor->strides[i];
        return;
    }
    dims_sort(tensor, order);
    for (int64_t i = 0; i < tensor->ndim; i++) {
        strides[order[i]] = step;
        if (tensor->sizes[order[i]] > 1) step *= tensor->sizes[order[i]];
    }
}

bool kb_tensor_is_contiguous(const kb_tensor *tensor) {
    return kb_layout_is_contiguous(tensor->ndim, tensor->sizes, tensor->strides);
}

int64_t kb_tensor_as_rows(kb_tensor *tensor, int64_t inner) {
    int64_t strides[KB_MAX_DIMS], step;
    if (kb_layout_rows(tensor->ndim, tensor->sizes, tensor->strides, inner, &step)) return step;
    kb_strides_contiguous(tensor->ndim, tensor->sizes, strides);
    kb_tensor_copy_as(tensor, strides);
    return kb_sizes_product(tensor->sizes, tensor->ndim - inner, tensor->ndim);
}

void kb_threads_run(int64_t count, int64_t grain, kb_range_kernel kernel, void *context) {
    require_ok(torch_parallel_for(0, count, grain, kernel, context));
}

bool kb_tensor_is_like(const kb_tensor *a, const kb_tensor *b) {
    bool alike = a->type == b->type && a->ndim == b->ndim && kb_device_equal(a->device, b->device);
    for (int64_t i = 0; alike && i < a->ndim; i++) alike = a->sizes[i] == b->sizes[i];
    return alike;
}

/* The kernels look at the device of their tensors themselves. */
static int kernels_register(const char *name_space, const char *key, const kb_op *ops, int count) {
    kb_library library = NULL; /* never freed: that would undo the registration */
    if (aoti_torch_library_init_impl(name_space, key, "kb_tensor.c", 0, &library)) return -1;
    for (int i = 0; i < count; i++)
        if (torch_library_impl(library, ops[i].name, ops[i].kernel, KB_TORCH_ABI_VERSION))
            return -1;
    return 0;
}

int kb_ops_register(const char *name_space, const kb_op *ops, int count) {
    kb_library fragment = NULL; /* likewise */
    if (aoti_torch_library_init_fragment(name_space, "kb_tensor.c", 0, &fragment)) return -1;
    for (int i = 0; i < count; i++)
        if (aoti_torch_library_def(fragment, ops[i].schema)) return -1;
    if (kernels_register(name_space, "CPU", ops, count)) return -1;
#ifdef KB_HAS_CUDA
    if (kernels_register(name_space, "CUDA", ops, count)) return -1;
#endif
    return 0;
}
