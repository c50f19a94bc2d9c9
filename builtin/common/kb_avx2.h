/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_AVX2_H
#define KB_AVX2_H

/* Eight float32 lanes at a time. Included only by files compiled with -mavx2 -mfma -mf16c. */
#include <immintrin.h>

#include "kb_scalar.h"

KB_INLINE __m256 kb8_set(float value) { return _mm256_set1_ps(value); }

KB_INLINE __m256 kb8_from_bf16(__m128i halves) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

/* Same rounding as kb_f32_to_bf16. */
KB_INLINE __m128i kb8_to_bf16(__m256 values) {
    __m256i bits = _mm256_castps_si256(values);
    __m256i high = _mm256_srli_epi32(bits, 16);
    __m256i even = _mm256_and_si256(high, _mm256_set1_epi32(1));
    __m256i bias = _mm256_add_epi32(even, _mm256_set1_epi32(0x7fff));
    __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, bias), 16);
    __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
    __m256 is_nan = _mm256_cmp_ps(values, values, _CMP_UNORD_Q);
    __m256i out = _mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(is_nan));
    return _mm_packus_epi32(_mm256_castsi256_si128(out), _mm256_extracti128_si256(out, 1));
}

KB_INLINE __m256 kb8_load(const void *base, int64_t index, kb_dtype type) {
    if (type == KB_F32) return _mm256_loadu_ps((const float *)base + index);
    __m128i halves = _mm_loadu_si128((const __m128i *)kb_at(base, index, type));
    return type == KB_BF16 ? kb8_from_bf16(halves) : _mm256_cvtph_ps(halves);
}

KB_INLINE void kb8_store(void *base, int64_t index, kb_dtype type, __m256 values) {
    if (type == KB_F32) {
        _mm256_storeu_ps((float *)base + index, values);
        return;
    }
    __m128i halves =
        type == KB_BF16 ? kb8_to_bf16(values) : _mm256_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128((__m128i *)kb_at_mut(base, index, type), halves);
}

/* The last `count` (1 to 7) elements; the lanes beyond them are 0. */
KB_INLINE __m256 kb8_load_tail(const void *base, int64_t index, kb_dtype type, int64_t count) {
    _Alignas(32) unsigned char lanes[32] = {0};
    memcpy(lanes, kb_at(base, index, type), (size_t)(count * kb_dtype_size(type)));
    return kb8_load(lanes, 0, type);
}

KB_INLINE void kb8_store_tail(void *base, int64_t index, kb_dtype type, int64_t count,
                              __m256 values) {
    _Alignas(32) unsigned char lanes[32] = {0};
    kb8_store(lanes, 0, type, values);
    memcpy(kb_at_mut(base, index, type), lanes, (size_t)(count * kb_dtype_size(type)));
}

/* Lanes below `count` (1 to 8) keep their value, the others become 0. */
KB_INLINE __m256 kb8_keep(__m256 values, int64_t count) {
    __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i keep = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lane);
    return _mm256_and_ps(values, _mm256_castsi256_ps(keep));
}

KB_INLINE __m256 kb8_round_to(__m256 values, kb_dtype type) {
    if (type == KB_F32) return values;
    if (type == KB_BF16) return kb8_from_bf16(kb8_to_bf16(values));
    return _mm256_cvtph_ps(_mm256_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT));
}

KB_INLINE float kb8_sum(__m256 values) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    sum = _mm_add_ss(sum, _mm_movehdup_ps(sum));
    return _mm_cvtss_f32(sum);
}

/*
 * e^x to about 1 ulp between -87 and 88.3: x = n ln2 + r with |r| <= ln2 / 2, and a polynomial for
 * e^r that was fitted to a relative error of 3e-9. Below, the result stays at e^-87, about 1e-38;
 * above, it is inf: what is made of it here, 1 / (1 + e^x), is right either way.
 */
KB_INLINE __m256 kb8_exp(__m256 x) {
    /* min and max return their second operand for a NaN: x there, so that NaN stays NaN. */
    __m256 bounded = _mm256_min_ps(kb8_set(89.0f), _mm256_max_ps(kb8_set(-87.0f), x));
    __m256 n = _mm256_round_ps(_mm256_mul_ps(bounded, kb8_set(1.44269504088896341f)),
                               _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, kb8_set(0.693359375f), bounded); /* ln2 in two parts */
    r = _mm256_fnmadd_ps(n, kb8_set(-2.12194440e-4f), r);
    __m256 p = kb8_set(1.3814599e-3f);
    p = _mm256_fmadd_ps(p, r, kb8_set(8.3687166e-3f));
    p = _mm256_fmadd_ps(p, r, kb8_set(4.1668389e-2f));
    p = _mm256_fmadd_ps(p, r, kb8_set(1.6666521e-1f));
    p = _mm256_fmadd_ps(p, r, kb8_set(4.9999994e-1f));
    p = _mm256_fmadd_ps(p, r, kb8_set(1.0f));
    p = _mm256_fmadd_ps(p, r, kb8_set(1.0f));
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
}

KB_INLINE __m256 kb8_negate(__m256 x) { return _mm256_xor_ps(x, kb8_set(-0.0f)); }

/* x / (1 + e^-v) = x sigmoid(v) */
KB_INLINE __m256 kb8_times_sigmoid(__m256 x, __m256 v) {
    return _mm256_div_ps(x, _mm256_add_ps(kb8_set(1.0f), kb8_exp(kb8_negate(v))));
}

#endif
