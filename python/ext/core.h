/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the extension share: the module's state and the pieces of the host. No decision
 * is taken in here; the engine decides. */
#ifndef KERNELS_EXT_CORE_H
#define KERNELS_EXT_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <kernels/kernels.h>

typedef struct core_state {
    kn_engine *engine;
    PyObject *method_type; /* types.MethodType */
    PyObject *mapping_get; /* mapping_var.get */
    PyObject *mapping_var; /* ContextVar: None, or a list with the Mapping of the innermost block */
    PyObject *python;      /* kernels._host, imported when first needed */
    PyObject *glue;        /* kernels._torch, likewise */
    PyObject *module_class;   /* torch.nn.Module, likewise */
    PyObject *function_class; /* the base of functions as modules */
    PyObject *system;         /* what kernels._host.system said: it does not change */
    PyObject *decision_class, *mode_class, *no_condition;
    PyObject *watched;        /* id of a weak reference -> (weak reference, address) */
    PyObject *addresses;      /* addresses that are watched */
    PyObject *exchanges;      /* type -> what native_tensor.c knows of it */
    PyObject *dlpack_options; /* what asks __dlpack__ for DLPack 1.0 */
    PyTypeObject *mapping_type, *forward_type, *plan_type, *undo_type, *native_value_type,
        *native_tensor_type, *native_function_type;
    struct {
        PyObject *condition, *delattr, *dlpack, *dlpack_device, *exchange, *forward, *func,
            *functions_dict, *getattribute, *has_functions, *layer_name, *load, *max_capability,
            *min_capability, *modules, *name, *named_modules, *old_forward, *parameters_dict,
            *properties, *record, *self, *setattr, *type, *value;
    } names;
} core_state;

core_state *core_state_of(PyObject *module);

/* The module `kernels._host` (borrowed), imported when first needed; NULL with an exception. */
PyObject *core_python(core_state *state);

/* The same for `kernels._torch`. */
PyObject *core_glue(core_state *state);

/* ---- errors.c ---- */

/* Raises the exception for a status; returns NULL. */
PyObject *core_raise(kn_status status, const kn_error *err);
/* The same for a status that may be KN_OK: -1 with the exception, or 0. */
int core_raise_unless(kn_status status, const kn_error *err);

/* The UTF-8 of a text that has no null character in it, borrowed from it; NULL with a ValueError.
 */
const char *core_text(PyObject *text);

/* Copies `text`, cut between characters where it does not fit. */
void core_text_copy(char *out, size_t capacity, const char *text);

/* ---- repo_object.c ---- */

extern const kn_repo_ops core_repo_ops;

/* Fills `info` from an object with `_describe`; borrowed texts live as long as the object. -1 with
 * an exception. */
int core_repo_describe(PyObject *object, kn_repo_info *info);

/* ---- mapping_type.c ---- */

extern PyType_Spec core_mapping_spec;

typedef struct core_mapping {
    PyObject_HEAD kn_mapping *mapping;
    core_state *state;
} core_mapping;

/* A Mapping that takes over the reference to `mapping`. */
PyObject *core_mapping_new(core_state *state, kn_mapping *mapping);

/* The entries of a mapping as users write it. */
typedef struct core_entries {
    kn_mapping_entry *items;
    size_t count, capacity;
    kn_mode_repo *modes;
    size_t mode_count, mode_capacity;
    PyObject *names;         /* a list that keeps the layer names alive */
    PyTypeObject *repo_type; /* the last type that was seen to have a `load` */
} core_entries;

/* Reads `mapping`, a dict as register_kernel_mapping takes it; -1 with an exception. Cleared by the
 * caller, always. */
int core_entries_read(core_state *state, PyObject *mapping, core_entries *out);
void core_entries_clear(core_entries *entries);

/* The mapping in force, with a reference; NULL with an exception. */
kn_mapping *core_current_mapping(core_state *state);

PyObject *core_register(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *core_enter_mapping(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *core_exit_mapping(PyObject *module, PyObject *token);

/* ---- forward_type.c ---- */

extern PyType_Spec core_forward_spec;

/* What stands in the __dict__ of a module beside a forward of ours: where it comes from, and the
 * way back. One object serves all modules that had no forward of their own before; a module that
 * had gets its own, with `base`. */
typedef struct core_forward {
    PyObject_HEAD PyObject *function; /* the layer's forward; NULL in a description that was
                                         unpickled */
    PyObject *repo, *layer_name, *mapped_name, *commit, *variant; /* str or None */
    PyObject *previous; /* what stood there; NULL: nothing */
    struct core_forward *base;
} core_forward;

/* Texts are str or None; references are taken. */
core_forward *core_forward_new(core_state *state, PyObject *function, const kn_forward_info *info);
/* `base` for a module on which `previous` stood. */
core_forward *core_forward_with_previous(core_state *state, core_forward *base, PyObject *previous);
void core_forward_describe(core_forward *forward, kn_forward_info *out);
PyObject *core_forward_from_state(PyObject *module, PyObject *args);

/* ---- host_call.c ---- */

/* What the walk has learnt about a type. */
typedef struct core_type {
    PyTypeObject *type; /* strong */
    uint32_t class_id;
    bool is_extensible;
    bool is_function;
    bool has_functions;  /* instances may carry functions made visible by use_kernelized_func */
    bool plain_children; /* _modules of the __dict__ is all there is to its children */
    bool plain_set;      /* its forward may be set right in the __dict__ */
} core_type;

/* One call of the engine: the `ctx` of the host. */
typedef struct core_call {
    core_state *state;
    kn_host host;
    core_type **types;                                /* an open-addressing table */
    size_t type_count, type_capacity;                 /* the capacity is a power of two */
    PyObject *error_type, *error_value, *error_trace; /* the exception behind a failed callback */
    PyObject *first_parameter;
    PyObject *model_name;  /* the text that was last asked for */
    PyObject *gpu;         /* likewise, with the architecture's name */
    bool wants_parameter;  /* the walk is to note the first parameter; cleared once it has */
    bool has_no_parameter; /* the walk has looked everywhere and found none */
    bool is_not_found; /* the saved exception is a FileNotFoundError that a fallback may cover */
} core_call;

void core_call_init(core_call *call, core_state *state);
void core_call_clear(core_call *call);

/* Keeps the pending exception for the end of the call; returns KN_ERR_HOST. */
kn_status core_call_fail(core_call *call, kn_error *err);

/* Raises what a failed engine call came to; returns NULL. */
PyObject *core_call_raise(core_call *call, kn_status status, const kn_error *err);

/* What is known about a type; NULL with an exception. */
core_type *core_call_type(core_call *call, PyTypeObject *type);

/* ---- module_walk.c ---- */

kn_status core_host_walk(void *ctx, void *model, kn_walk *walk, kn_error *err);

/* ---- module_forward.c ---- */

/* What stands at a module. `dict` is its __dict__. Borrowed `*current`; -1 with an exception. */
int core_forward_state(core_state *state, PyObject *module, PyObject *dict, void **current,
                       uint32_t *flags);
PyObject *core_module_dict(PyObject *module);

kn_status core_host_inspect(void *ctx, void *module, void **current, uint32_t *flags,
                            kn_error *err);
kn_status core_host_swap(void *ctx, void *module, void *forward, void **undo, kn_error *err);
kn_status core_host_restore(void *ctx, void *module, void *undo, kn_error *err);

/* (the key in the __dict__, the forward of ours under it, what goes back there or None for the
 * class's own); None where no forward of ours is in place. */
PyObject *core_forward_pair(PyObject *core, PyObject *module);

/* ---- version_type.c ---- */

extern PyType_Spec core_version_spec;

/* ---- variant_call.c ---- */

PyObject *core_check_specifier(PyObject *module, PyObject *specifier);
PyObject *core_select_version(PyObject *module, PyObject *args);
PyObject *core_rank_variants(PyObject *module, PyObject *args);

/* ---- metadata_call.c ---- */

PyObject *core_parse_metadata(PyObject *module, PyObject *bytes);
PyObject *core_read_metadata(PyObject *module, PyObject *path);
PyObject *core_digest_folder(PyObject *module, PyObject *args);

/* ---- lockfile_call.c ---- */

PyObject *core_parse_lockfile(PyObject *module, PyObject *args);

/* ---- settings_call.c ---- */

PyObject *core_is_offline(PyObject *module, PyObject *ignored);

/* ---- plan_type.c ---- */

extern PyType_Spec core_plan_spec;
extern PyType_Spec core_undo_spec;

/* False with a TypeError, or when torch cannot be imported. */
bool core_is_module(core_call *call, PyObject *model);

PyObject *core_plan(PyObject *module, PyObject *args, PyObject *kwargs);
PyObject *core_kernelize(PyObject *module, PyObject *args, PyObject *kwargs);
PyObject *core_explain(PyObject *module, PyObject *model);
PyObject *core_unkernelize(PyObject *module, PyObject *args);
PyObject *core_restore(PyObject *module, PyObject *undo);

/* ---- refuse_call.c ---- */

PyObject *core_refuse(PyObject *module, PyObject *args);

/* ---- kernel_calls.c ---- */

PyObject *core_get_kernel(PyObject *module, PyObject *repo);
PyObject *core_get_layer(PyObject *module, PyObject *repo);
PyObject *core_install(PyObject *module, PyObject *repo);
PyObject *core_install_all(PyObject *module, PyObject *repo);
PyObject *core_fetch_folder(PyObject *module, PyObject *args);
PyObject *core_resolve_commit(PyObject *module, PyObject *repo);
PyObject *core_has_kernel(PyObject *module, PyObject *repo);
PyObject *core_hub_variants(PyObject *module, PyObject *repo);
PyObject *core_prefetch(PyObject *module, PyObject *args);
PyObject *core_forget_kernels(PyObject *module, PyObject *folder);

/* ---- native_tensor.c, native_function.c ---- */

extern PyType_Spec core_native_value_spec;
extern PyType_Spec core_native_tensor_spec;
extern PyType_Spec core_native_function_spec;

PyObject *core_native_kernel(PyObject *module, PyObject *args);
PyObject *core_native_find(PyObject *module, PyObject *args);

#endif
