/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "native/failure.h"
#include "native/object.h"

/* ---- references ---- */

static kni_ffi_object *object_of(const kn_value *value) {
    return value->type >= KN_VALUE_OBJECT ? value->as.object : NULL;
}

kn_value kni_value_of(void *object) {
    kn_value value = kn_value_none();
    if (object) {
        value.type = ((const kni_ffi_object *)object)->type;
        value.as.object = object;
    }
    return value;
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

bool kn_value_as_array(const kn_value *value, const kn_value **items, size_t *count) {
    if (value->type != KN_VALUE_ARRAY) return false;
    const kni_ffi_array *array = value->as.object;
    *items = array->items;
    *count = (size_t)array->count;
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

/* ---- functions that are values ---- */

kn_status kn_value_try(const kn_value *function, const kn_value *args, int32_t count,
                       kn_value *result) {
    *result = kn_value_none();
    if (function->type != KN_VALUE_FUNCTION) return KN_ERR_TYPE;
    const kni_ffi_function *object = function->as.object;
    return kni_native_outcome(object->call(function->as.object, args, count, result), result);
}

kn_status kn_value_call(const kn_value *function, const kn_value *args, int32_t count,
                        kn_value *result, kn_error *err) {
    kn_status status = kn_value_try(function, args, count, result);
    if (!status) return KN_OK;
    if (status == KN_ERR_TYPE)
        return kni_fail(err, status, "a value of type %d was called: only functions can be",
                        function->type);
    return kni_native_failed("a function that a kernel gave", status, result, err);
}
