/* SPDX-License-Identifier: Apache-2.0 */
/* The module kernels._core: its state, its functions, its life. */
#include "core.h"

core_state *core_state_of(PyObject *module) { return PyModule_GetState(module); }

PyObject *core_python(core_state *state) {
    if (state->python) return state->python;
    PyObject *module = PyImport_ImportModule("kernels._host");
    if (module && !state->python) state->python = Py_NewRef(module);
    Py_XDECREF(module);
    return state->python;
}

PyObject *core_glue(core_state *state) {
    if (state->glue) return state->glue;
    PyObject *glue = PyImport_ImportModule("kernels._torch");
    PyObject *module_class = glue ? PyObject_GetAttrString(glue, "Module") : NULL;
    PyObject *function_class = module_class ? PyObject_GetAttrString(glue, "FunctionModule") : NULL;
    if (function_class && !state->glue) {
        state->module_class = Py_NewRef(module_class);
        state->function_class = Py_NewRef(function_class);
        state->glue = Py_NewRef(glue);
    }
    Py_XDECREF(function_class);
    Py_XDECREF(module_class);
    Py_XDECREF(glue);
    return function_class ? state->glue : NULL;
}

/* _setup(mode_class, what stands for no condition, builtin_folder or None, the environment's
 * kernels.toml): called once by the package. */
static PyObject *setup(PyObject *module, PyObject *args) {
    core_state *state = core_state_of(module);
    PyObject *mode_class, *no_condition;
    const char *builtin_folder, *site_config;
    if (!PyArg_ParseTuple(args, "OOzz:_setup", &mode_class, &no_condition, &builtin_folder,
                          &site_config))
        return NULL;
    if (state->engine) Py_RETURN_NONE;
    kn_engine_options options = {
        .size = sizeof options, .builtin_folder = builtin_folder, .site_config = site_config};
    kn_error err;
    kn_error_init(&err);
    kn_status status = kn_engine_new(&options, &state->engine, &err);
    if (status) return core_raise(status, &err);
    state->mode_class = Py_NewRef(mode_class);
    state->no_condition = Py_NewRef(no_condition);
    Py_RETURN_NONE;
}

/* Called by a weak reference whose object is gone. */
static PyObject *forget(PyObject *module, PyObject *ref) {
    core_state *state = core_state_of(module);
    PyObject *key = PyLong_FromVoidPtr(ref);
    PyObject *item = key && state->watched ? PyDict_GetItemWithError(state->watched, key) : NULL;
    if (item && state->engine) {
        PyObject *address = Py_NewRef(PyTuple_GetItem(item, 1));
        PySet_Discard(state->addresses, address);
        PyDict_DelItem(state->watched, key);
        core_call call;
        core_call_init(&call, state);
        kn_engine_forget(state->engine, &call.host, PyLong_AsVoidPtr(address));
        core_call_clear(&call);
        Py_DECREF(address);
    }
    Py_XDECREF(key);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

static PyObject *empty_mapping(PyObject *module, PyObject *unused) {
    (void)unused;
    kn_error err;
    kn_error_init(&err);
    kn_mapping *mapping;
    kn_status status = kn_mapping_extend(NULL, NULL, NULL, 0, &mapping, &err);
    return status ? core_raise(status, &err) : core_mapping_new(core_state_of(module), mapping);
}

static PyObject *current_mapping(PyObject *module, PyObject *unused) {
    (void)unused;
    core_state *state = core_state_of(module);
    kn_mapping *mapping = core_current_mapping(state);
    return mapping ? core_mapping_new(state, mapping) : NULL;
}

static PyObject *check_range(PyObject *module, PyObject *args) {
    (void)module;
    long long min, max;
    if (!PyArg_ParseTuple(args, "LL:check_range", &min, &max)) return NULL;
    kn_error err;
    kn_error_init(&err);
    kn_status status = kn_capability_range_check((kn_capability_range){min, max}, &err);
    if (status) return core_raise(status, &err);
    Py_RETURN_NONE;
}

static PyObject *check_mode(PyObject *module, PyObject *mode) {
    (void)module;
    unsigned long flags = PyLong_AsUnsignedLong(mode);
    if (PyErr_Occurred()) return NULL;
    kn_error err;
    kn_error_init(&err);
    kn_status status = flags ? kn_mode_check((kn_mode)flags, &err) : KN_OK;
    if (status) return core_raise(status, &err);
    Py_RETURN_NONE;
}

static PyObject *loader_advice(PyObject *module, PyObject *words) {
    (void)module;
    const char *text = core_text(words), *advice = text ? kn_loader_advice(text) : NULL;
    if (!text) return NULL;
    if (advice) return PyUnicode_FromString(advice);
    Py_RETURN_NONE;
}

#define FASTCALL(name) (PyCFunction)(void (*)(void)) name

static PyMethodDef methods[] = {
    {"_setup", setup, METH_VARARGS, NULL},
    {"_forget", forget, METH_O, NULL},
    {"_forward_from_state", core_forward_from_state, METH_VARARGS, NULL},
    {"empty_mapping", empty_mapping, METH_NOARGS, "empty_mapping() -> Mapping"},
    {"current_mapping", current_mapping, METH_NOARGS,
     "current_mapping() -> Mapping: the one in force here."},
    {"check_range", check_range, METH_VARARGS,
     "check_range(lowest, highest): ValueError when lowest > highest."},
    {"check_mode", check_mode, METH_O,
     "check_mode(flags): ValueError for flags that cannot go together."},
    {"loader_advice", loader_advice, METH_O,
     "loader_advice(words) -> what to do about what the system's loader said, or None."},
    {"register", FASTCALL(core_register), METH_FASTCALL, "register(mapping, inherit)"},
    {"enter_mapping", FASTCALL(core_enter_mapping), METH_FASTCALL,
     "enter_mapping(mapping, inherit) -> token"},
    {"exit_mapping", core_exit_mapping, METH_O, "exit_mapping(token)"},
    {"plan", FASTCALL(core_plan), METH_VARARGS | METH_KEYWORDS,
     "plan(model, mode, device, capability, fallback, include, exclude, fetch) -> Plan"},
    {"kernelize", FASTCALL(core_kernelize), METH_VARARGS | METH_KEYWORDS,
     "kernelize(model, mode, device, capability, fallback, include, exclude, fetch) -> model"},
    {"explain", core_explain, METH_O, "explain(model) -> Plan"},
    {"unkernelize", core_unkernelize, METH_VARARGS,
     "unkernelize(model, record) -> model, or Undo with record"},
    {"restore", core_restore, METH_O, "restore(undo)"},
    {"refuse", core_refuse, METH_VARARGS,
     "refuse(model, [(module, message)]): takes the kernels of these modules out"},
    {"forward_pair", core_forward_pair, METH_O,
     "forward_pair(module) -> (key, kernel's forward, what stood there or None), or None"},
    {"get_kernel", core_get_kernel, METH_O, "get_kernel(repository) -> module"},
    {"get_layer", core_get_layer, METH_O, "get_layer(repository) -> class"},
    {"install", core_install, METH_O, "install(repository) -> folder of the variant"},
    {"install_all", core_install_all, METH_O, "install_all(repository) -> folder of any variant"},
    {"fetch_folder", core_fetch_folder, METH_VARARGS,
     "fetch_folder(repository, name) -> (folder, repo_id or None, commit or None)"},
    {"resolve_commit", core_resolve_commit, METH_O, "resolve_commit(repository) -> commit"},
    {"prefetch", core_prefetch, METH_VARARGS,
     "prefetch(list of repositories, mapping, or None for the one in force; all_modes, allowed) -> "
     "digest"},
    {"has_kernel", core_has_kernel, METH_O, "has_kernel(repository) -> bool"},
    {"hub_variants", core_hub_variants, METH_O,
     "hub_variants(repository) -> [(name, accepted, reason)]"},
    {"check_specifier", core_check_specifier, METH_O,
     "check_specifier(text): ValueError for what is no set of version specifiers."},
    {"select_version", core_select_version, METH_VARARGS,
     "select_version(specifier, tags) -> the tag of the newest version that satisfies it, or None"},
    {"rank_variants", core_rank_variants, METH_VARARGS,
     "rank_variants(names, archs of each, system, capability or -2, gcn_arch) -> list of (name, reason or None)"},
    {"parse_metadata", core_parse_metadata, METH_O,
     "parse_metadata(bytes) -> the fields of a metadata.json"},
    {"read_metadata", core_read_metadata, METH_O,
     "read_metadata(path) -> the fields of a metadata.json"},
    {"digest_folder", core_digest_folder, METH_VARARGS,
     "digest_folder(path, \"SHA256\" or \"SHA512\") -> {path: base64}"},
    {"parse_lockfile", core_parse_lockfile, METH_VARARGS,
     "parse_lockfile(text, origin) -> the entries of a kernels.lock"},
    {"is_offline", core_is_offline, METH_NOARGS, "is_offline() -> whether no request is made"},
    {"forget_kernels", core_forget_kernels, METH_O,
     "forget_kernels(folder or None): that kernel, or all, count as never loaded."},
    {"native_kernel", core_native_kernel, METH_VARARGS,
     "native_kernel(repository, libtvm_ffi or None, has_torch) -> (handle, name, variant, folder, "
     "library)"},
    {"native_function", core_native_find, METH_VARARGS,
     "native_function(handle, name) -> callable; AttributeError where there is none"},
    {NULL, NULL, 0, NULL},
};

static int intern_names(core_state *state) {
    const struct {
        PyObject **to;
        const char *text;
    } names[] = {
        {&state->names.condition, "kernel_condition"},
        {&state->names.delattr, "__delattr__"},
        {&state->names.dlpack, "__dlpack__"},
        {&state->names.dlpack_device, "__dlpack_device__"},
        {&state->names.exchange, "__dlpack_c_exchange_api__"},
        {&state->names.forward, "forward"},
        {&state->names.func, "__func__"},
        {&state->names.functions_dict, "_kernel_funcs"},
        {&state->names.getattribute, "__getattribute__"},
        {&state->names.has_functions, "_has_kernel_funcs"},
        {&state->names.layer_name, "kernel_layer_name"},
        {&state->names.load, "load"},
        {&state->names.max_capability, "max_capability"},
        {&state->names.min_capability, "min_capability"},
        {&state->names.modules, "_modules"},
        {&state->names.name, "__name__"},
        {&state->names.named_modules, "named_modules"},
        {&state->names.old_forward, "_old_forward"},
        {&state->names.parameters_dict, "_parameters"},
        {&state->names.properties, "properties"},
        {&state->names.record, "_kernel_forward"},
        {&state->names.self, "__self__"},
        {&state->names.setattr, "__setattr__"},
        {&state->names.type, "type"},
        {&state->names.value, "_value_"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        *names[i].to = PyUnicode_InternFromString(names[i].text);
        if (!*names[i].to) return -1;
    }
    return 0;
}

/* `name` of the standard module `module`. */
static PyObject *attribute_of(const char *module, const char *name) {
    PyObject *imported = PyImport_ImportModule(module);
    PyObject *found = imported ? PyObject_GetAttrString(imported, name) : NULL;
    Py_XDECREF(imported);
    return found;
}

static int make_context_var(core_state *state) {
    PyObject *type = attribute_of("contextvars", "ContextVar");
    PyObject *args = type ? Py_BuildValue("(s)", "kernel_mapping") : NULL;
    PyObject *kwargs = args ? Py_BuildValue("{sO}", "default", Py_None) : NULL;
    state->mapping_var = kwargs ? PyObject_Call(type, args, kwargs) : NULL;
    Py_XDECREF(type);
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    state->mapping_get =
        state->mapping_var ? PyObject_GetAttrString(state->mapping_var, "get") : NULL;
    return state->mapping_get ? 0 : -1;
}

static int make_type(PyObject *module, PyType_Spec *spec, PyTypeObject **out) {
    *out = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *out ? 0 : -1;
}

static int add_type(PyObject *module, const char *name, PyType_Spec *spec) {
    PyTypeObject *type;
    int result = make_type(module, spec, &type);
    if (result == 0) result = PyModule_AddObjectRef(module, name, (PyObject *)type);
    if (type) Py_DECREF((PyObject *)type);
    return result;
}

static int exec_core(PyObject *module) {
    core_state *state = core_state_of(module);
    if (intern_names(state) < 0 || make_context_var(state) < 0) return -1;
    state->method_type = attribute_of("types", "MethodType");
    state->watched = PyDict_New();
    state->addresses = PySet_New(NULL);
    state->exchanges = PyDict_New();
    state->dlpack_options = Py_BuildValue("{s(ii)}", "max_version", 1, 1);
    if (!state->method_type || !state->watched || !state->addresses || !state->exchanges ||
        !state->dlpack_options)
        return -1;
    if (make_type(module, &core_mapping_spec, &state->mapping_type) < 0 ||
        make_type(module, &core_forward_spec, &state->forward_type) < 0 ||
        make_type(module, &core_plan_spec, &state->plan_type) < 0 ||
        make_type(module, &core_undo_spec, &state->undo_type) < 0 ||
        make_type(module, &core_native_value_spec, &state->native_value_type) < 0 ||
        make_type(module, &core_native_tensor_spec, &state->native_tensor_type) < 0 ||
        make_type(module, &core_native_function_spec, &state->native_function_type) < 0) {
        return -1;
    }
    if (add_type(module, "Version", &core_version_spec) < 0) return -1;
    return PyModule_AddStringConstant(module, "__version__", kn_version());
}

static int traverse_core(PyObject *module, visitproc visit, void *arg) {
    core_state *state = core_state_of(module);
    Py_VISIT(state->method_type);
    Py_VISIT(state->mapping_get);
    Py_VISIT(state->mapping_var);
    Py_VISIT(state->python);
    Py_VISIT(state->glue);
    Py_VISIT(state->module_class);
    Py_VISIT(state->function_class);
    Py_VISIT(state->system);
    Py_VISIT(state->decision_class);
    Py_VISIT(state->mode_class);
    Py_VISIT(state->no_condition);
    Py_VISIT(state->watched);
    Py_VISIT(state->addresses);
    Py_VISIT(state->exchanges);
    Py_VISIT(state->dlpack_options);
    Py_VISIT((PyObject *)state->mapping_type);
    Py_VISIT((PyObject *)state->forward_type);
    Py_VISIT((PyObject *)state->plan_type);
    Py_VISIT((PyObject *)state->undo_type);
    Py_VISIT((PyObject *)state->native_value_type);
    Py_VISIT((PyObject *)state->native_tensor_type);
    Py_VISIT((PyObject *)state->native_function_type);
    return 0;
}

static int clear_core(PyObject *module) {
    core_state *state = core_state_of(module);
    kn_engine *engine = state->engine;
    state->engine = NULL;
    if (engine) {
        core_call call;
        core_call_init(&call, state);
        kn_engine_free(engine, &call.host);
        core_call_clear(&call);
    }
    PyObject **fields[] = {&state->method_type,    &state->mapping_get, &state->mapping_var,
                           &state->python,         &state->glue,        &state->module_class,
                           &state->decision_class, &state->mode_class,  &state->no_condition,
                           &state->watched,        &state->addresses,   &state->function_class,
                           &state->system,         &state->exchanges,   &state->dlpack_options};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) Py_CLEAR(*fields[i]);
    PyTypeObject **types[] = {&state->mapping_type,        &state->forward_type,
                              &state->plan_type,           &state->undo_type,
                              &state->native_value_type,   &state->native_tensor_type,
                              &state->native_function_type};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        PyObject *type = (PyObject *)*types[i];
        *types[i] = NULL;
        Py_XDECREF(type);
    }
    PyObject **names = (PyObject **)&state->names;
    for (size_t i = 0; i < sizeof state->names / sizeof *names; i++) Py_CLEAR(names[i]);
    return 0;
}

static void free_core(void *module) { clear_core(module); }

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)exec_core},
#ifdef Py_GIL_DISABLED
    /* Borrowed references and the module's state are used as the GIL allows. */
    {Py_mod_gil, Py_MOD_GIL_USED},
#endif
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "kernels._core",
    .m_doc = "The engine of libkernels. Use the package `kernels`, which documents it.",
    .m_size = sizeof(core_state),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = traverse_core,
    .m_clear = clear_core,
    .m_free = free_core,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&definition); }
