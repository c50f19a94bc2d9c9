/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_LANES_H
#define KB_LANES_H

/* What the vector versions of all kernels share, over one of kb_lanes_avx2.h and kb_lanes_avx512.h,
 * which is included before and defines `kb_v`, a vector of KB_LANES float32 numbers, and `kb_pair`,
 * two of them for what is done to each number by itself wherever it lies in the two, with
 *
 * - kbv_load, kbv_store: KB_LANES elements of any type;
 * - kbv_load_part, kbv_store_part: the first 1 to KB_LANES - 1 of them; others are loaded as 0;
 * - kbv_stream: a store past the cache, to an address that KB_STREAM_ALIGN divides;
 * - kbv_first: the first `count` lanes of one vector, the rest of another;
 * - kbv_min, kbv_max: give the second operand where one of the two is NaN;
 * - kbv_quotient: a / b to about 1 ulp, for b of 1 to infinity;
 * - kbv_reciprocal_short: 1 / a with a relative error of 6.2e-5, for a of 1 to infinity;
 * - kbv_nearest: the nearest integer;
 * - kbv_times_power_of_2: a * 2^n for an integer n of -126 to 128;
 * - kbv_fraction, kbv_times_whole_power: t - floor(t) and a * 2^floor(t), for any t; where t is not
 *   between -126 and 128 both may take it for that;
 * - kbv_round_to: what is left of the values after a store as that type;
 * - kbv_lookup, where KB_HAS_LOOKUP is defined: of 32 entries the one that the lowest 5 bits say;
 * - kbv_pair_from_bf16, kbv_pair_to_bf16: 2 * KB_LANES bfloat16 numbers between memory, whose bits
 *   one vector holds, and a pair: the even ones and the odd ones, which need no moves of lanes;
 * - kbv_load_bits, kbv_store_bits: such a vector's first 1 to 2 * KB_LANES - 1 times 16 bits;
 * - kbv_sum, kbv_largest: of all lanes, in a fixed order. */
enum { KB_STREAM_ALIGN = 64 };

KB_INLINE kb_v kbv_zero(void) { return kbv_set(0.0f); }

/* `count` lanes from element i on: all of them where count is KB_LANES or more. */
KB_INLINE kb_v kbv_get(const void *base, int64_t i, int64_t count, kb_dtype type) {
    return count >= KB_LANES ? kbv_load(base, i, type) : kbv_load_part(base, i, type, count);
}

KB_INLINE void kbv_put(void *base, int64_t i, int64_t count, kb_dtype type, kb_v values,
                       bool stream) {
    if (count < KB_LANES)
        kbv_store_part(base, i, type, count, values);
    else if (stream)
        kbv_stream(base, i, type, values);
    else
        kbv_store(base, i, type, values);
}

enum { KB_PAIR = 2 * KB_LANES };

/* KB_PAIR elements from element i on, or `count` where that is less; the others are 0. */
KB_INLINE kb_pair kbv_get_pair(const void *base, int64_t i, int64_t count, kb_dtype type) {
    if (type == KB_BF16) {
        const void *bits = kb_at(base, i, type);
        return kbv_pair_from_bf16(count < KB_PAIR ? kbv_load_bits(bits, count)
                                                  : kbv_load(bits, 0, KB_F32));
    }
    kb_pair values = {kbv_get(base, i, count, type), kbv_zero()};
    if (count > KB_LANES) values.b = kbv_get(base, i + KB_LANES, count - KB_LANES, type);
    return values;
}

KB_INLINE void kbv_put_pair(void *base, int64_t i, int64_t count, kb_dtype type, kb_pair values,
                            bool stream) {
    if (type != KB_BF16) {
        kbv_put(base, i, count, type, values.a, stream);
        if (count > KB_LANES) kbv_put(base, i + KB_LANES, count - KB_LANES, type, values.b, stream);
        return;
    }
    void *bits = kb_at_mut(base, i, type);
    if (count < KB_PAIR)
        kbv_store_bits(bits, count, kbv_pair_to_bf16(values));
    else
        kbv_put(bits, 0, KB_LANES, KB_F32, kbv_pair_to_bf16(values), stream);
}

KB_INLINE kb_pair kbv_round_pair_to(kb_pair values, kb_dtype type) {
    if (type == KB_BF16) return kbv_pair_from_bf16(kbv_pair_to_bf16(values));
    return (kb_pair){kbv_round_to(values.a, type), kbv_round_to(values.b, type)};
}

KB_INLINE kb_pair kbv_pair_product(kb_pair x, kb_pair y) { return (kb_pair){x.a * y.a, x.b * y.b}; }

/* Whether a row that begins here can be streamed. */
KB_INLINE bool kbv_can_stream(const void *row) { return (uintptr_t)row % KB_STREAM_ALIGN == 0; }

/* Four partial sums hide the latency of an addition. */
typedef struct kbv_sum4 {
    kb_v part[4];
} kbv_sum4;

KB_INLINE kbv_sum4 kbv_sum4_zero(void) {
    return (kbv_sum4){{kbv_zero(), kbv_zero(), kbv_zero(), kbv_zero()}};
}

KB_INLINE float kbv_sum4_total(const kbv_sum4 *s) {
    return kbv_sum((s->part[0] + s->part[1]) + (s->part[2] + s->part[3]));
}

/*
 * e^x to about 1 ulp between -87 and 88.7: x = n ln2 + r with |r| <= ln2 / 2, and a polynomial for
 * e^r that was fitted to a relative error of 3e-9. Below, 0; above, inf; NaN stays NaN.
 */
KB_INLINE kb_v kbv_exp(kb_v x) {
    kb_v bounded = kbv_min(kbv_set(89.0f), kbv_max(kbv_set(-87.0f), x));
    kb_v n = kbv_nearest(bounded * kbv_set(1.44269504088896341f));
    kb_v r = kbv_fnma(n, kbv_set(0.693359375f), bounded); /* ln2 in two parts */
    r = kbv_fnma(n, kbv_set(-2.12194440e-4f), r);
    kb_v p = kbv_set(1.3814599e-3f);
    p = kbv_fma(p, r, kbv_set(8.3687166e-3f));
    p = kbv_fma(p, r, kbv_set(4.1668389e-2f));
    p = kbv_fma(p, r, kbv_set(1.6666521e-1f));
    p = kbv_fma(p, r, kbv_set(4.9999994e-1f));
    p = kbv_fma(p, r, kbv_set(1.0f));
    p = kbv_fma(p, r, kbv_set(1.0f));
    return kbv_where_less(x, kbv_set(-87.0f), kbv_zero(), kbv_times_power_of_2(p, n));
}

/* 2^t for results that are rounded to bfloat16: a relative error of 3e-6 between -126 and 128;
 * below, that of -126 or less, above, inf; NaN stays NaN. */
KB_INLINE kb_v kbv_exp2_short(kb_v t) {
    kb_v f = kbv_fraction(t);
    kb_v p = kbv_fma(kbv_set(1.3534168e-2f), f, kbv_set(5.2011461e-2f));
    p = kbv_fma(p, f, kbv_set(2.4144274e-1f));
    p = kbv_fma(p, f, kbv_set(6.9300384e-1f));
    p = kbv_fma(p, f, kbv_set(1.0000026f));
    return kbv_times_whole_power(p, t);
}

/* x / (1 + e^-v) = x sigmoid(v) */
KB_INLINE kb_v kbv_times_sigmoid(kb_v x, kb_v v) { return x / (kbv_set(1.0f) + kbv_exp(-v)); }

/* x / (1 + 2^t) for results that are rounded to bfloat16 */
KB_INLINE kb_v kbv_times_sigmoid_short(kb_v x, kb_v t) {
    return x * kbv_reciprocal_short(kbv_set(1.0f) + kbv_exp2_short(t));
}

KB_INLINE kb_v kbv_sigmoid(kb_v x) { return kbv_times_sigmoid(kbv_set(1.0f), x); }

#endif
