/* SPDX-License-Identifier: Apache-2.0 */
/* Native kernels for Python: what the files native_*.c share. */
#ifndef KERNELS_EXT_NATIVE_H
#define KERNELS_EXT_NATIVE_H

#include "core.h"

/* An owned value that Python has no type for: a tensor (the type has __dlpack__), or an object that
 * only kernels know. */
typedef struct core_native_value {
    PyObject_HEAD kn_value value;
} core_native_value;

/* What a call takes from its arguments besides their values: the stream of the first tensor that is
 * not in the processor's memory, where its library tells it. */
typedef struct core_native_stream {
    bool is_known;
    bool is_guessed; /* a tensor was asked for before it was known */
    kn_tensor_device device;
    void *stream;
} core_native_stream;

/* ---- native_value.c ---- */

/* An owned value for an object; -1 with an exception. `stream` may be NULL. */
int core_native_read(core_state *state, PyObject *object, core_native_stream *stream,
                     kn_value *out);
/* The object for a value, which is given up; NULL with an exception. */
PyObject *core_native_show(core_state *state, kn_value *value);
/* The same for a value that is borrowed for the time of a callback. */
PyObject *core_native_show_borrowed(core_state *state, const kn_value *value);

/* ---- native_tensor.c ---- */

/* 1: `object` is a tensor, now in *out; 0: it is none; -1 with an exception. */
int core_native_read_tensor(core_state *state, PyObject *object, core_native_stream *stream,
                            kn_value *out);
/* An object of `type` that takes `value` over. */
PyObject *core_native_value_new(PyTypeObject *type, kn_value *value);

/* ---- native_function.c ---- */

/* A callable for a function that is a value, which is given up. */
PyObject *core_native_function_new(core_state *state, kn_value *value);
/* 1: `object` is such a callable, or a kernel's function, now an owned value; 0: it is none; -1
 * with an exception. */
int core_native_read_function(core_state *state, PyObject *object, kn_value *out);

#endif
