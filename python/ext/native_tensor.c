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

/* NumPy's arrays are in the processor's memory: they need not be asked, which would take as long as
 * all the rest of a call. */
static bool is_numpy_array(PyObject *type) {
    PyObject *text = PyObject_Repr(type);
    bool is_one = text && PyUnicode_CompareWithASCIIString(text, "<class 'numpy.ndarray'>") == 0;
    Py_XDECREF(text);
    PyErr_Clear();
    return is_one;
}

/* What is known of a type, looked up once: the capsule; None: it has none; True: nor need it be
 * asked where its tensors are. Borrowed; NULL with an exception. */
static PyObject *known_of(core_state *state, PyObject *type) {
    PyObject *known = PyDict_GetItemWithError(state->exchanges, type);
    if (known || PyErr_Occurred()) return known;
    PyObject *found = PyObject_GetAttr(type, state->names.exchange);
    if (!found && !PyErr_ExceptionMatches(PyExc_AttributeError)) return NULL;
    PyErr_Clear();
    if (!found || !PyCapsule_IsValid(found, EXCHANGE_NAME)) {
        Py_XDECREF(found);
        found = Py_NewRef(is_numpy_array(type) ? Py_True : Py_None);
    }
    int kept = PyDict_SetItem(state->exchanges, type, found);
    Py_DECREF(found);
    return kept < 0 ? NULL : PyDict_GetItemWithError(state->exchanges, type);
}

/* *api is NULL where `known` is no capsule, or one of a later version. */
static int find_exchange(PyObject *known, const exchange_api **api) {
    *api = NULL;
    if (known == Py_None || known == Py_True) return 0;
    const exchange_api *found = PyCapsule_GetPointer(known, EXCHANGE_NAME);
    if (!found) return -1;
    if (found->major == EXCHANGE_MAJOR && found->from_python) *api = found;
    return 0;
}

/* Memory that the processor reads, and no stream works on. */
static bool is_host(kn_tensor_device device) {
    return device.place == KN_TENSOR_CPU || device.place == KN_TENSOR_CUDA_HOST ||
           device.place == KN_TENSOR_ROCM_HOST;
}

static void note_stream(const exchange_api *api, const kn_tensor *tensor,
                        core_native_stream *stream) {
    kn_tensor_device device = tensor->device;
    if (!stream || stream->is_known || is_host(device) || !api->current_stream) return;
    void *current = NULL;
    if (api->current_stream(device.place, device.index, &current) == 0)
        *stream = (core_native_stream){true, stream->is_guessed, device, current};
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
    return core_raise_unless(status, &err);
}

/* ---- __dlpack__ ---- */

/* What a capsule of DLPack has, which is taken out of it. */
static int take_capsule(PyObject *capsule, kn_value *out) {
    kn_error err;
    kn_error_init(&err);
    if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
        kn_managed_tensor *managed = PyCapsule_GetPointer(capsule, "dltensor_versioned");
        if (core_raise_unless(kn_value_from_dlpack(NULL, managed, out, &err), &err) < 0) return -1;
        return PyCapsule_SetName(capsule, "used_dltensor_versioned");
    }
    if (PyCapsule_IsValid(capsule, "dltensor")) {
        kn_managed_tensor_old *managed = PyCapsule_GetPointer(capsule, "dltensor");
        if (core_raise_unless(kn_value_from_dlpack_old(NULL, managed, out, &err), &err) < 0)
            return -1;
        return PyCapsule_SetName(capsule, "used_dltensor");
    }
    PyErr_Format(PyExc_BufferError, "__dlpack__ gave %R, which is no tensor of DLPack", capsule);
    return -1;
}

/* Where a tensor is, by its own account; what gives none is in the processor's memory. */
static int ask_device(core_state *state, PyObject *object, kn_tensor_device *out) {
    *out = (kn_tensor_device){KN_TENSOR_CPU, 0};
    PyObject *method = PyObject_GetAttr(object, state->names.dlpack_device);
    if (!method) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) return -1;
        PyErr_Clear();
        return 0;
    }
    PyObject *pair = PyObject_CallNoArgs(method);
    bool ok = pair && PyArg_Parse(pair, "(ii)", &out->place, &out->index);
    Py_XDECREF(pair);
    Py_DECREF(method);
    return ok ? 0 : -1;
}

/* The stream on which this thread works on a device; the default one where there is no libtvm_ffi.
 */
static void *stream_of_thread(kn_engine *engine, kn_tensor_device device) {
    void *stream = NULL;
    if (!kn_engine_set_stream(engine, device, NULL, &stream, NULL))
        kn_engine_set_stream(engine, device, stream, NULL, NULL);
    return stream;
}

/* Makes *number the stream on which the kernel will work, as `__dlpack__` is told it, so that the
 * tensor is ready there: by the array API standard an integer, where 1 is CUDA's legacy default
 * stream and 0 ROCm's default. NULL, which says nothing: for other devices. */
static int number_stream(core_state *state, kn_tensor_device device, core_native_stream *stream,
                         PyObject **number) {
    bool is_cuda = device.place == KN_TENSOR_CUDA || device.place == KN_TENSOR_CUDA_MANAGED;
    *number = NULL;
    if (!stream || (!is_cuda && device.place != KN_TENSOR_ROCM)) return 0;
    bool is_known = stream->is_known && stream->device.place == device.place &&
                    stream->device.index == device.index;
    void *at = is_known ? stream->stream : stream_of_thread(state->engine, device);
    stream->is_guessed = stream->is_guessed || !stream->is_known;
    *number = is_cuda && !at ? PyLong_FromLong(1) : PyLong_FromVoidPtr(at);
    return *number ? 0 : -1;
}

static PyObject *call_export(PyObject *export, PyObject *options, PyObject *stream) {
    PyObject *all = options ? PyDict_Copy(options) : PyDict_New(), *none = PyTuple_New(0);
    bool ok = all && none && (!stream || !PyDict_SetItemString(all, "stream", stream));
    PyObject *capsule = ok ? PyObject_Call(export, none, all) : NULL;
    Py_XDECREF(none);
    Py_XDECREF(all);
    return capsule;
}

/* As every library understands it; only what DLPack 1.0 can say, such as that a tensor is read
 * only, needs `max_version`, which costs more, and which older ones do not know. */
static PyObject *ask_capsule(core_state *state, PyObject *export, PyObject *stream) {
    PyObject *capsule = stream ? call_export(export, NULL, stream) : PyObject_CallNoArgs(export);
    if (capsule || !PyErr_ExceptionMatches(PyExc_BufferError)) return capsule;
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    capsule = call_export(export, state->dlpack_options, stream);
    if (!capsule && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Restore(type, value, trace); /* it is an older one */
        return NULL;
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    return capsule;
}

static int read_capsule(core_state *state, PyObject *export, PyObject *stream, kn_value *out) {
    PyObject *capsule = ask_capsule(state, export, stream);
    int result = capsule ? take_capsule(capsule, out) : -1;
    Py_XDECREF(capsule);
    return result;
}

static int read_exported(core_state *state, PyObject *object, PyObject *export,
                         core_native_stream *stream, kn_value *out) {
    kn_tensor_device device;
    PyObject *number;
    if (ask_device(state, object, &device) < 0) return -1;
    if (number_stream(state, device, stream, &number) < 0) return -1;
    int result = read_capsule(state, export, number, out);
    Py_XDECREF(number);
    return result;
}

int core_native_read_tensor(core_state *state, PyObject *object, core_native_stream *stream,
                            kn_value *out) {
    const exchange_api *api;
    PyObject *known = known_of(state, (PyObject *)Py_TYPE(object));
    if (!known || find_exchange(known, &api) < 0) return -1;
    if (api) return read_exchanged(api, object, stream, out) < 0 ? -1 : 1;
    PyObject *export = PyObject_GetAttr(object, state->names.dlpack);
    if (!export) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) return -1;
        PyErr_Clear();
        return 0;
    }
    int result = known == Py_True ? read_capsule(state, export, NULL, out)
                                  : read_exported(state, object, export, stream, out);
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
    if (core_raise_unless(kn_value_to_dlpack(NULL, value, &managed, &err), &err) < 0) return NULL;
    PyObject *capsule = PyCapsule_New(managed, "dltensor_versioned", drop_capsule);
    if (!capsule) managed->deleter(managed);
    return capsule;
}

static PyObject *export_old(const kn_value *value) {
    kn_managed_tensor_old *managed;
    kn_error err;
    kn_error_init(&err);
    if (core_raise_unless(kn_value_to_dlpack_old(NULL, value, &managed, &err), &err) < 0)
        return NULL;
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
