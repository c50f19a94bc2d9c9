/* SPDX-License-Identifier: Apache-2.0 */
#include "rotary_run.h"

#include "kb_layout.h"

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
