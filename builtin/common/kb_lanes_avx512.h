/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_LANES_AVX512_H
#define KB_LANES_AVX512_H

/* Sixteen float32 lanes at a time. Included only by files compiled for AVX-512 F, BW, DQ and VL;
 * those compiled with -mavx512bf16 round to bfloat16 in one instruction. AVX512-FP16 would give
 * nothing here: arithmetic is float32, and F has the conversions. What the functions promise stands
 * in kb_lanes.h. */
#include <immintrin.h>

#include "kb_scalar.h"

typedef __m512 kb_v;
enum { KB_LANES = 16 };

typedef struct kb_pair {
    kb_v a, b;
} kb_pair;

KB_INLINE kb_v kbv_set(float value) { return _mm512_set1_ps(value); }
KB_INLINE kb_v kbv_fma(kb_v a, kb_v b, kb_v c) { return _mm512_fmadd_ps(a, b, c); }
KB_INLINE kb_v kbv_fnma(kb_v a, kb_v b, kb_v c) { return _mm512_fnmadd_ps(a, b, c); }
KB_INLINE kb_v kbv_min(kb_v a, kb_v b) { return _mm512_min_ps(a, b); }
KB_INLINE kb_v kbv_max(kb_v a, kb_v b) { return _mm512_max_ps(a, b); }
/* A reciprocal and one Newton step, which would give NaN for an infinity, are quicker than a
 * division.
 */
KB_INLINE kb_v kbv_quotient(kb_v a, kb_v b) {
    kb_v r = _mm512_rcp14_ps(b), step = _mm512_fnmadd_ps(b, r, _mm512_set1_ps(2.0f));
    __mmask16 finite = _mm512_cmp_ps_mask(b, _mm512_set1_ps(INFINITY), _CMP_NEQ_UQ);
    return a * _mm512_maskz_mul_ps(finite, r, step);
}
KB_INLINE kb_v kbv_abs(kb_v a) { return _mm512_abs_ps(a); }

KB_INLINE kb_v kbv_nearest(kb_v a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

KB_INLINE kb_v kbv_times_power_of_2(kb_v a, kb_v n) { return _mm512_scalef_ps(a, n); }

KB_INLINE kb_v kbv_reciprocal_short(kb_v a) { return _mm512_rcp14_ps(a); }

/* 0 for an infinity */
KB_INLINE kb_v kbv_fraction(kb_v t) {
    return _mm512_reduce_ps(t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}

KB_INLINE kb_v kbv_times_whole_power(kb_v a, kb_v t) { return _mm512_scalef_ps(a, t); }

#define KB_HAS_LOOKUP

KB_INLINE kb_v kbv_lookup(const float *table, kb_v place) {
    return _mm512_permutex2var_ps(_mm512_loadu_ps(table), _mm512_castps_si512(place),
                                  _mm512_loadu_ps(table + 16));
}

KB_INLINE kb_v kbv_where_less(kb_v a, kb_v b, kb_v yes, kb_v no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}

KB_INLINE kb_v kbv_from_bf16(__m256i halves) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

#ifdef __AVX512BF16__
/* As kb_f32_to_bf16, but for results below 1.2e-38, which become 0. */
KB_INLINE __m256i kbv_to_bf16(kb_v values) {
    __m256bh halves = _mm512_cvtneps_pbh(values);
    __m256i out;
    memcpy(&out, &halves, sizeof out);
    return out;
}
#else
/* Same rounding as kb_f32_to_bf16; the result is in the upper half of each lane, whose lower half
 * has no meaning. */
KB_INLINE __m512i kbv_round_bits(kb_v values) {
    __m512i bits = _mm512_castps_si512(values);
    __m512i even = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i bias = _mm512_add_epi32(even, _mm512_set1_epi32(0x7fff));
    __m512i rounded = _mm512_add_epi32(bits, bias);
    __mmask16 is_nan = _mm512_cmp_ps_mask(values, values, _CMP_UNORD_Q);
    return _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x400000));
}

KB_INLINE __m256i kbv_to_bf16(kb_v values) {
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(kbv_round_bits(values), 16));
}
#endif

KB_INLINE __m256i kbv_to_half(kb_v values, kb_dtype type) {
    return type == KB_BF16 ? kbv_to_bf16(values)
                           : _mm512_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT);
}

KB_INLINE kb_v kbv_from_half(__m256i halves, kb_dtype type) {
    return type == KB_BF16 ? kbv_from_bf16(halves) : _mm512_cvtph_ps(halves);
}

KB_INLINE __mmask16 kbv_mask(int64_t count) { return (__mmask16)((1u << count) - 1u); }

KB_INLINE kb_v kbv_load(const void *base, int64_t index, kb_dtype type) {
    if (type == KB_F32) return _mm512_loadu_ps((const float *)base + index);
    return kbv_from_half(_mm256_loadu_si256((const __m256i *)kb_at(base, index, type)), type);
}

KB_INLINE void kbv_store(void *base, int64_t index, kb_dtype type, kb_v values) {
    if (type == KB_F32)
        _mm512_storeu_ps((float *)base + index, values);
    else
        _mm256_storeu_si256((__m256i *)kb_at_mut(base, index, type), kbv_to_half(values, type));
}

KB_INLINE void kbv_stream(void *base, int64_t index, kb_dtype type, kb_v values) {
    if (type == KB_F32)
        _mm512_stream_ps((float *)base + index, values);
    else
        _mm256_stream_si256((__m256i *)kb_at_mut(base, index, type), kbv_to_half(values, type));
}

KB_INLINE kb_v kbv_load_part(const void *base, int64_t index, kb_dtype type, int64_t count) {
    if (type == KB_F32) return _mm512_maskz_loadu_ps(kbv_mask(count), (const float *)base + index);
    return kbv_from_half(_mm256_maskz_loadu_epi16(kbv_mask(count), kb_at(base, index, type)), type);
}

KB_INLINE void kbv_store_part(void *base, int64_t index, kb_dtype type, int64_t count,
                              kb_v values) {
    if (type == KB_F32)
        _mm512_mask_storeu_ps((float *)base + index, kbv_mask(count), values);
    else
        _mm256_mask_storeu_epi16(kb_at_mut(base, index, type), kbv_mask(count),
                                 kbv_to_half(values, type));
}

KB_INLINE kb_v kbv_first(kb_v values, int64_t count, kb_v others) {
    return _mm512_mask_blend_ps(kbv_mask(count), others, values);
}

KB_INLINE kb_v kbv_round_to(kb_v values, kb_dtype type) {
    return type == KB_F32 ? values : kbv_from_half(kbv_to_half(values, type), type);
}

KB_INLINE kb_pair kbv_pair_from_bf16(kb_v bits) {
    __m512i halves = _mm512_castps_si512(bits);
    return (kb_pair){
        _mm512_castsi512_ps(_mm512_slli_epi32(halves, 16)),
        _mm512_castsi512_ps(_mm512_and_si512(halves, _mm512_set1_epi32((int)0xffff0000u)))};
}

#ifdef __AVX512BF16__
KB_INLINE kb_v kbv_pair_to_bf16(kb_pair values) {
    const __m512i places =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    __m512bh halves = _mm512_cvtne2ps_pbh(values.b, values.a);
    __m512i bits;
    memcpy(&bits, &halves, sizeof bits);
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(places, bits));
}
#else
KB_INLINE kb_v kbv_pair_to_bf16(kb_pair values) {
    __m512i even = kbv_round_bits(values.a), odd = kbv_round_bits(values.b);
    return _mm512_castsi512_ps(
        _mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_srli_epi32(even, 16), odd));
}
#endif

KB_INLINE kb_v kbv_load_bits(const void *base, int64_t count) {
    return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16((1u << count) - 1u, base));
}

KB_INLINE void kbv_store_bits(void *base, int64_t count, kb_v bits) {
    _mm512_mask_storeu_epi16(base, (1u << count) - 1u, _mm512_castps_si512(bits));
}

/* [a b c d ...] to [-b a -d c ...] */
KB_INLINE kb_v kbv_turn_pairs(kb_v values) {
    kb_v swapped = _mm512_permute_ps(values, 0xb1);
    return _mm512_mask_sub_ps(swapped, 0x5555, kbv_set(-0.0f), swapped);
}

KB_INLINE float kbv_sum(kb_v values) { return _mm512_reduce_add_ps(values); }

KB_INLINE float kbv_largest(kb_v values) { return _mm512_reduce_max_ps(values); }

#endif
