/* SPDX-License-Identifier: Apache-2.0 */
#include "rotary_ops.h"

#include "kb_cuda.h"
#include "rotary_cuda.h"

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
