/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "native/failure.h"
#include "native/ffi_abi.h"
#include "native/runtime.h"

/* ---- references ---- */

static kni_ffi_object *object_of(const kn_value *value) {
    return value->type >= KN_VALUE_OBJECT ? value->as.object : NULL;
}

kn_value kn_value_retain(const kn_value *value) {
    kni_ffi_object *object = object_of(value);
    if (object) __atomic_add_fetch(&object->count, KNI_FFI_STRONG, __ATOMIC_RELAXED);
    return *value;
}

/* The order in which tvm-ffi does it (include/tvm/ffi/object.h, DecRef): the content goes with the
 * last strong reference, the memory with the last weak one. */
static void drop(kni_ffi_object *object) {
    uint64_t before = __atomic_fetch_sub(&object->count, KNI_FFI_STRONG, __ATOMIC_ACQ_REL);
    if (before == KNI_FFI_STRONG + KNI_FFI_WEAK) {
        if (object->deleter)
            object->deleter(object, KNI_FFI_DELETE_CONTENT | KNI_FFI_DELETE_MEMORY);
    } else if ((uint32_t)before == KNI_FFI_STRONG) {
        if (object->deleter) object->deleter(object, KNI_FFI_DELETE_CONTENT);
        before = __atomic_fetch_sub(&object->count, KNI_FFI_WEAK, __ATOMIC_ACQ_REL);
        if (before == KNI_FFI_WEAK && object->deleter)
            object->deleter(object, KNI_FFI_DELETE_MEMORY);
    }
}

void kn_value_release(kn_value *value) {
    kni_ffi_object *object = object_of(value);
    *value = kn_value_none();
    if (object) drop(object);
}

/* ---- readers ---- */

const kn_tensor *kn_value_as_tensor(const kn_value *value) {
    if (value->type == KN_VALUE_TENSOR) return value->as.tensor;
    if (value->type != KN_VALUE_TENSOR_OBJECT) return NULL;
    return &((const kni_ffi_tensor *)value->as.object)->tensor;
}

bool kn_value_as_text(const kn_value *value, kn_bytes *out) {
    switch (value->type) {
    case KN_VALUE_TEXT:
        *out = (kn_bytes){value->as.text, strlen(value->as.text)};
        return true;
    case KN_VALUE_BYTES:
        *out = *value->as.bytes_at;
        return true;
    case KN_VALUE_SMALL_TEXT:
    case KN_VALUE_SMALL_BYTES:
        *out = (kn_bytes){value->as.bytes, value->length};
        return true;
    case KN_VALUE_TEXT_OBJECT:
    case KN_VALUE_BYTES_OBJECT:
        *out = ((const kni_ffi_text *)value->as.object)->bytes;
        return true;
    default:
        return false;
    }
}

bool kn_value_as_shape(const kn_value *value, const int64_t **dimensions, size_t *count) {
    if (value->type != KN_VALUE_SHAPE) return false;
    const kni_ffi_shape *shape = value->as.object;
    *dimensions = shape->data;
    *count = shape->count;
    return true;
}

bool kn_value_as_error(const kn_value *value, kn_native_error *out) {
    if (value->type != KN_VALUE_ERROR) return false;
    const kni_ffi_error *error = value->as.object;
    kn_native_error about = {.size = out->size,
                             .kind = error->kind,
                             .message = error->message,
                             .backtrace = error->backtrace};
    memcpy(out, &about, out->size < sizeof about ? out->size : sizeof about);
    return true;
}

/* ---- objects of our own ---- */

/* What lies before an object of ours: bindings of tvm-ffi look at `delete_space` of every object
 * that comes their way (TVMFFIObjectAllocHeader). */
typedef struct header {
    const kn_alloc *alloc;
    void (*delete_space)(void *object);
} header;

typedef struct callback {
    header header;
    kni_ffi_function function;
    kn_native_callback call;
    void *ctx;
    void (*done)(void *ctx);
} callback;

typedef struct shape {
    header header;
    kni_ffi_shape shape;
    int64_t dimensions[];
} shape;

static void init_object(kni_ffi_object *object, int32_t type, void (*deleter)(void *, int)) {
    *object =
        (kni_ffi_object){.count = KNI_FFI_STRONG + KNI_FFI_WEAK, .type = type, .deleter = deleter};
}

static kn_value value_of(kni_ffi_object *object) {
    kn_value value = kn_value_none();
    value.type = object->type;
    value.as.object = object;
    return value;
}

static void delete_shape(void *self, int flags) {
    shape *made = (shape *)((char *)self - offsetof(shape, shape));
    if (flags & KNI_FFI_DELETE_MEMORY) kni_free(made->header.alloc, made);
}

kn_status kn_value_new_shape(const kn_alloc *alloc, const int64_t *dimensions, size_t count,
                             kn_value *out, kn_error *err) {
    *out = kn_value_none();
    alloc = kni_alloc_or_default(alloc);
    bool fits = count <= (SIZE_MAX - sizeof(shape)) / sizeof *dimensions;
    shape *made = fits ? kni_new(alloc, sizeof *made + count * sizeof *dimensions) : NULL;
    if (!made) return kni_no_memory(err, "making a shape");
    made->header.alloc = alloc;
    init_object(&made->shape.object, KN_VALUE_SHAPE, delete_shape);
    if (count) memcpy(made->dimensions, dimensions, count * sizeof *dimensions);
    made->shape.data = made->dimensions;
    made->shape.count = count;
    *out = value_of(&made->shape.object);
    return KN_OK;
}

static callback *callback_of(void *self) {
    return (callback *)((char *)self - offsetof(callback, function));
}

static void delete_callback(void *self, int flags) {
    callback *made = callback_of(self);
    if ((flags & KNI_FFI_DELETE_CONTENT) && made->done) made->done(made->ctx);
    if (flags & KNI_FFI_DELETE_MEMORY) kni_free(made->header.alloc, made);
}

static int run_callback(void *self, const kn_value *args, int32_t count, kn_value *result) {
    const callback *made = callback_of(self);
    kn_error err;
    kn_error_init(&err);
    kn_status status = made->call(made->ctx, args, count, result, &err);
    if (!status) return 0;
    kn_value_release(result);
    kni_ffi_raise(kni_kind_of_status(status), err.message);
    return -1;
}

kn_status kn_value_new_function(const kn_alloc *alloc, kn_native_callback call, void *ctx,
                                void (*done)(void *ctx), kn_value *out, kn_error *err) {
    *out = kn_value_none();
    alloc = kni_alloc_or_default(alloc);
    callback *made = kni_new(alloc, sizeof *made);
    if (!made) return kni_no_memory(err, "making a function");
    *made = (callback){.header.alloc = alloc, .call = call, .ctx = ctx, .done = done};
    init_object(&made->function.object, KN_VALUE_FUNCTION, delete_callback);
    made->function.call = run_callback;
    *out = value_of(&made->function.object);
    return KN_OK;
}

/* ---- functions that are values ---- */

kn_status kn_value_try(const kn_value *function, const kn_value *args, int32_t count,
                       kn_value *result) {
    *result = kn_value_none();
    if (function->type != KN_VALUE_FUNCTION) return KN_ERR_TYPE;
    const kni_ffi_function *object = function->as.object;
    if (object->call(function->as.object, args, count, result) == 0) return KN_OK;
    kn_value_release(result);
    *result = kni_ffi_take_raised();
    return KN_ERR_RUNTIME;
}

kn_status kn_value_call(const kn_value *function, const kn_value *args, int32_t count,
                        kn_value *result, kn_error *err) {
    kn_status status = kn_value_try(function, args, count, result);
    if (!status) return KN_OK;
    if (status == KN_ERR_TYPE)
        return kni_fail(err, status, "a value of type %d was called: only functions can be",
                        function->type);
    return kni_native_failed("a function that a kernel gave", result, err);
}
