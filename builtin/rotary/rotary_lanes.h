/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROTARY_LANES_H
#define ROTARY_LANES_H

/* The formulas of rotary_serial.c, KB_LANES at a time, one copy per combination of types. Included
 * by one file for each instruction set, after its lanes. */
#include "kb_lanes.h"
#include "rotary_math.h"

/* Pairs i and i + half. */
KB_INLINE void half_step(const rotary_shape *s, const void *x, const void *cosine, const void *sine,
                         void *y, int64_t i, int64_t count, kb_dtype type, kb_dtype angle) {
    int64_t half = s->turned / 2, other = s->halved ? i : half + i;
    kb_v x1 = kbv_get(x, i, count, type), x2 = kbv_get(x, half + i, count, type);
    kb_v cos1 = kbv_get(cosine, i, count, angle), cos2 = kbv_get(cosine, other, count, angle);
    kb_v sin1 = kbv_get(sine, i, count, angle), sin2 = kbv_get(sine, other, count, angle);
    if (s->transposed) {
        kb_v swapped = -sin1;
        sin1 = -sin2;
        sin2 = swapped;
    }
    kbv_put(y, i, count, type, x1 * cos1 - x2 * sin1, s->stream);
    kbv_put(y, half + i, count, type, x2 * cos2 + x1 * sin2, s->stream);
}

/* Pairs 2i and 2i + 1, angles one per element: y = x cos + turned(x) sin. */
KB_INLINE void pair_step(const rotary_shape *s, const void *x, const void *cosine, const void *sine,
                         void *y, int64_t i, int64_t count, kb_dtype type, kb_dtype angle) {
    kb_v value = kbv_get(x, i, count, type);
    kb_v cos = kbv_get(cosine, i, count, angle), sin = kbv_get(sine, i, count, angle);
    /* the transposed of "turn, then multiply" is "multiply, then turn back" */
    kb_v turned = kbv_turn_pairs(value) * sin;
    if (s->transposed) turned = -kbv_turn_pairs(value * sin);
    kbv_put(y, i, count, type, value * cos + turned, s->stream);
}

KB_INLINE void turn_typed(const rotary_shape *given, const void *x, const void *cosine,
                          const void *sine, void *y, kb_dtype type, kb_dtype angle) {
    rotary_shape shape = *given;
    const rotary_shape *s = &shape;
    bool pairs = s->style == ROTARY_INTERLEAVED;
    int64_t half_bytes = s->turned / 2 * kb_dtype_size(type);
    shape.stream = given->stream && kbv_can_stream(y) && half_bytes % KB_STREAM_ALIGN == 0;
    int64_t end = pairs ? s->turned : s->turned / 2, i = 0;
    if (pairs) {
        for (; i + KB_LANES <= end; i += KB_LANES)
            pair_step(s, x, cosine, sine, y, i, KB_LANES, type, angle);
        if (i < end) pair_step(s, x, cosine, sine, y, i, end - i, type, angle);
    } else {
        for (; i + KB_LANES <= end; i += KB_LANES)
            half_step(s, x, cosine, sine, y, i, KB_LANES, type, angle);
        if (i < end) half_step(s, x, cosine, sine, y, i, end - i, type, angle);
    }
    for (i = s->turned; x != y && i < s->width; i += KB_LANES)
        kbv_put(y, i, s->width - i, type, kbv_get(x, i, s->width - i, type), false);
}

static void turn_row(const rotary_shape *s, const void *x, const void *cosine, const void *sine,
                     void *y) {
    if (s->style == ROTARY_INTERLEAVED && s->halved)
        rotary_serial(s, x, cosine, sine, y); /* rare: each angle would have to be doubled */
    else if (s->type == KB_F32)
        turn_typed(s, x, cosine, sine, y, KB_F32, KB_F32);
    else if (s->type == KB_BF16 && s->angle_type == KB_BF16)
        turn_typed(s, x, cosine, sine, y, KB_BF16, KB_BF16);
    else if (s->type == KB_BF16)
        turn_typed(s, x, cosine, sine, y, KB_BF16, KB_F32);
    else if (s->angle_type == KB_F16)
        turn_typed(s, x, cosine, sine, y, KB_F16, KB_F16);
    else
        turn_typed(s, x, cosine, sine, y, KB_F16, KB_F32);
}

#endif
