/* SPDX-License-Identifier: Apache-2.0 */
/* The Python module _rotary_kern: registration of the op, and the direct call. */
#include "kb_cuda.h"
#include "kb_module.h"
#include "rotary_cuda.h"
#include "rotary_ops.h"

static const kb_kernel kernel = {
    .name = "rotary",
    .ops = rotary_ops,
    .op_count = ROTARY_OP_COUNT,
    .recorders = {"apply"},
};

/* An input that need not be copied, that is dense in some order of its dimensions. */
static bool input_open(const kb_fast *fast, PyObject *object, kb_plain *x) {
    return kb_fast_open(fast, object, x) && x->dl.ndim >= 2 && x->dl.ndim <= ROTARY_MAX_DIMS &&
           x->count > 0 && x->dl.strides[x->dl.ndim - 1] == 1;
}

static bool angles_open(const kb_fast *fast, PyObject *object, const kb_plain *q, kb_plain *out) {
    return kb_fast_open_beside(fast, object, q, out) && out->dl.ndim == q->dl.ndim - 1 &&
           out->count > 0 && (out->type == q->type || out->type == KB_F32) &&
           out->dl.strides[out->dl.ndim - 1] == 1;
}

/* The tensor for the result: a new one of x's order of dimensions, or a new reference to `given`,
 * which may have any with a contiguous last one. NULL: see kb_fast_failed. */
static PyObject *output_open(const kb_fast *fast, PyObject *given, const kb_plain *x,
                             const rotary_work *work, rotary_tensor *out) {
    kb_plain y;
    kb_tensor described = {.ndim = x->dl.ndim, .sizes = x->dl.shape, .strides = x->dl.strides};
    int64_t strides[KB_MAX_DIMS];
    PyObject *made = given;
    kb_strides_preserved(&described, strides);
    if (!given)
        made = kb_fast_new(fast, x, x->dl.ndim, x->dl.shape, strides, &y);
    else if (input_open(fast, given, &y) && kb_plain_is_with(&y, x) &&
             kb_plain_has_sizes(&y, x->dl.ndim, x->dl.shape) && !kb_fast_wants_grad(fast, given))
        Py_INCREF(given);
    else
        made = NULL;
    if (!made) return NULL;
    *out = (rotary_tensor){.x = x->data, .y = y.data};
    rotary_tensor_fill(work, x->dl.shape, x->dl.strides, y.dl.strides, out);
    return made;
}

static bool angles_lay(rotary_work *work, const kb_plain *tensor, const kb_plain *cosine,
                       const kb_plain *sine, int64_t dim) {
    return rotary_lay_angles(cosine->dl.shape, cosine->dl.strides, tensor->dl.shape,
                             tensor->dl.ndim, dim, work->cosine_strides) &&
           rotary_lay_angles(sine->dl.shape, sine->dl.strides, tensor->dl.shape, tensor->dl.ndim,
                             dim, work->sine_strides);
}

static PyObject *record(const kb_state *state, PyObject *const *args, Py_ssize_t count) {
    PyObject *arguments = PyTuple_New(count);
    for (Py_ssize_t i = 0; arguments && i < count; i++) {
        Py_INCREF(args[i]);
        if (PyTuple_SetItem(arguments, i, args[i])) Py_CLEAR(arguments);
    }
    return kb_record(state, 0, arguments);
}

/* apply(q, k, cos, sin, dim, turned, interleaved, transposed[, q_out, k_out]): a pair of tensors,
 * or NotImplemented */
static PyObject *direct_apply(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    enum { TENSORS = 4, ARGUMENTS = 8 };
    const kb_fast *fast = &kb_state_of(module)->fast;
    kb_plain q, k, cosine, sine;
    if (!kb_argument_count_is(count, count == ARGUMENTS + 2 ? count : ARGUMENTS)) return NULL;
    long long dim = PyLong_AsLongLong(args[4]), turned = PyLong_AsLongLong(args[5]);
    if (PyErr_Occurred()) return NULL;
    if (!kb_fast_is_quiet(fast) || !input_open(fast, args[0], &q) || !input_open(fast, args[1], &k))
        Py_RETURN_NOTIMPLEMENTED;
    int32_t last = q.dl.ndim - 1;
    if (!kb_plain_is_with(&k, &q) || k.dl.ndim != q.dl.ndim ||
        k.dl.shape[last] != q.dl.shape[last] || !angles_open(fast, args[2], &q, &cosine) ||
        !angles_open(fast, args[3], &q, &sine))
        Py_RETURN_NOTIMPLEMENTED;
    int64_t given = cosine.dl.shape[last - 1];
    rotary_work work = {.row = rotary_row_get(kb_isa_active()), .ndim = q.dl.ndim};
    work.shape = (rotary_shape){.turned = turned, .width = q.dl.shape[last], .type = q.type};
    work.shape.style = args[6] == Py_True ? ROTARY_INTERLEAVED : ROTARY_HALF;
    work.shape.transposed = args[7] == Py_True;
    work.shape.angle_type = cosine.type;
    work.shape.halved = given * 2 == turned;
    if (turned % 2 != 0 || turned > work.shape.width || sine.type != cosine.type ||
        sine.dl.shape[last - 1] != given || (!work.shape.halved && given != turned) ||
        !angles_lay(&work, &q, &cosine, &sine, dim) || !angles_lay(&work, &k, &cosine, &sine, dim))
        Py_RETURN_NOTIMPLEMENTED;
    work.cosine = cosine.data;
    work.sine = sine.data;
    PyObject *const *outputs = count > ARGUMENTS ? args + ARGUMENTS : NULL;
    if (kb_fast_any_wants_grad(fast, args, TENSORS)) {
        if (outputs) Py_RETURN_NOTIMPLEMENTED;
        return record(kb_state_of(module), args, ARGUMENTS);
    }
    PyObject *q_out = output_open(fast, outputs ? outputs[0] : NULL, &q, &work, &work.tensors[0]);
    PyObject *k_out =
        q_out ? output_open(fast, outputs ? outputs[1] : NULL, &k, &work, &work.tensors[1]) : NULL;
    PyObject *pair = k_out ? PyTuple_Pack(2, q_out, k_out) : NULL;
    Py_XDECREF(q_out);
    Py_XDECREF(k_out);
    if (!pair) return kb_fast_failed();
    if (KB_ON_CUDA(q.device)) {
        void *stream = NULL;
        int error = kb_cuda_find_stream(q.device.index, &stream);
        if (!error) error = rotary_cuda_run(&work, stream);
        return kb_fast_launched(pair, error);
    }
    work.shape.stream = rotary_streams(&work);
    kb_fast_parallel(rotary_rows(&work), work.shape.width, rotary_range, &work);
    return pair;
}

static PyMethodDef module_methods[] = {
    {"apply", KB_FASTCALL(direct_apply)},
    KB_MODULE_METHODS,
};

KB_DEFINE_MODULE(rotary)
