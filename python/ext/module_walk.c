/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over a model: what nn.Module.named_modules visits, in its order, each module once.
 *
 * A module of a plain class is walked through the `_modules` of its __dict__, with an explicit
 * stack and no call of Python. A class that overrides named_modules or keeps its children elsewhere
 * (ScriptModule) is asked. */
#include "core.h"

#define NOT_RECORDED UINT32_MAX

typedef struct frame {
    PyObject *module;   /* strong */
    PyObject *children; /* strong: the dict `_modules`; NULL for none */
    PyObject *name;     /* strong: its name in the frame below; NULL for the root */
    Py_ssize_t position;
    uint32_t node; /* NOT_RECORDED until something below it is extensible */
} frame;

typedef struct walker {
    core_call *call;
    kn_walk *walk;
    frame *frames;
    size_t depth, capacity;
    kn_error *err;
    kn_status status;
    bool has_told; /* some module told its descendants itself: their parameters were not looked at
                    */
} walker;

static bool fail_python(walker *w) {
    w->status = core_call_fail(w->call, w->err);
    return false;
}

static bool check(walker *w, kn_status status) {
    w->status = status;
    return status == KN_OK;
}

/* Records the frames up to the innermost, so that a site can name its place. */
static bool record_frames(walker *w) {
    size_t first = w->depth;
    while (first > 0 && w->frames[first - 1].node == NOT_RECORDED) first--;
    for (size_t i = first; i < w->depth; i++) {
        frame *f = &w->frames[i];
        Py_ssize_t length = 0;
        const char *name = f->name ? PyUnicode_AsUTF8AndSize(f->name, &length) : "";
        if (!name) return fail_python(w);
        uint32_t parent = i ? w->frames[i - 1].node : KN_NO_PARENT;
        if (!check(w, kn_walk_add_node(w->walk, parent, f->module, name, (size_t)length, &f->node,
                                       w->err)))
            return false;
    }
    return true;
}

static bool add_class(walker *w, core_type *type, PyObject *module) {
    core_state *state = w->call->state;
    PyObject *cls = (PyObject *)Py_TYPE(module);
    PyObject *layer = PyObject_GetAttr(cls, state->names.layer_name);
    PyObject *layer_text = layer ? PyObject_Str(layer) : NULL;
    PyObject *name = layer_text ? PyObject_GetAttr(cls, state->names.name) : NULL;
    PyObject *condition = name ? PyObject_GetAttr(cls, state->names.condition) : NULL;
    if (name && !condition && PyErr_ExceptionMatches(PyExc_AttributeError)) PyErr_Clear();
    kn_class added = {.size = sizeof added,
                      .handle = cls,
                      .has_condition =
                          condition && condition != Py_None && condition != state->no_condition};
    added.layer_name = layer_text ? PyUnicode_AsUTF8AndSize(layer_text, NULL) : NULL;
    added.name = name ? PyUnicode_AsUTF8AndSize(name, NULL) : NULL;
    bool ok = added.layer_name && added.name && !PyErr_Occurred();
    ok =
        ok ? check(w, kn_walk_add_class(w->walk, &added, &type->class_id, w->err)) : fail_python(w);
    Py_XDECREF(condition);
    Py_XDECREF(name);
    Py_XDECREF(layer_text);
    Py_XDECREF(layer);
    return ok;
}

/* Adds the module of the node as a site. */
static bool add_site(walker *w, core_type *type, PyObject *module, PyObject *dict, uint32_t node) {
    if (type->class_id == UINT32_MAX && !add_class(w, type, module)) return false;
    void *current;
    uint32_t flags = type->is_function ? KN_SITE_FUNCTION : 0;
    if (core_forward_state(w->call->state, module, dict, &current, &flags) < 0)
        return fail_python(w);
    return check(w, kn_walk_add_site(w->walk, node, type->class_id, current, flags, w->err));
}

/* A module that hangs below the innermost frame but has no frame of its own. */
static bool add_leaf(walker *w, PyObject *module, PyObject *name) {
    core_type *type = core_call_type(w->call, Py_TYPE(module));
    if (!type) return fail_python(w);
    if (!type->is_extensible) return true;
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(name, &length);
    PyObject *dict = text ? core_module_dict(module) : NULL;
    if (!dict) return fail_python(w);
    uint32_t node;
    bool ok = record_frames(w) &&
              check(w, kn_walk_add_node(w->walk, w->frames[w->depth - 1].node, module, text,
                                        (size_t)length, &node, w->err)) &&
              add_site(w, type, module, dict, node);
    Py_DECREF(dict);
    return ok;
}

/* Functions that use_kernelized_func made visible on the module. */
static bool add_functions(walker *w, PyObject *dict) {
    PyObject *functions = PyDict_GetItemWithError(dict, w->call->state->names.functions_dict);
    if (!functions || !PyDict_Check(functions)) return PyErr_Occurred() ? fail_python(w) : true;
    PyObject *name, *function;
    Py_ssize_t position = 0;
    while (PyDict_Next(functions, &position, &name, &function)) {
        int seen = kn_walk_visit(w->walk, function);
        if (seen < 0) return check(w, KN_ERR_NOMEM);
        if (seen && !add_leaf(w, function, name)) return false;
    }
    return true;
}

/* Remembers the first parameter that is met, in the order of Module.parameters. */
static bool note_parameter(walker *w, PyObject *dict) {
    core_call *call = w->call;
    PyObject *parameters = PyDict_GetItemWithError(dict, call->state->names.parameters_dict);
    if (!parameters) return PyErr_Occurred() ? fail_python(w) : true;
    if (!PyDict_Check(parameters)) return true;
    PyObject *name, *parameter;
    Py_ssize_t position = 0;
    while (PyDict_Next(parameters, &position, &name, &parameter)) {
        if (parameter == Py_None) continue;
        call->first_parameter = Py_NewRef(parameter);
        call->wants_parameter = false;
        break;
    }
    return true;
}

static bool push(walker *w, PyObject *module, PyObject *name, PyObject *children) {
    if (w->depth == w->capacity) {
        size_t wanted = w->capacity ? w->capacity * 2 : 32;
        frame *grown = PyMem_Realloc(w->frames, wanted * sizeof *grown);
        if (!grown) return check(w, KN_ERR_NOMEM);
        w->frames = grown;
        w->capacity = wanted;
    }
    w->frames[w->depth++] =
        (frame){Py_NewRef(module), Py_XNewRef(children), Py_XNewRef(name), 0, NOT_RECORDED};
    return true;
}

static void pop(walker *w) {
    frame *f = &w->frames[--w->depth];
    Py_DECREF(f->module);
    Py_XDECREF(f->children);
    Py_XDECREF(f->name);
}

/* The descendants as the module itself tells them: pairs of a path below it and a module. */
static bool add_told(walker *w, PyObject *module) {
    PyObject *told = PyObject_CallMethodObjArgs(module, w->call->state->names.named_modules, NULL);
    PyObject *pairs = told ? PySequence_Tuple(told) : NULL;
    Py_XDECREF(told);
    if (!pairs) return fail_python(w);
    w->has_told = true;
    bool ok = true;
    for (Py_ssize_t i = 0; ok && i < PyTuple_Size(pairs); i++) {
        PyObject *pair = PyTuple_GetItem(pairs, i);
        PyObject *name = PySequence_GetItem(pair, 0),
                 *child = name ? PySequence_GetItem(pair, 1) : NULL;
        if (!child) {
            ok = fail_python(w);
        } else if (child != module) {
            int seen = kn_walk_visit(w->walk, child);
            if (seen < 0)
                ok = check(w, KN_ERR_NOMEM);
            else if (seen)
                ok = add_leaf(w, child, name);
        }
        Py_XDECREF(child);
        Py_XDECREF(name);
    }
    Py_DECREF(pairs);
    return ok;
}

/* Visits a module: a frame of its own, itself as a site where it is one, and what it carries. */
static bool enter(walker *w, PyObject *module, PyObject *name) {
    core_type *type = core_call_type(w->call, Py_TYPE(module));
    if (!type) return fail_python(w);
    PyObject *dict = core_module_dict(module);
    if (!dict) return fail_python(w);
    PyObject *children = PyDict_GetItemWithError(dict, w->call->state->names.modules);
    bool plain = type->plain_children && children && PyDict_Check(children);
    bool ok = push(w, module, name, plain && PyDict_Size(children) ? children : NULL);
    if (ok && w->call->wants_parameter) ok = note_parameter(w, dict);
    if (ok && type->is_extensible) {
        ok = record_frames(w) && add_site(w, type, module, dict, w->frames[w->depth - 1].node);
    }
    if (ok && type->has_functions) ok = add_functions(w, dict);
    if (ok && !plain) ok = add_told(w, module);
    Py_DECREF(dict);
    return ok;
}

/* The next child of the innermost frame; false when there is none. */
static bool next_child(frame *f, PyObject **name, PyObject **child) {
    while (f->children && PyDict_Next(f->children, &f->position, name, child)) {
        if (*child != Py_None) return true;
    }
    return false;
}

static bool walk_from(walker *w, PyObject *model) {
    if (kn_walk_visit(w->walk, model) < 0) return check(w, KN_ERR_NOMEM);
    if (!enter(w, model, NULL)) return false;
    PyObject *name, *child;
    while (w->depth) {
        if (!next_child(&w->frames[w->depth - 1], &name, &child)) {
            pop(w);
            continue;
        }
        int seen = kn_walk_visit(w->walk, child);
        if (seen < 0) return check(w, KN_ERR_NOMEM);
        if (seen && !enter(w, child, name)) return false;
    }
    return true;
}

kn_status core_host_walk(void *ctx, void *model, kn_walk *walk, kn_error *err) {
    walker w = {.call = ctx, .walk = walk, .err = err};
    if (walk_from(&w, model)) w.call->has_no_parameter = w.call->wants_parameter && !w.has_told;
    while (w.depth) pop(&w);
    PyMem_Free(w.frames);
    if (w.status == KN_ERR_NOMEM) {
        PyErr_NoMemory();
        return core_call_fail(w.call, err);
    }
    return w.status;
}
