/* SPDX-License-Identifier: Apache-2.0 */
/* The Python module _activation_kern: registration of the ops, and the direct calls. */
#include "activation_device.h"
#include "activation_ops.h"
#include "kb_module.h"

enum { TEXT_APPROXIMATE, TEXT_INPLACE };

static const kb_kernel kernel = {
    .name = "activation",
    .ops = activation_ops,
    .op_count = ACTIVATION_OP_COUNT,
    .texts = {"approximate", "inplace"},
};

/* Describes x when the direct way is right for it. */
static bool input_open(const kb_fast *fast, PyObject *object, kb_plain *x) {
    return kb_fast_is_quiet(fast) && kb_fast_open(fast, object, x) && x->contiguous &&
           !kb_fast_wants_grad(fast, object);
}

/* The result: a new reference to `out`, or a new tensor. NULL: see kb_fast_failed. */
static PyObject *output_open(const kb_fast *fast, PyObject *out, const kb_plain *x,
                             const int64_t *sizes, const int64_t *strides, kb_plain *y) {
    if (!out) return kb_fast_new(fast, x, x->dl.ndim, sizes, strides, y);
    if (!kb_fast_open_output(fast, out, x, x->dl.ndim, sizes, y)) return NULL;
    Py_INCREF(out);
    return out;
}

static PyObject *flat(const kb_fast *fast, PyObject *object, PyObject *out, activation_kind kind) {
    kb_plain x, y;
    /* The strides of an empty tensor are a matter of their own: for the op. */
    if (!input_open(fast, object, &x) || x.count == 0) Py_RETURN_NOTIMPLEMENTED;
    PyObject *result = output_open(fast, out, &x, x.dl.shape, x.dl.strides, &y);
    if (!result) return kb_fast_failed();
    activation_job job = {.kind = kind, .type = x.type, .x = x.data, .out = y.data};
    return activation_run_direct(activation_flat_forward(&job, x.count), x.device, result);
}

static PyObject *gated(const kb_fast *fast, PyObject *object, PyObject *out, activation_kind kind) {
    kb_plain x, y;
    int64_t sizes[KB_MAX_DIMS];
    if (!input_open(fast, object, &x) || x.dl.ndim < 1) Py_RETURN_NOTIMPLEMENTED;
    int64_t last = x.dl.shape[x.dl.ndim - 1];
    if (last % 2 != 0) Py_RETURN_NOTIMPLEMENTED;
    memcpy(sizes, x.dl.shape, (size_t)x.dl.ndim * sizeof *sizes);
    sizes[x.dl.ndim - 1] = last / 2;
    PyObject *result = output_open(fast, out, &x, sizes, NULL, &y);
    if (!result) return kb_fast_failed();
    activation_job job = {.kind = kind, .type = x.type, .x = x.data, .out = y.data};
    job.width = job.out_stride = last / 2;
    job.factor = kb_at(x.data, job.width, x.type);
    job.x_stride = job.factor_stride = last;
    int64_t rows = last > 0 ? x.count / last : 0;
    return activation_run_direct(activation_gated_forward(&job, rows), x.device, result);
}

/* name(x[, out]): the result, or NotImplemented */
#define DEFINE_DIRECT(name, way, kind)                                                          \
    static PyObject *direct_##name(PyObject *module, PyObject *const *args, Py_ssize_t count) { \
        if (!kb_argument_count_between(count, 1, 2)) return NULL;                               \
        return way(&kb_state_of(module)->fast, args[0], count == 2 ? args[1] : NULL, kind);     \
    }

DEFINE_DIRECT(silu, flat, ACTIVATION_SILU)
DEFINE_DIRECT(gelu, flat, ACTIVATION_GELU)
DEFINE_DIRECT(gelu_tanh, flat, ACTIVATION_GELU_TANH)
DEFINE_DIRECT(quick_gelu, flat, ACTIVATION_QUICK_GELU)
DEFINE_DIRECT(silu_and_mul, gated, ACTIVATION_SILU)
DEFINE_DIRECT(gelu_and_mul, gated, ACTIVATION_GELU)
DEFINE_DIRECT(gelu_tanh_and_mul, gated, ACTIVATION_GELU_TANH)

/* silu_layer(layer, x): a tensor, or NotImplemented. A layer that works in place is declined. */
static PyObject *direct_silu_layer(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    const kb_state *state = kb_state_of(module);
    if (!kb_argument_count_is(count, 2)) return NULL;
    PyObject *inplace = kb_layer_find(args[0], state->texts[TEXT_INPLACE]);
    if (inplace && inplace != Py_False) Py_RETURN_NOTIMPLEMENTED;
    return flat(&state->fast, args[1], NULL, ACTIVATION_SILU);
}

/* gelu_layer(layer, x): a tensor, or NotImplemented */
static PyObject *direct_gelu_layer(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    const kb_state *state = kb_state_of(module);
    if (!kb_argument_count_is(count, 2)) return NULL;
    PyObject *approximate = kb_layer_find(args[0], state->texts[TEXT_APPROXIMATE]);
    if (!approximate) return flat(&state->fast, args[1], NULL, ACTIVATION_GELU);
    if (!PyUnicode_Check(approximate)) Py_RETURN_NOTIMPLEMENTED;
    if (PyUnicode_CompareWithASCIIString(approximate, "none") == 0)
        return flat(&state->fast, args[1], NULL, ACTIVATION_GELU);
    if (PyUnicode_CompareWithASCIIString(approximate, "tanh") == 0)
        return flat(&state->fast, args[1], NULL, ACTIVATION_GELU_TANH);
    Py_RETURN_NOTIMPLEMENTED;
}

static PyMethodDef module_methods[] = {
    {"silu", KB_FASTCALL(direct_silu)},
    {"gelu", KB_FASTCALL(direct_gelu)},
    {"gelu_tanh", KB_FASTCALL(direct_gelu_tanh)},
    {"quick_gelu", KB_FASTCALL(direct_quick_gelu)},
    {"silu_and_mul", KB_FASTCALL(direct_silu_and_mul)},
    {"gelu_and_mul", KB_FASTCALL(direct_gelu_and_mul)},
    {"gelu_tanh_and_mul", KB_FASTCALL(direct_gelu_tanh_and_mul)},
    {"silu_layer", KB_FASTCALL(direct_silu_layer)},
    {"gelu_layer", KB_FASTCALL(direct_gelu_layer)},
    KB_MODULE_METHODS,
};

KB_DEFINE_MODULE(activation)
