/* SPDX-License-Identifier: Apache-2.0 */
/* Python's objects as values for native kernels, and back. */
#include <string.h>

#include "native.h"

#define DEPTH_MAX 64 /* of lists in lists */

/* ---- from Python ---- */

static int read_int(PyObject *object, kn_value *out) {
    long long number = PyLong_AsLongLong(object);
    if (number == -1 && PyErr_Occurred()) return -1;
    *out = kn_value_int(number);
    return 0;
}

static int read_text(PyObject *object, kn_value *out) {
    kn_error err;
    kn_error_init(&err);
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(object, &length);
    if (!text) return -1;
    return core_raise_unless(kn_value_new_text(NULL, text, (size_t)length, out, &err), &err);
}

static int read_bytes(PyObject *object, kn_value *out) {
    kn_error err;
    kn_error_init(&err);
    char *bytes;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(object, &bytes, &length) < 0) return -1;
    return core_raise_unless(kn_value_new_bytes(NULL, bytes, (size_t)length, out, &err), &err);
}

/* Without libtvm_ffi there are no arrays: integers are a shape then. */
static int make_shape(const kn_value *items, Py_ssize_t count, kn_value *out, kn_error *cause) {
    int64_t *numbers = PyMem_Malloc(((size_t)count + 1) * sizeof *numbers);
    if (!numbers) {
        PyErr_NoMemory();
        return -1;
    }
    kn_status status = KN_OK;
    for (Py_ssize_t i = 0; i < count && !status; i++) {
        numbers[i] = items[i].as.integer;
        if (items[i].type != KN_VALUE_INT) status = cause->status;
    }
    if (!status) status = kn_value_new_shape(NULL, numbers, (size_t)count, out, cause);
    PyMem_Free(numbers);
    return core_raise_unless(status, cause);
}

static int make_array(core_state *state, const kn_value *items, Py_ssize_t count, kn_value *out) {
    kn_error err;
    kn_error_init(&err);
    kn_status status = kn_engine_new_array(state->engine, items, (int32_t)count, out, &err);
    if (status == KN_ERR_NOT_FOUND) return make_shape(items, count, out, &err);
    return core_raise_unless(status, &err);
}

/* Data types and devices of other libraries, which kernels._native knows by their names. */
static int read_named(PyObject *object, kn_value *out) {
    PyObject *module = PyImport_ImportModule("kernels._native");
    PyObject *found = module ? PyObject_CallMethod(module, "describe", "O", object) : NULL;
    const char *kind = NULL;
    int numbers[3] = {0, 0, 0};
    bool ok =
        found && PyArg_ParseTuple(found, "siii", &kind, &numbers[0], &numbers[1], &numbers[2]);
    if (ok && strcmp(kind, "dtype") == 0)
        *out = kn_value_dtype(
            (kn_dtype){(uint8_t)numbers[0], (uint8_t)numbers[1], (uint16_t)numbers[2]});
    else if (ok)
        *out = kn_value_device((kn_tensor_device){numbers[0], numbers[1]});
    Py_XDECREF(found);
    Py_XDECREF(module);
    return ok ? 0 : -1;
}

static bool is_value(const core_state *state, PyObject *object) {
    return Py_TYPE(object) == state->native_tensor_type ||
           Py_TYPE(object) == state->native_value_type;
}

/* What is no type of Python's own. */
static int read_other(core_state *state, PyObject *object, core_native_stream *stream,
                      kn_value *out) {
    int found = core_native_read_tensor(state, object, stream, out);
    if (found) return found < 0 ? -1 : 0;
    if (PyIndex_Check(object)) {
        PyObject *number = PyNumber_Index(object);
        int result = number ? read_int(number, out) : -1;
        Py_XDECREF(number);
        return result;
    }
    if (PyNumber_Check(object)) {
        PyObject *number = PyNumber_Float(object);
        if (number) *out = kn_value_float(PyFloat_AsDouble(number));
        Py_XDECREF(number);
        return number ? 0 : -1;
    }
    found = core_native_read_function(state, object, out);
    if (found) return found < 0 ? -1 : 0;
    return read_named(object, out);
}

/* What is no sequence. */
static int read_single(core_state *state, PyObject *object, core_native_stream *stream,
                       kn_value *out) {
    *out = kn_value_none();
    if (object == Py_None) return 0;
    if (PyBool_Check(object)) {
        *out = kn_value_bool(object == Py_True);
        return 0;
    }
    if (PyLong_Check(object)) return read_int(object, out);
    if (PyFloat_Check(object)) {
        *out = kn_value_float(PyFloat_AsDouble(object));
        return 0;
    }
    if (PyUnicode_Check(object)) return read_text(object, out);
    if (PyBytes_Check(object)) return read_bytes(object, out);
    if (is_value(state, object)) {
        *out = kn_value_retain(&((core_native_value *)object)->value);
        return 0;
    }
    return read_other(state, object, stream, out);
}

/* Sequences in sequences: one level for each that is not read to its end. */
typedef struct level {
    PyObject *tuple;
    kn_value *items;
    Py_ssize_t count, length;
} level;

typedef struct nest {
    level levels[DEPTH_MAX];
    int depth;
} nest;

static bool is_sequence(PyObject *object) { return PyTuple_Check(object) || PyList_Check(object); }

static int fail_too_deep(void) {
    PyErr_Format(PyExc_RecursionError, "lists are nested more than %d deep for a native kernel",
                 DEPTH_MAX);
    return -1;
}

static void pop_level(nest *n) {
    level *l = &n->levels[--n->depth];
    while (l->count > 0) kn_value_release(&l->items[--l->count]);
    PyMem_Free(l->items);
    Py_DECREF(l->tuple);
}

static int push_level(nest *n, PyObject *sequence) {
    if (n->depth == DEPTH_MAX) return fail_too_deep();
    PyObject *tuple = PyTuple_Check(sequence) ? Py_NewRef(sequence) : PyList_AsTuple(sequence);
    if (!tuple) return -1;
    Py_ssize_t length = PyTuple_Size(tuple);
    kn_value *items =
        length <= INT32_MAX ? PyMem_Malloc(((size_t)length + 1) * sizeof *items) : NULL;
    if (!items) {
        Py_DECREF(tuple);
        PyErr_NoMemory();
        return -1;
    }
    n->levels[n->depth++] = (level){tuple, items, 0, length};
    return 0;
}

/* One item, or the end of a level, whose array goes into the one above, or into *out. */
static int read_step(core_state *state, nest *n, core_native_stream *stream, kn_value *out) {
    level *l = &n->levels[n->depth - 1];
    if (l->count < l->length) {
        PyObject *item = PyTuple_GetItem(l->tuple, l->count);
        if (is_sequence(item)) return push_level(n, item);
        if (read_single(state, item, stream, &l->items[l->count]) < 0) return -1;
        l->count++;
        return 0;
    }
    kn_value array;
    if (make_array(state, l->items, l->length, &array) < 0) return -1;
    pop_level(n);
    level *above = n->depth ? &n->levels[n->depth - 1] : NULL;
    *(above ? &above->items[above->count++] : out) = array;
    return 0;
}

int core_native_read(core_state *state, PyObject *object, core_native_stream *stream,
                     kn_value *out) {
    if (!is_sequence(object)) return read_single(state, object, stream, out);
    nest n;
    n.depth = 0;
    *out = kn_value_none();
    int result = push_level(&n, object);
    while (result == 0 && n.depth) result = read_step(state, &n, stream, out);
    while (n.depth) pop_level(&n);
    return result;
}

/* ---- to Python ---- */

static PyObject *show_named(const char *what, int first, int second, int third) {
    PyObject *module = PyImport_ImportModule("kernels._native");
    PyObject *named =
        module ? PyObject_CallMethod(module, what, "iii", first, second, third) : NULL;
    Py_XDECREF(module);
    return named;
}

static PyObject *show_bytes(const kn_value *value) {
    kn_bytes bytes;
    kn_value_as_text(value, &bytes);
    bool is_text = value->type == KN_VALUE_SMALL_TEXT || value->type == KN_VALUE_TEXT_OBJECT ||
                   value->type == KN_VALUE_TEXT;
    return is_text ? PyUnicode_DecodeUTF8(bytes.at, (Py_ssize_t)bytes.length, "replace")
                   : PyBytes_FromStringAndSize(bytes.at, (Py_ssize_t)bytes.length);
}

static PyObject *show_shape(const kn_value *value) {
    const int64_t *numbers;
    size_t count;
    kn_value_as_shape(value, &numbers, &count);
    PyObject *tuple = PyTuple_New((Py_ssize_t)count);
    for (size_t i = 0; tuple && i < count; i++) {
        PyObject *number = PyLong_FromLongLong(numbers[i]);
        if (!number || PyTuple_SetItem(tuple, (Py_ssize_t)i, number) < 0) Py_CLEAR(tuple);
    }
    return tuple;
}

/* What is copied into Python; NULL without an exception: it is something else. */
static PyObject *show_copied(const kn_value *value) {
    switch (value->type) {
    case KN_VALUE_NONE:
        return Py_NewRef(Py_None);
    case KN_VALUE_INT:
        return PyLong_FromLongLong(value->as.integer);
    case KN_VALUE_BOOL:
        return PyBool_FromLong(value->as.integer != 0);
    case KN_VALUE_FLOAT:
        return PyFloat_FromDouble(value->as.number);
    case KN_VALUE_POINTER:
        return PyLong_FromVoidPtr(value->as.pointer);
    case KN_VALUE_DTYPE:
        return show_named("dtype_name", value->as.dtype.code, value->as.dtype.bits,
                          value->as.dtype.lanes);
    case KN_VALUE_DEVICE:
        return show_named("device_name", value->as.device.place, value->as.device.index, 0);
    case KN_VALUE_TEXT:
    case KN_VALUE_BYTES:
    case KN_VALUE_SMALL_TEXT:
    case KN_VALUE_SMALL_BYTES:
    case KN_VALUE_TEXT_OBJECT:
    case KN_VALUE_BYTES_OBJECT:
        return show_bytes(value);
    case KN_VALUE_SHAPE:
        return show_shape(value);
    default:
        return NULL;
    }
}

/* What is no array. */
static PyObject *show_single(core_state *state, kn_value *value) {
    PyObject *copied = show_copied(value);
    if (copied || PyErr_Occurred()) {
        kn_value_release(value);
        return copied;
    }
    if (value->type == KN_VALUE_FUNCTION) return core_native_function_new(state, value);
    if (value->type == KN_VALUE_TENSOR_OBJECT)
        return core_native_value_new(state->native_tensor_type, value);
    return core_native_value_new(state->native_value_type, value);
}

/* Arrays in arrays, likewise. */
typedef struct shown {
    const kn_value *items;
    size_t at, count;
    PyObject *tuple;
} shown;

static int push_shown(shown *levels, int *depth, const kn_value *array) {
    if (*depth == DEPTH_MAX) return fail_too_deep();
    shown *s = &levels[*depth];
    kn_value_as_array(array, &s->items, &s->count);
    s->at = 0;
    s->tuple = PyTuple_New((Py_ssize_t)s->count);
    if (!s->tuple) return -1;
    ++*depth;
    return 0;
}

/* One item, or the end of a level, whose tuple goes into the one above, or into *out. */
static int show_step(core_state *state, shown *levels, int *depth, PyObject **out) {
    shown *s = &levels[*depth - 1];
    PyObject *made = s->tuple;
    if (s->at < s->count) {
        if (s->items[s->at].type == KN_VALUE_ARRAY)
            return push_shown(levels, depth, &s->items[s->at]);
        kn_value item = kn_value_retain(&s->items[s->at]);
        made = show_single(state, &item);
        if (!made) return -1;
    } else if (--*depth) {
        s--;
    } else {
        *out = made;
        return 0;
    }
    return PyTuple_SetItem(s->tuple, (Py_ssize_t)s->at++, made);
}

PyObject *core_native_show(core_state *state, kn_value *value) {
    if (value->type != KN_VALUE_ARRAY) return show_single(state, value);
    shown levels[DEPTH_MAX];
    int depth = 0;
    PyObject *out = NULL;
    int result = push_shown(levels, &depth, value);
    while (result == 0 && depth) result = show_step(state, levels, &depth, &out);
    while (depth) Py_DECREF(levels[--depth].tuple);
    kn_value_release(value);
    return out;
}

PyObject *core_native_show_borrowed(core_state *state, const kn_value *value) {
    kn_value own = kn_value_retain(value);
    if (value->type == KN_VALUE_TENSOR) {
        kn_error err;
        kn_error_init(&err);
        kn_status status = kn_value_new_tensor(NULL, value->as.tensor, NULL, NULL, &own, &err);
        if (status) return core_raise(status, &err);
    }
    return core_native_show(state, &own);
}
