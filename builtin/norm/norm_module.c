/* SPDX-License-Identifier: Apache-2.0 */
/* The Python module _norm_kern: registration of the ops, and the direct calls. */
#include <float.h>

#include "kb_cuda.h"
#include "kb_module.h"
#include "norm_cuda.h"
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
};

/* What one call works on; the objects are borrowed from the caller's arguments. */
typedef struct norm_call {
    PyObject *x;
    PyObject *weight; /* a tensor or None */
    PyObject *bias;
    PyObject *residual; /* a tensor or NULL, as the next two */
    PyObject *gate;
    PyObject *out;
    int64_t inner;
    double eps;
    norm_gate gate_kind;
    bool centered; /* layer normalization */
    bool cast_first;
} norm_call;

static bool parameter_open(const kb_fast *fast, PyObject *object, const kb_plain *x, int64_t inner,
                           const void **data) {
    kb_plain parameter;
    *data = NULL;
    if (object == Py_None) return true;
    /* Another dtype is for the op: the result's dtype may differ then. */
    if (!kb_fast_open_beside(fast, object, x, &parameter) || parameter.type != x->type)
        return false;
    *data = parameter.data;
    return parameter.contiguous &&
           kb_plain_has_sizes(&parameter, (int32_t)inner, x->dl.shape + (x->dl.ndim - inner));
}

/* A second tensor like x. */
static bool like_open(const kb_fast *fast, PyObject *object, const kb_plain *x, const void **data) {
    kb_plain other;
    *data = NULL;
    if (!object) return true;
    if (!kb_fast_open_beside(fast, object, x, &other) || other.type != x->type) return false;
    *data = other.data;
    return other.contiguous && kb_plain_has_sizes(&other, x->dl.ndim, x->dl.shape);
}

static bool wants_grad(const kb_fast *fast, const norm_call *call) {
    return kb_fast_wants_grad(fast, call->x) || kb_fast_wants_grad(fast, call->weight) ||
           kb_fast_wants_grad(fast, call->bias) ||
           (call->residual && kb_fast_wants_grad(fast, call->residual)) ||
           (call->gate && kb_fast_wants_grad(fast, call->gate));
}

static bool job_open(const kb_fast *fast, const norm_call *call, kb_plain *x, norm_job *job) {
    if (!kb_fast_open(fast, call->x, x) || !x->contiguous) return false;
    if (call->inner < 1 || call->inner > x->dl.ndim) return false;
    *job = (norm_job){.gate_kind = call->gate_kind, .centered = call->centered};
    if (!parameter_open(fast, call->weight, x, call->inner, &job->weight)) return false;
    if (!parameter_open(fast, call->bias, x, call->inner, &job->bias)) return false;
    if (!like_open(fast, call->residual, x, &job->residual)) return false;
    if (!like_open(fast, call->gate, x, &job->gate)) return false;
    job->x = x->data;
    job->width = kb_sizes_product(x->dl.shape, x->dl.ndim - call->inner, x->dl.ndim);
    job->x_stride = job->residual_stride = job->gate_stride = job->width;
    job->eps = (float)call->eps;
    job->cast_first = call->cast_first;
    job->x_type = job->param_type = job->y_type = x->type;
    return true;
}

/* A new tensor like x, or a new reference to `out`. NULL: see kb_fast_failed. */
static PyObject *output_open(const kb_fast *fast, PyObject *out, const kb_plain *x, void **data) {
    kb_plain y;
    PyObject *result = out;
    if (!out)
        result = kb_fast_new(fast, x, x->dl.ndim, x->dl.shape, NULL, &y);
    else if (kb_fast_open_output(fast, out, x, x->dl.ndim, x->dl.shape, &y))
        Py_INCREF(out);
    else
        result = NULL;
    if (result) *data = y.data;
    return result;
}

/* Does the work on x's device and gives `result`. */
static PyObject *run(const norm_call *call, const norm_job *job, const kb_plain *x,
                     PyObject *result) {
    norm_work work = norm_forward_work(job, job->width > 0 ? x->count / job->width : 0);
    if (KB_ON_CUDA(x->device)) {
        void *stream = NULL;
        int error = kb_cuda_find_stream(x->device.index, &stream);
        if (!error) error = norm_cuda_forward(&work.job, work.rows, stream);
        return kb_fast_launched(result, error);
    }
    /* While the GIL is released, another thread may give the layer other parameters. */
    Py_INCREF(call->weight);
    Py_INCREF(call->bias);
    kb_fast_parallel(work.rows, job->width, norm_forward_range, &work);
    Py_DECREF(call->bias);
    Py_DECREF(call->weight);
    return result;
}

/* The normalized tensor; with a residual a pair of it and the sum. */
static PyObject *call_direct(const kb_fast *fast, const norm_call *call) {
    kb_plain x;
    norm_job job;
    if (!kb_fast_is_quiet(fast) || !job_open(fast, call, &x, &job) || wants_grad(fast, call))
        Py_RETURN_NOTIMPLEMENTED;
    PyObject *result = output_open(fast, call->out, &x, &job.out);
    if (!result) return kb_fast_failed();
    if (!call->residual) return run(call, &job, &x, result);
    PyObject *sum = output_open(fast, NULL, &x, &job.sum);
    PyObject *pair = sum ? PyTuple_Pack(2, result, sum) : NULL;
    Py_DECREF(result);
    Py_XDECREF(sum);
    if (!pair) return kb_fast_failed();
    return run(call, &job, &x, pair);
}

static bool inner_get(PyObject *object, norm_call *call) {
    call->inner = PyLong_AsLongLong(object);
    return call->inner != -1 || !PyErr_Occurred();
}

static PyObject *none_as_null(PyObject *object) { return object == Py_None ? NULL : object; }

/* rms_norm(x, weight, ndim, eps, cast_first, out): a tensor, or NotImplemented */
static PyObject *direct_rms_norm(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (!kb_argument_count_between(count, 5, 6)) return NULL;
    norm_call call = {.x = args[0], .weight = args[1], .bias = Py_None};
    if (!inner_get(args[2], &call)) return NULL;
    if (!kb_float_read(args[3], &call.eps)) Py_RETURN_NOTIMPLEMENTED;
    call.cast_first = args[4] == Py_True;
    call.out = count == 6 ? none_as_null(args[5]) : NULL;
    return call_direct(&kb_state_of(module)->fast, &call);
}

/* layer_norm(x, weight, bias, ndim, eps, out): a tensor, or NotImplemented */
static PyObject *direct_layer_norm(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (!kb_argument_count_between(count, 5, 6)) return NULL;
    norm_call call = {.x = args[0], .weight = args[1], .bias = args[2], .centered = true};
    if (!inner_get(args[3], &call)) return NULL;
    if (!kb_float_read(args[4], &call.eps)) Py_RETURN_NOTIMPLEMENTED;
    call.out = count == 6 ? none_as_null(args[5]) : NULL;
    return call_direct(&kb_state_of(module)->fast, &call);
}

/* fused_add_rms_norm(x, residual, weight, ndim, eps, cast_first): a pair, or NotImplemented */
static PyObject *direct_fused_add_rms_norm(PyObject *module, PyObject *const *args,
                                           Py_ssize_t count) {
    if (!kb_argument_count_is(count, 6)) return NULL;
    norm_call call = {.x = args[0], .residual = args[1], .weight = args[2], .bias = Py_None};
    if (!inner_get(args[3], &call)) return NULL;
    if (!kb_float_read(args[4], &call.eps)) Py_RETURN_NOTIMPLEMENTED;
    call.cast_first = args[5] == Py_True;
    return call_direct(&kb_state_of(module)->fast, &call);
}

/* fused_add_layer_norm(x, residual, weight, bias, ndim, eps): a pair, or NotImplemented */
static PyObject *direct_fused_add_layer_norm(PyObject *module, PyObject *const *args,
                                             Py_ssize_t count) {
    if (!kb_argument_count_is(count, 6)) return NULL;
    norm_call call = {.x = args[0], .residual = args[1], .weight = args[2], .bias = args[3]};
    call.centered = true;
    if (!inner_get(args[4], &call)) return NULL;
    if (!kb_float_read(args[5], &call.eps)) Py_RETURN_NOTIMPLEMENTED;
    return call_direct(&kb_state_of(module)->fast, &call);
}

/* rms_norm_gated(x, gate, weight, ndim, eps, cast_first, kind): a tensor, or NotImplemented */
static PyObject *direct_rms_norm_gated(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (!kb_argument_count_is(count, 7)) return NULL;
    norm_call call = {.x = args[0], .gate = args[1], .weight = args[2], .bias = Py_None};
    if (!inner_get(args[3], &call)) return NULL;
    if (!kb_float_read(args[4], &call.eps)) Py_RETURN_NOTIMPLEMENTED;
    call.cast_first = args[5] == Py_True;
    long kind = PyLong_AsLong(args[6]);
    if (kind == -1 && PyErr_Occurred()) return NULL;
    if (kind != NORM_GATE_SILU && kind != NORM_GATE_SIGMOID) Py_RETURN_NOTIMPLEMENTED;
    call.gate_kind = (norm_gate)kind;
    return call_direct(&kb_state_of(module)->fast, &call);
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
    call->centered = true;
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
        result = call_direct(&state->fast, call);
    else
        Py_INCREF(result);
    Py_DECREF(dict);
    return result;
}

/* The layers' functions take the layer and its inputs and return what the functions above do. */
static PyObject *direct_rms_norm_layer(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (!kb_argument_count_is(count, 2)) return NULL;
    norm_call call = {.x = args[1]};
    return call_layer(module, args[0], &call, rms_layer_read);
}

static PyObject *direct_layer_norm_layer(PyObject *module, PyObject *const *args,
                                         Py_ssize_t count) {
    if (!kb_argument_count_is(count, 2)) return NULL;
    norm_call call = {.x = args[1]};
    return call_layer(module, args[0], &call, layer_layer_read);
}

static PyObject *direct_fused_add_rms_norm_layer(PyObject *module, PyObject *const *args,
                                                 Py_ssize_t count) {
    if (!kb_argument_count_is(count, 3)) return NULL;
    norm_call call = {.x = args[1], .residual = args[2]};
    return call_layer(module, args[0], &call, rms_layer_read);
}

static PyObject *direct_fused_add_layer_norm_layer(PyObject *module, PyObject *const *args,
                                                   Py_ssize_t count) {
    if (!kb_argument_count_is(count, 3)) return NULL;
    norm_call call = {.x = args[1], .residual = args[2]};
    return call_layer(module, args[0], &call, layer_layer_read);
}

static PyObject *direct_rms_norm_gated_layer(PyObject *module, PyObject *const *args,
                                             Py_ssize_t count) {
    if (!kb_argument_count_is(count, 3)) return NULL;
    norm_call call = {.x = args[1], .gate = args[2]};
    return call_layer(module, args[0], &call, gated_layer_read);
}

static PyMethodDef module_methods[] = {
    {"rms_norm", KB_FASTCALL(direct_rms_norm)},
    {"layer_norm", KB_FASTCALL(direct_layer_norm)},
    {"fused_add_rms_norm", KB_FASTCALL(direct_fused_add_rms_norm)},
    {"fused_add_layer_norm", KB_FASTCALL(direct_fused_add_layer_norm)},
    {"rms_norm_gated", KB_FASTCALL(direct_rms_norm_gated)},
    {"rms_norm_layer", KB_FASTCALL(direct_rms_norm_layer)},
    {"layer_norm_layer", KB_FASTCALL(direct_layer_norm_layer)},
    {"fused_add_rms_norm_layer", KB_FASTCALL(direct_fused_add_rms_norm_layer)},
    {"fused_add_layer_norm_layer", KB_FASTCALL(direct_fused_add_layer_norm_layer)},
    {"rms_norm_gated_layer", KB_FASTCALL(direct_rms_norm_gated_layer)},
    KB_MODULE_METHODS,
};

KB_DEFINE_MODULE(norm)
