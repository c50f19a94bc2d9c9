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

PyObject *core_forget_kernels(PyObject *module, PyObject *folder) {
    PyObject *path = NULL;
    if (folder != Py_None && !PyUnicode_FSConverter(folder, &path)) return NULL;
    kn_engine_forget_kernels(core_state_of(module)->engine, path ? PyBytes_AsString(path) : NULL);
    Py_XDECREF(path);
    Py_RETURN_NONE;
}
