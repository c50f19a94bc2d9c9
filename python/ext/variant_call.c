/* SPDX-License-Identifier: Apache-2.0 */
/* Functions over version specifiers and build variants: texts in, what the library decides out. */
#include <string.h>

#include "core.h"

/* Texts out of a sequence of str, which they are borrowed from. */
typedef struct texts {
    PyObject *list; /* a tuple that keeps them alive */
    const char **items;
    size_t count;
} texts;

static void texts_clear(texts *t) {
    PyMem_Free(t->items);
    Py_XDECREF(t->list);
    *t = (texts){0};
}

/* -1 with an exception. Cleared by the caller, always. */
static int texts_read(texts *out, PyObject *sequence) {
    *out = (texts){.list = PySequence_Tuple(sequence)};
    if (!out->list) return -1;
    size_t count = (size_t)PyTuple_Size(out->list);
    out->items = PyMem_Calloc(count + 1, sizeof *out->items);
    if (!out->items) {
        PyErr_NoMemory();
        return -1;
    }
    for (; out->count < count; out->count++) {
        PyObject *item = PyTuple_GetItem(out->list, (Py_ssize_t)out->count);
        if (!PyUnicode_Check(item)) {
            PyErr_Format(PyExc_TypeError, "expected text, not %R", item);
            return -1;
        }
        out->items[out->count] = core_text(item);
        if (!out->items[out->count]) return -1;
    }
    return 0;
}

PyObject *core_check_specifier(PyObject *module, PyObject *specifier) {
    (void)module;
    kn_error err;
    kn_error_init(&err);
    const char *text = core_text(specifier);
    if (!text) return NULL;
    kn_status status = kn_specifier_check(text, &err);
    return status ? core_raise(status, &err) : Py_NewRef(Py_None);
}

PyObject *core_select_version(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *specifier, *tags, *result = NULL;
    if (!PyArg_ParseTuple(args, "UO:select_version", &specifier, &tags)) return NULL;
    const char *text = core_text(specifier);
    texts names = {0};
    if (text && texts_read(&names, tags) == 0) {
        kn_error err;
        kn_error_init(&err);
        size_t best;
        kn_status status = kn_specifier_select(text, names.items, names.count, &best, &err);
        if (status)
            core_raise(status, &err);
        else
            result = Py_NewRef(best == SIZE_MAX ? Py_None
                                                : PyTuple_GetItem(names.list, (Py_ssize_t)best));
    }
    texts_clear(&names);
    return result;
}

/* Builds to rank, with what they are borrowed from. */
typedef struct builds {
    texts names, *archs; /* archs: one a name */
    kn_build *items;
} builds;

static void builds_clear(builds *b) {
    for (size_t i = 0; b->archs && i < b->names.count; i++) texts_clear(&b->archs[i]);
    PyMem_Free(b->archs);
    PyMem_Free(b->items);
    texts_clear(&b->names);
}

/* `archs`: for each of `names` a sequence of str, or None. */
static int builds_read(builds *out, PyObject *names, PyObject *archs) {
    *out = (builds){0};
    PyObject *each = PySequence_Tuple(archs);
    int result = each ? texts_read(&out->names, names) : -1;
    size_t count = out->names.count;
    if (result == 0 && (size_t)PyTuple_Size(each) != count) {
        PyErr_SetString(PyExc_ValueError, "there must be as many archs as names");
        result = -1;
    }
    if (result == 0) {
        out->archs = PyMem_Calloc(count + 1, sizeof *out->archs);
        out->items = PyMem_Calloc(count + 1, sizeof *out->items);
        if (!out->archs || !out->items) {
            PyErr_NoMemory();
            result = -1;
        }
    }
    for (size_t i = 0; result == 0 && i < count; i++) {
        PyObject *item = PyTuple_GetItem(each, (Py_ssize_t)i);
        if (item != Py_None) result = texts_read(&out->archs[i], item);
        out->items[i] = (kn_build){out->names.items[i], out->archs[i].items, out->archs[i].count};
    }
    Py_XDECREF(each);
    return result;
}

/* [(name, reason or None), ...] */
static PyObject *decisions_of(const kn_variants *variants) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < kn_variants_count(variants); i++) {
        kn_variant variant = {.size = sizeof variant};
        kn_variants_get(variants, i, &variant);
        PyObject *pair = Py_BuildValue("(sz)", variant.name, variant.reason);
        if (!pair || PyList_Append(list, pair) < 0) Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    return list;
}

PyObject *core_rank_variants(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *names, *archs, *result = NULL;
    int free_threaded = 0;
    long long capability;
    kn_system system = {.size = sizeof system};
    kn_gpu gpu = {.size = sizeof gpu};
    if (!PyArg_ParseTuple(args, "OO(iiiiisssp)Lz:rank_variants", &names, &archs,
                          &system.torch_major, &system.torch_minor, &system.torch_cxx11_abi,
                          &system.tvm_ffi_major, &system.tvm_ffi_minor, &system.backend,
                          &system.arch, &system.os, &free_threaded, &capability, &gpu.gcn_arch))
        return NULL;
    system.free_threaded = free_threaded != 0;
    gpu.capability = capability;
    builds list;
    if (builds_read(&list, names, archs) == 0) {
        kn_error err;
        kn_error_init(&err);
        kn_variants *variants;
        kn_status status = kn_variants_rank_builds(NULL, list.items, list.names.count, &system,
                                                   &gpu, &variants, &err);
        result = status ? core_raise(status, &err) : decisions_of(variants);
        kn_variants_free(variants);
    }
    builds_clear(&list);
    return result;
}
