/* SPDX-License-Identifier: Apache-2.0 */
/* `Mapping`: an immutable snapshot as a Python object, and the reading of mappings as users write
 * them. */
#include <stdlib.h>

#include "core.h"

/* ---- reading ---- */

static bool reserve(void *items, size_t *capacity, size_t need, size_t item_size) {
    if (need <= *capacity) return true;
    size_t wanted = *capacity ? *capacity * 2 : 32;
    void *old;
    memcpy(&old, items, sizeof old);
    void *grown = PyMem_Realloc(old, wanted * item_size);
    if (!grown) {
        PyErr_NoMemory();
        return false;
    }
    memcpy(items, &grown, sizeof grown);
    *capacity = wanted;
    return true;
}

void core_entries_clear(core_entries *entries) {
    for (size_t i = 0; i < entries->mode_count; i++) kn_repo_release(entries->modes[i].repo);
    PyMem_Free(entries->modes);
    PyMem_Free(entries->items);
    Py_XDECREF(entries->names);
    *entries = (core_entries){0};
}

/* Whether `repo` has a `load`. Types that were seen to have one are not asked again within one
 * mapping. */
static bool is_repository(core_state *state, core_entries *out, PyObject *repo) {
    if (out->repo_type == Py_TYPE(repo)) return true;
    bool on_type = PyObject_HasAttr((PyObject *)Py_TYPE(repo), state->names.load) == 1;
    if (on_type) out->repo_type = Py_TYPE(repo);
    if (on_type || PyObject_HasAttr(repo, state->names.load) == 1) return true;
    PyErr_Format(PyExc_TypeError,
                 "a mapping's value must be a repository with a load() method or a dict of such by "
                 "Mode, not %R",
                 repo);
    return false;
}

/* The flags of a Mode; -1 with an exception. */
static long flags_of(core_state *state, PyObject *mode) {
    if (Py_TYPE(mode) != (PyTypeObject *)state->mode_class) {
        PyErr_Format(PyExc_TypeError,
                     "the keys of a dict of repositories must be kernels.Mode, not %R", mode);
        return -1;
    }
    PyObject *value = PyObject_GetAttr(mode, state->names.value);
    long flags = value ? PyLong_AsLong(value) : -1;
    Py_XDECREF(value);
    return flags;
}

static int add_mode(core_state *state, core_entries *out, PyObject *mode, PyObject *repo) {
    if (!is_repository(state, out, repo)) return -1;
    long flags = mode ? flags_of(state, mode) : (long)KN_MODE_FALLBACK;
    if (flags < 0 ||
        !reserve(&out->modes, &out->mode_capacity, out->mode_count + 1, sizeof *out->modes))
        return -1;
    kn_error err;
    kn_error_init(&err);
    kn_mode_repo added = {(kn_mode)flags, NULL};
    kn_status status = kn_repo_new(NULL, repo, &core_repo_ops, &added.repo, &err);
    if (status) {
        core_raise(status, &err);
        return -1;
    }
    out->modes[out->mode_count++] = added;
    return 0;
}

/* Walks a dict that user code may change meanwhile: each pair is held while it is looked at. */
typedef int (*visit_pair)(core_state *state, core_entries *out, void *ctx, PyObject *key,
                          PyObject *value);

static int each_pair(core_state *state, core_entries *out, void *ctx, PyObject *dict,
                     visit_pair visit) {
    PyObject *key, *value;
    Py_ssize_t position = 0;
    int result = 0;
    while (result == 0 && PyDict_Next(dict, &position, &key, &value)) {
        Py_INCREF(key);
        Py_INCREF(value);
        result = visit(state, out, ctx, key, value);
        Py_DECREF(key);
        Py_DECREF(value);
    }
    return result;
}

static int visit_mode(core_state *state, core_entries *out, void *ctx, PyObject *mode,
                      PyObject *repo) {
    (void)ctx;
    return add_mode(state, out, mode, repo);
}

static int add_modes(core_state *state, core_entries *out, PyObject *value) {
    if (!PyDict_Check(value)) return add_mode(state, out, NULL, value);
    return each_pair(state, out, NULL, value, visit_mode);
}

static int read_bound(PyObject *properties, PyObject *name, int64_t *out) {
    PyObject *value = PyObject_GetAttr(properties, name);
    if (!value) return -1;
    *out = PyLong_AsLongLong(value);
    Py_DECREF(value);
    return *out == -1 && PyErr_Occurred() ? -1 : 0;
}

static int read_device_type(PyObject *name, kn_device_type *out) {
    const char *text = core_text(name);
    if (!text) return -1;
    kn_error err;
    kn_error_init(&err);
    kn_status status = kn_device_type_parse(text, out, &err);
    if (status) core_raise(status, &err);
    return status ? -1 : 0;
}

static int read_device(core_state *state, PyObject *device, kn_mapping_entry *entry) {
    entry->range = (kn_capability_range){0, KN_CAPABILITY_MAX};
    if (PyUnicode_Check(device)) return read_device_type(device, &entry->device);
    PyObject *type = PyObject_GetAttr(device, state->names.type);
    PyObject *properties = type ? PyObject_GetAttr(device, state->names.properties) : NULL;
    int result = -1;
    if (!properties || !PyUnicode_Check(type)) {
        PyErr_Format(PyExc_TypeError, "a mapping's devices must be text or kernels.Device, not %R",
                     device);
    } else {
        result = read_device_type(type, &entry->device);
        if (result == 0 && properties != Py_None) {
            result = read_bound(properties, state->names.min_capability, &entry->range.min);
            if (result == 0)
                result = read_bound(properties, state->names.max_capability, &entry->range.max);
        }
    }
    Py_XDECREF(type);
    Py_XDECREF(properties);
    return result;
}

static int visit_device(core_state *state, core_entries *out, void *layer, PyObject *device,
                        PyObject *repos) {
    kn_mapping_entry entry = {.layer = layer};
    size_t first = out->mode_count;
    if (read_device(state, device, &entry) < 0 || add_modes(state, out, repos) < 0) return -1;
    if (!reserve(&out->items, &out->capacity, out->count + 1, sizeof *out->items)) return -1;
    entry.mode_count = out->mode_count - first;
    out->items[out->count++] = entry;
    return 0;
}

/* Any mapping as a dict, with a reference; NULL where it is none, or with the exception of reading
 * it. */
static PyObject *as_dict(PyObject *mapping) {
    if (PyDict_Check(mapping)) return Py_NewRef(mapping);
    PyObject *dict = PyDict_New();
    bool ok = dict && PyObject_HasAttrString(mapping, "keys") && PyDict_Update(dict, mapping) == 0;
    if (!ok) Py_CLEAR(dict);
    return dict;
}

static int visit_layer(core_state *state, core_entries *out, void *ctx, PyObject *name,
                       PyObject *devices) {
    (void)ctx;
    const char *text = PyUnicode_Check(name) ? core_text(name) : NULL;
    if (!text && !PyErr_Occurred())
        PyErr_Format(PyExc_TypeError, "layer names must be text, not %R", name);
    if (!text || PyList_Append(out->names, name) < 0) return -1;
    PyObject *dict = as_dict(devices);
    if (!dict) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_TypeError,
                         "layer '%s': expected a dict from devices to repositories, not %R", text,
                         devices);
        }
        return -1;
    }
    int result = each_pair(state, out, (void *)(uintptr_t)text, dict, visit_device);
    Py_DECREF(dict);
    return result;
}

int core_entries_read(core_state *state, PyObject *mapping, core_entries *out) {
    PyObject *dict = as_dict(mapping);
    if (!dict) {
        if (!PyErr_Occurred()) {
            PyErr_Format(
                PyExc_TypeError,
                "a kernel mapping must be a dict from layer names to dicts from devices to "
                "repositories, not %R",
                mapping);
        }
        return -1;
    }
    out->names = PyList_New(0);
    int result = out->names ? each_pair(state, out, NULL, dict, visit_layer) : -1;
    Py_DECREF(dict);
    /* The array of modes has stopped moving: entries can point into it. */
    kn_mode_repo *at = out->modes;
    for (size_t i = 0; i < out->count; i++) {
        out->items[i].modes = at;
        at += out->items[i].mode_count;
    }
    return result;
}

/* ---- the type ---- */

PyObject *core_mapping_new(core_state *state, kn_mapping *mapping) {
    core_mapping *made = PyObject_GC_New(core_mapping, state->mapping_type);
    if (!made) {
        kn_mapping_release(mapping);
        return NULL;
    }
    made->mapping = mapping;
    made->state = state;
    PyObject_GC_Track(made);
    return (PyObject *)made;
}

typedef struct visit_call {
    visitproc visit;
    void *arg;
} visit_call;

static int visit_repo(void *ctx, void *object) {
    const visit_call *call = ctx;
    return call->visit(object, call->arg);
}

static int mapping_traverse(core_mapping *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    visit_call call = {visit, arg};
    return self->mapping ? kn_mapping_each_owned(self->mapping, visit_repo, &call) : 0;
}

static int mapping_clear(core_mapping *self) {
    kn_mapping *mapping = self->mapping;
    self->mapping = NULL;
    kn_mapping_release(mapping);
    return 0;
}

static void mapping_dealloc(core_mapping *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    mapping_clear(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyObject *mapping_extend(core_mapping *self, PyObject *mapping) {
    core_entries entries = {0};
    PyObject *result = NULL;
    if (core_entries_read(self->state, mapping, &entries) == 0) {
        kn_error err;
        kn_error_init(&err);
        kn_mapping *made;
        kn_status status =
            kn_mapping_extend(NULL, self->mapping, entries.items, entries.count, &made, &err);
        result = status ? core_raise(status, &err) : core_mapping_new(self->state, made);
    }
    core_entries_clear(&entries);
    return result;
}

static PyObject *mapping_modes(core_mapping *self, PyObject *args) {
    const char *layer, *device;
    long long capability;
    if (!PyArg_ParseTuple(args, "ssL:modes", &layer, &device, &capability)) return NULL;
    const kn_mode_repo *modes;
    size_t count;
    kn_mapping_answer answer = kn_mapping_modes(self->mapping, layer, kn_device_type_find(device),
                                                capability, &modes, &count);
    if (answer != KN_MAPPING_FOUND) Py_RETURN_NONE;
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict && i < count; i++) {
        PyObject *mode = PyObject_CallFunction(self->state->mode_class, "I", modes[i].mode);
        if (!mode || PyDict_SetItem(dict, mode, kn_repo_object(modes[i].repo)) < 0) Py_CLEAR(dict);
        Py_XDECREF(mode);
    }
    return dict;
}

static bool collect_entry(void *ctx, const kn_mapping_entry *entry) {
    PyObject *item = Py_BuildValue("(ssLL)", entry->layer, kn_device_type_name(entry->device),
                                   (long long)entry->range.min, (long long)entry->range.max);
    bool ok = item && PyList_Append(ctx, item) == 0;
    Py_XDECREF(item);
    return ok;
}

static PyObject *mapping_entries(core_mapping *self, PyObject *unused) {
    (void)unused;
    PyObject *list = PyList_New(0);
    if (list) kn_mapping_each(self->mapping, collect_entry, list);
    if (PyErr_Occurred()) Py_CLEAR(list);
    return list;
}

static PyMethodDef mapping_methods[] = {
    {"extend", (PyCFunction)(void (*)(void))mapping_extend, METH_O,
     "extend(mapping) -> Mapping: a snapshot with the entries of `mapping`, a dict as register_kernel_mapping takes it."},
    {"modes", (PyCFunction)(void (*)(void))mapping_modes, METH_VARARGS,
     "modes(layer, device_type, capability) -> dict from Mode to repository, or None when nothing is registered."},
    {"entries", (PyCFunction)(void (*)(void))mapping_entries, METH_NOARGS,
     "entries() -> list of (layer, device type, lowest capability, highest capability)."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot mapping_slots[] = {
    {Py_tp_doc, (void *)"An immutable kernel mapping."},
    {Py_tp_traverse, (void *)mapping_traverse},
    {Py_tp_clear, (void *)mapping_clear},
    {Py_tp_dealloc, (void *)mapping_dealloc},
    {Py_tp_methods, mapping_methods},
    {0, NULL},
};

PyType_Spec core_mapping_spec = {
    .name = "kernels._core.Mapping",
    .basicsize = sizeof(core_mapping),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = mapping_slots,
};

/* ---- the mapping in force ---- */

/* The list of the innermost block, with a reference; Py_None outside of any. */
static PyObject *current_block(core_state *state) {
    return PyObject_CallObject(state->mapping_get, NULL);
}

/* The Mapping of a block, borrowed; NULL with an exception. */
static core_mapping *block_mapping(core_state *state, PyObject *block) {
    PyObject *mapping = PyList_Check(block) ? PyList_GetItem(block, 0) : NULL;
    if (mapping && Py_TYPE(mapping) == state->mapping_type) return (core_mapping *)mapping;
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_RuntimeError, "the mapping of the current context was overwritten");
    return NULL;
}

kn_mapping *core_current_mapping(core_state *state) {
    PyObject *block = current_block(state);
    if (!block) return NULL;
    kn_mapping *mapping = NULL;
    if (block == Py_None) {
        mapping = kn_engine_mapping(state->engine);
    } else {
        core_mapping *held = block_mapping(state, block);
        mapping = held ? kn_mapping_retain(held->mapping) : NULL;
    }
    Py_DECREF(block);
    return mapping;
}

static PyObject *extend_block(core_state *state, PyObject *block, const core_entries *entries,
                              int inherit) {
    core_mapping *held = block_mapping(state, block);
    if (!held) return NULL;
    kn_error err;
    kn_error_init(&err);
    kn_mapping *made;
    kn_status status = kn_mapping_extend(NULL, inherit ? held->mapping : NULL, entries->items,
                                         entries->count, &made, &err);
    if (status) return core_raise(status, &err);
    PyObject *mapping = core_mapping_new(state, made);
    if (!mapping || PyList_SetItem(block, 0, mapping) < 0) return NULL;
    Py_RETURN_NONE;
}

static bool parse_mapping_args(PyObject *const *args, Py_ssize_t count, int *inherit) {
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "expected (mapping, inherit_mapping)");
        return false;
    }
    *inherit = PyObject_IsTrue(args[1]);
    return *inherit >= 0;
}

PyObject *core_register(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    core_state *state = core_state_of(module);
    int inherit;
    if (!parse_mapping_args(args, count, &inherit)) return NULL;
    core_entries entries = {0};
    PyObject *result = NULL, *block = NULL;
    if (core_entries_read(state, args[0], &entries) == 0) block = current_block(state);
    if (block == Py_None) {
        kn_error err;
        kn_error_init(&err);
        kn_status status =
            kn_engine_register(state->engine, entries.items, entries.count, inherit, &err);
        if (status)
            core_raise(status, &err);
        else
            result = Py_NewRef(Py_None);
    } else if (block) {
        result = extend_block(state, block, &entries, inherit);
    }
    Py_XDECREF(block);
    core_entries_clear(&entries);
    return result;
}

PyObject *core_enter_mapping(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    core_state *state = core_state_of(module);
    int inherit;
    if (!parse_mapping_args(args, count, &inherit)) return NULL;
    core_entries entries = {0};
    PyObject *token = NULL, *mapping = NULL, *block = NULL;
    if (core_entries_read(state, args[0], &entries) == 0) {
        kn_mapping *base = inherit ? core_current_mapping(state) : NULL, *made = NULL;
        kn_error err;
        kn_error_init(&err);
        kn_status status = KN_OK;
        if (base || !inherit)
            status = kn_mapping_extend(NULL, base, entries.items, entries.count, &made, &err);
        kn_mapping_release(base);
        if (status) core_raise(status, &err);
        if (made) mapping = core_mapping_new(state, made);
    }
    if (mapping) block = Py_BuildValue("[O]", mapping);
    if (block) token = PyObject_CallMethod(state->mapping_var, "set", "O", block);
    Py_XDECREF(block);
    Py_XDECREF(mapping);
    core_entries_clear(&entries);
    return token;
}

PyObject *core_exit_mapping(PyObject *module, PyObject *token) {
    return PyObject_CallMethod(core_state_of(module)->mapping_var, "reset", "O", token);
}
