/* SPDX-License-Identifier: Apache-2.0 */
/* The limit that kernelize is measured against: a walk of nn.Module._modules in C that visits each
 * module once and, where the class has `kernel_layer_name`, sets `forward` to one function bound to
 * the module. It decides nothing and checks nothing. Build: cc -O2 -shared -fPIC $(python3-config
 * --includes) bare_walk.c -o bare_walk.abi3.so Use:   bare_walk.walk(model, function,
 * types.MethodType) -> number of modules */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030a0000
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct {
    uintptr_t *slot;
    size_t cap, n;
} seen;

static PyObject *name_modules, *name_forward, *name_layer;

static int seen_add(seen *s, uintptr_t key) {
    if ((s->n + 1) * 4 > s->cap * 3) {
        seen old = *s;
        s->cap = old.cap ? old.cap * 2 : 1024;
        s->n = 0;
        s->slot = calloc(s->cap, sizeof *s->slot);
        for (size_t i = 0; i < old.cap; i++)
            if (old.slot[i]) seen_add(s, old.slot[i]);
        free(old.slot);
    }
    size_t mask = s->cap - 1, h = ((key >> 4) * 0x9E3779B97F4A7C15ull >> 20) & mask;
    while (s->slot[h]) {
        if (s->slot[h] == key) return 0;
        h = (h + 1) & mask;
    }
    s->slot[h] = key;
    s->n++;
    return 1;
}

static int is_extensible(PyObject *type) {
    static PyObject *types[64];
    static int answer[64];
    size_t h = ((uintptr_t)type >> 5) & 63;
    if (types[h] != type) {
        types[h] = type;
        answer[h] = PyObject_HasAttr(type, name_layer);
    }
    return answer[h];
}

static Py_ssize_t walk(PyObject *module, seen *s, PyObject *function, PyObject *method_type) {
    if (module == Py_None || !seen_add(s, (uintptr_t)module)) return 0;
    PyObject *dict = PyObject_GenericGetDict(module, NULL);
    if (!dict) return -1;
    if (function != Py_None && is_extensible((PyObject *)Py_TYPE(module))) {
        PyObject *bound = PyObject_CallFunctionObjArgs(method_type, function, module, NULL);
        if (!bound || PyDict_SetItem(dict, name_forward, bound)) return -1;
        Py_DECREF(bound);
    }
    PyObject *children = PyDict_GetItemWithError(dict, name_modules), *key, *child;
    Py_DECREF(dict);
    Py_ssize_t count = 1, pos = 0;
    while (children && PyDict_Next(children, &pos, &key, &child)) {
        Py_ssize_t below = walk(child, s, function, method_type);
        if (below < 0) return below;
        count += below;
    }
    return count;
}

static PyObject *py_walk(PyObject *self, PyObject *args) {
    PyObject *module, *function, *method_type;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOO", &module, &function, &method_type)) return NULL;
    seen s = {0};
    Py_ssize_t n = walk(module, &s, function, method_type);
    free(s.slot);
    return n < 0 ? NULL : PyLong_FromSsize_t(n);
}

static PyMethodDef methods[] = {{"walk", py_walk, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "bare_walk", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_bare_walk(void) {
    name_modules = PyUnicode_InternFromString("_modules");
    name_forward = PyUnicode_InternFromString("forward");
    name_layer = PyUnicode_InternFromString("kernel_layer_name");
    return PyModule_Create(&definition);
}
