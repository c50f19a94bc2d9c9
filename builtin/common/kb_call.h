/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_CALL_H
#define KB_CALL_H

/*
 * One call of a function that a tvm-ffi variant exports: its arguments are taken in their order,
 * and checked. The first thing that is wrong becomes the call's error; from then on every function
 * here does nothing, and what it gives is zero.
 */
#include "kb_device.h"
#include "kb_layout.h"
#include "kb_parallel.h"
#include "kb_scalar.h"
#include "kb_tvm_abi.h"

enum { KB_CALL_DIMS = 16 };

typedef struct kb_call {
    const char *name;
    const kb_any *arguments;
    int32_t count, next;
    bool failed;
    bool has_device; /* that of the first tensor; all others must be there, too */
    kb_device device;
    int32_t previous; /* the CUDA device to go back to; -1: none */
    kb_any result;    /* None, unless it is given another one */
} kb_call;

/* A tensor of the caller's. Not to be copied: `strides` may be its own. */
typedef struct kb_view {
    const char *label;
    bool given; /* false: None */
    void *data;
    int64_t ndim;
    const int64_t *sizes, *strides;
    kb_dtype type; /* of indices it says nothing */
    int64_t contiguous[KB_CALL_DIMS];
} kb_view;

/* The next argument: a tensor of float32, bfloat16 or float16; the same or None; one of int64. */
void kb_call_tensor(kb_call *call, const char *label, kb_view *out);
void kb_call_optional(kb_call *call, const char *label, kb_view *out);
void kb_call_indices(kb_call *call, const char *label, kb_view *out);

/* The next argument, or `missing` where there are no more. */
double kb_call_number(kb_call *call, const char *label, double missing);
int64_t kb_call_integer(kb_call *call, const char *label, int64_t missing);
bool kb_call_flag(kb_call *call, const char *label, bool missing);

/* The next argument, which must be one of `count` texts: its place among them. */
int kb_call_choice(kb_call *call, const char *label, const char *const *texts, int count);

/* A ValueError where `condition` does not hold. */
void kb_call_require(kb_call *call, bool condition, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What a tensor must be; where one is None, nothing. */
void kb_call_same_type(kb_call *call, const kb_view *view, const kb_view *like);
void kb_call_same_sizes(kb_call *call, const kb_view *view, const kb_view *like);
void kb_call_like(kb_call *call, const kb_view *view, const kb_view *like); /* both of these */
void kb_call_contiguous(kb_call *call, const kb_view *view);
void kb_call_has_sizes(kb_call *call, const kb_view *view, int64_t ndim, const int64_t *sizes);
void kb_call_least_dims(kb_call *call, const kb_view *view, int64_t ndim);

/* Contiguous rows of the last `inner` dimensions, evenly spaced: the step from row to row. */
int64_t kb_call_rows(kb_call *call, const kb_view *view, int64_t inner);

/* The stream that work for the call's tensors goes to. Their device is current until the call's
 * end. Only with KB_HAS_CUDA, as the next two. */
void *kb_call_stream(kb_call *call);
void kb_call_launched(kb_call *call, int error); /* a cudaError_t */
void kb_call_leave_device(kb_call *call);

/* Makes a number the call's result. */
void kb_call_give(kb_call *call, int64_t number);

typedef void (*kb_call_body)(kb_call *call);

/* Runs `body` over `least` to `most` arguments: a kb_safe_call but for what is fixed. */
int kb_call_run(const char *name, kb_call_body body, int32_t least, int32_t most,
                const kb_any *arguments, int32_t count, kb_any *result);

/* Exports the function `name` of a kb_call. */
#define KB_EXPORT(name, least, most)                                                     \
    __attribute__((visibility("default"))) int tvm_##name(                               \
        void *self, const kb_any *arguments, int32_t count,                              \
        kb_any *result) __asm__("__tvm_ffi_" #name);                                     \
    int tvm_##name(void *self, const kb_any *arguments, int32_t count, kb_any *result) { \
        (void)self;                                                                      \
        return kb_call_run(#name, name, least, most, arguments, count, result);          \
    }

#endif
