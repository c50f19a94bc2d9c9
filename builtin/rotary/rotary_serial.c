/* SPDX-License-Identifier: Apache-2.0 */
/* The reference: plain scalar C, the formulas as the card gives them. */
#include "rotary_math.h"

static void turn_row(const rotary_shape *shape, const void *x, const void *cosine, const void *sine,
                     void *y) {
    int64_t half = shape->turned / 2;
    for (int64_t pair = 0; pair < half; pair++) {
        bool side_by_side = shape->style == ROTARY_INTERLEAVED;
        int64_t first = side_by_side ? 2 * pair : pair;
        int64_t second = side_by_side ? first + 1 : pair + half;
        int64_t angle1 = shape->halved ? pair : first, angle2 = shape->halved ? pair : second;
        float x1 = kb_load(x, first, shape->type), x2 = kb_load(x, second, shape->type);
        float cos1 = kb_load(cosine, angle1, shape->angle_type);
        float cos2 = kb_load(cosine, angle2, shape->angle_type);
        float sin1 = kb_load(sine, angle1, shape->angle_type);
        float sin2 = kb_load(sine, angle2, shape->angle_type);
        if (shape->transposed) {
            float swapped = -sin1;
            sin1 = -sin2;
            sin2 = swapped;
        }
        kb_store(y, first, shape->type, x1 * cos1 - x2 * sin1);
        kb_store(y, second, shape->type, x2 * cos2 + x1 * sin2);
    }
    int64_t rest = (shape->width - shape->turned) * kb_dtype_size(shape->type);
    if (rest > 0 && x != y)
        memcpy(kb_at_mut(y, shape->turned, shape->type), kb_at(x, shape->turned, shape->type),
               (size_t)rest);
}

const rotary_row rotary_serial = turn_row;
