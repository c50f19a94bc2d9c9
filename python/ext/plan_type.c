/* SPDX-License-Identifier: Apache-2.0 */
/* `Plan` (the record behind kernels.Plan), `Undo`, and the engine's calls. */
#include <stdio.h>
#include <stdlib.h>

#include "core.h"

typedef struct plan_object {
    PyObject_HEAD kn_plan *plan;
} plan_object;

typedef struct undo_object {
    PyObject_HEAD kn_undo *undo;
} undo_object;

/* ---- requests ---- */

typedef struct request {
    kn_request r;
    kn_device device;
    const char **include, **exclude;
} request;

/* Patterns as one text or several, or a predicate; `*patterns` is freed by request_clear. */
static bool read_filter(PyObject *filter, const char *name, const char ***patterns, size_t *count,
                        void **predicate) {
    if (filter == Py_None) return true;
    if (PyUnicode_Check(filter)) {
        *patterns = PyMem_Calloc(1, sizeof **patterns);
        if (!*patterns) {
            PyErr_NoMemory();
            return false;
        }
        *count = 1;
        return ((*patterns)[0] = core_text(filter)) != NULL;
    }
    if (PyCallable_Check(filter)) {
        *predicate = filter;
        return true;
    }
    bool is_list = PyList_Check(filter) || PyTuple_Check(filter);
    Py_ssize_t length = is_list ? PySequence_Size(filter) : -1;
    if (is_list) *patterns = PyMem_Calloc((size_t)length + 1, sizeof **patterns);
    if (is_list && !*patterns) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; is_list && i < length; i++) {
        PyObject *item =
            PyList_Check(filter) ? PyList_GetItem(filter, i) : PyTuple_GetItem(filter, i);
        is_list = PyUnicode_Check(item);
        if (is_list && !((*patterns)[i] = core_text(item))) return false;
        *count = (size_t)i + 1;
    }
    if (!is_list) {
        PyErr_Format(
            PyExc_TypeError,
            "%s must be a pattern, a list of patterns or a function of (path, module), not %R",
            name, filter);
    }
    return is_list;
}

static void set_device(request *out, const char *name, int index) {
    out->device =
        (kn_device){.size = sizeof out->device, .index = index, .type = kn_device_type_find(name)};
    core_text_copy(out->device.name, sizeof out->device.name, name);
    out->r.device = &out->device;
}

/* None, text, a torch.device or a kernels.Device. Only text must name a known type. */
static bool read_device(core_call *call, PyObject *device, request *out) {
    if (device == Py_None) return true;
    if (PyUnicode_Check(device)) {
        const char *text = core_text(device);
        kn_error err;
        kn_error_init(&err);
        kn_status status = text ? kn_device_type_parse(text, &out->device.type, &err) : KN_OK;
        if (status) core_raise(status, &err);
        if (!text || status) return false;
        set_device(out, text, -1);
        return true;
    }
    PyObject *glue = core_glue(call->state);
    PyObject *pair = glue ? PyObject_CallMethod(glue, "requested_device", "O", device) : NULL;
    const char *name;
    int index;
    bool ok = pair && PyArg_ParseTuple(pair, "si", &name, &index);
    if (ok) set_device(out, name, index);
    Py_XDECREF(pair);
    return ok;
}

bool core_is_module(core_call *call, PyObject *model) {
    if (!core_glue(call->state)) return false;
    int result = PyObject_IsInstance(model, call->state->module_class);
    if (result == 0) PyErr_Format(PyExc_TypeError, "expected a torch.nn.Module, not %R", model);
    return result == 1;
}

static bool read_request(core_call *call, PyObject *model, PyObject *mode, PyObject *device,
                         PyObject *capability, unsigned fallback, PyObject *include,
                         PyObject *exclude, request *out) {
    *out = (request){
        .r = {.size = sizeof out->r, .capability = KN_CAPABILITY_ASK, .fallback = fallback}};
    if (!core_is_module(call, model)) return false;
    if (Py_TYPE(mode) != (PyTypeObject *)call->state->mode_class) {
        PyErr_Format(PyExc_TypeError, "mode must be a kernels.Mode, not %R", mode);
        return false;
    }
    PyObject *value = PyObject_GetAttr(mode, call->state->names.value);
    out->r.mode = value ? (kn_mode)PyLong_AsUnsignedLong(value) : 0;
    Py_XDECREF(value);
    if (PyErr_Occurred()) return false;
    /* The mode is checked before the device, as users of other versions expect. */
    kn_error err;
    kn_error_init(&err);
    kn_status status = kn_mode_check_request(out->r.mode, &err);
    if (status) {
        core_raise(status, &err);
        return false;
    }
    if (capability != Py_None) {
        if (!PyLong_Check(capability) || PyBool_Check(capability)) {
            PyErr_Format(PyExc_TypeError, "capability must be an int, as 90 for 9.0, not %R",
                         capability);
            return false;
        }
        int overflow;
        out->r.capability = PyLong_AsLongLongAndOverflow(capability, &overflow);
        if (out->r.capability < 0) { /* also where it overflows */
            PyErr_Format(PyExc_ValueError,
                         "capability must be major * 10 + minor, as 90 for 9.0, not %R",
                         capability);
            return false;
        }
    }
    size_t include_count = 0, exclude_count = 0;
    bool ok =
        read_device(call, device, out) &&
        read_filter(include, "include", &out->include, &include_count, &out->r.include_predicate) &&
        read_filter(exclude, "exclude", &out->exclude, &exclude_count, &out->r.exclude_predicate);
    out->r.include = out->include;
    out->r.include_count = include_count;
    out->r.exclude = out->exclude;
    out->r.exclude_count = exclude_count;
    call->wants_parameter = !out->r.device;
    return ok;
}

static void request_clear(request *r) {
    PyMem_Free(r->include);
    PyMem_Free(r->exclude);
}

/* ---- the calls ---- */

static PyObject *plan_new(core_state *state, kn_plan *plan) {
    plan_object *made = PyObject_New(plan_object, state->plan_type);
    if (made)
        made->plan = plan;
    else
        kn_plan_release(plan);
    return (PyObject *)made;
}

static PyObject *run_request(PyObject *module, PyObject *args, bool is_plan) {
    core_state *state = core_state_of(module);
    PyObject *model, *mode, *device, *capability, *include, *exclude;
    unsigned fallback;
    int fetch;
    if (!PyArg_ParseTuple(args, "OOOOIOOp", &model, &mode, &device, &capability, &fallback,
                          &include, &exclude, &fetch)) {
        return NULL;
    }
    core_call call;
    core_call_init(&call, state);
    request asked;
    PyObject *result = NULL;
    kn_mapping *mapping = NULL;
    if (read_request(&call, model, mode, device, capability, fallback, include, exclude, &asked) &&
        (mapping = core_current_mapping(state)) != NULL) {
        kn_error err;
        kn_error_init(&err);
        kn_plan *plan = NULL;
        asked.r.fetch = fetch != 0;
        if (is_plan) call.wants_parameter = true; /* a plan records where the model was */
        kn_status status = is_plan ? kn_engine_plan(state->engine, &call.host, model, mapping,
                                                    &asked.r, &plan, &err)
                                   : kn_engine_kernelize(state->engine, &call.host, model, mapping,
                                                         &asked.r, NULL, &err);
        if (status)
            result = core_call_raise(&call, status, &err);
        else
            result = is_plan ? plan_new(state, plan) : Py_NewRef(model);
    }
    kn_mapping_release(mapping);
    request_clear(&asked);
    core_call_clear(&call);
    return result;
}

PyObject *core_plan(PyObject *module, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    return run_request(module, args, true);
}

PyObject *core_kernelize(PyObject *module, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    return run_request(module, args, false);
}

PyObject *core_explain(PyObject *module, PyObject *model) {
    core_state *state = core_state_of(module);
    core_call call;
    core_call_init(&call, state);
    PyObject *result = NULL;
    if (core_is_module(&call, model)) {
        kn_error err;
        kn_error_init(&err);
        kn_plan *plan;
        kn_status status = kn_engine_explain(state->engine, &call.host, model, &plan, &err);
        result = status ? core_call_raise(&call, status, &err) : plan_new(state, plan);
    }
    core_call_clear(&call);
    return result;
}

PyObject *core_unkernelize(PyObject *module, PyObject *args) {
    core_state *state = core_state_of(module);
    PyObject *model;
    int record;
    if (!PyArg_ParseTuple(args, "Op:unkernelize", &model, &record)) return NULL;
    core_call call;
    core_call_init(&call, state);
    PyObject *result = NULL;
    if (core_is_module(&call, model)) {
        kn_error err;
        kn_error_init(&err);
        kn_undo *undo = NULL;
        kn_status status =
            kn_engine_unkernelize(state->engine, &call.host, model, record ? &undo : NULL, &err);
        if (status) {
            core_call_raise(&call, status, &err);
        } else if (!record) {
            result = Py_NewRef(model);
        } else {
            undo_object *made = PyObject_New(undo_object, state->undo_type);
            if (made)
                made->undo = undo;
            else
                kn_undo_free(undo);
            result = (PyObject *)made;
        }
    }
    core_call_clear(&call);
    return result;
}

PyObject *core_restore(PyObject *module, PyObject *undo) {
    core_state *state = core_state_of(module);
    if (Py_TYPE(undo) != state->undo_type) {
        PyErr_SetString(PyExc_TypeError, "expected what unkernelize gave");
        return NULL;
    }
    core_call call;
    core_call_init(&call, state);
    kn_error err;
    kn_error_init(&err);
    kn_status status = core_glue(state) ? kn_engine_restore(state->engine, &call.host,
                                                            ((undo_object *)undo)->undo, &err)
                                        : core_call_fail(&call, &err);
    PyObject *result = status ? core_call_raise(&call, status, &err) : Py_NewRef(Py_None);
    core_call_clear(&call);
    return result;
}

/* ---- Plan ---- */

static void plan_dealloc(plan_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    kn_plan_release(self->plan);
    PyObject_Free(self);
    Py_DECREF(type);
}

static bool append_path(void *ctx, const char *path, size_t length) {
    PyObject *text = PyUnicode_DecodeUTF8(path, (Py_ssize_t)length, "replace");
    bool ok = text && PyList_Append(ctx, text) == 0;
    Py_XDECREF(text);
    return ok;
}

static PyObject *paths_of(const kn_plan *plan, size_t index) {
    PyObject *list = PyList_New(0);
    kn_error err;
    kn_error_init(&err);
    if (list && kn_plan_each_path(plan, index, append_path, list, &err)) PyErr_NoMemory();
    PyObject *paths = list && !PyErr_Occurred() ? PyList_AsTuple(list) : NULL;
    Py_XDECREF(list);
    return paths;
}

static PyObject *decision_of(core_state *state, const kn_plan *plan, size_t index) {
    kn_decision d = {.size = sizeof d};
    kn_plan_get(plan, index, &d);
    PyObject *capability =
        d.capability < 0 ? Py_NewRef(Py_None) : PyLong_FromLongLong(d.capability);
    PyObject *mode = d.repo_mode ? PyObject_CallFunction(state->mode_class, "I", d.repo_mode)
                                 : Py_NewRef(Py_None);
    PyObject *paths = paths_of(plan, index), *result = NULL;
    if (capability && mode && paths) {
        result = PyObject_CallFunction(state->decision_class, "OsOsOsssszzOzzO", paths,
                                       d.layer_name, (PyObject *)d.class_handle, d.device,
                                       capability, kn_stage_text(d.stage), kn_action_text(d.action),
                                       kn_reason_text(d.reason), d.message, d.repo, d.repo_layer,
                                       mode, d.commit, d.variant, d.applied ? Py_True : Py_False);
    }
    Py_XDECREF(capability);
    Py_XDECREF(mode);
    Py_XDECREF(paths);
    return result;
}

static Py_ssize_t plan_length(plan_object *self) { return (Py_ssize_t)kn_plan_count(self->plan); }

static PyObject *plan_item(plan_object *self, Py_ssize_t index) {
    core_state *state = PyType_GetModuleState(Py_TYPE(self));
    if (index < 0 || index >= plan_length(self)) {
        PyErr_SetString(PyExc_IndexError, "no such decision");
        return NULL;
    }
    if (!state->decision_class) {
        PyObject *module = PyImport_ImportModule("kernels._plan");
        state->decision_class = module ? PyObject_GetAttrString(module, "Decision") : NULL;
        Py_XDECREF(module);
        if (!state->decision_class) return NULL;
    }
    return decision_of(state, self->plan, (size_t)index);
}

static PyObject *render(const kn_plan *plan,
                        kn_status (*write)(const kn_plan *, char **, kn_error *)) {
    kn_error err;
    kn_error_init(&err);
    char *text = NULL;
    kn_status status = write(plan, &text, &err);
    if (status) return core_raise(status, &err);
    PyObject *result = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
    kn_plan_text_free(plan, text);
    return result;
}

static PyObject *plan_table(plan_object *self, PyObject *unused) {
    (void)unused;
    return render(self->plan, kn_plan_table);
}

static PyObject *plan_json(plan_object *self, PyObject *unused) {
    (void)unused;
    return render(self->plan, kn_plan_json);
}

static PyObject *plan_apply(plan_object *self, PyObject *model) {
    core_state *state = PyType_GetModuleState(Py_TYPE(self));
    core_call call;
    core_call_init(&call, state);
    call.wants_parameter = true;
    PyObject *result = NULL;
    if (core_is_module(&call, model)) {
        kn_error err;
        kn_error_init(&err);
        kn_status status = kn_engine_apply(state->engine, &call.host, model, self->plan, &err);
        result = status ? core_call_raise(&call, status, &err) : Py_NewRef(model);
    }
    core_call_clear(&call);
    return result;
}

static PyMethodDef plan_methods[] = {
    {"table", (PyCFunction)(void (*)(void))plan_table, METH_NOARGS, "table() -> str"},
    {"to_json", (PyCFunction)(void (*)(void))plan_json, METH_NOARGS, "to_json() -> str"},
    {"apply", (PyCFunction)(void (*)(void))plan_apply, METH_O, "apply(model) -> model"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot plan_slots[] = {
    {Py_tp_doc, (void *)"The record behind kernels.Plan: a sequence of decisions."},
    {Py_tp_dealloc, (void *)plan_dealloc},
    {Py_tp_methods, plan_methods},
    {Py_sq_length, (void *)plan_length},
    {Py_sq_item, (void *)plan_item},
    {0, NULL},
};

PyType_Spec core_plan_spec = {
    .name = "kernels._core.Plan",
    .basicsize = sizeof(plan_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = plan_slots,
};

/* ---- Undo ---- */

static void undo_dealloc(undo_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    kn_undo_free(self->undo);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyType_Slot undo_slots[] = {
    {Py_tp_doc, (void *)"The way back from unkernelize."},
    {Py_tp_dealloc, (void *)undo_dealloc},
    {0, NULL},
};

PyType_Spec core_undo_spec = {
    .name = "kernels._core.Undo",
    .basicsize = sizeof(undo_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = undo_slots,
};
