/* SPDX-License-Identifier: Apache-2.0 */
#include "norm_direct.h"

#include "kb_cuda.h"
#include "norm_cuda.h"
#include "norm_run.h"

static bool parameter_open(const kb_fast *fast, PyObject *object, const kb_plain *x, int64_t inner,
                           const void **data) {
    kb_plain parameter;
    *data = NULL;
    if (object == Py_None) return true;
    /* Another dtype is for the op: the result's dtype may differ then. */
    if (!kb_fast_open_beside(fast, object, x, &parameter) || parameter.type != x->type)
        return false;
    *data = parameter.data;
    return parameter.contiguous &&
           kb_plain_has_sizes(&parameter, (int32_t)inner, x->dl.shape + (x->dl.ndim - inner));
}

/* A second tensor like x. */
static bool like_open(const kb_fast *fast, PyObject *object, const kb_plain *x, const void **data) {
    kb_plain other;
    *data = NULL;
    if (!object) return true;
    if (!kb_fast_open_beside(fast, object, x, &other) || other.type != x->type) return false;
    *data = other.data;
    return other.contiguous && kb_plain_has_sizes(&other, x->dl.ndim, x->dl.shape);
}

static bool wants_grad(const kb_fast *fast, const norm_call *call) {
    PyObject *const tensors[] = {call->x,    call->weight, call->bias,    call->residual,
                                 call->gate, call->grad,   call->sum_grad};
    return kb_fast_any_wants_grad(fast, tensors, sizeof tensors / sizeof *tensors);
}

static bool job_open(const kb_fast *fast, const norm_call *call, kb_plain *x, norm_job *job) {
    if (!kb_fast_open(fast, call->x, x) || !x->contiguous) return false;
    if (call->inner < 1 || call->inner > x->dl.ndim) return false;
    *job = (norm_job){.gate_kind = call->gate_kind, .cast_first = call->cast_first};
    job->centered = call->function == NORM_LAYER || call->function == NORM_ADD_LAYER;
    if (!parameter_open(fast, call->weight, x, call->inner, &job->weight)) return false;
    if (!parameter_open(fast, call->bias, x, call->inner, &job->bias)) return false;
    if (!like_open(fast, call->residual, x, &job->residual)) return false;
    if (!like_open(fast, call->gate, x, &job->gate)) return false;
    if (!like_open(fast, call->grad, x, &job->grad)) return false;
    if (!like_open(fast, call->sum_grad, x, &job->sum_grad)) return false;
    job->x = x->data;
    job->width = kb_sizes_product(x->dl.shape, x->dl.ndim - call->inner, x->dl.ndim);
    job->x_stride = job->residual_stride = job->gate_stride = job->width;
    job->grad_stride = job->sum_grad_stride = job->width;
    job->eps = (float)call->eps;
    job->x_type = job->param_type = job->y_type = x->type;
    return true;
}

/* A new tensor like x, or a new reference to `out`. NULL: see kb_fast_failed. */
static PyObject *output_open(const kb_fast *fast, PyObject *out, const kb_plain *x, void **data) {
    kb_plain y;
    PyObject *result = out;
    if (!out)
        result = kb_fast_new(fast, x, x->dl.ndim, x->dl.shape, NULL, &y);
    else if (kb_fast_open_like(fast, out, x, x->dl.ndim, x->dl.shape, &y))
        Py_INCREF(out);
    else
        result = NULL;
    if (result) *data = y.data;
    return result;
}

/* Does the work on x's device and gives `result`. */
static PyObject *run(const norm_call *call, const norm_job *job, const kb_plain *x,
                     PyObject *result) {
    norm_work work = norm_forward_work(job, job->width > 0 ? x->count / job->width : 0);
    if (KB_ON_CUDA(x->device)) {
        void *stream = NULL;
        int error = kb_cuda_find_stream(x->device.index, &stream);
        if (!error) error = norm_cuda_forward(&work.job, work.rows, stream);
        return kb_fast_launched(result, error);
    }
    /* While the GIL is released, another thread may give the layer other parameters. */
    Py_INCREF(call->weight);
    Py_INCREF(call->bias);
    kb_fast_parallel(work.rows, job->width, norm_forward_range, &work);
    Py_DECREF(call->bias);
    Py_DECREF(call->weight);
    return result;
}

/* The op's arguments. */
static PyObject *arguments_of(const norm_call *call) {
    const long long inner = (long long)call->inner;
    PyObject *cast_first = call->cast_first ? Py_True : Py_False;
    switch (call->function) {
    case NORM_RMS:
        return Py_BuildValue("(OOLdO)", call->x, call->weight, inner, call->eps, cast_first);
    case NORM_LAYER:
        return Py_BuildValue("(OOOLd)", call->x, call->weight, call->bias, inner, call->eps);
    case NORM_ADD_RMS:
        return Py_BuildValue("(OOOLdO)", call->x, call->residual, call->weight, inner, call->eps,
                             cast_first);
    case NORM_ADD_LAYER:
        return Py_BuildValue("(OOOOLd)", call->x, call->residual, call->weight, call->bias, inner,
                             call->eps);
    default:
        return Py_BuildValue("(OOOLdOi)", call->x, call->gate, call->weight, inner, call->eps,
                             cast_first, (int)call->gate_kind);
    }
}

PyObject *norm_call_forward(const kb_state *state, const norm_call *call) {
    const kb_fast *fast = &state->fast;
    kb_plain x;
    norm_job job;
    if (!kb_fast_is_quiet(fast) || !job_open(fast, call, &x, &job)) Py_RETURN_NOTIMPLEMENTED;
    if (wants_grad(fast, call)) {
        if (call->out) Py_RETURN_NOTIMPLEMENTED;
        return kb_record(state, (int)call->function, arguments_of(call));
    }
    PyObject *result = output_open(fast, call->out, &x, &job.out);
    if (!result) return kb_fast_failed();
    if (!call->residual) return run(call, &job, &x, result);
    PyObject *sum = output_open(fast, NULL, &x, &job.sum);
    PyObject *pair = sum ? PyTuple_Pack(2, result, sum) : NULL;
    Py_DECREF(result);
    Py_XDECREF(sum);
    if (!pair) return kb_fast_failed();
    return run(call, &job, &x, pair);
}

/* Puts a new tensor of x's type into a place of `grads`. False: see kb_fast_failed. */
static bool grad_new(const kb_fast *fast, const kb_plain *x, int64_t ndim, const int64_t *sizes,
                     PyObject *grads, Py_ssize_t place, void **data) {
    kb_plain made;
    PyObject *grad = kb_fast_new(fast, x, (int32_t)ndim, sizes, NULL, &made);
    if (!grad) return false;
    *data = made.data;
    return PyTuple_SetItem(grads, place, grad) == 0;
}

/* Does the work of a backward on x's device and gives `grads`; NULL: see kb_fast_failed. Takes the
 * reference to `grads`. */
static PyObject *run_backward(const kb_fast *fast, norm_job *job, const kb_plain *x, void *dw,
                              void *db, PyObject *grads) {
    const int64_t rows = x->count / job->width;
    float *room = NULL;
    PyObject *sums;
    if (KB_ON_CUDA(x->device)) {
        void *stream = NULL;
        norm_cuda_shape shape = norm_cuda_backward_shape(job, rows);
        sums = kb_fast_new_floats(fast, x, norm_back_sums(job, shape.chunks, dw, db), &room);
        if (sums) {
            norm_cuda_sums(job, &shape, room, dw, db);
            int error = kb_cuda_find_stream(x->device.index, &stream);
            if (!error) error = norm_cuda_backward(job, rows, &shape, dw, db, stream);
            grads = kb_fast_launched(grads, error);
        }
    } else {
        norm_back_work work = norm_backward_work(job, rows, dw, db);
        sums = kb_fast_new_floats(fast, x, norm_back_sums(job, work.chunks, dw, db), &work.sums);
        if (sums) {
            kb_fast_parallel(work.chunks, norm_chunk_cost(&work), norm_backward_range, &work);
            kb_fast_parallel(norm_columns(&work), norm_column_cost(&work), norm_finish_range,
                             &work);
        }
    }
    if (!sums) Py_CLEAR(grads);
    Py_XDECREF(sums);
    return grads;
}

PyObject *norm_call_backward(const kb_state *state, const norm_call *call) {
    const kb_fast *fast = &state->fast;
    kb_plain x;
    norm_job job;
    void *dw = NULL, *db = NULL;
    if (!kb_fast_is_quiet(fast) || !job_open(fast, call, &x, &job) || x.count == 0 ||
        wants_grad(fast, call))
        Py_RETURN_NOTIMPLEMENTED;
    const int64_t ndim = x.dl.ndim, *sizes = x.dl.shape, *inner = sizes + (ndim - call->inner);
    PyObject *grads = PyTuple_Pack(3, Py_None, Py_None, Py_None);
    if (!grads) return NULL;
    const bool made = grad_new(fast, &x, ndim, sizes, grads, 0, &job.out) &&
                      (!call->gate || grad_new(fast, &x, ndim, sizes, grads, 1, &job.gate_out)) &&
                      (!call->wants_weight ||
                       grad_new(fast, &x, call->inner, inner, grads, call->gate ? 2 : 1, &dw)) &&
                      (!call->wants_bias || grad_new(fast, &x, call->inner, inner, grads, 2, &db));
    if (made)
        grads = run_backward(fast, &job, &x, dw, db, grads);
    else
        Py_CLEAR(grads);
    return grads ? grads : kb_fast_failed();
}
