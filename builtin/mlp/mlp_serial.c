/* SPDX-License-Identifier: Apache-2.0 */
/* The reference: plain scalar C. */
#include "mlp_math.h"

static void multiply(const mlp_product *p, int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; j++) {
        const void *weight = kb_at(p->weight, j * p->weight_stride, p->type);
        for (int64_t r = 0; r < p->rows; r++) {
            const void *x = kb_at(p->x, r * p->x_stride, p->type);
            float sum = 0.0f;
            for (int64_t k = 0; k < p->width; k++)
                sum += kb_load(x, k, p->type) * kb_load(weight, k, p->type);
            if (p->bias) sum += kb_load(p->bias, j, p->type);
            kb_store(p->out, r * p->out_stride + j, p->type, sum);
        }
    }
}

const mlp_table mlp_serial = {multiply};
