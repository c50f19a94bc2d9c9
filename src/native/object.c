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
    void *ctx;
    void (*done)(void *ctx); /* when the content goes; may be NULL */
    void (*delete_space)(void *object);
} header;

static header *header_of(void *object) { return (header *)object - 1; }

static void delete_object(void *self, int flags) {
    header *made = header_of(self);
    if ((flags & KNI_FFI_DELETE_CONTENT) && made->done) made->done(made->ctx);
    if (flags & KNI_FFI_DELETE_MEMORY) kni_free(made->alloc, made);
}

/* An object of `size` bytes, none of them set but those of a kni_ffi_object; NULL without memory.
 */
static void *new_object(const kn_alloc *alloc, int32_t type, size_t size) {
    alloc = kni_alloc_or_default(alloc);
    header *made = size < SIZE_MAX - sizeof *made ? kni_new(alloc, sizeof *made + size) : NULL;
    if (!made) return NULL;
    made->alloc = alloc;
    kni_ffi_object *object = (kni_ffi_object *)(made + 1);
    object->count = KNI_FFI_STRONG + KNI_FFI_WEAK;
    object->type = type;
    object->deleter = delete_object;
    return object;
}

kn_status kn_value_new_shape(const kn_alloc *alloc, const int64_t *dimensions, size_t count,
                             kn_value *out, kn_error *err) {
    *out = kn_value_none();
    bool fits = count <= (SIZE_MAX - sizeof(kni_ffi_shape)) / sizeof *dimensions;
    size_t bytes = count * sizeof *dimensions;
    kni_ffi_shape *made = fits ? new_object(alloc, KN_VALUE_SHAPE, sizeof *made + bytes) : NULL;
    if (!made) return kni_no_memory(err, "making a shape");
    made->data = bytes ? memcpy(made + 1, dimensions, bytes) : made + 1;
    made->count = count;
    *out = kni_value_of(made);
    return KN_OK;
}

/* ---- texts ---- */

/* Up to 7 bytes are a value by themselves; a NUL follows in either case. */
static kn_status new_text(const kn_alloc *alloc, const void *bytes, size_t length,
                          kn_value_type small, kn_value_type large, kn_value *out, kn_error *err) {
    *out = kn_value_none();
    if (length < sizeof out->as.bytes) {
        out->type = small;
        out->length = (uint32_t)length;
        if (length) memcpy(out->as.bytes, bytes, length);
        return KN_OK;
    }
    kni_ffi_text *made = length < SIZE_MAX - sizeof *made
                             ? new_object(alloc, large, sizeof *made + length + 1)
                             : NULL;
    if (!made) return kni_no_memory(err, "making a text");
    made->bytes = (kn_bytes){memcpy(made + 1, bytes, length), length};
    *out = kni_value_of(made);
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

kn_status kn_value_new_tensor(const kn_alloc *alloc, const kn_tensor *from, void (*done)(void *ctx),
                              void *ctx, kn_value *out, kn_error *err) {
    *out = kn_value_none();
    size_t dimensions = from->ndim > 0 ? (size_t)from->ndim : 0;
    size_t bytes = dimensions * sizeof *from->shape;
    kni_ffi_tensor *made = new_object(alloc, KN_VALUE_TENSOR_OBJECT, sizeof *made + 2 * bytes);
    if (!made) return kni_no_memory(err, "making a tensor");
    header_of(made)->done = done;
    header_of(made)->ctx = ctx;
    kn_tensor *to = &made->tensor;
    *to = *from;
    to->shape = (int64_t *)(made + 1);
    to->strides = to->shape + dimensions;
    if (bytes) memcpy(to->shape, from->shape, bytes);
    if (bytes && from->strides)
        memcpy(to->strides, from->strides, bytes);
    else
        kn_tensor_pack(to->shape, from->ndim, to->strides);
    *out = kni_value_of(made);
    return KN_OK;
}

/* ---- functions; `ctx` of the header is their own ---- */

typedef struct callback {
    kni_ffi_function function;
    kn_native_callback call;
} callback;

/* A result that would not outlive the callback. */
static bool is_borrowed(const kn_value *value) {
    return value->type == KN_VALUE_TENSOR || value->type == KN_VALUE_TEXT ||
           value->type == KN_VALUE_BYTES;
}

static int run_callback(void *self, const kn_value *args, int32_t count, kn_value *result) {
    kn_error err;
    kn_error_init(&err);
    kn_status status =
        ((const callback *)self)->call(header_of(self)->ctx, args, count, result, &err);
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
    callback *made = new_object(alloc, KN_VALUE_FUNCTION, sizeof *made);
    if (!made) return kni_no_memory(err, "making a function");
    header_of(made)->done = done;
    header_of(made)->ctx = ctx;
    made->function.call = run_callback;
    made->call = call;
    *out = kni_value_of(made);
    return KN_OK;
}

typedef struct passing {
    kni_ffi_function function;
    kni_ffi_call call;
} passing;

static int pass_on(void *self, const kn_value *args, int32_t count, kn_value *result) {
    return ((const passing *)self)->call(header_of(self)->ctx, args, count, result);
}

kn_status kni_value_new_passing(const kn_alloc *alloc, kni_ffi_call call, void *self, kn_value *out,
                                kn_error *err) {
    *out = kn_value_none();
    passing *made = new_object(alloc, KN_VALUE_FUNCTION, sizeof *made);
    if (!made) return kni_no_memory(err, "making a function");
    header_of(made)->ctx = self;
    made->function.call = pass_on;
    made->call = call;
    *out = kni_value_of(made);
    return KN_OK;
}
