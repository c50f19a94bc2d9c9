/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of native kernels as callables, and callables as functions for them. */
#include <string.h>

#include "native.h"

/* The `self` of a builtin function, which is what Python calls: those are called without a tuple of
 * arguments being made. */
typedef struct core_native_function {
    PyObject_HEAD PyMethodDef def;
    core_state *state;
    const kn_function *function; /* the engine's; NULL: `value` is called */
    kn_value value;
    char name[128];
} core_native_function;

#define INLINE_ARGUMENTS 12

typedef struct call_arguments {
    kn_value in_place[INLINE_ARGUMENTS];
    kn_value *values;
    Py_ssize_t count; /* that are owned */
    core_native_stream stream;
} call_arguments;

static void release_values(call_arguments *a) {
    while (a->count > 0) kn_value_release(&a->values[--a->count]);
}

static void end_arguments(call_arguments *a) {
    release_values(a);
    if (a->values != a->in_place) PyMem_Free(a->values);
}

static int read_arguments(core_state *state, PyObject *const *args, Py_ssize_t count,
                          call_arguments *a) {
    for (; a->count < count; a->count++) {
        if (core_native_read(state, args[a->count], &a->stream, &a->values[a->count]) < 0)
            return -1;
    }
    return 0;
}

/* -1 with an exception; ended by the caller, always. Tensors that stand before the one whose stream
 * counts are asked for again, to be ready there. */
static int begin_arguments(core_state *state, PyObject *const *args, Py_ssize_t count,
                           call_arguments *a) {
    a->values = a->in_place;
    a->count = 0;
    a->stream.is_known = a->stream.is_guessed = false;
    if (count > INLINE_ARGUMENTS) a->values = PyMem_Malloc((size_t)count * sizeof *a->values);
    if (!a->values || count > INT32_MAX) {
        PyErr_NoMemory();
        return -1;
    }
    if (read_arguments(state, args, count, a) < 0) return -1;
    if (!a->stream.is_known || !a->stream.is_guessed) return 0;
    release_values(a);
    return read_arguments(state, args, count, a);
}

/* ---- errors ---- */

/* The builtin exception of that name, else RuntimeError. A new reference. */
static PyObject *exception_of(kn_bytes kind) {
    PyObject *module = PyImport_ImportModule("builtins");
    PyObject *name = PyUnicode_DecodeUTF8(kind.at, (Py_ssize_t)kind.length, "replace");
    PyObject *found = module && name ? PyObject_GetAttr(module, name) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(module);
    PyErr_Clear();
    bool ok = found && PyType_Check(found) &&
              PyType_IsSubtype((PyTypeObject *)found, (PyTypeObject *)PyExc_Exception);
    if (ok) return found;
    Py_XDECREF(found);
    return Py_NewRef(PyExc_RuntimeError);
}

/* Adds where in the kernel it was, for Pythons that have notes. */
static void add_backtrace(const char *name, const kn_native_error *error) {
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    PyObject *text =
        PyUnicode_DecodeUTF8(error->backtrace.at, (Py_ssize_t)error->backtrace.length, "replace");
    PyObject *note = text ? PyUnicode_FromFormat(
                                "in the native function '%s', latest call first:\n%U", name, text)
                          : NULL;
    PyObject *done = note && value ? PyObject_CallMethod(value, "add_note", "O", note) : NULL;
    Py_XDECREF(done);
    Py_XDECREF(note);
    Py_XDECREF(text);
    PyErr_Clear();
    PyErr_Restore(type, value, trace);
}

/* Raises what a call came to; returns NULL. */
static PyObject *raise_failure(const char *name, kn_status status, kn_value *result) {
    kn_native_error error = {.size = sizeof error};
    bool is_raised = kn_value_as_error(result, &error);
    if (PyErr_Occurred() && (status == KN_ERR_HOST || !is_raised)) {
        kn_value_release(result);
        return NULL;
    }
    PyErr_Clear(); /* of a callback: the kernel made something else of it */
    if (!is_raised) {
        kn_value_release(result);
        return PyErr_Format(
            PyExc_RuntimeError,
            "%s: the kernel says that it failed, and not why; it may need arguments "
            "of other types or another number of them",
            name);
    }
    PyObject *type = exception_of(error.kind);
    PyObject *message =
        PyUnicode_DecodeUTF8(error.message.at, (Py_ssize_t)error.message.length, "replace");
    if (message) PyErr_SetObject(type, message);
    if (message && error.backtrace.length) add_backtrace(name, &error);
    Py_XDECREF(message);
    Py_DECREF(type);
    kn_value_release(result);
    return NULL;
}

/* ---- calls ---- */

/* Without the GIL: a kernel may take its time. */
static kn_status run(const core_native_function *f, const call_arguments *a, kn_value *result) {
    PyThreadState *left = PyEval_SaveThread();
    int32_t count = (int32_t)a->count;
    kn_status status = f->function ? kn_function_try(f->function, a->values, count, result)
                                   : kn_value_try(&f->value, a->values, count, result);
    PyEval_RestoreThread(left);
    return status;
}

/* On the stream on which the tensors' library works, which is put back. */
static kn_status run_on_stream(const core_native_function *f, const call_arguments *a,
                               kn_value *result, kn_error *err) {
    void *before;
    const core_native_stream *s = &a->stream;
    kn_engine *engine = f->state->engine;
    kn_status status = kn_engine_set_stream(engine, s->device, s->stream, &before, err);
    if (status) return status;
    err->status = KN_OK;
    status = run(f, a, result);
    kn_engine_set_stream(engine, s->device, before, NULL, NULL);
    return status;
}

static PyObject *call_function(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    const core_native_function *f = (const core_native_function *)self;
    call_arguments a;
    if (!f->state->engine)
        return PyErr_Format(PyExc_RuntimeError, "%s: the package kernels has been shut down",
                            f->name);
    if (begin_arguments(f->state, args, count, &a) < 0) {
        end_arguments(&a);
        return NULL;
    }
    kn_error err;
    kn_error_init(&err);
    kn_value result = kn_value_none();
    kn_status status =
        a.stream.is_known ? run_on_stream(f, &a, &result, &err) : run(f, &a, &result);
    end_arguments(&a);
    if (err.status) return core_raise(status, &err);
    if (status) return raise_failure(f->name, status, &result);
    if (PyErr_Occurred()) { /* a callback failed, and the kernel took no notice */
        kn_value_release(&result);
        return NULL;
    }
    return core_native_show(f->state, &result);
}

static void function_dealloc(core_native_function *self) {
    PyTypeObject *type = Py_TYPE(self);
    kn_value_release(&self->value);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyType_Slot function_slots[] = {
    {Py_tp_dealloc, function_dealloc},
    {0, NULL},
};

PyType_Spec core_native_function_spec = {
    "kernels._core.NativeFunction", sizeof(core_native_function), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, function_slots};

/* A builtin function for one of the kernel's, or for `value`, which is given up. */
static PyObject *new_function(core_state *state, const char *name, const kn_function *function,
                              kn_value *value) {
    PyTypeObject *type = state->native_function_type;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    core_native_function *self = (core_native_function *)alloc(type, 0);
    if (!self) {
        kn_value_release(value);
        return NULL;
    }
    core_text_copy(self->name, sizeof self->name, name);
    self->state = state;
    self->function = function;
    self->value = *value;
    *value = kn_value_none();
    self->def = (PyMethodDef){self->name, (PyCFunction)(void (*)(void))call_function, METH_FASTCALL,
                              "A function of a native kernel."};
    PyObject *made = PyCFunction_NewEx(&self->def, (PyObject *)self, NULL);
    Py_DECREF(self);
    return made;
}

PyObject *core_native_function_new(core_state *state, kn_value *value) {
    return new_function(state, "native function", NULL, value);
}

/* ---- callables for kernels ---- */

typedef struct callback {
    core_state *state;
    PyObject *callable;
} callback;

static PyObject *call_python(const callback *c, const kn_value *args, int32_t count) {
    PyObject *tuple = PyTuple_New(count);
    for (int32_t i = 0; tuple && i < count; i++) {
        PyObject *item = core_native_show_borrowed(c->state, &args[i]);
        if (!item || PyTuple_SetItem(tuple, i, item) < 0) Py_CLEAR(tuple);
    }
    PyObject *result = tuple ? PyObject_CallObject(c->callable, tuple) : NULL;
    Py_XDECREF(tuple);
    return result;
}

/* The exception stays with the thread, whose call of the kernel it ends. */
static kn_status run_callback(void *ctx, const kn_value *args, int32_t count, kn_value *result,
                              kn_error *err) {
    const callback *c = ctx;
    (void)err;
    PyGILState_STATE held = PyGILState_Ensure();
    PyObject *returned = call_python(c, args, count);
    int failed = returned ? core_native_read(c->state, returned, NULL, result) : -1;
    Py_XDECREF(returned);
    PyGILState_Release(held);
    return failed < 0 ? KN_ERR_HOST : KN_OK;
}

static void end_callback(void *ctx) {
    callback *c = ctx;
    if (!Py_IsInitialized()) return;
    PyGILState_STATE held = PyGILState_Ensure();
    Py_DECREF(c->callable);
    PyMem_Free(c);
    PyGILState_Release(held);
}

static int read_callable(core_state *state, PyObject *object, kn_value *out) {
    kn_error err;
    kn_error_init(&err);
    callback *c = PyMem_Malloc(sizeof *c);
    if (!c) {
        PyErr_NoMemory();
        return -1;
    }
    *c = (callback){state, Py_NewRef(object)};
    kn_status status = kn_value_new_function(NULL, run_callback, c, end_callback, out, &err);
    if (!status) return 1;
    end_callback(c);
    core_raise(status, &err);
    return -1;
}

int core_native_read_function(core_state *state, PyObject *object, kn_value *out) {
    PyObject *self = PyCFunction_Check(object) ? PyCFunction_GetSelf(object) : NULL;
    PyErr_Clear();
    if (!self || Py_TYPE(self) != state->native_function_type)
        return PyCallable_Check(object) ? read_callable(state, object, out) : 0;
    const core_native_function *f = (const core_native_function *)self;
    kn_error err;
    kn_error_init(&err);
    if (!f->function) {
        *out = kn_value_retain(&f->value);
        return 1;
    }
    kn_status status = kn_function_value(f->function, out, &err);
    if (status) core_raise(status, &err);
    return status ? -1 : 1;
}

/* ---- kernels ---- */

#define HANDLE "kernels._core.native"

/* native_kernel(repository, libtvm_ffi or None, whether torch tells the GPU, and not the CUDA
 * driver)
 * -> (handle, name, variant, folder, library) */
PyObject *core_native_kernel(PyObject *module, PyObject *args) {
    core_state *state = core_state_of(module);
    PyObject *repo;
    const char *tvm_ffi;
    int has_torch;
    kn_repo_info info = {.size = sizeof info};
    kn_error err;
    kn_error_init(&err);
    if (!PyArg_ParseTuple(args, "Ozp", &repo, &tvm_ffi, &has_torch)) return NULL;
    if (core_repo_describe(repo, &info) < 0 || !core_python(state)) return NULL;
    kn_status status = kn_engine_use_tvm_ffi(state->engine, tvm_ffi, &err);
    if (status) return core_raise(status, &err);
    core_call call;
    kn_native *native;
    core_call_init(&call, state);
    if (!has_torch) {
        call.host.capability = NULL;
        call.host.has_unlike_devices = NULL;
        call.host.gpu = NULL;
    }
    status = kn_engine_get_native(state->engine, &call.host, &info, &native, &err);
    PyObject *result = NULL;
    if (status) {
        core_call_raise(&call, status, &err);
    } else {
        kn_native_info about = {.size = sizeof about};
        kn_native_get(native, &about);
        result = Py_BuildValue("(NssNN)", PyCapsule_New(native, HANDLE, NULL), about.name,
                               about.variant, PyUnicode_DecodeFSDefault(about.folder),
                               PyUnicode_DecodeFSDefault(about.library));
    }
    core_call_clear(&call);
    return result;
}

/* native_function(handle, name) -> callable; AttributeError where the kernel has none of that name
 */
PyObject *core_native_find(PyObject *module, PyObject *args) {
    core_state *state = core_state_of(module);
    PyObject *handle;
    const char *name;
    const kn_function *function;
    kn_value none = kn_value_none();
    kn_error err;
    kn_error_init(&err);
    if (!PyArg_ParseTuple(args, "Os", &handle, &name)) return NULL;
    kn_native *native = PyCapsule_GetPointer(handle, HANDLE);
    if (!native) return NULL;
    if (!state->engine)
        return PyErr_Format(PyExc_RuntimeError, "the package kernels has been shut down");
    kn_status status = kn_native_find(native, name, &function, &err);
    if (status == KN_ERR_NOT_FOUND) {
        PyErr_SetString(PyExc_AttributeError, err.message);
        return NULL;
    }
    return status ? core_raise(status, &err) : new_function(state, name, function, &none);
}
