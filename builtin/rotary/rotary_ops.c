/* SPDX-License-Identifier: Apache-2.0 */
#include "rotary_ops.h"

bool rotary_lay_angles(const int64_t *sizes, const int64_t *strides, const int64_t *tensor_sizes,
                       int64_t ndim, int64_t skipped, int64_t *laid) {
    if (ndim < 2 || ndim > ROTARY_MAX_DIMS || skipped < 0 || skipped > ndim - 2) return false;
    for (int64_t i = 0, from = 0; i < ndim - 1; i++) {
        laid[i] = 0;
        if (i == skipped) continue;
        if (sizes[from] != 1 && sizes[from] != tensor_sizes[i]) return false;
        if (sizes[from] != 1) laid[i] = strides[from];
        from++;
    }
    return true;
}

int64_t rotary_rows(const rotary_work *work) {
    return work->tensors[0].rows + work->tensors[1].rows;
}

/* Where the row of this index lies. */
typedef struct position {
    int64_t index[ROTARY_MAX_DIMS];
} position;

static position position_of(const rotary_tensor *tensor, int64_t ndim, int64_t row) {
    position at = {{0}};
    for (int64_t i = ndim - 2; i >= 0; i--) {
        at.index[i] = row % tensor->sizes[i];
        row /= tensor->sizes[i];
    }
    return at;
}

static void position_next(position *at, const rotary_tensor *tensor, int64_t ndim) {
    for (int64_t i = ndim - 2; i >= 0; i--) {
        if (++at->index[i] < tensor->sizes[i]) return;
        at->index[i] = 0;
    }
}

static int64_t offset_of(const position *at, const int64_t *strides, int64_t ndim) {
    int64_t offset = 0;
    for (int64_t i = 0; i < ndim - 1; i++) offset += at->index[i] * strides[i];
    return offset;
}

static void turn_rows(const rotary_work *work, const rotary_tensor *tensor, int64_t begin,
                      int64_t end) {
    const rotary_shape *shape = &work->shape;
    if (begin >= end) return;
    position at = position_of(tensor, work->ndim, begin);
    for (int64_t row = begin; row < end; row++) {
        work->row(
            shape, kb_at(tensor->x, offset_of(&at, tensor->x_strides, work->ndim), shape->type),
            kb_at(work->cosine, offset_of(&at, work->cosine_strides, work->ndim),
                  shape->angle_type),
            kb_at(work->sine, offset_of(&at, work->sine_strides, work->ndim), shape->angle_type),
            kb_at_mut(tensor->y, offset_of(&at, tensor->y_strides, work->ndim), shape->type));
        position_next(&at, tensor, work->ndim);
    }
}

void rotary_range(int64_t begin, int64_t end, void *context) {
    const rotary_work *work = context;
    int64_t first = work->tensors[0].rows;
    turn_rows(work, &work->tensors[0], begin, end < first ? end : first);
    turn_rows(work, &work->tensors[1], begin > first ? begin - first : 0, end - first);
}

/* The input with a contiguous last dimension, and an output of its order of dimensions. */
static kb_tensor tensor_open(rotary_tensor *out, kb_tensor *x) {
    int64_t strides[KB_MAX_DIMS];
    kb_require(x->ndim >= 2 && x->ndim <= ROTARY_MAX_DIMS, "rotary: 2 to 8 dimensions are needed");
    if (x->strides[x->ndim - 1] != 1 && x->sizes[x->ndim - 1] != 1) {
        kb_strides_contiguous(x->ndim, x->sizes, strides);
        kb_tensor_copy_as(x, strides);
    }
    kb_strides_preserved(x, strides);
    kb_tensor y = kb_tensor_new(x->ndim, x->sizes, strides, x->type);
    for (int64_t i = 0; i < x->ndim; i++) out->y_strides[i] = strides[i];
    out->x = x->data;
    out->y = y.data;
    out->x_strides = x->strides;
    out->sizes = x->sizes;
    out->rows = x->sizes[x->ndim - 1] > 0 ? kb_sizes_product(x->sizes, 0, x->ndim - 1) : 0;
    return y;
}

/* Cosines or sines: a row must be contiguous. */
static void angles_open(kb_tensor *angles, const kb_tensor *x) {
    kb_require(angles->ndim == x->ndim - 1, "rotary: the angles must have one dimension less");
    kb_require(angles->type == x->type || angles->type == KB_F32,
               "rotary: the angles must have the input's dtype or float32");
    if (angles->strides[angles->ndim - 1] == 1) return;
    int64_t strides[KB_MAX_DIMS];
    kb_strides_contiguous(angles->ndim, angles->sizes, strides);
    kb_tensor_copy_as(angles, strides);
}

/* apply(Tensor q, Tensor k, Tensor cos, Tensor sin, int dim, int turned, bool interleaved,
 *       bool transposed) -> (Tensor, Tensor) */
static void op_apply(kb_word *stack, uint64_t argument_count, uint64_t output_count) {
    (void)argument_count, (void)output_count;
    KB_OWNED kb_tensor q = kb_tensor_take(stack[0]);
    KB_OWNED kb_tensor k = kb_tensor_take(stack[1]);
    KB_OWNED kb_tensor cosine = kb_tensor_take(stack[2]);
    KB_OWNED kb_tensor sine = kb_tensor_take(stack[3]);
    rotary_work work = {.row = rotary_row_get(kb_isa_active()), .ndim = q.ndim};
    KB_OWNED kb_tensor q_out = tensor_open(&work.tensors[0], &q);
    KB_OWNED kb_tensor k_out = tensor_open(&work.tensors[1], &k);
    kb_require(k.ndim == q.ndim && k.type == q.type && k.sizes[k.ndim - 1] == q.sizes[q.ndim - 1],
               "rotary: q and k must have the same dtype and width");
    angles_open(&cosine, &q);
    angles_open(&sine, &q);
    int64_t given = cosine.sizes[cosine.ndim - 1];
    work.shape = (rotary_shape){
        .style = (stack[6] & 0xff) != 0 ? ROTARY_INTERLEAVED : ROTARY_HALF,
        .transposed = (stack[7] & 0xff) != 0,
        .turned = (int64_t)stack[5],
        .width = q.sizes[q.ndim - 1],
        .type = q.type,
        .angle_type = cosine.type,
    };
    work.shape.halved = given * 2 == work.shape.turned;
    bool fits = work.shape.turned % 2 == 0 && work.shape.turned <= work.shape.width &&
                (work.shape.halved || given == work.shape.turned) &&
                sine.sizes[sine.ndim - 1] == given && sine.type == cosine.type;
    for (int i = 0; fits && i < 2; i++)
        fits = rotary_lay_angles(cosine.sizes, cosine.strides, work.tensors[i].sizes, q.ndim,
                                 (int64_t)stack[4], work.cosine_strides) &&
               rotary_lay_angles(sine.sizes, sine.strides, work.tensors[i].sizes, q.ndim,
                                 (int64_t)stack[4], work.sine_strides);
    kb_require(fits, "rotary: cos and sin do not fit q and k");
    work.cosine = cosine.data;
    work.sine = sine.data;
    kb_parallel(rotary_rows(&work), work.shape.width, rotary_range, &work);
    stack[0] = kb_tensor_give(&q_out);
    stack[1] = kb_tensor_give(&k_out);
}

const kb_op rotary_ops[ROTARY_OP_COUNT] = {
    {"apply",
     "apply(Tensor q, Tensor k, Tensor cos, Tensor sin, int dim, int turned, bool interleaved, "
     "bool transposed) -> (Tensor, Tensor)",
     op_apply},
};
