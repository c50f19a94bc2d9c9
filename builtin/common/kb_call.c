/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_call.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kb_isa.h"

/* ---- errors ---- */

enum { MESSAGE_MAX = 512 };

static void fail(kb_call *call, const char *kind, const char *format, va_list arguments) {
    char message[MESSAGE_MAX];
    int length = snprintf(message, sizeof message, "%s: ", call->name);
    size_t at = length > 0 ? (size_t)length : 0;
    if (at < sizeof message) vsnprintf(message + at, sizeof message - at, format, arguments);
    TVMFFIErrorSetRaisedFromCStr(kind, message);
    call->failed = true;
}

__attribute__((format(printf, 2, 3))) static void fail_type(kb_call *call, const char *format,
                                                            ...) {
    va_list arguments;
    va_start(arguments, format);
    if (!call->failed) fail(call, "TypeError", format, arguments);
    va_end(arguments);
}

void kb_call_require(kb_call *call, bool condition, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (!condition && !call->failed) fail(call, "ValueError", format, arguments);
    va_end(arguments);
}

enum { SIZES_TEXT_MAX = 128 };

/* "(2, 3)", as much of it as there is room for. */
static const char *sizes_text(int64_t ndim, const int64_t *sizes, char *text) {
    size_t at = 0;
    text[at++] = '(';
    for (int64_t i = 0; i < ndim && at + 32 < SIZES_TEXT_MAX; i++)
        at += (size_t)snprintf(text + at, SIZES_TEXT_MAX - at, i ? ", %lld" : "%lld",
                               (long long)sizes[i]);
    text[at++] = ')';
    text[at] = '\0';
    return text;
}

/* ---- arguments ---- */

static const kb_any *take(kb_call *call) {
    if (call->failed || call->next >= call->count) return NULL;
    return &call->arguments[call->next++];
}

static const kb_dl_tensor *tensor_in(const kb_any *value) {
    if (value->type == KB_ANY_DL_TENSOR) return value->pointer;
    if (value->type == KB_ANY_TENSOR) return (const kb_dl_tensor *)(value->object + 1);
    return NULL;
}

static const char *dtype_name(kb_dtype type) {
    if (type == KB_F32) return "float32";
    return type == KB_BF16 ? "bfloat16" : "float16";
}

static bool dtype_is(const kb_dl_tensor *tensor, int code, int bits) {
    return tensor->dtype.code == code && tensor->dtype.bits == bits && tensor->dtype.lanes == 1;
}

static bool float_type_find(const kb_dl_tensor *tensor, kb_dtype *type) {
    bool found = true;
    if (dtype_is(tensor, KB_DL_FLOAT, 32))
        *type = KB_F32;
    else if (dtype_is(tensor, KB_DL_BFLOAT, 16))
        *type = KB_BF16;
    else if (dtype_is(tensor, KB_DL_FLOAT, 16))
        *type = KB_F16;
    else
        found = false;
    return found;
}

static bool device_find(const kb_dl_tensor *tensor, kb_device *device) {
    *device = (kb_device){KB_DEVICE_CPU, 0};
    if (tensor->device.type == KB_DL_CPU) return true;
#ifdef KB_HAS_CUDA
    *device = (kb_device){KB_DEVICE_CUDA, tensor->device.id};
    return tensor->device.type == KB_DL_CUDA;
#else
    return false;
#endif
}

static void device_join(kb_call *call, const kb_dl_tensor *tensor, const char *label) {
    kb_device device;
    if (!device_find(tensor, &device)) {
        fail_type(call, "%s is on a device of DLPack's type %d, which this build is not for", label,
                  (int)tensor->device.type);
        return;
    }
    if (!call->has_device) call->device = device;
    call->has_device = true;
    kb_call_require(call, kb_device_equal(call->device, device),
                    "%s is on another device than the tensors before it", label);
}

/* Everything but the type. */
static void view_fill(kb_call *call, const kb_dl_tensor *tensor, const char *label, kb_view *out) {
    int32_t ndim = tensor->ndim;
    kb_call_require(call, ndim >= 0 && ndim <= KB_CALL_DIMS,
                    "%s has %d dimensions; up to %d can be", label, (int)ndim, KB_CALL_DIMS);
    device_join(call, tensor, label);
    if (call->failed) return;
    out->given = true;
    out->data = (void *)((uintptr_t)tensor->data + (uintptr_t)tensor->byte_offset);
    out->ndim = ndim;
    out->sizes = tensor->shape;
    out->strides = tensor->strides;
    if (tensor->strides) return;
    kb_strides_contiguous(ndim, tensor->shape, out->contiguous);
    out->strides = out->contiguous;
}

/* The next argument as a tensor; NULL where it is None and that is right, or after an error. */
static const kb_dl_tensor *take_tensor(kb_call *call, const char *label, bool may_be_none,
                                       kb_view *out) {
    *out = (kb_view){.label = label};
    const kb_any *value = take(call);
    if (!value || (may_be_none && value->type == KB_ANY_NONE)) return NULL;
    const kb_dl_tensor *tensor = tensor_in(value);
    if (!tensor) fail_type(call, "%s must be a tensor%s", label, may_be_none ? " or None" : "");
    return tensor;
}

static void take_floats(kb_call *call, const char *label, bool may_be_none, kb_view *out) {
    const kb_dl_tensor *tensor = take_tensor(call, label, may_be_none, out);
    if (!tensor) return;
    if (!float_type_find(tensor, &out->type))
        fail_type(call,
                  "%s must be of float32, bfloat16 or float16; its DLPack code is %d, of %d "
                  "bits",
                  label, (int)tensor->dtype.code, (int)tensor->dtype.bits);
    view_fill(call, tensor, label, out);
    kb_call_require(call, (uintptr_t)out->data % (uintptr_t)kb_dtype_size(out->type) == 0,
                    "%s is not aligned for its elements", label);
}

void kb_call_tensor(kb_call *call, const char *label, kb_view *out) {
    take_floats(call, label, false, out);
}

void kb_call_optional(kb_call *call, const char *label, kb_view *out) {
    take_floats(call, label, true, out);
}

void kb_call_indices(kb_call *call, const char *label, kb_view *out) {
    const kb_dl_tensor *tensor = take_tensor(call, label, false, out);
    if (!tensor) return;
    if (!dtype_is(tensor, KB_DL_INT, 64)) fail_type(call, "%s must be of int64", label);
    view_fill(call, tensor, label, out);
    kb_call_contiguous(call, out);
}

double kb_call_number(kb_call *call, const char *label, double missing) {
    const kb_any *value = take(call);
    if (!value) return missing;
    if (value->type == KB_ANY_FLOAT) return value->number;
    if (value->type == KB_ANY_INT) return (double)value->integer;
    fail_type(call, "%s must be a number", label);
    return missing;
}

int64_t kb_call_integer(kb_call *call, const char *label, int64_t missing) {
    const kb_any *value = take(call);
    if (!value) return missing;
    if (value->type == KB_ANY_INT) return value->integer;
    fail_type(call, "%s must be an integer", label);
    return missing;
}

bool kb_call_flag(kb_call *call, const char *label, bool missing) {
    const kb_any *value = take(call);
    if (!value) return missing;
    if (value->type == KB_ANY_BOOL || value->type == KB_ANY_INT) return value->integer != 0;
    fail_type(call, "%s must be a bool", label);
    return missing;
}

/* The bytes of a text, borrowed from the value; none where it is no text. */
static kb_bytes text_in(const kb_any *value) {
    if (value->type == KB_ANY_RAW_TEXT) return (kb_bytes){value->text, strlen(value->text)};
    if (value->type == KB_ANY_SMALL_TEXT) return (kb_bytes){value->bytes, value->small_length};
    if (value->type == KB_ANY_TEXT) return *(const kb_bytes *)(value->object + 1);
    return (kb_bytes){NULL, 0};
}

int kb_call_choice(kb_call *call, const char *label, const char *const *texts, int count) {
    const kb_any *value = take(call);
    if (!value) return 0;
    kb_bytes text = text_in(value);
    if (!text.data) fail_type(call, "%s must be a text", label);
    for (int i = 0; text.data && i < count; i++)
        if (strlen(texts[i]) == text.size && memcmp(texts[i], text.data, text.size) == 0) return i;
    char known[SIZES_TEXT_MAX] = "";
    for (int i = 0, at = 0; i < count && at < (int)sizeof known; i++)
        at += snprintf(known + at, sizeof known - (size_t)at, i ? ", '%s'" : "'%s'", texts[i]);
    kb_call_require(call, false, "unknown %s '%.*s'; there are %s", label, (int)text.size,
                    text.data ? text.data : "", known);
    return 0;
}

/* ---- what tensors must be ---- */

void kb_call_same_type(kb_call *call, const kb_view *view, const kb_view *like) {
    if (call->failed || !view->given || !like->given || view->type == like->type) return;
    fail_type(call, "%s is of %s, %s of %s; one type is needed", view->label,
              dtype_name(view->type), like->label, dtype_name(like->type));
}

void kb_call_has_sizes(kb_call *call, const kb_view *view, int64_t ndim, const int64_t *sizes) {
    char given[SIZES_TEXT_MAX], needed[SIZES_TEXT_MAX];
    if (call->failed || !view->given) return;
    bool same = view->ndim == ndim;
    for (int64_t i = 0; same && i < ndim; i++) same = view->sizes[i] == sizes[i];
    if (same) return;
    kb_call_require(call, false, "%s has the shape %s; %s is needed", view->label,
                    sizes_text(view->ndim, view->sizes, given), sizes_text(ndim, sizes, needed));
}

void kb_call_same_sizes(kb_call *call, const kb_view *view, const kb_view *like) {
    if (like->given) kb_call_has_sizes(call, view, like->ndim, like->sizes);
}

void kb_call_like(kb_call *call, const kb_view *view, const kb_view *like) {
    kb_call_same_type(call, view, like);
    kb_call_same_sizes(call, view, like);
}

/* The error of a tensor that does not lie in memory as it must. */
static void fail_strides(kb_call *call, const kb_view *view, const char *needed) {
    char sizes[SIZES_TEXT_MAX], strides[SIZES_TEXT_MAX];
    kb_call_require(call, false, "%s has the shape %s and the strides %s; %s", view->label,
                    sizes_text(view->ndim, view->sizes, sizes),
                    sizes_text(view->ndim, view->strides, strides), needed);
}

void kb_call_contiguous(kb_call *call, const kb_view *view) {
    if (call->failed || !view->given) return;
    if (!kb_layout_is_contiguous(view->ndim, view->sizes, view->strides))
        fail_strides(call, view, "it must be contiguous");
}

void kb_call_least_dims(kb_call *call, const kb_view *view, int64_t ndim) {
    kb_call_require(call, !view->given || view->ndim >= ndim,
                    "%s has %lld dimensions; at least %lld are needed", view->label,
                    (long long)view->ndim, (long long)ndim);
}

int64_t kb_call_rows(kb_call *call, const kb_view *view, int64_t inner) {
    int64_t step = 0;
    if (call->failed || !view->given) return 0;
    if (!kb_layout_rows(view->ndim, view->sizes, view->strides, inner, &step))
        fail_strides(call, view, "rows must be contiguous and evenly spaced");
    return step;
}

/* ---- the call ---- */

static void choose_isa(kb_call *call) {
    static bool chosen; /* the same whoever chooses */
    if (call->failed || __atomic_load_n(&chosen, __ATOMIC_ACQUIRE)) return;
    const char *unknown = kb_isa_choose();
    kb_call_require(call, !unknown,
                    "KERNELS_CPU_ISA is '%s'; serial, avx2, avx512 or avx512_bf16 is needed",
                    unknown ? unknown : "");
    __atomic_store_n(&chosen, !unknown, __ATOMIC_RELEASE);
}

void kb_call_give(kb_call *call, int64_t number) {
    if (!call->failed) call->result = (kb_any){.type = KB_ANY_INT, .integer = number};
}

int kb_call_run(const char *name, kb_call_body body, int32_t least, int32_t most,
                const kb_any *arguments, int32_t count, kb_any *result) {
    kb_call call = {.name = name, .arguments = arguments, .count = count, .previous = -1};
    if (count < least || (least == most && count > most))
        fail_type(&call, "%d arguments were given; %s%d are needed", (int)count,
                  least == most ? "" : "at least ", (int)least);
    else if (count > most)
        fail_type(&call, "%d arguments were given; up to %d can be", (int)count, (int)most);
    choose_isa(&call);
    if (!call.failed) body(&call);
    if (KB_ON_CUDA(call.device)) kb_call_leave_device(&call);
    *result = call.result;
    return call.failed ? -1 : 0;
}
