/* SPDX-License-Identifier: Apache-2.0 */
/* Taking out kernels whose results are wrong. */
#include "core.h"

/* Fills `items`, with room for all, from a list of (module, message); texts and modules are
 * borrowed from it. */
static bool read_refusals(PyObject *list, kn_refusal *items) {
    for (Py_ssize_t i = 0; i < PyList_Size(list); i++) {
        PyObject *message;
        PyObject *pair = PyList_GetItem(list, i);
        if (!PyTuple_Check(pair)) {
            PyErr_Format(PyExc_TypeError, "expected (module, message), not %R", pair);
            return false;
        }
        if (!PyArg_ParseTuple(pair, "OU", &items[i].module, &message)) return false;
        items[i].message = core_text(message);
        if (!items[i].message) return false;
    }
    return true;
}

PyObject *core_refuse(PyObject *module, PyObject *args) {
    core_state *state = core_state_of(module);
    PyObject *model, *list;
    if (!PyArg_ParseTuple(args, "OO!:refuse", &model, &PyList_Type, &list)) return NULL;
    size_t count = (size_t)PyList_Size(list);
    kn_refusal *items = PyMem_Calloc(count + 1, sizeof *items);
    if (!items) return PyErr_NoMemory();
    core_call call;
    core_call_init(&call, state);
    PyObject *result = NULL;
    if (core_is_module(&call, model) && read_refusals(list, items)) {
        kn_error err;
        kn_error_init(&err);
        kn_status status = kn_engine_refuse(state->engine, &call.host, model, items, count, &err);
        result = status ? core_call_raise(&call, status, &err) : Py_NewRef(Py_None);
    }
    core_call_clear(&call);
    PyMem_Free(items);
    return result;
}
