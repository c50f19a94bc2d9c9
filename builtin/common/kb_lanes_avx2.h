/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_LANES_AVX2_H
#define KB_LANES_AVX2_H

/* Eight float32 lanes at a time. Included only by files compiled with -mavx2 -mfma -mf16c; what the
 * functions promise stands in kb_lanes.h. */
#include <immintrin.h>

#include "kb_scalar.h"

typedef __m256 kb_v;
enum { KB_LANES = 8 };

typedef struct kb_pair {
    kb_v a, b;
} kb_pair;

KB_INLINE kb_v kbv_set(float value) { return _mm256_set1_ps(value); }
KB_INLINE kb_v kbv_fma(kb_v a, kb_v b, kb_v c) { return _mm256_fmadd_ps(a, b, c); }
KB_INLINE kb_v kbv_fnma(kb_v a, kb_v b, kb_v c) { return _mm256_fnmadd_ps(a, b, c); }
KB_INLINE kb_v kbv_min(kb_v a, kb_v b) { return _mm256_min_ps(a, b); }
KB_INLINE kb_v kbv_max(kb_v a, kb_v b) { return _mm256_max_ps(a, b); }
KB_INLINE kb_v kbv_quotient(kb_v a, kb_v b) { return a / b; }
KB_INLINE kb_v kbv_abs(kb_v a) { return _mm256_andnot_ps(kbv_set(-0.0f), a); }

KB_INLINE kb_v kbv_nearest(kb_v a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

KB_INLINE kb_v kbv_times_power_of_2(kb_v a, kb_v n) {
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return a * _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}

KB_INLINE kb_v kbv_reciprocal_short(kb_v a) { return kbv_set(1.0f) / a; }

/* The range of the exponents of float32; NaN stays NaN. */
KB_INLINE kb_v kbv_exponent_bound(kb_v t) {
    return kbv_min(kbv_set(128.0f), kbv_max(kbv_set(-126.0f), t));
}

KB_INLINE kb_v kbv_fraction(kb_v t) {
    kb_v bounded = kbv_exponent_bound(t);
    return bounded - _mm256_floor_ps(bounded);
}

KB_INLINE kb_v kbv_times_whole_power(kb_v a, kb_v t) {
    return kbv_times_power_of_2(a, _mm256_floor_ps(kbv_exponent_bound(t)));
}

KB_INLINE kb_v kbv_where_less(kb_v a, kb_v b, kb_v yes, kb_v no) {
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}

KB_INLINE kb_v kbv_from_bf16(__m128i halves) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

/* Same rounding as kb_f32_to_bf16; the result is in the upper half of each lane, whose lower half
 * has no meaning. */
KB_INLINE __m256i kbv_round_bits(kb_v values) {
    __m256i bits = _mm256_castps_si256(values);
    __m256i even = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i bias = _mm256_add_epi32(even, _mm256_set1_epi32(0x7fff));
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256 is_nan = _mm256_cmp_ps(values, values, _CMP_UNORD_Q);
    return _mm256_blendv_epi8(_mm256_add_epi32(bits, bias), quiet, _mm256_castps_si256(is_nan));
}

KB_INLINE __m128i kbv_to_bf16(kb_v values) {
    __m256i out = _mm256_srli_epi32(kbv_round_bits(values), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(out), _mm256_extracti128_si256(out, 1));
}

KB_INLINE __m128i kbv_to_half(kb_v values, kb_dtype type) {
    return type == KB_BF16 ? kbv_to_bf16(values)
                           : _mm256_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT);
}

KB_INLINE kb_v kbv_load(const void *base, int64_t index, kb_dtype type) {
    if (type == KB_F32) return _mm256_loadu_ps((const float *)base + index);
    __m128i halves = _mm_loadu_si128((const __m128i *)kb_at(base, index, type));
    return type == KB_BF16 ? kbv_from_bf16(halves) : _mm256_cvtph_ps(halves);
}

KB_INLINE void kbv_store(void *base, int64_t index, kb_dtype type, kb_v values) {
    if (type == KB_F32)
        _mm256_storeu_ps((float *)base + index, values);
    else
        _mm_storeu_si128((__m128i *)kb_at_mut(base, index, type), kbv_to_half(values, type));
}

KB_INLINE void kbv_stream(void *base, int64_t index, kb_dtype type, kb_v values) {
    if (type == KB_F32)
        _mm256_stream_ps((float *)base + index, values);
    else
        _mm_stream_si128((__m128i *)kb_at_mut(base, index, type), kbv_to_half(values, type));
}

KB_INLINE kb_v kbv_load_part(const void *base, int64_t index, kb_dtype type, int64_t count) {
    _Alignas(32) unsigned char lanes[32] = {0};
    memcpy(lanes, kb_at(base, index, type), (size_t)(count * kb_dtype_size(type)));
    return kbv_load(lanes, 0, type);
}

KB_INLINE void kbv_store_part(void *base, int64_t index, kb_dtype type, int64_t count,
                              kb_v values) {
    _Alignas(32) unsigned char lanes[32] = {0};
    kbv_store(lanes, 0, type, values);
    memcpy(kb_at_mut(base, index, type), lanes, (size_t)(count * kb_dtype_size(type)));
}

KB_INLINE kb_v kbv_first(kb_v values, int64_t count, kb_v others) {
    __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i keep = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lane);
    return _mm256_blendv_ps(others, values, _mm256_castsi256_ps(keep));
}

KB_INLINE kb_v kbv_round_to(kb_v values, kb_dtype type) {
    if (type == KB_F32) return values;
    __m128i halves = kbv_to_half(values, type);
    return type == KB_BF16 ? kbv_from_bf16(halves) : _mm256_cvtph_ps(halves);
}

KB_INLINE kb_pair kbv_pair_from_bf16(kb_v bits) {
    __m256i halves = _mm256_castps_si256(bits);
    return (kb_pair){
        _mm256_castsi256_ps(_mm256_slli_epi32(halves, 16)),
        _mm256_castsi256_ps(_mm256_and_si256(halves, _mm256_set1_epi32((int)0xffff0000u)))};
}

KB_INLINE kb_v kbv_pair_to_bf16(kb_pair values) {
    __m256i even = kbv_round_bits(values.a), odd = kbv_round_bits(values.b);
    return _mm256_castsi256_ps(_mm256_blend_epi16(_mm256_srli_epi32(even, 16), odd, 0xaa));
}

KB_INLINE kb_v kbv_load_bits(const void *base, int64_t count) {
    _Alignas(32) unsigned char lanes[32] = {0};
    memcpy(lanes, base, (size_t)count * 2);
    return kbv_load(lanes, 0, KB_F32);
}

KB_INLINE void kbv_store_bits(void *base, int64_t count, kb_v bits) {
    _Alignas(32) unsigned char lanes[32];
    kbv_store(lanes, 0, KB_F32, bits);
    memcpy(base, lanes, (size_t)count * 2);
}

/* [a b c d ...] to [-b a -d c ...] */
KB_INLINE kb_v kbv_turn_pairs(kb_v values) {
    kb_v swapped = _mm256_permute_ps(values, 0xb1);
    return _mm256_xor_ps(swapped, _mm256_setr_ps(-0.0f, 0, -0.0f, 0, -0.0f, 0, -0.0f, 0));
}

KB_INLINE float kbv_sum(kb_v values) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    sum = _mm_add_ss(sum, _mm_movehdup_ps(sum));
    return _mm_cvtss_f32(sum);
}

KB_INLINE float kbv_largest(kb_v values) {
    __m128 top = _mm_max_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
    top = _mm_max_ps(top, _mm_movehl_ps(top, top));
    top = _mm_max_ss(top, _mm_movehdup_ps(top));
    return _mm_cvtss_f32(top);
}

#endif
