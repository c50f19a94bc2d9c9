/* SPDX-License-Identifier: Apache-2.0 */
/* The Python module _norm_kern: registration of the ops, and the direct calls. */
#include "kb_fast.h"
#include "kb_tensor.h"
#include "norm_ops.h"

typedef struct norm_state {
    kb_fast fast;
    PyObject *text_weight;
    PyObject *text_bias;
    PyObject *text_eps;
    PyObject *text_variance_epsilon;
    PyObject *text_normalized_shape;
} norm_state;

/* What one call works on; the objects are borrowed from the caller's arguments. */
typedef struct norm_call {
    PyObject *x;
    PyObject *weight; /* a tensor or None */
    PyObject *bias;
    int64_t inner;
    double eps;
    bool cast_first;
} norm_call;

static bool parameter_open(const kb_fast *fast, PyObject *object, const kb_plain *x, int64_t inner,
                           const void **data) {
    kb_plain parameter;
    *data = NULL;
    if (object == Py_None) return true;
    /* Another dtype is for the op: the result's dtype may differ then. */
    if (!kb_fast_open(fast, object, &parameter) || parameter.type != x->type) return false;
    if (parameter.dl.ndim != inner) return false;
    for (int64_t i = 0; i < inner; i++)
        if (parameter.dl.shape[i] != x->dl.shape[x->dl.ndim - inner + i]) return false;
    *data = parameter.data;
    return true;
}

static bool wants_grad(const kb_fast *fast, const norm_call *call) {
    return kb_fast_wants_grad(fast, call->x) || kb_fast_wants_grad(fast, call->weight) ||
           kb_fast_wants_grad(fast, call->bias);
}

static bool job_open(const kb_fast *fast, const norm_call *call, kb_plain *x, norm_job *job) {
    if (!kb_fast_open(fast, call->x, x) || call->inner < 1 || call->inner > x->dl.ndim)
        return false;
    *job = (norm_job){0};
    if (!parameter_open(fast, call->weight, x, call->inner, &job->weight)) return false;
    if (!parameter_open(fast, call->bias, x, call->inner, &job->bias)) return false;
    job->x = x->data;
    job->width = kb_sizes_product(x->dl.shape, x->dl.ndim - call->inner, x->dl.ndim);
    job->x_stride = job->width;
    job->eps = (float)call->eps;
    job->cast_first = call->cast_first;
    job->x_type = job->param_type = job->y_type = x->type;
    return true;
}

static void run_rows(norm_rows kernel, const norm_job *job, int64_t rows) {
    if (!kb_parallel_is_large(rows, job->width)) {
        kernel(job, 0, rows);
        return;
    }
    PyThreadState *thread = PyEval_SaveThread();
    norm_run(kernel, job, rows);
    PyEval_RestoreThread(thread);
}

static PyObject *call_direct(const kb_fast *fast, const norm_call *call, norm_rows kernel) {
    kb_plain x, y;
    norm_job job;
    if (!kb_fast_is_quiet(fast) || !job_open(fast, call, &x, &job) || wants_grad(fast, call))
        Py_RETURN_NOTIMPLEMENTED;
    PyObject *result = kb_fast_new_like(fast, call->x, &x, &y);
    if (!result) return kb_fast_failed();
    job.out = y.data;
    /* While the GIL is released, another thread may give the layer other parameters. */
    Py_INCREF(call->weight);
    Py_INCREF(call->bias);
    run_rows(kernel, &job, job.width > 0 ? x.count / job.width : 0);
    Py_DECREF(call->bias);
    Py_DECREF(call->weight);
    return result;
}

static bool argument_count_is(Py_ssize_t given, Py_ssize_t expected) {
    if (given != expected) PyErr_SetString(PyExc_TypeError, "wrong number of arguments");
    return given == expected;
}

/* A number: Python floats only, an int or a tensor is for the slower way. */
static bool eps_read(PyObject *object, double *eps) {
    if (!object || !PyFloat_Check(object)) return false;
    *eps = PyFloat_AsDouble(object);
    return true;
}

/* rms_norm(x, weight, ndim, eps, cast_first): a tensor, or NotImplemented */
static PyObject *direct_rms_norm(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    const norm_state *state = PyModule_GetState(module);
    if (!argument_count_is(count, 5)) return NULL;
    norm_call call = {.x = args[0], .weight = args[1], .bias = Py_None};
    call.inner = PyLong_AsLongLong(args[2]);
    if (call.inner == -1 && PyErr_Occurred()) return NULL;
    if (!eps_read(args[3], &call.eps)) Py_RETURN_NOTIMPLEMENTED;
    call.cast_first = args[4] == Py_True;
    return call_direct(&state->fast, &call, norm_active()->rms_forward);
}

/* layer_norm(x, weight, bias, ndim, eps): a tensor, or NotImplemented */
static PyObject *direct_layer_norm(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    const norm_state *state = PyModule_GetState(module);
    if (!argument_count_is(count, 5)) return NULL;
    norm_call call = {.x = args[0], .weight = args[1], .bias = args[2]};
    call.inner = PyLong_AsLongLong(args[3]);
    if (call.inner == -1 && PyErr_Occurred()) return NULL;
    if (!eps_read(args[4], &call.eps)) Py_RETURN_NOTIMPLEMENTED;
    return call_direct(&state->fast, &call, norm_active()->layer_forward);
}

/* The number of normalized dimensions: what `normalized_shape` says, else the weight's. */
static bool inner_read(const norm_state *state, PyObject *dict, norm_call *call) {
    PyObject *shape = kb_dict_find(dict, state->text_normalized_shape);
    call->inner = 1;
    if (!shape) return call->weight != Py_None;
    if (!PyTuple_Check(shape)) return false;
    call->inner = PyTuple_Size(shape);
    /* A weight vouches for the sizes; without one only the plain case is taken here. */
    return call->weight != Py_None;
}

/* Whether weight and bias are where nn.Module keeps parameters. Anything else (parametrized,
 * sharded, wrapped) is for the slower way, which asks for the attribute. */
static bool parameters_read(const norm_state *state, PyObject *dict, norm_call *call,
                            bool has_bias) {
    PyObject *parameters = kb_dict_find(dict, state->fast.objects[KB_TEXT_PARAMETERS]);
    call->weight = kb_dict_find(parameters, state->text_weight);
    call->bias = has_bias ? kb_dict_find(parameters, state->text_bias) : Py_None;
    return call->weight && call->bias;
}

static bool rms_layer_read(const norm_state *state, PyObject *dict, norm_call *call) {
    PyObject *eps = kb_dict_find(dict, state->text_variance_epsilon);
    call->cast_first = eps != NULL; /* transformers' classes have this name and this order */
    if (!eps) eps = kb_dict_find(dict, state->text_eps);
    return eps_read(eps, &call->eps) && parameters_read(state, dict, call, false) &&
           inner_read(state, dict, call);
}

static bool layer_layer_read(const norm_state *state, PyObject *dict, norm_call *call) {
    return eps_read(kb_dict_find(dict, state->text_eps), &call->eps) &&
           parameters_read(state, dict, call, true) && inner_read(state, dict, call);
}

typedef bool (*layer_reader)(const norm_state *state, PyObject *dict, norm_call *call);

static PyObject *call_layer(PyObject *module, PyObject *const *args, Py_ssize_t count,
                            layer_reader read, norm_rows kernel) {
    const norm_state *state = PyModule_GetState(module);
    if (!argument_count_is(count, 2)) return NULL;
    PyObject *dict = PyObject_GenericGetDict(args[0], NULL);
    if (!dict) return NULL;
    norm_call call = {.x = args[1]};
    PyObject *result = Py_NotImplemented;
    if (read(state, dict, &call))
        result = call_direct(&state->fast, &call, kernel);
    else
        Py_INCREF(result);
    Py_DECREF(dict);
    return result;
}

/* rms_norm_layer(layer, x): a tensor, or NotImplemented */
static PyObject *direct_rms_norm_layer(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    return call_layer(module, args, count, rms_layer_read, norm_active()->rms_forward);
}

/* layer_norm_layer(layer, x): a tensor, or NotImplemented */
static PyObject *direct_layer_norm_layer(PyObject *module, PyObject *const *args,
                                         Py_ssize_t count) {
    return call_layer(module, args, count, layer_layer_read, norm_active()->layer_forward);
}

static PyObject *register_ops(PyObject *module, PyObject *name) {
    (void)module;
    const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
    if (!text) return NULL;
    if (norm_ops_register(text))
        return PyErr_Format(PyExc_ImportError, "torch refused the ops of namespace '%s'", text);
    Py_RETURN_NONE;
}

/* Whether nothing watches or transforms calls, so that an op need not be seen. */
static PyObject *is_quiet(PyObject *module, PyObject *unused) {
    const norm_state *state = PyModule_GetState(module);
    (void)unused;
    return PyBool_FromLong(kb_fast_is_quiet(&state->fast));
}

static PyObject *select_isa(PyObject *module, PyObject *name) {
    (void)module;
    for (int isa = KB_ISA_SERIAL; isa <= KB_ISA_AVX2; isa++) {
        if (PyUnicode_CompareWithASCIIString(name, kb_isa_name((kb_isa)isa)) != 0) continue;
        if (!kb_isa_is_available((kb_isa)isa)) break;
        norm_select((kb_isa)isa);
        Py_RETURN_NONE;
    }
    return PyErr_Format(PyExc_ValueError, "this CPU has no instruction set %R", name);
}

static PyObject *current_isa(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    bool serial = norm_active() == &norm_serial;
    return PyUnicode_FromString(kb_isa_name(serial ? KB_ISA_SERIAL : KB_ISA_AVX2));
}

static int module_exec(PyObject *module) {
    norm_state *state = PyModule_GetState(module);
    norm_select(kb_isa_choose());
    state->text_weight = PyUnicode_InternFromString("weight");
    state->text_bias = PyUnicode_InternFromString("bias");
    state->text_eps = PyUnicode_InternFromString("eps");
    state->text_variance_epsilon = PyUnicode_InternFromString("variance_epsilon");
    state->text_normalized_shape = PyUnicode_InternFromString("normalized_shape");
    bool made = state->text_weight && state->text_bias && state->text_eps &&
                state->text_variance_epsilon && state->text_normalized_shape;
    return made ? kb_fast_init(&state->fast) : -1;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
    norm_state *state = PyModule_GetState(module);
    return state ? kb_fast_traverse(&state->fast, visit, arg) : 0;
}

static int module_clear(PyObject *module) {
    norm_state *state = PyModule_GetState(module);
    if (!state) return 0;
    kb_fast_clear(&state->fast);
    Py_CLEAR(state->text_weight);
    Py_CLEAR(state->text_bias);
    Py_CLEAR(state->text_eps);
    Py_CLEAR(state->text_variance_epsilon);
    Py_CLEAR(state->text_normalized_shape);
    return 0;
}

static void module_free(void *module) { (void)module_clear(module); }

typedef void (*any_function)(void); /* the step between unlike function types */

static PyMethodDef module_methods[] = {
    {"rms_norm", (PyCFunction)(any_function)direct_rms_norm, METH_FASTCALL, NULL},
    {"layer_norm", (PyCFunction)(any_function)direct_layer_norm, METH_FASTCALL, NULL},
    {"rms_norm_layer", (PyCFunction)(any_function)direct_rms_norm_layer, METH_FASTCALL, NULL},
    {"layer_norm_layer", (PyCFunction)(any_function)direct_layer_norm_layer, METH_FASTCALL, NULL},
    {"register_ops", register_ops, METH_O, NULL},
    {"is_quiet", is_quiet, METH_NOARGS, NULL},
    {"select_isa", select_isa, METH_O, NULL},
    {"current_isa", current_isa, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, (void *)(uintptr_t)module_exec},
#ifdef Py_GIL_DISABLED
    /* Layers and tensors are read through borrowed references, as the GIL allows. */
    {Py_mod_gil, Py_MOD_GIL_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_norm_kern",
    .m_size = sizeof(norm_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__norm_kern(void);

PyMODINIT_FUNC PyInit__norm_kern(void) { return PyModuleDef_Init(&module_definition); }
