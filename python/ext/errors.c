/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

PyObject *core_raise(kn_status status, const kn_error *err) {
    PyObject *type = PyExc_RuntimeError;
    switch (status) {
    case KN_OK:
    case KN_ERR_RUNTIME:
    case KN_ERR_HOST: break;
    case KN_ERR_NOMEM: type = PyExc_MemoryError; break;
    case KN_ERR_VALUE: type = PyExc_ValueError; break;
    case KN_ERR_TYPE: type = PyExc_TypeError; break;
    case KN_ERR_NOT_FOUND: type = PyExc_FileNotFoundError; break;
    case KN_ERR_OS: type = PyExc_OSError; break;
    case KN_ERR_UNSUPPORTED: type = PyExc_NotImplementedError; break;
    case KN_ERR_CANCELLED: type = PyExc_KeyboardInterrupt; break;
    }
    PyObject *message = PyUnicode_DecodeUTF8(err->message, (Py_ssize_t)strlen(err->message), "replace");
    if (message) PyErr_SetObject(type, message);
    Py_XDECREF(message);
    return NULL;
}
