/* SPDX-License-Identifier: Apache-2.0 */
/* A lock file as a list, from which the classes of kernels._rust and kernels.lockfile are made: for
 * each entry (repository, version, revision, commit, hash, variants as (name, hash, type of hash)).
 * None stands for what the entry does not say. */
#include "core.h"

static PyObject *describe_variants(const kn_lockfile *file, size_t index, size_t count) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < count; i++) {
        kn_locked_variant variant = {.size = sizeof variant};
        kn_lockfile_variant(file, index, i, &variant);
        PyObject *item = Py_BuildValue("(sss)", variant.name, variant.hash, variant.hash_type);
        if (!item || PyList_Append(list, item) < 0) Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

static PyObject *describe_entry(const kn_lockfile *file, size_t index) {
    kn_locked entry = {.size = sizeof entry};
    kn_lockfile_get(file, index, &entry);
    PyObject *version =
        entry.version >= 0 ? PyLong_FromLongLong(entry.version) : Py_NewRef(Py_None);
    PyObject *variants = describe_variants(file, index, entry.variant_count);
    return Py_BuildValue("(sNzszN)", entry.repo_id, version, entry.revision, entry.commit,
                         entry.hash, variants);
}

static PyObject *describe_file(const kn_lockfile *file) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < kn_lockfile_count(file); i++) {
        PyObject *entry = describe_entry(file, i);
        if (!entry || PyList_Append(list, entry) < 0) Py_CLEAR(list);
        Py_XDECREF(entry);
    }
    return list;
}

PyObject *core_parse_lockfile(PyObject *module, PyObject *args) {
    (void)module;
    const char *content, *origin;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(args, "s#s:parse_lockfile", &content, &length, &origin)) return NULL;
    kn_error err;
    kn_error_init(&err);
    kn_lockfile *file;
    kn_status status = kn_lockfile_parse(NULL, content, (size_t)length, origin, &file, &err);
    if (status) return core_raise(status, &err);
    PyObject *list = describe_file(file);
    kn_lockfile_free(file);
    return list;
}
