/* SPDX-License-Identifier: Apache-2.0 */
/* The forward of a module: what stands there, putting ours in place, and the way back.
 *
 * Ours is `forward` in the module's __dict__, a method bound to the module, beside an entry
 * (RECORD) that describes it. Where accelerate has put a hook in front (`_old_forward` holds what
 * it calls), that is replaced instead. */
#include "core.h"

PyObject *core_module_dict(PyObject *module) { return PyObject_GenericGetDict(module, NULL); }

/* How `value` relates to `function`. */
typedef enum binding {
    NOT_BOUND = 0,
    BOUND = 1,      /* it is `function`, bound to `module` */
    BOUND_OTHER = 2 /* bound to another module, as in a shallow copy */
} binding;

/* -1 with an exception. */
static int bound_to(core_state *state, PyObject *value, PyObject *function, PyObject *module) {
    if (!value || !function || (PyObject *)Py_TYPE(value) != state->method_type) return NOT_BOUND;
    PyObject *func = PyObject_GetAttr(value, state->names.func);
    if (!func) return -1;
    Py_DECREF(func); /* the method keeps it */
    if (func != function) return NOT_BOUND;
    PyObject *self = PyObject_GetAttr(value, state->names.self);
    if (!self) return -1;
    Py_DECREF(self);
    return self == module ? BOUND : BOUND_OTHER;
}

/* Whether `value` is the forward of the module's own class. */
static int is_own(core_state *state, PyObject *value, PyObject *module) {
    PyObject *own = PyObject_GetAttr((PyObject *)Py_TYPE(module), state->names.forward);
    if (!own) {
        PyErr_Clear();
        return 0;
    }
    int result = bound_to(state, value, own, module);
    Py_DECREF(own);
    return result;
}

static core_forward *record_of(core_state *state, PyObject *dict) {
    PyObject *record = PyDict_GetItemWithError(dict, state->names.record);
    return record && Py_TYPE(record) == state->forward_type ? (core_forward *)record : NULL;
}

/* The key under which the forward that is called stands. */
static PyObject *slot_of(core_state *state, PyObject *dict) {
    return PyDict_GetItemWithError(dict, state->names.old_forward) ? state->names.old_forward
                                                                   : state->names.forward;
}

int core_forward_state(core_state *state, PyObject *module, PyObject *dict, void **current,
                       uint32_t *flags) {
    *current = NULL;
    core_forward *record = record_of(state, dict);
    PyObject *value = PyDict_GetItemWithError(dict, state->names.forward);
    if (!record && !value) return PyErr_Occurred() ? -1 : 0;
    PyObject *called = value;
    int ours = record ? bound_to(state, value, record->function, module) : NOT_BOUND;
    if (ours == NOT_BOUND && value) {
        PyObject *hooked = PyDict_GetItemWithError(dict, state->names.old_forward);
        if (hooked) called = hooked;
        if (hooked && record) ours = bound_to(state, called, record->function, module);
    }
    if (ours < 0) return -1;
    if (ours == BOUND) {
        *current = record->base ? record->base : record;
        return 0;
    }
    if (record) *flags |= KN_SITE_NOT_APPLIED;
    /* Behind a hook the original is reached through whatever bound it: that is replaced, not kept.
     */
    if (ours == BOUND_OTHER || called != value || !value) return 0;
    int own = is_own(state, value, module);
    if (own < 0) return -1;
    if (own == NOT_BOUND) *flags |= KN_SITE_FOREIGN;
    return 0;
}

kn_status core_host_inspect(void *ctx, void *module, void **current, uint32_t *flags,
                            kn_error *err) {
    core_call *call = ctx;
    *flags = 0;
    *current = NULL;
    PyObject *dict = core_module_dict(module);
    if (!dict) return core_call_fail(call, err);
    int result = core_forward_state(call->state, module, dict, current, flags);
    Py_DECREF(dict);
    return result < 0 ? core_call_fail(call, err) : KN_OK;
}

/* Sets or, with NULL, removes an entry; through the class's own __setattr__ where it has one. */
static int put(const core_type *type, PyObject *module, PyObject *dict, PyObject *key,
               PyObject *value) {
    if (!type->plain_set) return PyObject_SetAttr(module, key, value);
    return value ? PyDict_SetItem(dict, key, value) : PyDict_DelItem(dict, key);
}

/* Makes `key` hold `value`, or nothing. */
static int put_back(const core_type *type, PyObject *module, PyObject *dict, PyObject *key,
                    PyObject *value) {
    if (!value && !PyDict_GetItemWithError(dict, key)) return PyErr_Occurred() ? -1 : 0;
    return put(type, module, dict, key, value);
}

/* Both entries, or, when the second fails, neither. */
static int put_both(const core_type *type, core_state *state, PyObject *module, PyObject *dict,
                    PyObject *slot, PyObject *value, PyObject *record) {
    PyObject *before = Py_XNewRef(PyDict_GetItemWithError(dict, slot));
    int result = put_back(type, module, dict, slot, value);
    if (result == 0 && put_back(type, module, dict, state->names.record, record) < 0) {
        PyObject *error_type, *error, *trace;
        PyErr_Fetch(&error_type, &error, &trace);
        if (put_back(type, module, dict, slot, before) < 0) PyErr_Clear();
        PyErr_Restore(error_type, error, trace);
        result = -1;
    }
    Py_XDECREF(before);
    return result;
}

/* (slot, what stood in it, the record), with None for nothing. NULL stands for "nothing was there".
 */
static PyObject *undo_of(PyObject *slot, PyObject *value, core_forward *record) {
    return PyTuple_Pack(3, slot, value ? value : Py_None, record ? (PyObject *)record : Py_None);
}

/* What goes back into the slot when a forward of ours leaves it. */
static PyObject *original_of(core_state *state, PyObject *module, PyObject *slot,
                             core_forward *record) {
    if (record && record->previous) return Py_NewRef(record->previous);
    if (slot == state->names.forward) return NULL;
    PyObject *own = PyObject_GetAttr((PyObject *)Py_TYPE(module), state->names.forward);
    PyObject *bound =
        own ? PyObject_CallFunctionObjArgs(state->method_type, own, module, NULL) : NULL;
    Py_XDECREF(own);
    return bound;
}

/* Whether what stands in the slot came from us, also by way of a copy. Unpickling a description
 * looks `forward` up before it is in place, which leaves the class's own on the instance. -1 with
 * an exception. */
static int is_ours(core_state *state, PyObject *value, const core_forward *record,
                   PyObject *module) {
    if (!record || !value) return NOT_BOUND;
    int ours = bound_to(state, value, record->function, module);
    return ours == NOT_BOUND && !record->function ? is_own(state, value, module) : ours;
}

static int swap_in(core_call *call, const core_type *type, PyObject *module, PyObject *dict,
                   core_forward *forward) {
    core_state *state = call->state;
    PyObject *slot = slot_of(state, dict);
    PyObject *value = PyDict_GetItemWithError(dict, slot);
    core_forward *record = record_of(state, dict);
    int ours = is_ours(state, value, record, module);
    if (ours < 0) return -1;
    PyObject *previous = ours ? record->previous : value;
    PyObject *bound =
        PyObject_CallFunctionObjArgs(state->method_type, forward->function, module, NULL);
    if (!bound) return -1;
    core_forward *entry = previous ? core_forward_with_previous(state, forward, previous)
                                   : (core_forward *)Py_NewRef((PyObject *)forward);
    int result = entry ? put_both(type, state, module, dict, slot, bound, (PyObject *)entry) : -1;
    Py_XDECREF((PyObject *)entry);
    Py_DECREF(bound);
    return result;
}

static int swap_out(core_call *call, const core_type *type, PyObject *module, PyObject *dict) {
    core_state *state = call->state;
    PyObject *slot = slot_of(state, dict);
    core_forward *record = record_of(state, dict);
    PyObject *value = PyDict_GetItemWithError(dict, slot);
    int ours = is_ours(state, value, record, module);
    if (ours < 0) return -1;
    if (!ours) return put_back(type, module, dict, state->names.record, NULL);
    PyObject *original = original_of(state, module, slot, record);
    if (!original && PyErr_Occurred()) return -1;
    int result = put_both(type, state, module, dict, slot, original, NULL);
    Py_XDECREF(original);
    return result;
}

kn_status core_host_swap(void *ctx, void *module, void *forward, void **undo, kn_error *err) {
    core_call *call = ctx;
    core_state *state = call->state;
    *undo = NULL;
    const core_type *type = core_call_type(call, Py_TYPE((PyObject *)module));
    PyObject *dict = type ? core_module_dict(module) : NULL;
    if (!dict) return core_call_fail(call, err);
    PyObject *slot = slot_of(state, dict), *value = PyDict_GetItemWithError(dict, slot);
    core_forward *record = record_of(state, dict);
    int result = 0;
    if (value || record) {
        *undo = undo_of(slot, value, record);
        result = *undo ? 0 : -1;
    }
    if (result == 0)
        result = forward ? swap_in(call, type, module, dict, forward)
                         : swap_out(call, type, module, dict);
    Py_DECREF(dict);
    if (result == 0) return KN_OK;
    Py_XDECREF((PyObject *)*undo);
    *undo = NULL;
    return core_call_fail(call, err);
}

kn_status core_host_restore(void *ctx, void *module, void *undo, kn_error *err) {
    core_call *call = ctx;
    core_state *state = call->state;
    const core_type *type = core_call_type(call, Py_TYPE((PyObject *)module));
    PyObject *dict = type ? core_module_dict(module) : NULL;
    if (!dict) return core_call_fail(call, err);
    PyObject *slot = state->names.forward, *value = NULL, *record = NULL;
    if (undo) {
        slot = PyTuple_GetItem(undo, 0);
        value = PyTuple_GetItem(undo, 1);
        record = PyTuple_GetItem(undo, 2);
    }
    int result = put_both(type, state, module, dict, slot, value == Py_None ? NULL : value,
                          record == Py_None ? NULL : record);
    Py_DECREF(dict);
    return result < 0 ? core_call_fail(call, err) : KN_OK;
}

PyObject *core_forward_pair(PyObject *core, PyObject *module) {
    core_state *state = core_state_of(core);
    PyObject *dict = core_module_dict(module);
    if (!dict) return NULL;
    void *current;
    uint32_t flags = 0;
    PyObject *result = NULL;
    int known = core_forward_state(state, module, dict, &current, &flags);
    if (known == 0 && !current) {
        result = Py_NewRef(Py_None);
    } else if (known == 0) {
        PyObject *slot = slot_of(state, dict);
        PyObject *original = original_of(state, module, slot, record_of(state, dict));
        if (original || !PyErr_Occurred())
            result = PyTuple_Pack(3, slot, PyDict_GetItemWithError(dict, slot),
                                  original ? original : Py_None);
        Py_XDECREF(original);
    }
    Py_DECREF(dict);
    return result;
}
