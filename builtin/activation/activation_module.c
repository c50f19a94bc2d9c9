/* SPDX-License-Identifier: Apache-2.0 */
/* The Python module _activation_kern: registration of the ops, and the direct calls. */
#include "activation_ops.h"
#include "kb_fast.h"
#include "kb_tensor.h"

typedef struct activation_state {
    kb_fast fast;
    PyObject *text_approximate;
    PyObject *text_inplace;
} activation_state;

static void run(activation_range kernel, const activation_job *job, int64_t count, int64_t cost) {
    if (!kb_parallel_is_large(count, cost)) {
        kernel(job, 0, count);
        return;
    }
    PyThreadState *thread = PyEval_SaveThread();
    activation_run(kernel, job, count, cost);
    PyEval_RestoreThread(thread);
}

/* Describes x when the direct way is right for it. */
static bool input_open(const kb_fast *fast, PyObject *object, kb_plain *x) {
    return kb_fast_is_quiet(fast) && kb_fast_open(fast, object, x) &&
           !kb_fast_wants_grad(fast, object);
}

static PyObject *activate(const kb_fast *fast, PyObject *object, activation_kind kind) {
    kb_plain x, y;
    if (!input_open(fast, object, &x)) Py_RETURN_NOTIMPLEMENTED;
    PyObject *result = kb_fast_new_like(fast, object, &x, &y);
    if (!result) return kb_fast_failed();
    activation_job job = {.x = x.data, .out = y.data, .type = x.type};
    run(activation_active()->forward[kind], &job, x.count, 1);
    return result;
}

static PyObject *direct_silu(PyObject *module, PyObject *x) {
    const activation_state *state = PyModule_GetState(module);
    return activate(&state->fast, x, ACTIVATION_SILU);
}

static PyObject *direct_gelu(PyObject *module, PyObject *x) {
    const activation_state *state = PyModule_GetState(module);
    return activate(&state->fast, x, ACTIVATION_GELU);
}

static PyObject *direct_gelu_tanh(PyObject *module, PyObject *x) {
    const activation_state *state = PyModule_GetState(module);
    return activate(&state->fast, x, ACTIVATION_GELU_TANH);
}

static PyObject *direct_silu_and_mul(PyObject *module, PyObject *object) {
    const activation_state *state = PyModule_GetState(module);
    kb_plain x, y;
    if (!input_open(&state->fast, object, &x) || x.dl.ndim < 1) Py_RETURN_NOTIMPLEMENTED;
    int64_t last = x.dl.shape[x.dl.ndim - 1];
    if (last % 2 != 0) Py_RETURN_NOTIMPLEMENTED;
    PyObject *result = kb_fast_new_with_last(&state->fast, &x, last / 2, &y);
    if (!result) return kb_fast_failed();
    activation_job job = {.x = x.data, .out = y.data, .type = x.type};
    job.width = last / 2;
    job.x_stride = last;
    run(activation_active()->silu_and_mul_forward, &job, last > 0 ? x.count / last : 0, last);
    return result;
}

static bool two_arguments(Py_ssize_t count) {
    if (count != 2) PyErr_SetString(PyExc_TypeError, "a layer and its input are needed");
    return count == 2;
}

/* An instance attribute, borrowed; NULL where there is none. */
static PyObject *attribute_find(PyObject *layer, PyObject *name) {
    PyObject *dict = PyObject_GenericGetDict(layer, NULL);
    PyObject *value = dict ? kb_dict_find(dict, name) : NULL;
    if (!dict) PyErr_Clear();
    Py_XDECREF(dict); /* the layer keeps it */
    return value;
}

/* silu_layer(layer, x): a tensor, or NotImplemented. A layer that works in place is declined. */
static PyObject *direct_silu_layer(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    const activation_state *state = PyModule_GetState(module);
    if (!two_arguments(count)) return NULL;
    PyObject *inplace = attribute_find(args[0], state->text_inplace);
    if (inplace && inplace != Py_False) Py_RETURN_NOTIMPLEMENTED;
    return activate(&state->fast, args[1], ACTIVATION_SILU);
}

/* gelu_layer(layer, x): a tensor, or NotImplemented */
static PyObject *direct_gelu_layer(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    const activation_state *state = PyModule_GetState(module);
    if (!two_arguments(count)) return NULL;
    PyObject *approximate = attribute_find(args[0], state->text_approximate);
    if (!approximate) return activate(&state->fast, args[1], ACTIVATION_GELU);
    if (!PyUnicode_Check(approximate)) Py_RETURN_NOTIMPLEMENTED;
    if (PyUnicode_CompareWithASCIIString(approximate, "none") == 0)
        return activate(&state->fast, args[1], ACTIVATION_GELU);
    if (PyUnicode_CompareWithASCIIString(approximate, "tanh") == 0)
        return activate(&state->fast, args[1], ACTIVATION_GELU_TANH);
    Py_RETURN_NOTIMPLEMENTED;
}

static PyObject *register_ops(PyObject *module, PyObject *name) {
    (void)module;
    const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
    if (!text) return NULL;
    if (activation_ops_register(text))
        return PyErr_Format(PyExc_ImportError, "torch refused the ops of namespace '%s'", text);
    Py_RETURN_NONE;
}

/* Whether nothing watches or transforms calls, so that an op need not be seen. */
static PyObject *is_quiet(PyObject *module, PyObject *unused) {
    const activation_state *state = PyModule_GetState(module);
    (void)unused;
    return PyBool_FromLong(kb_fast_is_quiet(&state->fast));
}

static PyObject *select_isa(PyObject *module, PyObject *name) {
    (void)module;
    for (int isa = KB_ISA_SERIAL; isa <= KB_ISA_AVX2; isa++) {
        if (PyUnicode_CompareWithASCIIString(name, kb_isa_name((kb_isa)isa)) != 0) continue;
        if (!kb_isa_is_available((kb_isa)isa)) break;
        activation_select((kb_isa)isa);
        Py_RETURN_NONE;
    }
    return PyErr_Format(PyExc_ValueError, "this CPU has no instruction set %R", name);
}

static PyObject *current_isa(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    bool serial = activation_active() == &activation_serial;
    return PyUnicode_FromString(kb_isa_name(serial ? KB_ISA_SERIAL : KB_ISA_AVX2));
}

static int module_exec(PyObject *module) {
    activation_state *state = PyModule_GetState(module);
    activation_select(kb_isa_choose());
    state->text_approximate = PyUnicode_InternFromString("approximate");
    state->text_inplace = PyUnicode_InternFromString("inplace");
    if (!state->text_approximate || !state->text_inplace) return -1;
    return kb_fast_init(&state->fast);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
    activation_state *state = PyModule_GetState(module);
    return state ? kb_fast_traverse(&state->fast, visit, arg) : 0;
}

static int module_clear(PyObject *module) {
    activation_state *state = PyModule_GetState(module);
    if (!state) return 0;
    kb_fast_clear(&state->fast);
    Py_CLEAR(state->text_approximate);
    Py_CLEAR(state->text_inplace);
    return 0;
}

static void module_free(void *module) { (void)module_clear(module); }

typedef void (*any_function)(void); /* the step between unlike function types */

static PyMethodDef module_methods[] = {
    {"silu", direct_silu, METH_O, NULL},
    {"gelu", direct_gelu, METH_O, NULL},
    {"gelu_tanh", direct_gelu_tanh, METH_O, NULL},
    {"silu_and_mul", direct_silu_and_mul, METH_O, NULL},
    {"silu_layer", (PyCFunction)(any_function)direct_silu_layer, METH_FASTCALL, NULL},
    {"gelu_layer", (PyCFunction)(any_function)direct_gelu_layer, METH_FASTCALL, NULL},
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
    .m_name = "_activation_kern",
    .m_size = sizeof(activation_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__activation_kern(void);

PyMODINIT_FUNC PyInit__activation_kern(void) { return PyModuleDef_Init(&module_definition); }
