/* SPDX-License-Identifier: Apache-2.0 */
/* `Forward`: the description of a forward of ours, one entry in the __dict__ of each module that
 * has one. It is copied by reference, so it survives deepcopy; it is pickled as text, so nothing is
 * loaded at unpickling. */
#include "core.h"

static PyObject *text_or_none(const char *text) {
    return text ? PyUnicode_FromString(text) : Py_NewRef(Py_None);
}

static core_forward *forward_alloc(core_state *state) {
    core_forward *made = PyObject_GC_New(core_forward, state->forward_type);
    if (!made) return NULL;
    made->function = made->repo = made->layer_name = made->mapped_name = made->commit =
        made->variant = NULL;
    made->previous = NULL;
    made->base = NULL;
    return made;
}

core_forward *core_forward_new(core_state *state, PyObject *function, const kn_forward_info *info) {
    core_forward *made = forward_alloc(state);
    if (!made) return NULL;
    made->function = Py_XNewRef(function);
    made->repo = text_or_none(info->repo);
    made->layer_name = text_or_none(info->layer_name);
    made->mapped_name = text_or_none(info->mapped_name);
    made->commit = text_or_none(info->commit);
    made->variant = text_or_none(info->variant);
    PyObject_GC_Track(made);
    if (made->repo && made->layer_name && made->mapped_name && made->commit && made->variant)
        return made;
    Py_DECREF(made);
    return NULL;
}

core_forward *core_forward_with_previous(core_state *state, core_forward *base,
                                         PyObject *previous) {
    core_forward *made = forward_alloc(state);
    if (!made) return NULL;
    made->function = Py_XNewRef(base->function);
    made->repo = Py_NewRef(base->repo);
    made->layer_name = Py_NewRef(base->layer_name);
    made->mapped_name = Py_NewRef(base->mapped_name);
    made->commit = Py_NewRef(base->commit);
    made->variant = Py_NewRef(base->variant);
    made->previous = Py_XNewRef(previous);
    made->base = (core_forward *)Py_NewRef((PyObject *)base);
    PyObject_GC_Track(made);
    return made;
}

static const char *text_of(PyObject *text) {
    return text == Py_None ? NULL : PyUnicode_AsUTF8AndSize(text, NULL);
}

void core_forward_describe(core_forward *forward, kn_forward_info *out) {
    out->repo = text_of(forward->repo);
    out->layer_name = text_of(forward->layer_name);
    out->mapped_name = text_of(forward->mapped_name);
    out->commit = text_of(forward->commit);
    out->variant = text_of(forward->variant);
}

static int forward_traverse(core_forward *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->function);
    Py_VISIT(self->previous);
    Py_VISIT((PyObject *)self->base);
    return 0;
}

static int forward_clear(core_forward *self) {
    PyObject *base = (PyObject *)self->base;
    self->base = NULL;
    Py_CLEAR(self->function);
    Py_CLEAR(self->previous);
    Py_XDECREF(base);
    return 0;
}

static void forward_dealloc(core_forward *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    forward_clear(self);
    Py_XDECREF(self->repo);
    Py_XDECREF(self->layer_name);
    Py_XDECREF(self->mapped_name);
    Py_XDECREF(self->commit);
    Py_XDECREF(self->variant);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyObject *forward_repr(core_forward *self) {
    return PyUnicode_FromFormat("<kernel forward of `%U` from %S>", self->mapped_name, self->repo);
}

static core_state *state_of_type(PyObject *self) { return PyType_GetModuleState(Py_TYPE(self)); }

/* The description is the same for every copy; what stood there before belongs to the module and is
 * copied with it. */
static PyObject *forward_deepcopy(core_forward *self, PyObject *memo) {
    if (!self->previous) return Py_NewRef((PyObject *)self);
    PyObject *copy = PyImport_ImportModule("copy");
    PyObject *previous =
        copy ? PyObject_CallMethod(copy, "deepcopy", "OO", self->previous, memo) : NULL;
    Py_XDECREF(copy);
    if (!previous) return NULL;
    core_forward *base = self->base ? self->base : self;
    core_forward *made =
        core_forward_with_previous(state_of_type((PyObject *)self), base, previous);
    Py_DECREF(previous);
    return (PyObject *)made;
}

static PyObject *forward_copy(PyObject *self, PyObject *unused) {
    (void)unused;
    return Py_NewRef(self);
}

static PyObject *forward_reduce(core_forward *self, PyObject *unused) {
    (void)unused;
    PyObject *module = PyImport_ImportModule("kernels._core");
    PyObject *rebuild = module ? PyObject_GetAttrString(module, "_forward_from_state") : NULL;
    PyObject *result = NULL;
    if (rebuild) {
        result = Py_BuildValue("O(OOOOO)", rebuild, self->repo, self->layer_name, self->mapped_name,
                               self->commit, self->variant);
    }
    Py_XDECREF(rebuild);
    Py_XDECREF(module);
    return result;
}

PyObject *core_forward_from_state(PyObject *module, PyObject *args) {
    kn_forward_info info = {.size = sizeof info};
    if (!PyArg_ParseTuple(args, "zzzzz:_forward_from_state", &info.repo, &info.layer_name,
                          &info.mapped_name, &info.commit, &info.variant)) {
        return NULL;
    }
    return (PyObject *)core_forward_new(core_state_of(module), NULL, &info);
}

static PyMethodDef forward_methods[] = {
    {"__deepcopy__", (PyCFunction)(void (*)(void))forward_deepcopy, METH_O, NULL},
    {"__copy__", forward_copy, METH_NOARGS, NULL},
    {"__reduce__", (PyCFunction)(void (*)(void))forward_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot forward_slots[] = {
    {Py_tp_doc,
     (void
          *)"Describes the kernel forward of a module: where it comes from and what stood there before."},
    {Py_tp_traverse, (void *)forward_traverse},
    {Py_tp_clear, (void *)forward_clear},
    {Py_tp_dealloc, (void *)forward_dealloc},
    {Py_tp_repr, (void *)forward_repr},
    {Py_tp_methods, forward_methods},
    {0, NULL},
};

PyType_Spec core_forward_spec = {
    .name = "kernels._core.Forward",
    .basicsize = sizeof(core_forward),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = forward_slots,
};
