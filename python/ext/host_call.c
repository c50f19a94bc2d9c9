/* SPDX-License-Identifier: Apache-2.0 */
/* torch as a kn_host: each engine call has one `core_call`, which keeps what is known about types
 * and the exception behind a callback that failed. What Python code does
 * of it is in kernels._host, and in kernels._torch what needs torch. */
#include <stdio.h>

#include "core.h"

/* ---- exceptions ---- */

static void drop_exception(core_call *call) {
    Py_CLEAR(call->error_type);
    Py_CLEAR(call->error_value);
    Py_CLEAR(call->error_trace);
}

kn_status core_call_fail(core_call *call, kn_error *err) {
    drop_exception(call);
    call->is_not_found = PyErr_ExceptionMatches(PyExc_FileNotFoundError);
    PyErr_Fetch(&call->error_type, &call->error_value, &call->error_trace);
    if (err) {
        err->status = KN_ERR_HOST;
        PyObject *text = call->error_value ? PyObject_Str(call->error_value) : NULL;
        const char *bytes = text ? PyUnicode_AsUTF8AndSize(text, NULL) : NULL;
        snprintf(err->message, sizeof err->message, "%s", bytes ? bytes : "the host failed");
        PyErr_Clear();
        Py_XDECREF(text);
    }
    return KN_ERR_HOST;
}

PyObject *core_call_raise(core_call *call, kn_status status, const kn_error *err) {
    if (status == KN_ERR_HOST && PyErr_Occurred())
        return NULL; /* left by a repository's own methods */
    bool is_ours = status == KN_ERR_HOST || status == KN_ERR_CANCELLED ||
                   (status == KN_ERR_NOT_FOUND && call->is_not_found);
    if (!is_ours || !call->error_type) return core_raise(status, err);
    PyErr_Restore(call->error_type, call->error_value, call->error_trace);
    call->error_type = call->error_value = call->error_trace = NULL;
    return NULL;
}

/* ---- types ---- */

/* Whether `type` has the attribute `name` from `base` unchanged; -1 with an exception. */
static int inherits(PyTypeObject *type, PyObject *base, PyObject *name) {
    PyObject *own = PyObject_GetAttr((PyObject *)type, name),
             *theirs = own ? PyObject_GetAttr(base, name) : NULL;
    int result = theirs ? own == theirs : -1;
    Py_XDECREF(own);
    Py_XDECREF(theirs);
    return result;
}

static int learn_type(core_state *state, core_type *t) {
    PyObject *cls = (PyObject *)t->type;
    t->class_id = UINT32_MAX;
    t->is_extensible = PyObject_HasAttr(cls, state->names.layer_name) == 1;
    t->is_function = PyType_IsSubtype(t->type, (PyTypeObject *)state->function_class) != 0;
    t->has_functions = PyObject_HasAttr(cls, state->names.has_functions) == 1;
    if (!PyType_IsSubtype(t->type, (PyTypeObject *)state->module_class)) return 0;
    int getattribute = inherits(t->type, (PyObject *)&PyBaseObject_Type, state->names.getattribute);
    int named = inherits(t->type, state->module_class, state->names.named_modules);
    int set = inherits(t->type, state->module_class, state->names.setattr);
    int del = inherits(t->type, state->module_class, state->names.delattr);
    if (getattribute < 0 || named < 0 || set < 0 || del < 0) return -1;
    t->plain_children = getattribute && named;
    t->plain_set = getattribute && set && del;
    return 0;
}

static size_t place_of(const core_call *call, PyTypeObject *type) {
    size_t mask = call->type_capacity - 1, at = ((uintptr_t)type >> 4) & mask;
    while (call->types[at] && call->types[at]->type != type) at = (at + 1) & mask;
    return at;
}

static int grow_types(core_call *call) {
    core_type **old = call->types;
    size_t old_capacity = call->type_capacity, capacity = old_capacity ? old_capacity * 2 : 64;
    core_type **types = PyMem_Calloc(capacity, sizeof *types);
    if (!types) {
        PyErr_NoMemory();
        return -1;
    }
    call->types = types;
    call->type_capacity = capacity;
    for (size_t i = 0; i < old_capacity; i++) {
        if (old[i]) types[place_of(call, old[i]->type)] = old[i];
    }
    PyMem_Free(old);
    return 0;
}

core_type *core_call_type(core_call *call, PyTypeObject *type) {
    if (call->type_capacity) {
        core_type *known = call->types[place_of(call, type)];
        if (known) return known;
    }
    if ((call->type_count + 1) * 2 > call->type_capacity && grow_types(call) < 0) return NULL;
    core_type *made = PyMem_Calloc(1, sizeof *made);
    if (!made) {
        PyErr_NoMemory();
        return NULL;
    }
    made->type = (PyTypeObject *)Py_NewRef((PyObject *)type);
    if (learn_type(call->state, made) < 0) {
        Py_DECREF(made->type);
        PyMem_Free(made);
        return NULL;
    }
    call->types[place_of(call, type)] = made;
    call->type_count++;
    return made;
}

/* ---- the glue ---- */

/* Calls a function of `module`, NULL where that could not be imported; NULL with an exception.
 * Takes `args` over. */
static PyObject *call_in(PyObject *module, const char *name, PyObject *args) {
    PyObject *function = module ? PyObject_GetAttrString(module, name) : NULL;
    PyObject *result = function && args ? PyObject_CallObject(function, args) : NULL;
    Py_XDECREF(function);
    Py_XDECREF(args);
    return result;
}

/* Of kernels._host, and of kernels._torch. */
static PyObject *call_python(core_call *call, const char *name, PyObject *args) {
    return call_in(core_python(call->state), name, args);
}

static PyObject *call_glue(core_call *call, const char *name, PyObject *args) {
    return call_in(core_glue(call->state), name, args);
}

static void retain(void *handle) { Py_INCREF((PyObject *)handle); }

static void release(void *handle) { Py_DECREF((PyObject *)handle); }

/* The state keeps the tuple, so its texts live as long as it does. */
static kn_status host_system(void *ctx, kn_system *out, kn_error *err) {
    core_state *state = ((core_call *)ctx)->state;
    if (!state->system) state->system = call_python(ctx, "system", PyTuple_New(0));
    PyObject *system = state->system;
    int free_threaded = 0;
    bool ok = system &&
              PyArg_ParseTuple(system, "iiiiissspz", &out->torch_major, &out->torch_minor,
                               &out->torch_cxx11_abi, &out->tvm_ffi_major, &out->tvm_ffi_minor,
                               &out->backend, &out->arch, &out->os, &free_threaded, &out->python);
    out->free_threaded = free_threaded != 0;
    return ok ? KN_OK : core_call_fail(ctx, err);
}

/* (type name, index) of a torch device; -1 with an exception. */
static int read_device(PyObject *pair, kn_device *out) {
    const char *name;
    int index;
    if (!PyArg_ParseTuple(pair, "si", &name, &index)) return -1;
    out->type = kn_device_type_find(name);
    out->index = index;
    out->capability = KN_CAPABILITY_UNKNOWN;
    snprintf(out->name, sizeof out->name, "%s", name);
    return 0;
}

static kn_status host_model_device(void *ctx, void *model, kn_device *out, kn_error *err) {
    core_call *call = ctx;
    PyObject *parameter = Py_XNewRef(call->has_no_parameter ? Py_None : call->first_parameter);
    if (!parameter)
        parameter = call_glue(call, "first_parameter", PyTuple_Pack(1, (PyObject *)model));
    if (!parameter) return core_call_fail(call, err);
    if (parameter == Py_None) {
        Py_DECREF(parameter);
        if (err) {
            err->status = KN_ERR_VALUE;
            snprintf(err->message, sizeof err->message,
                     "Cannot determine model device, provide as `device` argument to `kernelize`.");
        }
        return KN_ERR_VALUE;
    }
    PyObject *pair = call_glue(call, "device_of", PyTuple_Pack(1, parameter));
    int result = pair ? read_device(pair, out) : -1;
    Py_DECREF(parameter);
    Py_XDECREF(pair);
    return result < 0 ? core_call_fail(call, err) : KN_OK;
}

static kn_status host_capability(void *ctx, kn_device_type type, int64_t *out, kn_error *err) {
    PyObject *value = call_glue(ctx, "capability", Py_BuildValue("(s)", kn_device_type_name(type)));
    if (!value) return core_call_fail(ctx, err);
    *out = value == Py_None ? KN_CAPABILITY_UNKNOWN : PyLong_AsLongLong(value);
    Py_DECREF(value);
    return PyErr_Occurred() ? core_call_fail(ctx, err) : KN_OK;
}

static kn_status read_bool(core_call *call, PyObject *answer, bool *out, kn_error *err) {
    int value = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    *out = value > 0;
    return value < 0 ? core_call_fail(call, err) : KN_OK;
}

static kn_status host_has_unlike_devices(void *ctx, kn_device_type type, bool *out, kn_error *err) {
    PyObject *answer =
        call_glue(ctx, "has_unlike_devices", Py_BuildValue("(s)", kn_device_type_name(type)));
    return read_bool(ctx, answer, out, err);
}

static kn_status host_module_device(void *ctx, void *module, bool *found, kn_device *out,
                                    kn_error *err) {
    PyObject *triple = call_glue(ctx, "module_device", PyTuple_Pack(1, (PyObject *)module));
    *found = triple && triple != Py_None;
    int result = triple ? 0 : -1;
    const char *name;
    PyObject *capability;
    if (*found) {
        result = PyArg_ParseTuple(triple, "siO", &name, &out->index, &capability) ? 0 : -1;
        if (result == 0) {
            out->type = kn_device_type_find(name);
            snprintf(out->name, sizeof out->name, "%s", name);
            out->capability =
                capability == Py_None ? KN_CAPABILITY_UNKNOWN : PyLong_AsLongLong(capability);
        }
    }
    Py_XDECREF(triple);
    return result < 0 || PyErr_Occurred() ? core_call_fail(ctx, err) : KN_OK;
}

static kn_status host_condition(void *ctx, void *module, void *class_handle, bool *out,
                                kn_error *err) {
    core_call *call = ctx;
    PyObject *condition = PyObject_GetAttr(class_handle, call->state->names.condition);
    PyObject *answer =
        condition ? PyObject_CallFunctionObjArgs(condition, (PyObject *)module, NULL) : NULL;
    Py_XDECREF(condition);
    return read_bool(call, answer, out, err);
}

static kn_status host_predicate(void *ctx, void *predicate, const char *path, void *module,
                                bool *out, kn_error *err) {
    return read_bool(ctx, PyObject_CallFunction(predicate, "sO", path, (PyObject *)module), out,
                     err);
}

static kn_status host_import_kernel(void *ctx, const kn_kernel_info *info, void **out,
                                    kn_error *err) {
    PyObject *depends = PyDict_New();
    for (size_t i = 0; depends && i < info->depend_count; i++) {
        if (PyDict_SetItemString(depends, info->depend_ids[i], (PyObject *)info->depends[i]) < 0)
            Py_CLEAR(depends);
    }
    PyObject *args =
        depends ? Py_BuildValue("(NNssssOzz)", PyUnicode_DecodeFSDefault(info->folder),
                                PyUnicode_DecodeFSDefault(info->entry), info->id, info->name,
                                info->variant, info->repo, depends, info->repo_id, info->revision)
                : NULL;
    *out = args ? call_python(ctx, "import_kernel", args) : NULL;
    Py_XDECREF(depends);
    return *out ? KN_OK : core_call_fail(ctx, err);
}

static kn_status host_can_import(void *ctx, const char *name, bool *out, kn_error *err) {
    return read_bool(ctx, call_python(ctx, "can_import", Py_BuildValue("(s)", name)), out, err);
}

/* The architecture's name is kept by the call. */
static kn_status host_gpu(void *ctx, kn_gpu *out, kn_error *err) {
    core_call *call = ctx;
    PyObject *pair = call_python(call, "gpu", PyTuple_New(0));
    long long capability;
    bool ok = pair && PyArg_ParseTuple(pair, "Lz", &capability, &out->gcn_arch);
    Py_XDECREF(call->gpu);
    call->gpu = pair;
    if (!ok) return core_call_fail(call, err);
    out->capability = capability < 0 ? KN_CAPABILITY_UNKNOWN : capability;
    return KN_OK;
}

static void host_progress(void *ctx, int64_t done, int64_t total) {
    PyObject *args = Py_BuildValue("(LL)", (long long)done, (long long)total);
    PyObject *told = call_python(ctx, "progress", args);
    if (!told) PyErr_Clear();
    Py_XDECREF(told);
}

/* Reads the flags of a layer, whose reference is taken over. */
static kn_status take_layer(core_call *call, PyObject *layer, kn_layer *out, kn_error *err) {
    PyObject *flags = layer ? call_glue(call, "layer_flags", PyTuple_Pack(1, layer)) : NULL;
    int backward = 1, compile = 0;
    if (!flags || !PyArg_ParseTuple(flags, "pp", &backward, &compile)) {
        Py_XDECREF(flags);
        Py_XDECREF(layer);
        return core_call_fail(call, err);
    }
    Py_DECREF(flags);
    out->handle = layer;
    out->has_backward = backward != 0;
    out->can_torch_compile = compile != 0;
    return KN_OK;
}

static kn_status host_find_layer(void *ctx, void *kernel, const char *name, const char *repo,
                                 kn_layer *out, kn_error *err) {
    PyObject *layer =
        call_glue(ctx, "find_layer", Py_BuildValue("(Oss)", (PyObject *)kernel, name, repo));
    return take_layer(ctx, layer, out, err);
}

static kn_status host_load(void *ctx, void *repo_object, kn_layer *out, kn_error *err) {
    core_call *call = ctx;
    PyObject *layer =
        call_python(call, "load_repository", PyTuple_Pack(1, (PyObject *)repo_object));
    if (layer) return take_layer(call, layer, out, err);
    core_call_fail(call, err);
    return call->is_not_found ? KN_ERR_NOT_FOUND : KN_ERR_HOST;
}

static kn_status host_bind(void *ctx, void *layer, void *class_handle, const kn_forward_info *info,
                           void **out, kn_error *err) {
    core_call *call = ctx;
    PyObject *args =
        Py_BuildValue("(OOz)", (PyObject *)layer, (PyObject *)class_handle, info->repo);
    PyObject *function = call_glue(call, "bind_layer", args);
    *out = function ? core_forward_new(call->state, function, info) : NULL;
    Py_XDECREF(function);
    return *out ? KN_OK : core_call_fail(call, err);
}

static kn_status host_describe(void *ctx, void *forward, kn_forward_info *out, kn_error *err) {
    (void)ctx;
    (void)err;
    core_forward_describe(forward, out);
    return KN_OK;
}

static kn_status host_describe_module(void *ctx, void *module, kn_forward_info *out,
                                      kn_error *err) {
    core_call *call = ctx;
    PyObject *dict = core_module_dict(module);
    PyObject *record = dict ? PyDict_GetItemWithError(dict, call->state->names.record) : NULL;
    if (record && Py_TYPE(record) == call->state->forward_type)
        core_forward_describe((core_forward *)record, out);
    Py_XDECREF(dict);
    return PyErr_Occurred() ? core_call_fail(call, err) : KN_OK;
}

/* A weak reference whose callback is kernels._core._forget, kept until then. */
static bool host_watch(void *ctx, void *object) {
    core_state *state = ((core_call *)ctx)->state;
    PyObject *address = PyLong_FromVoidPtr(object);
    int known = address ? PySet_Contains(state->addresses, address) : -1;
    PyObject *module = NULL, *callback = NULL, *ref = NULL, *key = NULL, *item = NULL;
    bool ok = known == 1;
    if (known == 0) {
        module = PyImport_ImportModule("kernels._core");
        callback = module ? PyObject_GetAttrString(module, "_forget") : NULL;
        ref = callback ? PyWeakref_NewRef(object, callback) : NULL;
        key = ref ? PyLong_FromVoidPtr(ref) : NULL;
        item = key ? PyTuple_Pack(2, ref, address) : NULL;
        ok = item && PyDict_SetItem(state->watched, key, item) == 0 &&
             PySet_Add(state->addresses, address) == 0;
    }
    PyErr_Clear();
    Py_XDECREF(item);
    Py_XDECREF(key);
    Py_XDECREF(ref);
    Py_XDECREF(callback);
    Py_XDECREF(module);
    Py_XDECREF(address);
    return ok;
}

/* Class and address, as the default repr has them: two models of one class must be told apart. */
static const char *host_model_name(void *ctx, void *model) {
    core_call *call = ctx;
    PyObject *name =
        PyObject_GetAttr((PyObject *)Py_TYPE((PyObject *)model), call->state->names.name);
    Py_XDECREF(call->model_name);
    call->model_name = name ? PyUnicode_FromFormat("%U at %p", name, model) : NULL;
    const char *text = call->model_name ? PyUnicode_AsUTF8AndSize(call->model_name, NULL) : NULL;
    PyErr_Clear();
    Py_XDECREF(name);
    return text ? text : "a model";
}

static void host_log(void *ctx, kn_log_level level, kn_log_topic topic, const char *message) {
    PyObject *text = PyUnicode_DecodeUTF8(message, (Py_ssize_t)strlen(message), "replace");
    PyObject *done = call_python(ctx, "log", Py_BuildValue("(iiN)", (int)level, (int)topic, text));
    if (!done) PyErr_Clear();
    Py_XDECREF(done);
}

static void *host_leave(void *ctx) {
    (void)ctx;
    return PyEval_SaveThread();
}

static void host_enter(void *ctx, void *left) {
    (void)ctx;
    PyEval_RestoreThread(left);
}

static bool host_cancelled(void *ctx) {
    if (PyErr_CheckSignals() == 0) return false;
    core_call_fail(ctx, NULL);
    return true;
}

static void host_collect(void *ctx) {
    (void)ctx;
    PyGC_Collect();
}

void core_call_init(core_call *call, core_state *state) {
    *call = (core_call){.state = state};
    call->host = (kn_host){
        .size = sizeof call->host,
        .ctx = call,
        .retain = retain,
        .release = release,
        .system = host_system,
        .walk = core_host_walk,
        .model_device = host_model_device,
        .capability = host_capability,
        .has_unlike_devices = host_has_unlike_devices,
        .module_device = host_module_device,
        .condition = host_condition,
        .predicate = host_predicate,
        .import_kernel = host_import_kernel,
        .find_layer = host_find_layer,
        .load = host_load,
        .bind = host_bind,
        .inspect = core_host_inspect,
        .swap = core_host_swap,
        .restore = core_host_restore,
        .describe = host_describe,
        .describe_module = host_describe_module,
        .watch = host_watch,
        .model_name = host_model_name,
        .can_import = host_can_import,
        .gpu = host_gpu,
        .progress = host_progress,
        .log = host_log,
        .leave = host_leave,
        .enter = host_enter,
        .cancelled = host_cancelled,
        .collect = host_collect,
    };
}

void core_call_clear(core_call *call) {
    for (size_t i = 0; i < call->type_capacity; i++) {
        if (!call->types[i]) continue;
        Py_DECREF(call->types[i]->type);
        PyMem_Free(call->types[i]);
    }
    PyMem_Free(call->types);
    Py_CLEAR(call->first_parameter);
    Py_CLEAR(call->model_name);
    Py_CLEAR(call->gpu);
    drop_exception(call);
}
