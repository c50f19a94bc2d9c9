/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_layout.h"

int64_t kb_sizes_product(const int64_t *sizes, int64_t begin, int64_t end) {
    int64_t product = 1;
    for (int64_t i = begin; i < end; i++) product *= sizes[i];
    return product;
}

void kb_strides_contiguous(int64_t ndim, const int64_t *sizes, int64_t *strides) {
    int64_t step = 1;
    for (int64_t left = ndim; left > 0; left--) {
        strides[left - 1] = step;
        step *= sizes[left - 1] > 1 ? sizes[left - 1] : 1;
    }
}

/* Whether dimensions [begin, end) lie in memory as one dimension with stride `step`. */
static bool dims_collapse(const int64_t *sizes, const int64_t *strides, int64_t begin, int64_t end,
                          int64_t step) {
    for (int64_t i = end - 1; i >= begin; i--) {
        if (sizes[i] == 1) continue;
        if (strides[i] != step) return false;
        step *= sizes[i];
    }
    return true;
}

bool kb_layout_is_contiguous(int64_t ndim, const int64_t *sizes, const int64_t *strides) {
    return kb_sizes_product(sizes, 0, ndim) == 0 || dims_collapse(sizes, strides, 0, ndim, 1);
}

bool kb_layout_is_dense(int64_t ndim, const int64_t *sizes, const int64_t *strides) {
    bool used[KB_MAX_DIMS] = {false};
    int64_t step = 1, left = 0;
    for (int64_t i = 0; i < ndim; i++) left += sizes[i] > 1;
    for (; left > 0; left--) {
        int64_t next = 0;
        while (next < ndim && (used[next] || sizes[next] <= 1 || strides[next] != step)) next++;
        if (next == ndim) return false;
        used[next] = true;
        step *= sizes[next];
    }
    return true;
}

bool kb_layout_rows(int64_t ndim, const int64_t *sizes, const int64_t *strides, int64_t inner,
                    int64_t *step) {
    int64_t outer = ndim - inner;
    int64_t width = kb_sizes_product(sizes, outer, ndim);
    *step = width;
    if (kb_sizes_product(sizes, 0, outer) * width == 0) return true;
    int64_t last = outer - 1; /* the innermost outer dimension that is not of size 1 */
    while (last >= 0 && sizes[last] == 1) last--;
    if (last >= 0) *step = strides[last];
    return dims_collapse(sizes, strides, outer, ndim, 1) &&
           dims_collapse(sizes, strides, 0, outer, *step);
}
