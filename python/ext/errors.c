/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core.h"

/* These are of classes of their own, which kernels.errors makes: see there. */
static PyObject *raise_from_hub(kn_status status, const kn_error *err) {
    PyObject *module = PyImport_ImportModule("kernels.errors");
    PyObject *made =
        module ? PyObject_CallMethod(module, "_make", "is", (int)status, err->message) : NULL;
    if (made) PyErr_SetObject((PyObject *)Py_TYPE(made), made);
    Py_XDECREF(made);
    Py_XDECREF(module);
    return NULL;
}

PyObject *core_raise(kn_status status, const kn_error *err) {
    PyObject *type = PyExc_RuntimeError;
    switch (status) {
    case KN_OK:
    case KN_ERR_RUNTIME:
    case KN_ERR_HOST:
        break;
    case KN_ERR_NOMEM:
        type = PyExc_MemoryError;
        break;
    case KN_ERR_VALUE:
        type = PyExc_ValueError;
        break;
    case KN_ERR_TYPE:
        type = PyExc_TypeError;
        break;
    case KN_ERR_NOT_FOUND:
        type = PyExc_FileNotFoundError;
        break;
    case KN_ERR_OS:
        type = PyExc_OSError;
        break;
    case KN_ERR_UNSUPPORTED:
        type = PyExc_NotImplementedError;
        break;
    case KN_ERR_NETWORK:
    case KN_ERR_TIMEOUT:
    case KN_ERR_REPOSITORY:
    case KN_ERR_REVISION:
    case KN_ERR_GATED:
    case KN_ERR_INTEGRITY:
    case KN_ERR_UNTRUSTED:
    case KN_ERR_DEPENDENCY:
    case KN_ERR_DENIED:
        return raise_from_hub(status, err);
    case KN_ERR_CANCELLED:
        type = PyExc_KeyboardInterrupt;
        break;
    }
    PyObject *message =
        PyUnicode_DecodeUTF8(err->message, (Py_ssize_t)strlen(err->message), "replace");
    if (message) PyErr_SetObject(type, message);
    Py_XDECREF(message);
    return NULL;
}

int core_raise_unless(kn_status status, const kn_error *err) {
    if (status) core_raise(status, err);
    return status ? -1 : 0;
}

const char *core_text(PyObject *text) {
    Py_ssize_t length = 0;
    const char *bytes = PyUnicode_AsUTF8AndSize(text, &length);
    if (!bytes || (Py_ssize_t)strlen(bytes) == length) return bytes;
    PyErr_Format(PyExc_ValueError, "embedded null character in %R", text);
    return NULL;
}

void core_text_copy(char *out, size_t capacity, const char *text) {
    size_t length = strlen(text);
    if (length > capacity - 1) {
        length = capacity - 1;
        while (length > 0 && ((unsigned char)text[length] & 0xC0u) == 0x80u) length--;
    }
    memcpy(out, text, length);
    out[length] = '\0';
}
