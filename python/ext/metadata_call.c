/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata of a kernel as one tuple, from which kernels._rust.Metadata is made:
 *
 * (id, name, version, license, kernels-minver, upstream, source, Python dependencies, kernels as
 * (repository, version, revision), backend, architectures, digest's algorithm, {path: base64},
 * provenance as (version, commit, dirty, kernel's commit, dirty))
 *
 * None stands for what the file does not say. */
#include "core.h"

typedef PyObject *(*make_item)(const kn_metadata *metadata, size_t index);

static PyObject *text_or_none(const char *text) {
    return text ? PyUnicode_FromString(text) : Py_NewRef(Py_None);
}

static PyObject *number_or_none(int64_t number) {
    return number >= 0 ? PyLong_FromLongLong(number) : Py_NewRef(Py_None);
}

static PyObject *make_tuple(const kn_metadata *metadata, size_t count, make_item make) {
    PyObject *tuple = PyTuple_New((Py_ssize_t)count);
    for (size_t i = 0; tuple && i < count; i++) {
        PyObject *item = make(metadata, i);
        if (!item || PyTuple_SetItem(tuple, (Py_ssize_t)i, item) < 0) Py_CLEAR(tuple);
    }
    return tuple;
}

static PyObject *python_depend(const kn_metadata *metadata, size_t index) {
    return PyUnicode_FromString(kn_metadata_python_depends(metadata, index));
}

static PyObject *arch(const kn_metadata *metadata, size_t index) {
    return PyUnicode_FromString(kn_metadata_archs(metadata, index));
}

static PyObject *kernel_depend(const kn_metadata *metadata, size_t index) {
    kn_kernel_depend depend = {.size = sizeof depend};
    kn_metadata_kernel_depends(metadata, index, &depend);
    return Py_BuildValue("(sNz)", depend.repo_id, number_or_none(depend.version), depend.revision);
}

static PyObject *digest_files(const kn_metadata *metadata) {
    PyObject *files = PyDict_New();
    for (size_t i = 0; files && i < kn_metadata_digest_count(metadata); i++) {
        PyObject *base64 = PyUnicode_FromString(kn_metadata_digest_base64(metadata, i));
        if (!base64 ||
            PyDict_SetItemString(files, kn_metadata_digest_path(metadata, i), base64) < 0) {
            Py_CLEAR(files);
        }
        Py_XDECREF(base64);
    }
    return files;
}

static PyObject *provenance(const kn_metadata_info *info) {
    if (!info->builder_version) return Py_NewRef(Py_None);
    return Py_BuildValue("(szNzN)", info->builder_version, info->builder_commit,
                         PyBool_FromLong(info->builder_dirty), info->kernel_commit,
                         PyBool_FromLong(info->kernel_dirty));
}

static const char *algorithm_name(kn_digest_algorithm algorithm) {
    switch (algorithm) {
    case KN_DIGEST_SHA256:
        return "SHA256";
    case KN_DIGEST_SHA512:
        return "SHA512";
    case KN_DIGEST_NONE:
        break;
    }
    return NULL;
}

static PyObject *describe_digests(const kn_file_digests *digests) {
    PyObject *files = PyDict_New();
    for (size_t i = 0; files && i < kn_file_digests_count(digests); i++) {
        PyObject *path = PyUnicode_DecodeFSDefault(kn_file_digests_path(digests, i));
        PyObject *base64 = PyUnicode_FromString(kn_file_digests_base64(digests, i));
        if (!path || !base64 || PyDict_SetItem(files, path, base64) < 0) Py_CLEAR(files);
        Py_XDECREF(path);
        Py_XDECREF(base64);
    }
    return files;
}

/* digest_folder(path, "SHA256" or "SHA512") -> {path: base64} */
PyObject *core_digest_folder(PyObject *module, PyObject *args) {
    PyObject *path = NULL;
    const char *algorithm;
    if (!PyArg_ParseTuple(args, "O&s:digest_folder", PyUnicode_FSConverter, &path, &algorithm))
        return NULL;
    kn_digest_algorithm wanted =
        strcmp(algorithm, "SHA512") == 0 ? KN_DIGEST_SHA512 : KN_DIGEST_SHA256;
    kn_engine *engine = core_state_of(module)->engine;
    const char *folder = PyBytes_AsString(path);
    kn_error err;
    kn_error_init(&err);
    kn_file_digests *digests;
    kn_status status;
    Py_BEGIN_ALLOW_THREADS status = kn_engine_digest_folder(engine, folder, wanted, &digests, &err);
    Py_END_ALLOW_THREADS Py_DECREF(path);
    if (status) return core_raise(status, &err);
    PyObject *files = describe_digests(digests);
    kn_file_digests_free(digests);
    return files;
}

static PyObject *describe(const kn_metadata *metadata) {
    kn_metadata_info info = {.size = sizeof info};
    kn_metadata_get(metadata, &info);
    PyObject *fields[] = {
        text_or_none(info.id),
        text_or_none(info.name),
        number_or_none(info.version),
        text_or_none(info.license),
        text_or_none(info.kernels_minver),
        text_or_none(info.upstream),
        text_or_none(info.source),
        make_tuple(metadata, kn_metadata_python_depends_count(metadata), python_depend),
        make_tuple(metadata, kn_metadata_kernel_depends_count(metadata), kernel_depend),
        text_or_none(info.backend),
        info.has_archs ? make_tuple(metadata, kn_metadata_archs_count(metadata), arch)
                       : Py_NewRef(Py_None),
        text_or_none(algorithm_name(info.digest)),
        digest_files(metadata),
        provenance(&info),
    };
    const size_t count = sizeof fields / sizeof *fields;
    PyObject *tuple = PyTuple_New((Py_ssize_t)count);
    for (size_t i = 0; i < count; i++) {
        if (tuple && fields[i])
            PyTuple_SetItem(tuple, (Py_ssize_t)i, fields[i]); /* takes the reference over */
        else
            Py_XDECREF(fields[i]);
        if (!fields[i]) Py_CLEAR(tuple);
    }
    return tuple;
}

/* The tuple of `metadata`, which is taken over, or the exception for `status`. */
static PyObject *finish(kn_status status, kn_metadata *metadata, const kn_error *err) {
    if (status) return core_raise(status, err);
    PyObject *fields = describe(metadata);
    kn_metadata_free(metadata);
    return fields;
}

PyObject *core_parse_metadata(PyObject *module, PyObject *bytes) {
    (void)module;
    char *content;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(bytes, &content, &length) < 0) return NULL;
    kn_error err;
    kn_error_init(&err);
    kn_metadata *metadata;
    kn_status status =
        kn_metadata_parse(NULL, content, (size_t)length, "Cannot parse metadata", &metadata, &err);
    return finish(status, metadata, &err);
}

PyObject *core_read_metadata(PyObject *module, PyObject *path) {
    (void)module;
    PyObject *encoded;
    if (!PyUnicode_FSConverter(path, &encoded)) return NULL;
    char *name = PyBytes_AsString(encoded);
    kn_error err;
    kn_error_init(&err);
    kn_metadata *metadata;
    kn_status status;
    Py_BEGIN_ALLOW_THREADS status = kn_metadata_read(NULL, name, &metadata, &err);
    Py_END_ALLOW_THREADS Py_DECREF(encoded);
    return finish(status, metadata, &err);
}
