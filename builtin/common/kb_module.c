/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_module.h"

#include "kb_isa.h"

int kb_module_exec(PyObject *module, const kb_kernel *kernel) {
    kb_state *state = PyModule_GetState(module);
    const char *unknown = kb_isa_choose();
    if (unknown) {
        PyErr_Format(PyExc_ImportError,
                     "KERNELS_CPU_ISA is '%s'; serial, avx2, avx512 or avx512_bf16 is needed",
                     unknown);
        return -1;
    }
    state->kernel = kernel;
    for (int i = 0; i < KB_MAX_TEXTS && kernel->texts[i]; i++) {
        state->texts[i] = PyUnicode_InternFromString(kernel->texts[i]);
        if (!state->texts[i]) return -1;
    }
    return kb_fast_init(&state->fast);
}

int kb_module_traverse(PyObject *module, visitproc visit, void *arg) {
    kb_state *state = PyModule_GetState(module);
    if (!state) return 0;
    for (int i = 0; i < KB_MAX_RECORDERS; i++) Py_VISIT(state->recorders[i]);
    return kb_fast_traverse(&state->fast, visit, arg);
}

int kb_module_clear(PyObject *module) {
    kb_state *state = PyModule_GetState(module);
    if (!state) return 0;
    kb_fast_clear(&state->fast);
    for (int i = 0; i < KB_MAX_TEXTS; i++) Py_CLEAR(state->texts[i]);
    for (int i = 0; i < KB_MAX_RECORDERS; i++) Py_CLEAR(state->recorders[i]);
    return 0;
}

void kb_module_free(void *module) { (void)kb_module_clear(module); }

PyObject *kb_module_register_ops(PyObject *module, PyObject *name) {
    const kb_kernel *kernel = kb_state_of(module)->kernel;
    const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
    if (!text) return NULL;
    if (kb_ops_register(text, kernel->ops, kernel->op_count))
        return PyErr_Format(PyExc_ImportError, "torch refused the ops of namespace '%s'", text);
    Py_RETURN_NONE;
}

/* Whether nothing watches or transforms calls, so that an op need not be seen. */
PyObject *kb_module_is_quiet(PyObject *module, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(kb_fast_is_quiet(&kb_state_of(module)->fast));
}

PyObject *kb_module_select_isa(PyObject *module, PyObject *name) {
    (void)module;
    kb_isa isa;
    const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
    if (!text) return NULL;
    if (!kb_isa_find(text, &isa) || !kb_isa_is_available(isa))
        return PyErr_Format(PyExc_ValueError, "this CPU has no instruction set %R", name);
    kb_isa_select(isa);
    Py_RETURN_NONE;
}

PyObject *kb_module_current_isa(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return PyUnicode_FromString(kb_isa_name(kb_isa_active()));
}

PyObject *kb_module_set_recorder(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    kb_state *state = PyModule_GetState(module);
    if (!kb_argument_count_is(count, 2)) return NULL;
    for (int i = 0; i < KB_MAX_RECORDERS && state->kernel->recorders[i]; i++) {
        if (!PyUnicode_Check(args[0]) ||
            PyUnicode_CompareWithASCIIString(args[0], state->kernel->recorders[i]) != 0)
            continue;
        PyObject *before = state->recorders[i];
        Py_INCREF(args[1]);
        state->recorders[i] = args[1];
        Py_XDECREF(before);
        Py_RETURN_NONE;
    }
    return PyErr_Format(PyExc_ValueError, "no call %R records a gradient", args[0]);
}

PyObject *kb_record(const kb_state *state, int index, PyObject *arguments) {
    PyObject *recorder = state->recorders[index], *result = NULL;
    if (!arguments) return NULL;
    if (recorder && kb_fast_may_record(&state->fast))
        result = PyObject_CallObject(recorder, arguments);
    else
        result = kb_fast_failed();
    Py_DECREF(arguments);
    return result;
}

bool kb_argument_count_between(Py_ssize_t given, Py_ssize_t least, Py_ssize_t most) {
    bool right = given >= least && given <= most;
    if (!right) PyErr_SetString(PyExc_TypeError, "wrong number of arguments");
    return right;
}

bool kb_argument_count_is(Py_ssize_t given, Py_ssize_t expected) {
    return kb_argument_count_between(given, expected, expected);
}

bool kb_float_read(PyObject *object, double *value) {
    if (!object || !PyFloat_Check(object)) return false;
    *value = PyFloat_AsDouble(object);
    return true;
}

PyObject *kb_layer_find(PyObject *layer, PyObject *name) {
    PyObject *dict = PyObject_GenericGetDict(layer, NULL);
    PyObject *value = dict ? kb_dict_find(dict, name) : NULL;
    if (!dict) PyErr_Clear();
    Py_XDECREF(dict); /* the layer keeps it */
    return value;
}
