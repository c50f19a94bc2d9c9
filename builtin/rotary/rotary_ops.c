/* SPDX-License-Identifier: Apache-2.0 */
#include "rotary_ops.h"

#include "kb_cuda.h"
#include "rotary_cuda.h"

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

bool rotary_streams(const rotary_work *work) {
    return kb_streams(rotary_rows(work) * work->shape.width * kb_dtype_size(work->shape.type));
}

void rotary_tensor_fill(const rotary_work *work, const int64_t *sizes, const int64_t *x_strides,
                        const int64_t *y_strides, rotary_tensor *out) {
    out->rows = sizes[work->ndim - 1] > 0 ? kb_sizes_product(sizes, 0, work->ndim - 1) : 0;
    for (int64_t i = 0; i < work->ndim - 1; i++) {
        rotary_dim dim = {sizes[i], x_strides[i], y_strides[i], work->cosine_strides[i],
                          work->sine_strides[i]};
        int64_t at = i; /* insertion sort: the largest step first */
        for (; at > 0 && out->dims[at - 1].x < dim.x; at--) out->dims[at] = out->dims[at - 1];
        out->dims[at] = dim;
    }
}

/* Turns `count` rows that lie along the innermost dimension. */
static void turn_run(const rotary_work *work, const rotary_tensor *tensor, const rotary_dim *start,
                     int64_t count) {
    const rotary_shape *shape = &work->shape;
    const rotary_dim *inner = &tensor->dims[work->ndim - 2];
    for (int64_t i = 0; i < count; i++)
        work->row(shape, kb_at(tensor->x, start->x + i * inner->x, shape->type),
                  kb_at(work->cosine, start->cosine + i * inner->cosine, shape->angle_type),
                  kb_at(work->sine, start->sine + i * inner->sine, shape->angle_type),
                  kb_at_mut(tensor->y, start->y + i * inner->y, shape->type));
}

static void turn_rows(const rotary_work *work, const rotary_tensor *tensor, int64_t begin,
                      int64_t end) {
    if (work->ndim < 2) return; /* not so: see tensor_open */
    for (int64_t row = begin; row < end;) {
        rotary_dim start = {0};
        int64_t left = row, last = work->ndim - 2, run = 0;
        for (int64_t i = last; i >= 0; i--) {
            const rotary_dim *dim = &tensor->dims[i];
            int64_t index = left % dim->size;
            left /= dim->size;
            start.x += index * dim->x;
            start.y += index * dim->y;
            start.cosine += index * dim->cosine;
            start.sine += index * dim->sine;
            if (i == last) run = dim->size - index;
        }
        if (run > end - row) run = end - row;
        turn_run(work, tensor, &start, run);
        row += run;
    }
}

void rotary_range(int64_t begin, int64_t end, void *context) {
    const rotary_work *work = context;
    int64_t first = work->tensors[0].rows;
    turn_rows(work, &work->tensors[0], begin, end < first ? end : first);
    turn_rows(work, &work->tensors[1], begin > first ? begin - first : 0, end - first);
    kb_stream_fence(work->shape.stream);
}

/* The input with a contiguous last dimension, and an output of its order of dimensions. */
static kb_tensor tensor_open(kb_tensor *x) {
    int64_t strides[KB_MAX_DIMS];
    kb_require(x->ndim >= 2 && x->ndim <= ROTARY_MAX_DIMS, "rotary: 2 to 8 dimensions are needed");
    if (x->strides[x->ndim - 1] != 1 && x->sizes[x->ndim - 1] != 1) {
        kb_strides_contiguous(x->ndim, x->sizes, strides);
        kb_tensor_copy_as(x, strides);
    }
    kb_strides_preserved(x, strides);
    return kb_tensor_new(x->device, x->ndim, x->sizes, strides, x->type);
}

/* Cosines or sines: a row must be contiguous. */
static void angles_open(kb_tensor *angles, const kb_tensor *x) {
    kb_require(angles->ndim == x->ndim - 1 && kb_device_equal(angles->device, x->device),
               "rotary: the angles must have one dimension less, on the input's device");
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
    KB_OWNED kb_tensor q_out = tensor_open(&q);
    KB_OWNED kb_tensor k_out = tensor_open(&k);
    kb_require(k.ndim == q.ndim && k.type == q.type && kb_device_equal(k.device, q.device) &&
                   k.sizes[k.ndim - 1] == q.sizes[q.ndim - 1],
               "rotary: q and k must have the same dtype, device and width");
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
    const kb_tensor *inputs[2] = {&q, &k}, *outputs[2] = {&q_out, &k_out};
    for (int i = 0; fits && i < 2; i++) {
        const int64_t *sizes = inputs[i]->sizes;
        fits = rotary_lay_angles(cosine.sizes, cosine.strides, sizes, q.ndim, (int64_t)stack[4],
                                 work.cosine_strides) &&
               rotary_lay_angles(sine.sizes, sine.strides, sizes, q.ndim, (int64_t)stack[4],
                                 work.sine_strides);
        work.tensors[i] = (rotary_tensor){.x = inputs[i]->data, .y = outputs[i]->data};
        rotary_tensor_fill(&work, sizes, inputs[i]->strides, outputs[i]->strides, &work.tensors[i]);
    }
    kb_require(fits, "rotary: cos and sin do not fit q and k");
    work.cosine = cosine.data;
    work.sine = sine.data;
    work.shape.stream = rotary_streams(&work);
    if (KB_ON_CUDA(q.device)) {
        KB_CUDA_GUARDED kb_cuda_guard guard = kb_cuda_guard_enter(q.device);
        kb_cuda_require(rotary_cuda_run(&work, kb_cuda_stream(q.device)));
    } else {
        kb_parallel(rotary_rows(&work), work.shape.width, rotary_range, &work);
    }
    stack[0] = kb_tensor_give(&q_out);
    stack[1] = kb_tensor_give(&k_out);
}

const kb_op rotary_ops[ROTARY_OP_COUNT] = {
    {"apply",
     "apply(Tensor q, Tensor k, Tensor cos, Tensor sin, int dim, int turned, bool interleaved, "
     "bool transposed) -> (Tensor, Tensor)",
     op_apply},
};
