/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels without a model: what the functions of kernels.load and its like call. */
#include "core.h"

/* A call of the engine about one repository. */
typedef struct kernel_call {
    core_call call;
    kn_repo_info info;
    kn_error err;
    core_state *state;
} kernel_call;

/* -1 with an exception; ended by kernel_call_end only after 0. */
static int kernel_call_begin(kernel_call *k, PyObject *module, PyObject *repo) {
    k->state = core_state_of(module);
    k->info = (kn_repo_info){.size = sizeof k->info};
    if (core_repo_describe(repo, &k->info) < 0 || !core_python(k->state)) return -1;
    core_call_init(&k->call, k->state);
    kn_error_init(&k->err);
    return 0;
}

/* `result` (its reference is taken over), or the exception for `status`. */
static PyObject *kernel_call_end(kernel_call *k, kn_status status, PyObject *result) {
    if (status) result = core_call_raise(&k->call, status, &k->err);
    core_call_clear(&k->call);
    return result;
}

PyObject *core_get_kernel(PyObject *module, PyObject *repo) {
    kernel_call k;
    void *kernel = NULL;
    if (kernel_call_begin(&k, module, repo) < 0) return NULL;
    kn_status status =
        kn_engine_get_kernel(k.state->engine, &k.call.host, &k.info, &kernel, &k.err);
    return kernel_call_end(&k, status, kernel);
}

PyObject *core_get_layer(PyObject *module, PyObject *repo) {
    kernel_call k;
    kn_layer layer = {.size = sizeof layer};
    if (kernel_call_begin(&k, module, repo) < 0) return NULL;
    kn_status status = kn_engine_get_layer(k.state->engine, &k.call.host, &k.info, &layer, &k.err);
    return kernel_call_end(&k, status, layer.handle);
}

PyObject *core_install(PyObject *module, PyObject *repo) {
    kernel_call k;
    char *folder = NULL;
    if (kernel_call_begin(&k, module, repo) < 0) return NULL;
    kn_status status = kn_engine_install(k.state->engine, &k.call.host, &k.info, &folder, &k.err);
    PyObject *text = status ? NULL : PyUnicode_DecodeFSDefault(folder);
    kn_text_free(k.state->engine, folder);
    return kernel_call_end(&k, status, text);
}

PyObject *core_install_all(PyObject *module, PyObject *repo) {
    kernel_call k;
    if (kernel_call_begin(&k, module, repo) < 0) return NULL;
    const kn_repo_info *infos[] = {&k.info};
    const kn_prefetch_request request = {
        .size = sizeof request, .repos = infos, .repo_count = 1, .all_variants = true};
    kn_prefetched *fetched = NULL;
    kn_status status =
        kn_engine_prefetch(k.state->engine, &k.call.host, &request, &fetched, &k.err);
    if (!status) status = kn_prefetched_check(fetched, &k.err);
    kn_prefetched_item first = {.size = sizeof first}; /* a build of what was asked for */
    if (!status) kn_prefetched_get(fetched, 0, &first);
    PyObject *folder = status ? NULL : PyUnicode_DecodeFSDefault(first.folder);
    kn_prefetched_free(fetched);
    return kernel_call_end(&k, status, folder);
}

PyObject *core_fetch_folder(PyObject *module, PyObject *args) {
    kernel_call k;
    kn_fetched fetched;
    PyObject *repo;
    const char *name;
    if (!PyArg_ParseTuple(args, "Os", &repo, &name)) return NULL;
    if (kernel_call_begin(&k, module, repo) < 0) return NULL;
    kn_status status =
        kn_engine_fetch_folder(k.state->engine, &k.call.host, &k.info, name, &fetched, &k.err);
    PyObject *found = status ? NULL
                             : Py_BuildValue("(Nzz)", PyUnicode_DecodeFSDefault(fetched.folder),
                                             fetched.repo, fetched.commit);
    kn_fetched_clear(k.state->engine, &fetched);
    return kernel_call_end(&k, status, found);
}

PyObject *core_resolve_commit(PyObject *module, PyObject *repo) {
    kernel_call k;
    char *commit;
    if (kernel_call_begin(&k, module, repo) < 0) return NULL;
    kn_status status =
        kn_engine_resolve_commit(k.state->engine, &k.call.host, &k.info, &commit, &k.err);
    PyObject *text = status ? NULL : PyUnicode_FromString(commit);
    kn_text_free(k.state->engine, commit);
    return kernel_call_end(&k, status, text);
}

PyObject *core_has_kernel(PyObject *module, PyObject *repo) {
    kernel_call k;
    bool there = false;
    if (kernel_call_begin(&k, module, repo) < 0) return NULL;
    kn_status status = kn_engine_has_kernel(k.state->engine, &k.call.host, &k.info, &there, &k.err);
    return kernel_call_end(&k, status, status ? NULL : PyBool_FromLong(there));
}

static PyObject *list_variants(const kn_variants *variants) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < kn_variants_count(variants); i++) {
        kn_variant variant = {.size = sizeof variant};
        kn_variants_get(variants, i, &variant);
        PyObject *item =
            Py_BuildValue("(sNz)", variant.name, PyBool_FromLong(variant.accepted), variant.reason);
        if (!item || PyList_Append(list, item) < 0) Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

PyObject *core_hub_variants(PyObject *module, PyObject *repo) {
    kernel_call k;
    kn_variants *variants = NULL;
    if (kernel_call_begin(&k, module, repo) < 0) return NULL;
    kn_status status =
        kn_engine_variants(k.state->engine, &k.call.host, &k.info, &variants, &k.err);
    PyObject *list = status ? NULL : list_variants(variants);
    kn_variants_free(variants);
    return kernel_call_end(&k, status, list);
}

/* What is to be fetched, as it is given to Python. */
typedef struct wanted {
    PyObject *items; /* a tuple, which keeps the texts alive; NULL: it is a mapping */
    kn_repo_info *infos;
    const kn_repo_info **pointers; /* to each of them */
    size_t count;
    kn_mapping *mapping;
} wanted;

static void wanted_clear(wanted *w) {
    kn_mapping_release(w->mapping);
    PyMem_Free(w->pointers);
    PyMem_Free(w->infos);
    Py_XDECREF(w->items);
}

static int read_mapping(core_state *state, PyObject *dict, wanted *out) {
    core_entries entries = {0};
    kn_error err;
    kn_error_init(&err);
    int result = core_entries_read(state, dict, &entries);
    if (result == 0 &&
        kn_mapping_extend(NULL, NULL, entries.items, entries.count, &out->mapping, &err)) {
        core_raise(err.status, &err);
        result = -1;
    }
    core_entries_clear(&entries);
    return result;
}

/* A repository as an object, or as text. */
static int read_repo(PyObject *item, const char *allowed, kn_repo_info *out) {
    *out = (kn_repo_info){.size = sizeof *out};
    if (!PyUnicode_Check(item)) return core_repo_describe(item, out);
    const char *text = core_text(item);
    kn_error err;
    kn_error_init(&err);
    if (!text) return -1;
    if (kn_repo_parse(text, out, &err)) {
        core_raise(err.status, &err);
        return -1;
    }
    out->allowed = allowed;
    return 0;
}

static int read_list(PyObject *list, const char *allowed, wanted *out) {
    out->items = PyList_AsTuple(list);
    if (!out->items) return -1;
    out->count = (size_t)PyTuple_Size(out->items);
    out->infos = PyMem_Calloc(out->count + 1, sizeof *out->infos);
    out->pointers = PyMem_Calloc(out->count + 1, sizeof *out->pointers);
    if (!out->infos || !out->pointers) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < out->count; i++) {
        PyObject *item = PyTuple_GetItem(out->items, (Py_ssize_t)i);
        if (read_repo(item, allowed, &out->infos[i]) < 0) return -1;
        out->pointers[i] = &out->infos[i];
    }
    return 0;
}

/* -1 with an exception; cleared by the caller, always. */
static int read_wanted(core_state *state, PyObject *what, const char *allowed, wanted *out) {
    if (PyList_Check(what)) return read_list(what, allowed, out);
    if (what != Py_None) return read_mapping(state, what, out);
    out->mapping = core_current_mapping(state);
    return out->mapping ? 0 : -1;
}

static PyObject *prefetch(core_state *state, const kn_prefetch_request *request) {
    core_call call;
    core_call_init(&call, state);
    kn_error err;
    kn_error_init(&err);
    kn_prefetched *fetched = NULL;
    kn_status status = kn_engine_prefetch(state->engine, &call.host, request, &fetched, &err);
    if (!status) status = kn_prefetched_check(fetched, &err);
    PyObject *result = status ? core_call_raise(&call, status, &err)
                              : PyUnicode_FromString(kn_prefetched_digest(fetched));
    kn_prefetched_free(fetched);
    core_call_clear(&call);
    return result;
}

PyObject *core_prefetch(PyObject *module, PyObject *args) {
    core_state *state = core_state_of(module);
    PyObject *what, *result = NULL;
    const char *allowed;
    int all_modes;
    if (!PyArg_ParseTuple(args, "Opz:prefetch", &what, &all_modes, &allowed) || !core_glue(state))
        return NULL;
    wanted w = {0};
    if (read_wanted(state, what, allowed, &w) == 0) {
        const kn_prefetch_request request = {.size = sizeof request,
                                             .repos = w.pointers,
                                             .repo_count = w.count,
                                             .mapping = w.mapping,
                                             .all_modes = all_modes};
        result = prefetch(state, &request);
    }
    wanted_clear(&w);
    return result;
}

PyObject *core_forget_kernels(PyObject *module, PyObject *folder) {
    PyObject *path = NULL;
    if (folder != Py_None && !PyUnicode_FSConverter(folder, &path)) return NULL;
    kn_engine_forget_kernels(core_state_of(module)->engine, path ? PyBytes_AsString(path) : NULL);
    Py_XDECREF(path);
    Py_RETURN_NONE;
}
