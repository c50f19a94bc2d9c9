/* SPDX-License-Identifier: Apache-2.0 */
/* The function that the tvm-ffi variants of rotary export. */
#include "kb_call.h"
#include "rotary_cuda.h"
#include "rotary_run.h"

/* A tensor of 2 to 8 dimensions, the last one contiguous. */
static void check_tensor(kb_call *call, const kb_view *x) {
    kb_call_require(call, x->ndim >= 2 && x->ndim <= ROTARY_MAX_DIMS,
                    "%s has %lld dimensions; 2 to 8 are needed", x->label, (long long)x->ndim);
    if (call->failed) return;
    kb_call_require(call, x->strides[x->ndim - 1] == 1 || x->sizes[x->ndim - 1] <= 1,
                    "the last dimension of %s must be contiguous", x->label);
}

static void check_tensors(kb_call *call, const kb_view *q, const kb_view *k) {
    kb_call_same_type(call, k, q);
    check_tensor(call, q);
    check_tensor(call, k);
    if (call->failed) return;
    kb_call_require(call, k->ndim == q->ndim && k->sizes[k->ndim - 1] == q->sizes[q->ndim - 1],
                    "q and k must have as many dimensions and the same last one");
}

/* Cosines or sines lie over q and k but for one dimension; a row is contiguous. */
static void check_angles(kb_call *call, const kb_view *angles, const kb_view *q) {
    if (call->failed) return;
    if (angles->type != KB_F32) kb_call_same_type(call, angles, q);
    kb_call_require(call, angles->ndim == q->ndim - 1,
                    "%s has %lld dimensions; one less than those of q are needed", angles->label,
                    (long long)angles->ndim);
    if (call->failed) return;
    kb_call_require(call,
                    angles->strides[angles->ndim - 1] == 1 || angles->sizes[angles->ndim - 1] <= 1,
                    "the last dimension of %s must be contiguous", angles->label);
}

/* How many elements are turned, and by how many angles. */
static rotary_shape shape_of(kb_call *call, const kb_view *q, const kb_view *cosine,
                             const kb_view *sine, int64_t turned) {
    rotary_shape shape = {.type = q->type, .angle_type = cosine->type};
    kb_call_same_type(call, sine, cosine);
    if (call->failed) return shape;
    int64_t width = q->sizes[q->ndim - 1], given = cosine->sizes[cosine->ndim - 1];
    if (turned < 0) turned = given * 2 == width ? width : given;
    kb_call_require(
        call,
        turned % 2 == 0 && turned <= width && (given == turned || given * 2 == turned) &&
            sine->sizes[sine->ndim - 1] == given,
        "%lld of %lld elements cannot be turned by %lld cosines and %lld sines", (long long)turned,
        (long long)width, (long long)given, (long long)sine->sizes[sine->ndim - 1]);
    shape.width = width;
    shape.turned = turned;
    shape.halved = given * 2 == turned;
    return shape;
}

static void add_tensor(kb_call *call, rotary_work *work, int place, const kb_view *out,
                       const kb_view *x, const kb_view *cosine, const kb_view *sine,
                       int64_t skipped) {
    kb_call_like(call, out, x);
    check_tensor(call, out);
    if (call->failed) return;
    bool fits = rotary_lay_angles(cosine->sizes, cosine->strides, x->sizes, x->ndim, skipped,
                                  work->cosine_strides) &&
                rotary_lay_angles(sine->sizes, sine->strides, x->sizes, x->ndim, skipped,
                                  work->sine_strides);
    kb_call_require(call, fits, "cos and sin, without dimension %lld, do not lie over %s",
                    (long long)skipped, x->label);
    if (call->failed) return;
    work->tensors[place] = (rotary_tensor){.x = x->data, .y = out->data};
    rotary_tensor_fill(work, x->sizes, x->strides, out->strides, &work->tensors[place]);
}

static void run(kb_call *call, rotary_work *work) {
    work->shape.stream = rotary_streams(work);
    if (KB_ON_CUDA(call->device)) {
        void *stream = kb_call_stream(call);
        kb_call_launched(call, rotary_cuda_run(work, stream));
        return;
    }
    kb_parallel(rotary_rows(work), work->shape.width, rotary_range, work);
}

/* (q_out, k_out, q, k, cos, sin, unsqueeze_dim, interleaved = false, turned = -1, transposed =
 * false): the outputs may be q and k. */
static void apply_rotary(kb_call *call) {
    kb_view q_out, k_out, q, k, cosine, sine;
    kb_call_tensor(call, "q_out", &q_out);
    kb_call_tensor(call, "k_out", &k_out);
    kb_call_tensor(call, "q", &q);
    kb_call_tensor(call, "k", &k);
    kb_call_tensor(call, "cos", &cosine);
    kb_call_tensor(call, "sin", &sine);
    int64_t skipped = kb_call_integer(call, "unsqueeze_dim", 1);
    bool interleaved = kb_call_flag(call, "interleaved", false);
    int64_t turned = kb_call_integer(call, "turned", -1);
    bool transposed = kb_call_flag(call, "transposed", false);
    check_tensors(call, &q, &k);
    check_angles(call, &cosine, &q);
    check_angles(call, &sine, &q);
    rotary_work work = {.row = rotary_row_get(kb_isa_active()), .ndim = q.ndim};
    work.shape = shape_of(call, &q, &cosine, &sine, turned);
    work.shape.style = interleaved ? ROTARY_INTERLEAVED : ROTARY_HALF;
    work.shape.transposed = transposed;
    if (skipped < 0) skipped += q.ndim;
    add_tensor(call, &work, 0, &q_out, &q, &cosine, &sine, skipped);
    add_tensor(call, &work, 1, &k_out, &k, &cosine, &sine, skipped);
    if (call->failed) return;
    work.cosine = cosine.data;
    work.sine = sine.data;
    run(call, &work);
}

KB_EXPORT(apply_rotary, 6, 10)
