/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_FAST_H
#define KB_FAST_H

/*
 * The direct way from Python to a kernel: no dispatcher, about 1 us less. It is taken only for
 * plain tensors when nothing watches or transforms the call; in every other case it declines
 * with NotImplemented, and the caller goes through the op or through torch's own functions.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>

#include "kb_dlpack.h"
#include "kb_tensor.h"

/* What is looked up once, at import. */
typedef enum kb_object {
    KB_TENSOR_TYPE,
    KB_PARAMETER_TYPE,
    KB_EMPTY_STRIDED,      /* on the CPU */
    KB_EMPTY_STRIDED_CUDA, /* on the current CUDA device; None where that is not built in */
    KB_IS_NEG,
    KB_FUNCTION_MODE_ENABLED,
    KB_DISPATCH_MODE_COUNT,
    KB_IS_TRACING,
    KB_FUNCTORCH_IS_ACTIVE,
    KB_FORWARD_AD, /* the dict of torch.autograd.forward_ad */
    KB_PROFILER,   /* the dict of torch.autograd.profiler */
    KB_DTYPES,     /* torch.float32 and so on, by kb_dtype */
    KB_MINUS_ONE = KB_DTYPES + 3,
    KB_ZERO,
    KB_TEXT_CURRENT_LEVEL,
    KB_TEXT_PROFILER_ENABLED,
    KB_TEXT_REQUIRES_GRAD,
    KB_TEXT_DTYPE,
    KB_TEXT_PARAMETERS,
    KB_OBJECT_COUNT
} kb_object;

/* The extension's module state begins with it. */
typedef struct kb_fast {
    const kb_dl_exchange_api *api; /* NULL: this torch lacks something, always decline */
    PyObject *objects[KB_OBJECT_COUNT];
} kb_fast;

typedef struct kb_plain {
    kb_dl_tensor dl; /* with strides wherever there is a dimension */
    void *data;
    kb_dtype type;
    kb_device device;
    int64_t count; /* of elements */
    bool contiguous;
} kb_plain;

/* Returns 0, or -1 with a Python error. What this torch lacks is not an error. */
int kb_fast_init(kb_fast *fast);
int kb_fast_traverse(kb_fast *fast, visitproc visit, void *arg);
void kb_fast_clear(kb_fast *fast);

/* Whether no mode, tracer, profiler or forward-mode differentiation is active. */
bool kb_fast_is_quiet(const kb_fast *fast);

/* Whether gradients are recorded and `object` (a plain tensor) takes part. */
bool kb_fast_wants_grad(const kb_fast *fast, PyObject *object);
/* Whether any of these does; NULL and None among them do not. */
bool kb_fast_any_wants_grad(const kb_fast *fast, PyObject *const *objects, size_t count);

/* Whether an autograd function may be called without its Python part: that is for torch.func. */
bool kb_fast_may_record(const kb_fast *fast);

/* Describes a plain tensor of a supported dtype, on the CPU or, where that is built in, the current
 * CUDA device; false: decline. Sets no error. */
bool kb_fast_open(const kb_fast *fast, PyObject *object, kb_plain *out);

/* The same for a tensor on the device of x, which is open. */
bool kb_fast_open_beside(const kb_fast *fast, PyObject *object, const kb_plain *x, kb_plain *out);

/* The same for a tensor of x's type and of these sizes, contiguous and without gradient: one to
 * write into, or a gradient. */
bool kb_fast_open_like(const kb_fast *fast, PyObject *object, const kb_plain *x, int32_t ndim,
                       const int64_t *sizes, kb_plain *out);

/* Whether both have one type and one device. */
bool kb_plain_is_with(const kb_plain *a, const kb_plain *b);

bool kb_plain_has_sizes(const kb_plain *tensor, int32_t ndim, const int64_t *sizes);

/* A new tensor of x's type and device, contiguous where `strides` is NULL; NULL with an error, or
 * without one to decline. */
PyObject *kb_fast_new(const kb_fast *fast, const kb_plain *x, int32_t ndim, const int64_t *sizes,
                      const int64_t *strides, kb_plain *out);

/* The same of float32, whatever x's type. */
PyObject *kb_fast_new_floats(const kb_fast *fast, const kb_plain *x, int64_t count, float **data);

/* kb_parallel without the GIL where that uses threads. */
void kb_fast_parallel(int64_t count, int64_t cost, kb_range_kernel kernel, void *context);

/* Gives `result` after work on a CUDA device whose launch gave `error`; where that is not 0, NULL
 * with a RuntimeError. Takes the reference. */
PyObject *kb_fast_launched(PyObject *result, int error);

/* The result of a function that got NULL from it: the error, or NotImplemented. */
PyObject *kb_fast_failed(void);

/* Borrowed entry of a dict, NULL when absent. Sets no error. */
PyObject *kb_dict_find(PyObject *dict, PyObject *key);

#endif
