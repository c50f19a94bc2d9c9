/* SPDX-License-Identifier: Apache-2.0 */
/* The Python module _norm_kern: registration of the ops, and the direct calls. */
#include <float.h>

#include "norm_direct.h"
#include "norm_ops.h"

enum {
    TEXT_WEIGHT,
    TEXT_BIAS,
    TEXT_EPS,
    TEXT_VARIANCE_EPSILON,
    TEXT_NORMALIZED_SHAPE,
    TEXT_ACTIVATION
};

static const kb_kernel kernel = {
    .name = "norm",
    .ops = norm_ops,
    .op_count = NORM_OP_COUNT,
    .texts = {"weight", "bias", "eps", "variance_epsilon", "normalized_shape", "activation"},
    .recorders = {"rms_norm", "layer_norm", "fused_add_rms_norm", "fused_add_layer_norm",
                  "rms_norm_gated"},
};

static bool inner_get(PyObject *object, norm_call *call) {
    call->inner = PyLong_AsLongLong(object);
    return call->inner != -1 || !PyErr_Occurred();
}

/* False: see kb_fast_failed. */
static bool gate_kind_read(PyObject *object, norm_call *call) {
    long kind = PyLong_AsLong(object);
    call->gate_kind = kind == NORM_GATE_SIGMOID ? NORM_GATE_SIGMOID : NORM_GATE_SILU;
    return kind == NORM_GATE_SILU || kind == NORM_GATE_SIGMOID;
}

/* The rest of a backward: ndim and eps are at `options`. */
static PyObject *call_backward(PyObject *module, norm_call *call, PyObject *const *options) {
    if (!inner_get(options[0], call)) return NULL;
    if (!kb_float_read(options[1], &call->eps)) Py_RETURN_NOTIMPLEMENTED;
    return norm_call_backward(kb_state_of(module), call);
}

static PyObject *none_as_null(PyObject *object) { return object == Py_None ? NULL : object; }

/* rms_norm(x, weight, ndim, eps, cast_first, out): a tensor, or NotImplemented */
static PyObject *direct_rms_norm(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (!kb_argument_count_between(count, 5, 6)) return NULL;
    norm_call call = {.function = NORM_RMS, .x = args[0], .weight = args[1], .bias = Py_None};
    if (!inner_get(args[2], &call)) return NULL;
    if (!kb_float_read(args[3], &call.eps)) Py_RETURN_NOTIMPLEMENTED;
    call.cast_first = args[4] == Py_True;
    call.out = count == 6 ? none_as_null(args[5]) : NULL;
    return norm_call_forward(kb_state_of(module), &call);
}

/* layer_norm(x, weight, bias, ndim, eps, out): a tensor, or NotImplemented */
static PyObject *direct_layer_norm(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (!kb_argument_count_between(count, 5, 6)) return NULL;
    norm_call call = {.function = NORM_LAYER, .x = args[0], .weight = args[1], .bias = args[2]};
    if (!inner_get(args[3], &call)) return NULL;
    if (!kb_float_read(args[4], &call.eps)) Py_RETURN_NOTIMPLEMENTED;
    call.out = count == 6 ? none_as_null(args[5]) : NULL;
    return norm_call_forward(kb_state_of(module), &call);
}

/* fused_add_rms_norm(x, residual, weight, ndim, eps, cast_first): a pair, or NotImplemented */
static PyObject *direct_fused_add_rms_norm(PyObject *module, PyObject *const *args,
                                           Py_ssize_t count) {
    if (!kb_argument_count_is(count, 6)) return NULL;
    norm_call call = {.function = NORM_ADD_RMS, .x = args[0], .weight = args[2], .bias = Py_None};
    call.residual = args[1];
    if (!inner_get(args[3], &call)) return NULL;
    if (!kb_float_read(args[4], &call.eps)) Py_RETURN_NOTIMPLEMENTED;
    call.cast_first = args[5] == Py_True;
    return norm_call_forward(kb_state_of(module), &call);
}

/* fused_add_layer_norm(x, residual, weight, bias, ndim, eps): a pair, or NotImplemented */
static PyObject *direct_fused_add_layer_norm(PyObject *module, PyObject *const *args,
                                             Py_ssize_t count) {
    if (!kb_argument_count_is(count, 6)) return NULL;
    norm_call call = {.function = NORM_ADD_LAYER, .x = args[0], .weight = args[2]};
    call.residual = args[1];
    call.bias = args[3];
    if (!inner_get(args[4], &call)) return NULL;
    if (!kb_float_read(args[5], &call.eps)) Py_RETURN_NOTIMPLEMENTED;
    return norm_call_forward(kb_state_of(module), &call);
}

/* rms_norm_gated(x, gate, weight, ndim, eps, cast_first, kind): a tensor, or NotImplemented */
static PyObject *direct_rms_norm_gated(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (!kb_argument_count_is(count, 7)) return NULL;
    norm_call call = {.function = NORM_RMS_GATED, .x = args[0], .weight = args[2], .bias = Py_None};
    call.gate = args[1];
    if (!inner_get(args[3], &call)) return NULL;
    if (!kb_float_read(args[4], &call.eps)) Py_RETURN_NOTIMPLEMENTED;
    call.cast_first = args[5] == Py_True;
    if (!gate_kind_read(args[6], &call)) return kb_fast_failed();
    return norm_call_forward(kb_state_of(module), &call);
}

/* rms_norm_backward(grad, x, weight, ndim, eps, wants_weight, sum_grad): as norm_call_backward, or
 * NotImplemented. What is wanted is a bool. */
static PyObject *direct_rms_norm_backward(PyObject *module, PyObject *const *args,
                                          Py_ssize_t count) {
    if (!kb_argument_count_between(count, 6, 7)) return NULL;
    norm_call call = {.function = NORM_RMS, .x = args[1], .weight = args[2], .bias = Py_None};
    call.grad = args[0];
    call.wants_weight = args[5] == Py_True;
    call.sum_grad = count == 7 ? none_as_null(args[6]) : NULL;
    return call_backward(module, &call, args + 3);
}

/* layer_norm_backward(grad, x, weight, bias, ndim, eps, wants_weight, wants_bias, sum_grad) */
static PyObject *direct_layer_norm_backward(PyObject *module, PyObject *const *args,
                                            Py_ssize_t count) {
    if (!kb_argument_count_between(count, 8, 9)) return NULL;
    norm_call call = {.function = NORM_LAYER, .x = args[1], .weight = args[2], .bias = args[3]};
    call.grad = args[0];
    call.wants_weight = args[6] == Py_True;
    call.wants_bias = args[7] == Py_True;
    call.sum_grad = count == 9 ? none_as_null(args[8]) : NULL;
    return call_backward(module, &call, args + 4);
}

/* rms_norm_gated_backward(grad, x, gate, weight, ndim, eps, kind, wants_weight) */
static PyObject *direct_rms_norm_gated_backward(PyObject *module, PyObject *const *args,
                                                Py_ssize_t count) {
    if (!kb_argument_count_is(count, 8)) return NULL;
    norm_call call = {.function = NORM_RMS_GATED, .x = args[1], .weight = args[3], .bias = Py_None};
    call.grad = args[0];
    call.gate = args[2];
    call.wants_weight = args[7] == Py_True;
    if (!gate_kind_read(args[6], &call)) return kb_fast_failed();
    return call_backward(module, &call, args + 4);
}

/* The number of normalized dimensions: what `normalized_shape` says, else the weight's. */
static bool inner_read(const kb_state *state, PyObject *dict, norm_call *call) {
    PyObject *shape = kb_dict_find(dict, state->texts[TEXT_NORMALIZED_SHAPE]);
    call->inner = 1;
    if (!shape) return call->weight != Py_None;
    if (!PyTuple_Check(shape)) return false;
    call->inner = PyTuple_Size(shape);
    /* A weight vouches for the sizes; without one only the plain case is taken here. */
    return call->weight != Py_None;
}

/* Whether weight and bias are where nn.Module keeps parameters. Anything else (parametrized,
 * sharded, wrapped) is for the slower way, which asks for the attribute. */
static bool parameters_read(const kb_state *state, PyObject *dict, norm_call *call, bool has_bias) {
    PyObject *parameters = kb_dict_find(dict, state->fast.objects[KB_TEXT_PARAMETERS]);
    call->weight = kb_dict_find(parameters, state->texts[TEXT_WEIGHT]);
    call->bias = has_bias ? kb_dict_find(parameters, state->texts[TEXT_BIAS]) : Py_None;
    return call->weight && call->bias;
}

static bool rms_layer_read(const kb_state *state, PyObject *dict, norm_call *call) {
    PyObject *eps = kb_dict_find(dict, state->texts[TEXT_VARIANCE_EPSILON]);
    call->cast_first = eps != NULL; /* transformers' classes have this name and this order */
    if (!eps) eps = kb_dict_find(dict, state->texts[TEXT_EPS]);
    call->eps = (double)FLT_EPSILON; /* torch.nn.RMSNorm's default, None */
    return (eps == Py_None || kb_float_read(eps, &call->eps)) &&
           parameters_read(state, dict, call, false) && inner_read(state, dict, call);
}

static bool layer_layer_read(const kb_state *state, PyObject *dict, norm_call *call) {
    return kb_float_read(kb_dict_find(dict, state->texts[TEXT_EPS]), &call->eps) &&
           parameters_read(state, dict, call, true) && inner_read(state, dict, call);
}

/* As layers.py: the classes that gate by a sigmoid multiply before they round. */
static bool gated_layer_read(const kb_state *state, PyObject *dict, norm_call *call) {
    PyObject *activation = kb_dict_find(dict, state->texts[TEXT_ACTIVATION]);
    if (!rms_layer_read(state, dict, call)) return false;
    call->gate_kind = NORM_GATE_SILU;
    if (!activation) return true;
    if (!PyUnicode_Check(activation)) return false;
    if (PyUnicode_CompareWithASCIIString(activation, "silu") == 0) return true;
    call->gate_kind = NORM_GATE_SIGMOID;
    call->cast_first = false;
    return PyUnicode_CompareWithASCIIString(activation, "sigmoid") == 0;
}

typedef bool (*layer_reader)(const kb_state *state, PyObject *dict, norm_call *call);

static PyObject *call_layer(PyObject *module, PyObject *layer, norm_call *call, layer_reader read) {
    const kb_state *state = kb_state_of(module);
    PyObject *dict = PyObject_GenericGetDict(layer, NULL);
    if (!dict) return NULL;
    PyObject *result = Py_NotImplemented;
    if (read(state, dict, call))
        result = norm_call_forward(state, call);
    else
        Py_INCREF(result);
    Py_DECREF(dict);
    return result;
}

/* The layers' functions take the layer and its inputs and return what the functions above do. */
static PyObject *direct_rms_norm_layer(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (!kb_argument_count_is(count, 2)) return NULL;
    norm_call call = {.function = NORM_RMS, .x = args[1]};
    return call_layer(module, args[0], &call, rms_layer_read);
}

static PyObject *direct_layer_norm_layer(PyObject *module, PyObject *const *args,
                                         Py_ssize_t count) {
    if (!kb_argument_count_is(count, 2)) return NULL;
    norm_call call = {.function = NORM_LAYER, .x = args[1]};
    return call_layer(module, args[0], &call, layer_layer_read);
}

static PyObject *direct_fused_add_rms_norm_layer(PyObject *module, PyObject *const *args,
                                                 Py_ssize_t count) {
    if (!kb_argument_count_is(count, 3)) return NULL;
    norm_call call = {.function = NORM_ADD_RMS, .x = args[1], .residual = args[2]};
    return call_layer(module, args[0], &call, rms_layer_read);
}

static PyObject *direct_fused_add_layer_norm_layer(PyObject *module, PyObject *const *args,
                                                   Py_ssize_t count) {
    if (!kb_argument_count_is(count, 3)) return NULL;
    norm_call call = {.function = NORM_ADD_LAYER, .x = args[1], .residual = args[2]};
    return call_layer(module, args[0], &call, layer_layer_read);
}

static PyObject *direct_rms_norm_gated_layer(PyObject *module, PyObject *const *args,
                                             Py_ssize_t count) {
    if (!kb_argument_count_is(count, 3)) return NULL;
    norm_call call = {.function = NORM_RMS_GATED, .x = args[1], .gate = args[2]};
    return call_layer(module, args[0], &call, gated_layer_read);
}

static PyMethodDef module_methods[] = {
    {"rms_norm", KB_FASTCALL(direct_rms_norm)},
    {"layer_norm", KB_FASTCALL(direct_layer_norm)},
    {"fused_add_rms_norm", KB_FASTCALL(direct_fused_add_rms_norm)},
    {"fused_add_layer_norm", KB_FASTCALL(direct_fused_add_layer_norm)},
    {"rms_norm_gated", KB_FASTCALL(direct_rms_norm_gated)},
    {"rms_norm_backward", KB_FASTCALL(direct_rms_norm_backward)},
    {"layer_norm_backward", KB_FASTCALL(direct_layer_norm_backward)},
    {"rms_norm_gated_backward", KB_FASTCALL(direct_rms_norm_gated_backward)},
    {"rms_norm_layer", KB_FASTCALL(direct_rms_norm_layer)},
    {"layer_norm_layer", KB_FASTCALL(direct_layer_norm_layer)},
    {"fused_add_rms_norm_layer", KB_FASTCALL(direct_fused_add_rms_norm_layer)},
    {"fused_add_layer_norm_layer", KB_FASTCALL(direct_fused_add_layer_norm_layer)},
    {"rms_norm_gated_layer", KB_FASTCALL(direct_rms_norm_gated_layer)},
    KB_MODULE_METHODS,
};

KB_DEFINE_MODULE(norm)
