/* SPDX-License-Identifier: Apache-2.0 */
/* A repository as the engine sees it: a Python object behind a kn_repo. Objects of our own classes
 * have a method
 * `_describe` that returns (kind, id, layer name, revision, version, backend, display, allowed,
 * user agent, refresh, cache only, any arch, lock), see kn_repo_info; it keeps that tuple, so the
 * texts live as long as the object. Any other object with `load` is loaded by calling that. */
#include <stdio.h>

#include "core.h"

static void retain(void *object) { Py_INCREF((PyObject *)object); }

static void release(void *object) { Py_DECREF((PyObject *)object); }

static int equal(void *a, void *b) { return PyObject_RichCompareBool(a, b, Py_EQ); }

/* An object that cannot be hashed is itself alone. */
static bool hash(void *object, uint64_t *out) {
    Py_hash_t value = PyObject_Hash(object);
    if (value == -1 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_TypeError)) return false;
        PyErr_Clear();
        value = (Py_hash_t)((uintptr_t)object >> 4);
    }
    *out = (uint64_t)value;
    return true;
}

static bool flag_item(PyObject *tuple, Py_ssize_t index, bool *out) {
    PyObject *item = PyTuple_GetItem(tuple, index);
    int value = item ? PyObject_IsTrue(item) : -1;
    *out = value > 0;
    return value >= 0;
}

/* NULL for None; false with an exception when it is no text, nor bytes, as paths may be. */
static bool text_item(PyObject *tuple, Py_ssize_t index, const char **out) {
    PyObject *item = PyTuple_GetItem(tuple, index);
    *out = NULL;
    if (!item || item == Py_None) return item != NULL;
    if (!PyBytes_Check(item)) {
        *out = core_text(item);
        return *out != NULL;
    }
    char *bytes; /* the call without a length refuses a NUL */
    if (PyBytes_AsStringAndSize(item, &bytes, NULL) < 0) return false;
    *out = bytes;
    return true;
}

static int describe_as_text(PyObject *object, kn_repo_info *info) {
    PyObject *text = PyObject_Str(object);
    const char *bytes = text ? PyUnicode_AsUTF8AndSize(text, NULL) : NULL;
    if (bytes) core_text_copy(info->buffer, sizeof info->buffer, bytes);
    Py_XDECREF(text);
    info->kind = KN_REPO_HOST;
    info->display = info->buffer;
    return bytes ? 0 : -1;
}

int core_repo_describe(PyObject *object, kn_repo_info *info) {
    PyObject *method = PyObject_GetAttrString(object, "_describe");
    if (!method) {
        PyErr_Clear();
        return describe_as_text(object, info);
    }
    PyObject *tuple = PyObject_CallObject(method, NULL);
    Py_DECREF(method);
    if (!tuple) return -1;
    if (tuple == Py_None) { /* a subclass with a load() of its own */
        Py_DECREF(tuple);
        return describe_as_text(object, info);
    }
    const char *kind = NULL;
    bool ok = PyTuple_Check(tuple) && PyTuple_Size(tuple) == 13 && text_item(tuple, 0, &kind) &&
              kind && text_item(tuple, 1, &info->id) && text_item(tuple, 2, &info->layer_name) &&
              text_item(tuple, 3, &info->revision) && text_item(tuple, 4, &info->version) &&
              text_item(tuple, 5, &info->backend) && text_item(tuple, 6, &info->display) &&
              text_item(tuple, 7, &info->allowed) && text_item(tuple, 8, &info->user_agent) &&
              flag_item(tuple, 9, &info->refresh) && flag_item(tuple, 10, &info->cache_only) &&
              flag_item(tuple, 11, &info->any_arch) && text_item(tuple, 12, &info->lock);
    if (!ok && !PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "a repository described itself in an unknown form");
    if (ok) info->kind = strcmp(kind, "local") == 0 ? KN_REPO_LOCAL : KN_REPO_HUB;
    Py_DECREF(tuple);
    return ok ? 0 : -1;
}

static kn_status describe(void *object, kn_repo_info *out, kn_error *err) {
    if (core_repo_describe(object, out) == 0) return KN_OK;
    /* There is no call to keep the exception in: it stays pending, as where `equal` and `hash`
     * fail. */
    if (err) {
        err->status = KN_ERR_HOST;
        snprintf(err->message, sizeof err->message, "a repository cannot be described");
    }
    return KN_ERR_HOST;
}

const kn_repo_ops core_repo_ops = {
    .size = sizeof(kn_repo_ops),
    .retain = retain,
    .release = release,
    .equal = equal,
    .hash = hash,
    .describe = describe,
};
