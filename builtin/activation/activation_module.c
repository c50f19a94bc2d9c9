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
    .recorders = {"silu", "gelu", "gelu_tanh", "quick_gelu", "silu_and_mul", "gelu_and_mul",
                  "gelu_tanh_and_mul"},
};

/* Describes x when the direct way is right for it. */
static bool input_open(const kb_fast *fast, PyObject *object, kb_plain *x) {
    return kb_fast_is_quiet(fast) && kb_fast_open(fast, object, x) && x->contiguous;
}

/* Where x's gradient is recorded; recorder 0 is that of the first kind. */
static PyObject *record(const kb_state *state, int recorder, PyObject *x, PyObject *out) {
    if (out) Py_RETURN_NOTIMPLEMENTED;
    return kb_record(state, recorder, PyTuple_Pack(1, x));
}

/* The result: a new reference to `out`, or a new tensor. NULL: see kb_fast_failed. */
static PyObject *output_open(const kb_fast *fast, PyObject *out, const kb_plain *x,
                             const int64_t *sizes, const int64_t *strides, kb_plain *y) {
    if (!out) return kb_fast_new(fast, x, x->dl.ndim, sizes, strides, y);
    if (!kb_fast_open_like(fast, out, x, x->dl.ndim, sizes, y)) return NULL;
    Py_INCREF(out);
    return out;
}

/* The gradient of a result of these sizes, and a new tensor for that of x; NULL: see
 * kb_fast_failed. */
static PyObject *grads_open(const kb_fast *fast, PyObject *object, const kb_plain *x,
                            const int64_t *sizes, activation_job *job) {
    kb_plain grad, dx;
    if (x->count == 0 || !kb_fast_open_like(fast, object, x, x->dl.ndim, sizes, &grad)) return NULL;
    PyObject *result = kb_fast_new(fast, x, x->dl.ndim, x->dl.shape, x->dl.strides, &dx);
    if (!result) return NULL;
    job->grad = grad.data;
    job->out = dx.data;
    return result;
}

static PyObject *flat(const kb_state *state, PyObject *object, PyObject *out,
                      activation_kind kind) {
    kb_plain x, y;
    /* The strides of an empty tensor are a matter of their own: for the op. */
    if (!input_open(&state->fast, object, &x) || x.count == 0) Py_RETURN_NOTIMPLEMENTED;
    if (kb_fast_wants_grad(&state->fast, object)) return record(state, (int)kind, object, out);
    PyObject *result = output_open(&state->fast, out, &x, x.dl.shape, x.dl.strides, &y);
    if (!result) return kb_fast_failed();
    activation_job job = {.kind = kind, .type = x.type, .x = x.data, .out = y.data};
    return activation_run_direct(activation_flat_forward(&job, x.count), x.device, result);
}

static PyObject *flat_backward(const kb_fast *fast, PyObject *grad, PyObject *object,
                               activation_kind kind) {
    kb_plain x;
    if (!input_open(fast, object, &x) || kb_fast_wants_grad(fast, object)) Py_RETURN_NOTIMPLEMENTED;
    activation_job job = {.kind = kind, .type = x.type, .x = x.data};
    PyObject *result = grads_open(fast, grad, &x, x.dl.shape, &job);
    if (!result) return kb_fast_failed();
    return activation_run_direct(activation_flat_backward(&job, x.count), x.device, result);
}

/* Describes x, the job over the halves of its rows, and the sizes of the result. */
static bool gated_open(const kb_fast *fast, PyObject *object, activation_kind kind, kb_plain *x,
                       int64_t *sizes, activation_job *job) {
    if (!input_open(fast, object, x) || x->dl.ndim < 1) return false;
    const int64_t last = x->dl.shape[x->dl.ndim - 1];
    if (last % 2 != 0) return false;
    memcpy(sizes, x->dl.shape, (size_t)x->dl.ndim * sizeof *sizes);
    *job = (activation_job){.kind = kind, .type = x->type, .x = x->data};
    job->width = sizes[x->dl.ndim - 1] = last / 2;
    job->factor = kb_at(x->data, job->width, x->type);
    job->x_stride = job->factor_stride = last;
    return true;
}

static int64_t rows_of(const kb_plain *x, const activation_job *job) {
    return job->width > 0 ? x->count / job->x_stride : 0;
}

static PyObject *gated(const kb_state *state, PyObject *object, PyObject *out,
                       activation_kind kind) {
    kb_plain x, y;
    activation_job job;
    int64_t sizes[KB_MAX_DIMS];
    if (!gated_open(&state->fast, object, kind, &x, sizes, &job)) Py_RETURN_NOTIMPLEMENTED;
    if (kb_fast_wants_grad(&state->fast, object))
        return record(state, ACTIVATION_COUNT + (int)kind, object, out);
    PyObject *result = output_open(&state->fast, out, &x, sizes, NULL, &y);
    if (!result) return kb_fast_failed();
    job.out = y.data;
    job.out_stride = job.width;
    return activation_run_direct(activation_gated_forward(&job, rows_of(&x, &job)), x.device,
                                 result);
}

static PyObject *gated_backward(const kb_fast *fast, PyObject *grad, PyObject *object,
                                activation_kind kind) {
    kb_plain x;
    activation_job job;
    int64_t sizes[KB_MAX_DIMS];
    if (!gated_open(fast, object, kind, &x, sizes, &job) || kb_fast_wants_grad(fast, object))
        Py_RETURN_NOTIMPLEMENTED;
    PyObject *result = grads_open(fast, grad, &x, sizes, &job);
    if (!result) return kb_fast_failed();
    job.grad_stride = job.width;
    job.out_stride = job.x_stride;
    job.factor_out = kb_at_mut(job.out, job.width, x.type);
    return activation_run_direct(activation_gated_backward(&job, rows_of(&x, &job)), x.device,
                                 result);
}

/* name(x[, out]): the result; name_backward(grad, x): the gradient of x; or NotImplemented */
#define DEFINE_DIRECT(name, way, kind)                                                          \
    static PyObject *direct_##name(PyObject *module, PyObject *const *args, Py_ssize_t count) { \
        if (!kb_argument_count_between(count, 1, 2)) return NULL;                               \
        return way(kb_state_of(module), args[0], count == 2 ? args[1] : NULL, kind);            \
    }                                                                                           \
    static PyObject *direct_##name##_backward(PyObject *module, PyObject *const *args,          \
                                              Py_ssize_t count) {                               \
        if (!kb_argument_count_is(count, 2)) return NULL;                                       \
        return way##_backward(&kb_state_of(module)->fast, args[0], args[1], kind);              \
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
    return flat(state, args[1], NULL, ACTIVATION_SILU);
}

/* gelu_layer(layer, x): a tensor, or NotImplemented */
static PyObject *direct_gelu_layer(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    const kb_state *state = kb_state_of(module);
    if (!kb_argument_count_is(count, 2)) return NULL;
    PyObject *approximate = kb_layer_find(args[0], state->texts[TEXT_APPROXIMATE]);
    if (!approximate) return flat(state, args[1], NULL, ACTIVATION_GELU);
    if (!PyUnicode_Check(approximate)) Py_RETURN_NOTIMPLEMENTED;
    if (PyUnicode_CompareWithASCIIString(approximate, "none") == 0)
        return flat(state, args[1], NULL, ACTIVATION_GELU);
    if (PyUnicode_CompareWithASCIIString(approximate, "tanh") == 0)
        return flat(state, args[1], NULL, ACTIVATION_GELU_TANH);
    Py_RETURN_NOTIMPLEMENTED;
}

static PyMethodDef module_methods[] = {
    KB_DIRECT_PAIR(silu),
    KB_DIRECT_PAIR(gelu),
    KB_DIRECT_PAIR(gelu_tanh),
    KB_DIRECT_PAIR(quick_gelu),
    KB_DIRECT_PAIR(silu_and_mul),
    KB_DIRECT_PAIR(gelu_and_mul),
    KB_DIRECT_PAIR(gelu_tanh_and_mul),
    {"silu_layer", KB_FASTCALL(direct_silu_layer)},
    {"gelu_layer", KB_FASTCALL(direct_gelu_layer)},
    KB_MODULE_METHODS,
};

KB_DEFINE_MODULE(activation)
