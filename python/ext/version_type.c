/* SPDX-License-Identifier: Apache-2.0 */
/* kernels._core.Version, and the functions over versions, specifiers and build variants. */
#include <string.h>

#include "core.h"

typedef struct core_version {
    PyObject_HEAD kn_version_info info;
} core_version;

/* ---- parts ---- */

static PyObject *text_of(const kn_version_info *info, kn_version_span span) {
    return PyUnicode_FromStringAndSize(info->text + span.start, span.length);
}

/* The number that begins at `at` and has `length` digits. */
static PyObject *number_at(const char *at, size_t length) {
    char digits[KN_VERSION_TEXT_MAX];
    memcpy(digits, at, length);
    digits[length] = '\0';
    return PyLong_FromString(digits, NULL, 10);
}

/* `none`, a new reference, where the version does not have the part. */
static PyObject *number_of(const kn_version_info *info, kn_version_span span, PyObject *none) {
    if (!span.length) return none;
    Py_DECREF(none);
    return number_at(info->text + span.start, span.length);
}

/* Adds `item`, which is taken over, to a list. */
static int add(PyObject *list, PyObject *item) {
    int result = item ? PyList_Append(list, item) : -1;
    Py_XDECREF(item);
    return result;
}

typedef PyObject *(*make_segment)(const char *at, size_t length);

/* A list of the segments between dots. */
static PyObject *segments_of(const kn_version_info *info, kn_version_span span, make_segment make) {
    PyObject *list = PyList_New(0);
    const char *at = info->text + span.start, *end = at + span.length;
    while (list && at < end) {
        size_t length = 0;
        while (at + length < end && at[length] != '.') length++;
        if (add(list, make(at, length)) < 0) Py_CLEAR(list);
        at += length + 1;
    }
    return list;
}

/* The tuple of a list, which is taken over. */
static PyObject *as_tuple(PyObject *list) {
    PyObject *tuple = list ? PyList_AsTuple(list) : NULL;
    Py_XDECREF(list);
    return tuple;
}

static PyObject *new_zero(void) { return PyLong_FromLong(0); }

static PyObject *new_none(void) { return Py_NewRef(Py_None); }

/* ---- the hash ---- */

/* That of packaging.version.Version from 26.1 on: equal versions are one key of a dict, whichever
 * package they are of. It hashes (epoch, release without zeros at its end, (rank of the
 * pre-release, its number, whether post, its number, whether not dev, its number)), with the local
 * segments behind them where there are any. */
static PyObject *local_key(const char *at, size_t length) {
    bool is_number = strspn(at, "0123456789") >= length;
    return is_number
               ? Py_BuildValue("(Ns)", number_at(at, length), "")
               : Py_BuildValue("(iN)", -1, PyUnicode_FromStringAndSize(at, (Py_ssize_t)length));
}

static PyObject *trimmed_release(const kn_version_info *info) {
    PyObject *list = segments_of(info, info->release, number_at);
    while (list) {
        Py_ssize_t count = PyList_Size(list);
        PyObject *last = count ? PyList_GetItem(list, count - 1) : NULL;
        if (!last || PyObject_IsTrue(last)) break;
        if (PyList_SetSlice(list, count - 1, count, NULL) < 0) Py_CLEAR(list);
    }
    return as_tuple(list);
}

static int pre_rank(const kn_version_info *info) {
    if (info->pre_kind.length)
        return info->text[info->pre_kind.start] == 'a'   ? 0
               : info->text[info->pre_kind.start] == 'b' ? 1
                                                         : 2;
    return info->dev.length && !info->post.length ? -1 : 3;
}

static PyObject *key_of(const kn_version_info *info) {
    PyObject *suffix =
        Py_BuildValue("(iNiNiN)", pre_rank(info), number_of(info, info->pre, new_zero()),
                      info->post.length > 0, number_of(info, info->post, new_zero()),
                      info->dev.length == 0, number_of(info, info->dev, new_zero()));
    if (!suffix) return NULL;
    PyObject *epoch = number_of(info, info->epoch, new_zero());
    if (!info->local.length) return Py_BuildValue("(NNN)", epoch, trimmed_release(info), suffix);
    return Py_BuildValue("(NNNN)", epoch, trimmed_release(info), suffix,
                         as_tuple(segments_of(info, info->local, local_key)));
}

static Py_hash_t version_hash(core_version *self) {
    PyObject *key = key_of(&self->info);
    Py_hash_t hash = key ? PyObject_Hash(key) : -1;
    Py_XDECREF(key);
    return hash;
}

/* ---- the type ---- */

static PyObject *version_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    char name[] = "version", *names[] = {name, NULL};
    PyObject *given;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "U:Version", names, &given)) return NULL;
    const char *text = core_text(given);
    if (!text) return NULL;
    kn_error err;
    kn_error_init(&err);
    kn_version_info info = {.size = sizeof info};
    kn_status status = kn_version_parse(text, &info, &err);
    if (status) return core_raise(status, &err);
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    core_version *made = (core_version *)alloc(type, 0);
    if (made) made->info = info;
    return (PyObject *)made;
}

static void version_dealloc(core_version *self) {
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *version_str(core_version *self) { return PyUnicode_FromString(self->info.text); }

static PyObject *version_repr(core_version *self) {
    return PyUnicode_FromFormat("<Version('%s')>", self->info.text);
}

/* Whether `other` is a packaging.version.Version. Where that is not imported nothing can be one. */
static int is_packagings(PyObject *other) {
    PyObject *name = PyUnicode_FromString("packaging.version");
    PyObject *module = name ? PyImport_GetModule(name) : NULL;
    PyObject *type = module ? PyObject_GetAttrString(module, "Version") : NULL;
    Py_XDECREF(name);
    Py_XDECREF(module);
    if (!type) PyErr_Clear();
    int result = type ? PyObject_IsInstance(other, type) : 0;
    Py_XDECREF(type);
    return result;
}

/* Compares with the text of packaging's version: 1 when it could, 0 when it is none that we read,
 * -1 with an exception. */
static int compare_with_packagings(core_version *self, PyObject *other, int *order) {
    int is_theirs = is_packagings(other);
    if (is_theirs <= 0) return is_theirs;
    PyObject *given = PyObject_Str(other);
    const char *text = given ? core_text(given) : NULL;
    int result = !text                                                             ? -1
                 : kn_version_compare(self->info.text, text, order, NULL) == KN_OK ? 1
                                                                                   : 0;
    Py_XDECREF(given);
    return result;
}

static PyObject *version_compare(core_version *self, PyObject *other, int operation) {
    int order = 0, comparable = 1;
    if (Py_TYPE(other) == Py_TYPE(self))
        kn_version_compare(self->info.text, ((core_version *)other)->info.text, &order, NULL);
    else
        comparable = compare_with_packagings(self, other, &order);
    if (comparable < 0) return NULL;
    if (!comparable) return Py_NewRef(Py_NotImplemented);
    bool answer = false;
    switch (operation) {
    case Py_LT:
        answer = order < 0;
        break;
    case Py_LE:
        answer = order <= 0;
        break;
    case Py_EQ:
        answer = order == 0;
        break;
    case Py_NE:
        answer = order != 0;
        break;
    case Py_GT:
        answer = order > 0;
        break;
    case Py_GE:
        answer = order >= 0;
        break;
    default:
        break;
    }
    return PyBool_FromLong(answer);
}

static PyObject *version_reduce(core_version *self, PyObject *unused) {
    (void)unused;
    return Py_BuildValue("(O(s))", (PyObject *)Py_TYPE(self), self->info.text);
}

static PyObject *version_from_str(PyObject *type, PyObject *text) {
    return PyObject_CallFunctionObjArgs(type, text, NULL);
}

static PyObject *get_epoch(core_version *self, void *unused) {
    (void)unused;
    return number_of(&self->info, self->info.epoch, new_zero());
}

static PyObject *get_release(core_version *self, void *unused) {
    (void)unused;
    return as_tuple(segments_of(&self->info, self->info.release, number_at));
}

static PyObject *get_pre(core_version *self, void *unused) {
    (void)unused;
    if (!self->info.pre_kind.length) return new_none();
    return Py_BuildValue("(NN)", text_of(&self->info, self->info.pre_kind),
                         number_of(&self->info, self->info.pre, new_none()));
}

static PyObject *get_post(core_version *self, void *unused) {
    (void)unused;
    return number_of(&self->info, self->info.post, new_none());
}

static PyObject *get_dev(core_version *self, void *unused) {
    (void)unused;
    return number_of(&self->info, self->info.dev, new_none());
}

static PyObject *get_local(core_version *self, void *unused) {
    (void)unused;
    if (!self->info.local.length) return new_none();
    return text_of(&self->info, self->info.local);
}

static PyObject *get_public(core_version *self, void *unused) {
    (void)unused;
    size_t length = strcspn(self->info.text, "+");
    return PyUnicode_FromStringAndSize(self->info.text, (Py_ssize_t)length);
}

static PyObject *get_base_version(core_version *self, void *unused) {
    (void)unused;
    kn_version_span release = self->info.release;
    return PyUnicode_FromStringAndSize(self->info.text, release.start + release.length);
}

static PyObject *get_is_prerelease(core_version *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(self->info.pre_kind.length || self->info.dev.length);
}

static PyObject *get_is_postrelease(core_version *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(self->info.post.length);
}

static PyObject *get_is_devrelease(core_version *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(self->info.dev.length);
}

/* Number `index` of the release, 0 where it has not so many. */
static PyObject *get_number(core_version *self, void *index) {
    PyObject *list = segments_of(&self->info, self->info.release, number_at);
    if (!list) return NULL;
    Py_ssize_t at = (Py_ssize_t)(uintptr_t)index;
    PyObject *number = at < PyList_Size(list) ? Py_NewRef(PyList_GetItem(list, at)) : new_zero();
    Py_DECREF(list);
    return number;
}

#define GETTER(name, doc) {#name, (getter)get_##name, NULL, doc, NULL}
#define NUMBER(name, index, doc) {name, (getter)get_number, NULL, doc, (void *)(uintptr_t)(index)}

static PyGetSetDef version_getters[] = {
    GETTER(epoch, "int: 0 where none is written."),
    GETTER(release, "tuple of int: as written, zeros at its end included."),
    GETTER(pre, "(\"a\", \"b\" or \"rc\", int), or None."),
    GETTER(post, "int, or None."),
    GETTER(dev, "int, or None."),
    GETTER(local, "str, or None: what stands behind '+'."),
    GETTER(public, "str: all but the local part."),
    GETTER(base_version, "str: epoch and release."),
    GETTER(is_prerelease, "bool: a pre-release or a development release."),
    GETTER(is_postrelease, "bool"),
    GETTER(is_devrelease, "bool"),
    NUMBER("major", 0, "int: the release's first number."),
    NUMBER("minor", 1, "int: its second, or 0."),
    NUMBER("micro", 2, "int: its third, or 0."),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef version_methods[] = {
    {"__reduce__", (PyCFunction)(void (*)(void))version_reduce, METH_NOARGS, NULL},
    {"from_str", version_from_str, METH_O | METH_CLASS,
     "from_str(s) -> Version(s), under the name that upstream's type has for it."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot version_slots[] = {
    {Py_tp_doc, (void *)"Version(version): a version as in PEP 440, with the order, equality, hash "
                        "and attributes of packaging.version.Version."},
    {Py_tp_new, (void *)version_new},
    {Py_tp_dealloc, (void *)version_dealloc},
    {Py_tp_str, (void *)version_str},
    {Py_tp_repr, (void *)version_repr},
    {Py_tp_hash, (void *)version_hash},
    {Py_tp_richcompare, (void *)version_compare},
    {Py_tp_getset, version_getters},
    {Py_tp_methods, version_methods},
    {0, NULL},
};

PyType_Spec core_version_spec = {
    .name = "kernels._core.Version",
    .basicsize = sizeof(core_version),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = version_slots,
};
