/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that are made here, for kernels to keep. */
#include "native/object.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "native/failure.h"
#include "native/runtime.h"

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

typedef struct text {
    header header;
    kni_ffi_text text;
    char bytes[];
} text;

typedef struct tensor {
    header header;
    kni_ffi_tensor tensor;
    void (*done)(void *ctx);
    void *ctx;
    int64_t numbers[]; /* the shape, then the strides */
} tensor;

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

/* ---- texts ---- */

static void delete_text(void *self, int flags) {
    text *made = (text *)((char *)self - offsetof(text, text));
    if (flags & KNI_FFI_DELETE_MEMORY) kni_free(made->header.alloc, made);
}

/* Up to 7 bytes are a value by themselves; a NUL follows in either case. */
static kn_status new_text(const kn_alloc *alloc, const void *bytes, size_t length, int32_t small,
                          int32_t large, kn_value *out, kn_error *err) {
    *out = kn_value_none();
    if (length < sizeof out->as.bytes) {
        out->type = small;
        out->length = (uint32_t)length;
        if (length) memcpy(out->as.bytes, bytes, length);
        return KN_OK;
    }
    alloc = kni_alloc_or_default(alloc);
    text *made =
        length < SIZE_MAX - sizeof *made ? kni_new(alloc, sizeof *made + length + 1) : NULL;
    if (!made) return kni_no_memory(err, "making a text");
    made->header.alloc = alloc;
    init_object(&made->text.object, large, delete_text);
    memcpy(made->bytes, bytes, length);
    made->text.bytes = (kn_bytes){made->bytes, length};
    *out = value_of(&made->text.object);
    return KN_OK;
}

kn_status kn_value_new_text(const kn_alloc *alloc, const char *bytes, size_t length, kn_value *out,
                            kn_error *err) {
    return new_text(alloc, bytes, length, KN_VALUE_SMALL_TEXT, KN_VALUE_TEXT_OBJECT, out, err);
}

kn_status kn_value_new_bytes(const kn_alloc *alloc, const void *bytes, size_t length, kn_value *out,
                             kn_error *err) {
    return new_text(alloc, bytes, length, KN_VALUE_SMALL_BYTES, KN_VALUE_BYTES_OBJECT, out, err);
}

/* ---- tensors ---- */

static void delete_tensor(void *self, int flags) {
    tensor *made = (tensor *)((char *)self - offsetof(tensor, tensor));
    if ((flags & KNI_FFI_DELETE_CONTENT) && made->done) made->done(made->ctx);
    if (flags & KNI_FFI_DELETE_MEMORY) kni_free(made->header.alloc, made);
}

kn_status kn_value_new_tensor(const kn_alloc *alloc, const kn_tensor *from, void (*done)(void *ctx),
                              void *ctx, kn_value *out, kn_error *err) {
    *out = kn_value_none();
    alloc = kni_alloc_or_default(alloc);
    size_t dimensions = from->ndim > 0 ? (size_t)from->ndim : 0;
    tensor *made = kni_new(alloc, sizeof *made + 2 * dimensions * sizeof *made->numbers);
    if (!made) return kni_no_memory(err, "making a tensor");
    made->header.alloc = alloc;
    init_object(&made->tensor.object, KN_VALUE_TENSOR_OBJECT, delete_tensor);
    made->done = done;
    made->ctx = ctx;
    kn_tensor *to = &made->tensor.tensor;
    *to = *from;
    to->shape = made->numbers;
    to->strides = made->numbers + dimensions;
    if (dimensions) memcpy(to->shape, from->shape, dimensions * sizeof *to->shape);
    if (dimensions && from->strides)
        memcpy(to->strides, from->strides, dimensions * sizeof *to->strides);
    else
        kn_tensor_pack(to->shape, from->ndim, to->strides);
    *out = value_of(&made->tensor.object);
    return KN_OK;
}

/* ---- functions ---- */

static callback *callback_of(void *self) {
    return (callback *)((char *)self - offsetof(callback, function));
}

static void delete_callback(void *self, int flags) {
    callback *made = callback_of(self);
    if ((flags & KNI_FFI_DELETE_CONTENT) && made->done) made->done(made->ctx);
    if (flags & KNI_FFI_DELETE_MEMORY) kni_free(made->header.alloc, made);
}

/* A result that would not outlive the callback. */
static bool is_borrowed(const kn_value *value) {
    return value->type == KN_VALUE_TENSOR || value->type == KN_VALUE_TEXT ||
           value->type == KN_VALUE_BYTES;
}

static int run_callback(void *self, const kn_value *args, int32_t count, kn_value *result) {
    const callback *made = callback_of(self);
    kn_error err;
    kn_error_init(&err);
    kn_status status = made->call(made->ctx, args, count, result, &err);
    if (!status && is_borrowed(result))
        status = kni_fail(&err, KN_ERR_TYPE, "a callback returned a value that it borrows");
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

typedef struct passing {
    header header;
    kni_ffi_function function;
    kni_ffi_call call;
    void *self;
} passing;

static void delete_passing(void *self, int flags) {
    passing *made = (passing *)((char *)self - offsetof(passing, function));
    if (flags & KNI_FFI_DELETE_MEMORY) kni_free(made->header.alloc, made);
}

static int pass_on(void *self, const kn_value *args, int32_t count, kn_value *result) {
    const passing *made = (const passing *)((char *)self - offsetof(passing, function));
    return made->call(made->self, args, count, result);
}

kn_status kni_value_new_passing(const kn_alloc *alloc, kni_ffi_call call, void *self, kn_value *out,
                                kn_error *err) {
    *out = kn_value_none();
    alloc = kni_alloc_or_default(alloc);
    passing *made = kni_new(alloc, sizeof *made);
    if (!made) return kni_no_memory(err, "making a function");
    *made = (passing){.header.alloc = alloc, .call = call, .self = self};
    init_object(&made->function.object, KN_VALUE_FUNCTION, delete_passing);
    made->function.call = pass_on;
    *out = value_of(&made->function.object);
    return KN_OK;
}
