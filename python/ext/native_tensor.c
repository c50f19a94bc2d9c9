/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors of any library for native kernels, and theirs for any library: DLPack. */
#include "native.h"

/* ---- DLPackExchangeAPI: what a library's type has for C, without a capsule for each tensor ----
 */

typedef struct exchange_api {
    uint32_t major, minor;
    struct exchange_api *previous;
    int (*allocate)(kn_tensor *prototype, kn_managed_tensor **out, void *error_ctx,
                    void (*set_error)(void *error_ctx, const char *kind, const char *message));
    int (*from_python)(void *object, kn_managed_tensor **out);
    int (*to_python)(kn_managed_tensor *tensor, void **object);
    int (*view)(void *object, kn_tensor *out);
    int (*current_stream)(int32_t place, int32_t index, void **out);
} exchange_api;

#define EXCHANGE_NAME "dlpack_exchange_api"
#define EXCHANGE_MAJOR 1

/* The attribute of a type, or None: looked up once for each type. Borrowed; NULL with an exception.
 */
static PyObject *exchange_attribute(core_state *state, PyObject *type) {
    PyObject *known = PyDict_GetItemWithError(state->exchanges, type);
    if (known || PyErr_Occurred()) return known;
    PyObject *found = PyObject_GetAttr(type, state->names.exchange);
    if (!found && !PyErr_ExceptionMatches(PyExc_AttributeError)) return NULL;
    PyErr_Clear();
    if (!found || !PyCapsule_IsValid(found, EXCHANGE_NAME)) {
        Py_XDECREF(found);
        found = Py_NewRef(Py_None);
    }
    int kept = PyDict_SetItem(state->exchanges, type, found);
    Py_DECREF(found);
    return kept < 0 ? NULL : PyDict_GetItemWithError(state->exchanges, type);
}

/* 0 with *out NULL where the type has none, or one of a later version. */
static int find_exchange(core_state *state, PyObject *object, const exchange_api **out) {
    PyObject *attribute = exchange_attribute(state, (PyObject *)Py_TYPE(object));
    *out = NULL;
    if (!attribute) return -1;
    if (attribute == Py_None) return 0;
    const exchange_api *api = PyCapsule_GetPointer(attribute, EXCHANGE_NAME);
    if (!api) return -1;
    if (api->major == EXCHANGE_MAJOR && api->from_python) *out = api;
    return 0;
}

static int raise_unless(kn_status status, const kn_error *err) {
    if (status) core_raise(status, err);
    return status ? -1 : 0;
}

static void note_stream(const exchange_api *api, const kn_tensor *tensor,
                        core_native_stream *stream) {
    kn_tensor_device device = tensor->device;
    if (!stream || stream->is_known || device.place == KN_TENSOR_CPU || !api->current_stream)
        return;
    void *current = NULL;
    if (api->current_stream(device.place, device.index, &current) == 0)
        *stream = (core_native_stream){true, device, current};
    else
        PyErr_Clear();
}

static int read_exchanged(const exchange_api *api, PyObject *object, core_native_stream *stream,
                          kn_value *out) {
    kn_managed_tensor *managed = NULL;
    if (api->from_python(object, &managed) != 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_BufferError, "the tensor's library does not hand it over");
        return -1;
    }
    note_stream(api, &managed->tensor, stream);
    kn_error err;
    kn_error_init(&err);
    kn_status status = kn_value_from_dlpack(NULL, managed, out, &err);
    if (status && managed->deleter) managed->deleter(managed);
    return raise_unless(status, &err);
}

/* ---- __dlpack__ ---- */

/* What a capsule of DLPack has, which is taken out of it. */
static int take_capsule(PyObject *capsule, kn_value *out) {
    kn_error err;
    kn_error_init(&err);
    if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
        kn_managed_tensor *managed = PyCapsule_GetPointer(capsule, "dltensor_versioned");
        if (raise_unless(kn_value_from_dlpack(NULL, managed, out, &err), &err) < 0) return -1;
        return PyCapsule_SetName(capsule, "used_dltensor_versioned");
    }
    if (PyCapsule_IsValid(capsule, "dltensor")) {
        kn_managed_tensor_old *managed = PyCapsule_GetPointer(capsule, "dltensor");
        if (raise_unless(kn_value_from_dlpack_old(NULL, managed, out, &err), &err) < 0) return -1;
        return PyCapsule_SetName(capsule, "used_dltensor");
    }
    PyErr_Format(PyExc_BufferError, "__dlpack__ gave %R, which is no tensor of DLPack", capsule);
    return -1;
}

/* As every library understands it; only what DLPack 1.0 can say, such as that a tensor is read
 * only, needs `max_version`, which costs more. */
static PyObject *ask_capsule(core_state *state, PyObject *export) {
    PyObject *capsule = PyObject_CallNoArgs(export);
    if (capsule || !PyErr_ExceptionMatches(PyExc_BufferError)) return capsule;
    PyErr_Clear();
    PyObject *empty = PyTuple_New(0);
    if (empty) capsule = PyObject_Call(export, empty, state->dlpack_options);
    Py_XDECREF(empty);
    return capsule;
}

int core_native_read_tensor(core_state *state, PyObject *object, core_native_stream *stream,
                            kn_value *out) {
    const exchange_api *api;
    if (find_exchange(state, object, &api) < 0) return -1;
    if (api) return read_exchanged(api, object, stream, out) < 0 ? -1 : 1;
    PyObject *export = PyObject_GetAttr(object, state->names.dlpack);
    if (!export) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) return -1;
        PyErr_Clear();
        return 0;
    }
    PyObject *capsule = ask_capsule(state, export);
    int result = capsule ? take_capsule(capsule, out) : -1;
    Py_XDECREF(capsule);
    Py_DECREF(export);
    return result < 0 ? -1 : 1;
}

/* ---- tensors and other values of kernels, as objects ---- */

PyObject *core_native_value_new(PyTypeObject *type, kn_value *value) {
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    core_native_value *made = (core_native_value *)alloc(type, 0);
    if (made)
        made->value = *value;
    else
        kn_value_release(value);
    *value = kn_value_none();
    return (PyObject *)made;
}

static void value_dealloc(core_native_value *self) {
    PyTypeObject *type = Py_TYPE(self);
    kn_value_release(&self->value);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* A capsule that nobody has taken the tensor out of. */
static void drop_capsule(PyObject *capsule) {
    if (!PyCapsule_IsValid(capsule, "dltensor_versioned")) return;
    kn_managed_tensor *managed = PyCapsule_GetPointer(capsule, "dltensor_versioned");
    if (managed->deleter) managed->deleter(managed);
}

static void drop_old_capsule(PyObject *capsule) {
    if (!PyCapsule_IsValid(capsule, "dltensor")) return;
    kn_managed_tensor_old *managed = PyCapsule_GetPointer(capsule, "dltensor");
    if (managed->deleter) managed->deleter(managed);
}

static PyObject *export_versioned(const kn_value *value) {
    kn_managed_tensor *managed;
    kn_error err;
    kn_error_init(&err);
    if (raise_unless(kn_value_to_dlpack(NULL, value, &managed, &err), &err) < 0) return NULL;
    PyObject *capsule = PyCapsule_New(managed, "dltensor_versioned", drop_capsule);
    if (!capsule) managed->deleter(managed);
    return capsule;
}

static PyObject *export_old(const kn_value *value) {
    kn_managed_tensor_old *managed;
    kn_error err;
    kn_error_init(&err);
    if (raise_unless(kn_value_to_dlpack_old(NULL, value, &managed, &err), &err) < 0) return NULL;
    PyObject *capsule = PyCapsule_New(managed, "dltensor", drop_old_capsule);
    if (!capsule) managed->deleter(managed);
    return capsule;
}

/* Whether the consumer takes what DLPack 1.0 has; -1 with an exception. */
static int takes_versioned(PyObject *max_version) {
    if (max_version == Py_None) return 0;
    int major, minor;
    if (PyTuple_Check(max_version) && PyArg_ParseTuple(max_version, "ii", &major, &minor))
        return major >= 1;
    PyErr_SetString(PyExc_TypeError, "max_version must be (major, minor)");
    return -1;
}

static PyObject *device_of(const core_native_value *self) {
    kn_tensor_device device = kn_value_as_tensor(&self->value)->device;
    return Py_BuildValue("(ii)", device.place, device.index);
}

/* Nothing is copied, moved or waited for. */
static int check_wishes(const core_native_value *self, PyObject *dl_device, PyObject *copy) {
    int wants_copy = PyObject_IsTrue(copy);
    PyObject *device = wants_copy < 0 ? NULL : device_of(self);
    int same =
        !device ? -1
                : (dl_device == Py_None ? 1 : PyObject_RichCompareBool(dl_device, device, Py_EQ));
    Py_XDECREF(device);
    if (same < 0) return -1;
    if (same && !wants_copy) return 0;
    PyErr_SetString(PyExc_BufferError,
                    "a kernel's tensor is neither copied nor moved: import it, and do so there");
    return -1;
}

static PyObject *tensor_dlpack(core_native_value *self, PyObject *args, PyObject *kwargs) {
    char stream_name[] = "stream", version_name[] = "max_version", device_name[] = "dl_device",
         copy_name[] = "copy";
    char *names[] = {stream_name, version_name, device_name, copy_name, NULL};
    PyObject *stream = Py_None, *max_version = Py_None, *dl_device = Py_None, *copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OOOO:__dlpack__", names, &stream,
                                     &max_version, &dl_device, &copy))
        return NULL;
    int versioned = takes_versioned(max_version);
    if (versioned < 0 || check_wishes(self, dl_device, copy) < 0) return NULL;
    return versioned ? export_versioned(&self->value) : export_old(&self->value);
}

static PyObject *tensor_device(core_native_value *self, PyObject *ignored) {
    (void)ignored;
    return device_of(self);
}

static PyObject *tensor_shape(core_native_value *self, void *ignored) {
    (void)ignored;
    const kn_tensor *tensor = kn_value_as_tensor(&self->value);
    PyObject *shape = PyTuple_New(tensor->ndim);
    for (int32_t i = 0; shape && i < tensor->ndim; i++) {
        PyObject *number = PyLong_FromLongLong(tensor->shape[i]);
        if (!number || PyTuple_SetItem(shape, i, number) < 0) Py_CLEAR(shape);
    }
    return shape;
}

static PyMethodDef tensor_methods[] = {
    {"__dlpack__", (PyCFunction)(void (*)(void))tensor_dlpack, METH_VARARGS | METH_KEYWORDS,
     "The tensor for another library, which shares the memory."},
    {"__dlpack_device__", (PyCFunction)tensor_device, METH_NOARGS, "(type, index)"},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef tensor_members[] = {
    {"shape", (getter)tensor_shape, NULL, "The sizes, a tuple.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot value_slots[] = {
    {Py_tp_doc, (void *)"A value of a native kernel's that only kernels know."},
    {Py_tp_dealloc, value_dealloc},
    {0, NULL},
};

static PyType_Slot tensor_slots[] = {
    {Py_tp_doc,
     (void *)"A tensor that a native kernel returned. Import it with from_dlpack of numpy, torch, "
             "jax or cupy."},
    {Py_tp_dealloc, value_dealloc},
    {Py_tp_methods, tensor_methods},
    {Py_tp_getset, tensor_members},
    {0, NULL},
};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION)

PyType_Spec core_native_value_spec = {"kernels._core.NativeValue", sizeof(core_native_value), 0,
                                      FLAGS, value_slots};
PyType_Spec core_native_tensor_spec = {"kernels._core.NativeTensor", sizeof(core_native_value), 0,
                                       FLAGS, tensor_slots};
