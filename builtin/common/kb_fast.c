/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_fast.h"

#include "kb_torch_abi.h"

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
    objects[KB_EMPTY] = find_attribute("torch", "empty");
    objects[KB_EMPTY_LIKE] = find_attribute("torch", "empty_like");
    objects[KB_FUNCTION_MODE_ENABLED] =
        find_attribute("torch._C", "_is_torch_function_mode_enabled");
    objects[KB_DISPATCH_MODE_COUNT] = find_attribute("torch._C", "_len_torch_dispatch_stack");
    objects[KB_IS_TRACING] = find_attribute("torch._C", "_is_tracing");
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

static bool is_contiguous(const kb_dl_tensor *dl, int64_t *count) {
    int64_t step = 1;
    bool dense = true;
    for (int i = dl->ndim - 1; i >= 0; i--) {
        if (dl->shape[i] != 1 && dl->strides && dl->strides[i] != step) dense = false;
        step *= dl->shape[i];
    }
    *count = step;
    return dense || step == 0;
}

bool kb_fast_open(const kb_fast *fast, PyObject *object, kb_plain *out) {
    /* Subclasses decide for themselves what an operation means. */
    PyObject *type = (PyObject *)Py_TYPE(object);
    if (type != fast->objects[KB_TENSOR_TYPE] && type != fast->objects[KB_PARAMETER_TYPE])
        return false;
    if (fast->api->dltensor_from_py_object_no_sync(object, &out->dl)) {
        PyErr_Clear(); /* sparse, batched, functional: no memory to point to */
        return false;
    }
    if (out->dl.device.type != KB_DL_CPU || !dtype_from_dl(&out->dl, &out->type)) return false;
    if (!is_contiguous(&out->dl, &out->count)) return false;
    out->data = (void *)((uintptr_t)out->dl.data + (uintptr_t)out->dl.byte_offset);
    if (!out->dl.data && out->count > 0) return false; /* one of autograd's zero tensors */
    /* `z.conj().imag` lies in memory with the other sign, and asking each tensor (is_neg) costs
     * 100 ns. Such a view skips every second number, so that it is contiguous, and could come this
     * far, only when it has a single element. */
    return out->count != 1;
}

static PyObject *checked_output(const kb_fast *fast, PyObject *made, kb_dtype type, int64_t count,
                                kb_plain *out) {
    if (!made) return NULL;
    if (kb_fast_open(fast, made, out) && out->type == type && out->count == count) return made;
    Py_DECREF(made);
    return NULL;
}

PyObject *kb_fast_new_like(const kb_fast *fast, PyObject *object, const kb_plain *x,
                           kb_plain *out) {
    PyObject *made = PyObject_CallFunctionObjArgs(fast->objects[KB_EMPTY_LIKE], object, NULL);
    return checked_output(fast, made, x->type, x->count, out);
}

/* x's sizes with another last one, as a tuple. */
static PyObject *sizes_with_last(const kb_plain *x, int64_t last, int64_t *count) {
    int ndim = x->dl.ndim;
    PyObject *sizes = PyTuple_New(ndim);
    *count = last;
    for (int i = 0; sizes && i < ndim; i++) {
        int64_t size = i == ndim - 1 ? last : x->dl.shape[i];
        if (i < ndim - 1) *count *= size;
        PyObject *item = PyLong_FromLongLong(size);
        if (!item || PyTuple_SetItem(sizes, i, item)) Py_CLEAR(sizes);
    }
    return sizes;
}

PyObject *kb_fast_new_with_last(const kb_fast *fast, const kb_plain *x, int64_t last,
                                kb_plain *out) {
    int64_t count;
    PyObject *const *o = fast->objects;
    PyObject *made = NULL, *sizes = sizes_with_last(x, last, &count);
    PyObject *arguments = sizes ? PyTuple_Pack(1, sizes) : NULL, *options = PyDict_New();
    if (arguments && options && !PyDict_SetItem(options, o[KB_TEXT_DTYPE], o[KB_DTYPES + x->type]))
        made = PyObject_Call(o[KB_EMPTY], arguments, options);
    Py_XDECREF(sizes);
    Py_XDECREF(arguments);
    Py_XDECREF(options);
    return checked_output(fast, made, x->type, count, out);
}

PyObject *kb_fast_failed(void) {
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NOTIMPLEMENTED;
}
