/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_MODULE_H
#define KB_MODULE_H

/* What the extension modules of all kernels have in common. */
#include "kb_fast.h"

enum { KB_MAX_TEXTS = 8, KB_MAX_RECORDERS = 8 };

typedef struct kb_kernel {
    const char *name;
    const kb_op *ops;
    int op_count;
    const char *texts[KB_MAX_TEXTS]; /* names of attributes that its calls look up; then NULL */
    const char *recorders[KB_MAX_RECORDERS]; /* names of calls that may be differentiated; NULL */
} kb_kernel;

typedef struct kb_state {
    kb_fast fast;
    const kb_kernel *kernel;
    PyObject *texts[KB_MAX_TEXTS];
    PyObject *recorders[KB_MAX_RECORDERS]; /* autograd functions, once set_recorder gave them */
} kb_state;

static inline const kb_state *kb_state_of(PyObject *module) { return PyModule_GetState(module); }

/* For Py_mod_exec: chooses the instruction set and looks up what the direct calls need. */
int kb_module_exec(PyObject *module, const kb_kernel *kernel);

/* For KB_DEFINE_MODULE. */
int kb_module_traverse(PyObject *module, visitproc visit, void *arg);
int kb_module_clear(PyObject *module);
void kb_module_free(void *module);

/* Methods of every module: register_ops(namespace), is_quiet(), select_isa(name), current_isa(),
 * set_recorder(name, function): what a call passes its arguments to where a gradient is recorded.
 */
PyObject *kb_module_register_ops(PyObject *module, PyObject *name);
PyObject *kb_module_is_quiet(PyObject *module, PyObject *unused);
PyObject *kb_module_select_isa(PyObject *module, PyObject *name);
PyObject *kb_module_current_isa(PyObject *module, PyObject *unused);
PyObject *kb_module_set_recorder(PyObject *module, PyObject *const *args, Py_ssize_t count);

/* A METH_FASTCALL function among PyCFunctions: the step between unlike function types. */
typedef void (*kb_any_function)(void);
#define KB_FASTCALL(function) (PyCFunction)(kb_any_function)(function), METH_FASTCALL, NULL

#define KB_MODULE_METHODS                                          \
    {"register_ops", kb_module_register_ops, METH_O, NULL},        \
        {"is_quiet", kb_module_is_quiet, METH_NOARGS, NULL},       \
        {"select_isa", kb_module_select_isa, METH_O, NULL},        \
        {"current_isa", kb_module_current_isa, METH_NOARGS, NULL}, \
        {"set_recorder", KB_FASTCALL(kb_module_set_recorder)}, {   \
        NULL, NULL, 0, NULL                                        \
    }

#ifdef Py_GIL_DISABLED
/* Layers and tensors are read through borrowed references, as the GIL allows. */
#define KB_GIL_SLOT {Py_mod_gil, Py_MOD_GIL_USED},
#else
#define KB_GIL_SLOT
#endif

/* `module_methods` and `kernel` above become the module _<name>_kern. */
#define KB_DEFINE_MODULE(name)                                                           \
    static int module_exec(PyObject *module) { return kb_module_exec(module, &kernel); } \
    static PyModuleDef_Slot module_slots[] = {                                           \
        {Py_mod_exec, (void *)(uintptr_t)module_exec},                                   \
        KB_GIL_SLOT{0, NULL},                                                            \
    };                                                                                   \
    static struct PyModuleDef module_definition = {                                      \
        .m_base = PyModuleDef_HEAD_INIT,                                                 \
        .m_name = "_" #name "_kern",                                                     \
        .m_size = sizeof(kb_state),                                                      \
        .m_methods = module_methods,                                                     \
        .m_slots = module_slots,                                                         \
        .m_traverse = kb_module_traverse,                                                \
        .m_clear = kb_module_clear,                                                      \
        .m_free = kb_module_free,                                                        \
    };                                                                                   \
    PyMODINIT_FUNC PyInit__##name##_kern(void);                                          \
    PyMODINIT_FUNC PyInit__##name##_kern(void) { return PyModuleDef_Init(&module_definition); }

/* The methods `name` and `name_backward`. */
#define KB_DIRECT_PAIR(name)                                     \
    {#name, KB_FASTCALL(direct_##name)}, {                       \
        #name "_backward", KB_FASTCALL(direct_##name##_backward) \
    }

/* False with a TypeError unless the number of arguments is as expected. */
bool kb_argument_count_is(Py_ssize_t given, Py_ssize_t expected);
bool kb_argument_count_between(Py_ssize_t given, Py_ssize_t least, Py_ssize_t most);

/* Where a gradient is recorded: what recorder number `index` gives for these arguments, or
 * NotImplemented. Takes the reference to a new tuple; NULL is an error that is already set. */
PyObject *kb_record(const kb_state *state, int index, PyObject *arguments);

/* A number: Python floats only, an int or a tensor is for the slower way. */
bool kb_float_read(PyObject *object, double *value);

/* An entry of the layer's `__dict__`, borrowed; NULL where there is none. */
PyObject *kb_layer_find(PyObject *layer, PyObject *name);

#endif
