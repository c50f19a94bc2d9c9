/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_fast.h"

#include "kb_cuda.h"

PyObject *kb_dict_find(PyObject *dict, PyObject *key) {
    if (!dict || !PyDict_Check(dict)) return NULL;
    PyObject *value = PyDict_GetItemWithError(dict, key);
    if (!value) PyErr_Clear();
    return value;
}

/* `module.name` or NULL without an error. */
static PyObject *find_attribute(const char *module_name, const char *name) {
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *value = module ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    if (!value) PyErr_Clear();
    return value;
}

static PyObject *find_module_dict(const char *module_name, PyObject *needed) {
    PyObject *dict = find_attribute(module_name, "__dict__");
    if (dict && !kb_dict_find(dict, needed)) Py_CLEAR(dict);
    return dict;
}

static const kb_dl_exchange_api *find_exchange_api(PyObject *tensor_type) {
    PyObject *capsule = PyObject_GetAttrString(tensor_type, "__dlpack_c_exchange_api__");
    const kb_dl_exchange_api *api = NULL;
    if (capsule && PyCapsule_CheckExact(capsule))
        api = PyCapsule_GetPointer(capsule, "dlpack_exchange_api");
    PyErr_Clear();
    Py_XDECREF(capsule); /* torch keeps the table for the life of the process */
    while (api && api->version.major > KB_DL_MAJOR_VERSION) api = api->previous;
    bool usable =
        api && api->version.major == KB_DL_MAJOR_VERSION && api->dltensor_from_py_object_no_sync;
    return usable ? api : NULL;
}

/* `*object = object.name`, NULL where there is none. */
static void replace_by_attribute(PyObject **object, const char *name) {
    PyObject *found = *object ? PyObject_GetAttrString(*object, name) : NULL;
    if (!found) PyErr_Clear();
    Py_XDECREF(*object);
    *object = found;
}

/* A function (sizes, strides, dtype): what compiled graphs allocate with, which passes by the
 * dispatcher; where this torch has none, decline. */
static PyObject *find_empty_strided(const char *name) {
    PyObject *found = find_attribute("torch._C", "_dynamo");
    replace_by_attribute(&found, "guards");
    replace_by_attribute(&found, name);
    return found;
}

/* The first object that cannot be made is an error, the first that is not found is not. */
static int init_constants(PyObject **objects) {
    objects[KB_MINUS_ONE] = PyLong_FromLong(-1);
    objects[KB_ZERO] = PyLong_FromLong(0);
    objects[KB_TEXT_CURRENT_LEVEL] = PyUnicode_InternFromString("_current_level");
    objects[KB_TEXT_PROFILER_ENABLED] = PyUnicode_InternFromString("_is_profiler_enabled");
    objects[KB_TEXT_REQUIRES_GRAD] = PyUnicode_InternFromString("requires_grad");
    objects[KB_TEXT_DTYPE] = PyUnicode_InternFromString("dtype");
    objects[KB_TEXT_PARAMETERS] = PyUnicode_InternFromString("_parameters");
    for (int i = KB_MINUS_ONE; i < KB_OBJECT_COUNT; i++)
        if (!objects[i]) return -1;
    return 0;
}

int kb_fast_init(kb_fast *fast) {
    PyObject **objects = fast->objects;
    if (init_constants(objects)) return -1;
    objects[KB_TENSOR_TYPE] = find_attribute("torch", "Tensor");
    objects[KB_PARAMETER_TYPE] = find_attribute("torch.nn", "Parameter");
    objects[KB_EMPTY_STRIDED] = find_empty_strided("_empty_strided_cpu");
#ifdef KB_HAS_CUDA
    objects[KB_EMPTY_STRIDED_CUDA] = find_empty_strided("_empty_strided_cuda");
#else
    Py_INCREF(Py_None);
    objects[KB_EMPTY_STRIDED_CUDA] = Py_None;
#endif
    objects[KB_IS_NEG] = find_attribute("torch._C", "TensorBase");
    replace_by_attribute(&objects[KB_IS_NEG], "is_neg");
    objects[KB_FUNCTION_MODE_ENABLED] =
        find_attribute("torch._C", "_is_torch_function_mode_enabled");
    objects[KB_DISPATCH_MODE_COUNT] = find_attribute("torch._C", "_len_torch_dispatch_stack");
    objects[KB_IS_TRACING] = find_attribute("torch._C", "_is_tracing");
    objects[KB_FUNCTORCH_IS_ACTIVE] =
        find_attribute("torch._C", "_are_functorch_transforms_active");
    objects[KB_FORWARD_AD] =
        find_module_dict("torch.autograd.forward_ad", objects[KB_TEXT_CURRENT_LEVEL]);
    objects[KB_PROFILER] =
        find_module_dict("torch.autograd.profiler", objects[KB_TEXT_PROFILER_ENABLED]);
    objects[KB_DTYPES + KB_F32] = find_attribute("torch", "float32");
    objects[KB_DTYPES + KB_BF16] = find_attribute("torch", "bfloat16");
    objects[KB_DTYPES + KB_F16] = find_attribute("torch", "float16");
    for (int i = 0; i < KB_OBJECT_COUNT; i++)
        if (!objects[i]) return 0;
    fast->api = find_exchange_api(objects[KB_TENSOR_TYPE]);
    return 0;
}

int kb_fast_traverse(kb_fast *fast, visitproc visit, void *arg) {
    for (int i = 0; i < KB_OBJECT_COUNT; i++) Py_VISIT(fast->objects[i]);
    return 0;
}

void kb_fast_clear(kb_fast *fast) {
    fast->api = NULL;
    for (int i = 0; i < KB_OBJECT_COUNT; i++) Py_CLEAR(fast->objects[i]);
}

/* Whether `function()` returns exactly `expected`; anything else, an error too, is a no. */
static bool call_gives(PyObject *function, PyObject *expected) {
    PyObject *result = PyObject_CallNoArgs(function);
    if (!result) PyErr_Clear();
    bool same = result == expected;
    Py_XDECREF(result);
    return same;
}

bool kb_fast_is_quiet(const kb_fast *fast) {
    /* CPython keeps one object for each small int, so that identity is enough; were it not so,
     * the answer would be "not quiet", which is slower and right. */
    PyObject *const *o = fast->objects;
    return fast->api &&
           kb_dict_find(o[KB_FORWARD_AD], o[KB_TEXT_CURRENT_LEVEL]) == o[KB_MINUS_ONE] &&
           kb_dict_find(o[KB_PROFILER], o[KB_TEXT_PROFILER_ENABLED]) == Py_False &&
           call_gives(o[KB_DISPATCH_MODE_COUNT], o[KB_ZERO]) &&
           call_gives(o[KB_FUNCTION_MODE_ENABLED], Py_False) &&
           call_gives(o[KB_IS_TRACING], Py_False);
}

bool kb_fast_wants_grad(const kb_fast *fast, PyObject *object) {
    if (object == Py_None || !aoti_torch_grad_mode_is_enabled()) return false;
    PyObject *flag = PyObject_GetAttr(object, fast->objects[KB_TEXT_REQUIRES_GRAD]);
    if (!flag) PyErr_Clear();
    bool wanted = flag != Py_False;
    Py_XDECREF(flag);
    return wanted;
}

bool kb_fast_any_wants_grad(const kb_fast *fast, PyObject *const *objects, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (objects[i] && kb_fast_wants_grad(fast, objects[i])) return true;
    return false;
}

bool kb_fast_may_record(const kb_fast *fast) {
    return call_gives(fast->objects[KB_FUNCTORCH_IS_ACTIVE], Py_False);
}

static bool dtype_from_dl(const kb_dl_tensor *dl, kb_dtype *type) {
    if (dl->dtype.lanes != 1) return false;
    if (dl->dtype.code == KB_DL_FLOAT && dl->dtype.bits == 32)
        *type = KB_F32;
    else if (dl->dtype.code == KB_DL_BFLOAT && dl->dtype.bits == 16)
        *type = KB_BF16;
    else if (dl->dtype.code == KB_DL_FLOAT && dl->dtype.bits == 16)
        *type = KB_F16;
    else
        return false;
    return true;
}

static bool is_contiguous(const kb_dl_tensor *dl) {
    int64_t step = 1;
    for (int i = dl->ndim - 1; i >= 0; i--) {
        if (dl->shape[i] != 1 && dl->strides[i] != step) return false;
        step *= dl->shape[i];
    }
    return true;
}

/* Views with the other sign (torch.conj's imaginary parts, torch._neg_view) lie in memory as they
 * are; their sign is only in torch's books. */
static bool is_negated(const kb_fast *fast, PyObject *tensor) {
    PyObject *answer = PyObject_CallFunctionObjArgs(fast->objects[KB_IS_NEG], tensor, NULL);
    if (!answer) PyErr_Clear();
    bool negated = answer != Py_False;
    Py_XDECREF(answer);
    return negated;
}

static bool device_from_dl(const kb_dl_tensor *dl, kb_device *device) {
    if (dl->device.type == KB_DL_CPU) {
        *device = (kb_device){KB_DEVICE_CPU, 0};
        return true;
    }
#ifdef KB_HAS_CUDA
    *device = (kb_device){KB_DEVICE_CUDA, dl->device.id};
    return dl->device.type == KB_DL_CUDA;
#else
    return false;
#endif
}

/* Work for another CUDA device than the current one is for the op, which changes the device. */
static bool is_here(kb_device device) {
    return !KB_ON_CUDA(device) || kb_cuda_is_current(device.index);
}

static bool open_any(const kb_fast *fast, PyObject *object, kb_plain *out) {
    /* Subclasses decide for themselves what an operation means. */
    PyObject *type = (PyObject *)Py_TYPE(object);
    if (type != fast->objects[KB_TENSOR_TYPE] && type != fast->objects[KB_PARAMETER_TYPE])
        return false;
    if (fast->api->dltensor_from_py_object_no_sync(object, &out->dl)) {
        PyErr_Clear(); /* sparse, batched, functional: no memory to point to */
        return false;
    }
    if (!device_from_dl(&out->dl, &out->device) || !dtype_from_dl(&out->dl, &out->type))
        return false;
    if (out->dl.ndim > KB_MAX_DIMS || (out->dl.ndim > 0 && !out->dl.strides)) return false;
    out->count = kb_sizes_product(out->dl.shape, 0, out->dl.ndim);
    out->contiguous = out->count == 0 || is_contiguous(&out->dl);
    out->data = (void *)((uintptr_t)out->dl.data + (uintptr_t)out->dl.byte_offset);
    return out->dl.data || out->count == 0; /* autograd's zero tensors have no memory */
}

bool kb_fast_open(const kb_fast *fast, PyObject *object, kb_plain *out) {
    return open_any(fast, object, out) && is_here(out->device) && !is_negated(fast, object);
}

bool kb_fast_open_beside(const kb_fast *fast, PyObject *object, const kb_plain *x, kb_plain *out) {
    return open_any(fast, object, out) && kb_device_equal(out->device, x->device) &&
           !is_negated(fast, object);
}

bool kb_plain_has_sizes(const kb_plain *tensor, int32_t ndim, const int64_t *sizes) {
    if (tensor->dl.ndim != ndim) return false;
    for (int32_t i = 0; i < ndim; i++)
        if (tensor->dl.shape[i] != sizes[i]) return false;
    return true;
}

bool kb_plain_is_with(const kb_plain *a, const kb_plain *b) {
    return a->type == b->type && kb_device_equal(a->device, b->device);
}

bool kb_fast_open_like(const kb_fast *fast, PyObject *object, const kb_plain *x, int32_t ndim,
                       const int64_t *sizes, kb_plain *out) {
    return kb_fast_open_beside(fast, object, x, out) && out->type == x->type && out->contiguous &&
           kb_plain_has_sizes(out, ndim, sizes) && !kb_fast_wants_grad(fast, object);
}

static PyObject *tuple_of(int32_t ndim, const int64_t *numbers) {
    PyObject *tuple = PyTuple_New(ndim);
    for (int32_t i = 0; tuple && i < ndim; i++) {
        PyObject *item = PyLong_FromLongLong(numbers[i]);
        if (!item || PyTuple_SetItem(tuple, i, item)) Py_CLEAR(tuple);
    }
    return tuple;
}

PyObject *kb_fast_new(const kb_fast *fast, const kb_plain *x, int32_t ndim, const int64_t *sizes,
                      const int64_t *strides, kb_plain *out) {
    bool on_cuda = KB_ON_CUDA(x->device);
    PyObject *empty = fast->objects[on_cuda ? KB_EMPTY_STRIDED_CUDA : KB_EMPTY_STRIDED];
    int64_t contiguous[KB_MAX_DIMS];
    if (!strides) kb_strides_contiguous(ndim, sizes, contiguous);
    PyObject *size_tuple = tuple_of(ndim, sizes);
    PyObject *stride_tuple = tuple_of(ndim, strides ? strides : contiguous);
    PyObject *made = NULL;
    if (size_tuple && stride_tuple)
        made = PyObject_CallFunctionObjArgs(empty, size_tuple, stride_tuple,
                                            fast->objects[KB_DTYPES + x->type], NULL);
    Py_XDECREF(size_tuple);
    Py_XDECREF(stride_tuple);
    if (!made || (open_any(fast, made, out) && kb_plain_is_with(out, x))) return made;
    Py_DECREF(made);
    return NULL;
}

PyObject *kb_fast_new_floats(const kb_fast *fast, const kb_plain *x, int64_t count, float **data) {
    kb_plain like = {.type = KB_F32, .device = x->device}, made;
    PyObject *result = kb_fast_new(fast, &like, 1, &count, NULL, &made);
    if (result) *data = made.data;
    return result;
}

void kb_fast_parallel(int64_t count, int64_t cost, kb_range_kernel kernel, void *context) {
    if (!kb_parallel_is_large(count, cost)) {
        if (count > 0) kernel(0, count, context);
        return;
    }
    PyThreadState *thread = PyEval_SaveThread();
    kb_parallel(count, cost, kernel, context);
    PyEval_RestoreThread(thread);
}

PyObject *kb_fast_launched(PyObject *result, int error) {
    if (error == 0) return result;
    Py_DECREF(result);
    return PyErr_Format(PyExc_RuntimeError, "builtin kernel: CUDA error %d", error);
}

PyObject *kb_fast_failed(void) {
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NOTIMPLEMENTED;
}
