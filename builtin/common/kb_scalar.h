/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_SCALAR_H
#define KB_SCALAR_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The element types that the kernels read and write. Arithmetic is float32 throughout. */
typedef enum kb_dtype { KB_F32 = 0, KB_BF16 = 1, KB_F16 = 2 } kb_dtype;

#define KB_INLINE static inline __attribute__((always_inline, unused))

KB_INLINE int64_t kb_dtype_size(kb_dtype type) { return type == KB_F32 ? 4 : 2; }

/* Address of element `index`; also where `base` is NULL, as the data of an empty tensor may be. */
KB_INLINE const void *kb_at(const void *base, int64_t index, kb_dtype type) {
    return (const void *)((uintptr_t)base + (uintptr_t)(index * kb_dtype_size(type)));
}

KB_INLINE void *kb_at_mut(void *base, int64_t index, kb_dtype type) {
    return (void *)((uintptr_t)base + (uintptr_t)(index * kb_dtype_size(type)));
}

KB_INLINE uint32_t kb_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

KB_INLINE float kb_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

KB_INLINE float kb_bf16_to_f32(uint16_t half) { return kb_from_bits((uint32_t)half << 16); }

/* Round to nearest even; a NaN stays a NaN although its low payload bits are cut off. */
KB_INLINE uint16_t kb_f32_to_bf16(float value) {
    uint32_t bits = kb_bits(value);
    if (value != value) return (uint16_t)((bits >> 16) | 0x40u);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

KB_INLINE float kb_f16_to_f32(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t magnitude = half & 0x7fffu;
    if (magnitude >= 0x7c00u)
        return kb_from_bits(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
    /* Below the smallest normal number the value is magnitude * 2^-24, exact in float32. */
    if (magnitude < 0x400u) return kb_from_bits(sign | kb_bits((float)magnitude * 0x1p-24f));
    return kb_from_bits(sign | ((magnitude << 13) + ((127u - 15u) << 23)));
}

KB_INLINE uint16_t kb_f32_to_f16(float value) {
    uint32_t bits = kb_bits(value);
    uint32_t sign = (bits >> 16) & 0x8000u;
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and up round to inf */
    if (magnitude < 0x38800000u) {
        /* Adding 0.5 puts the last bit of a subnormal half at the last bit of the sum's mantissa,
         * so that the addition itself rounds to nearest even. */
        uint32_t rounded = kb_bits(kb_from_bits(magnitude) + 0.5f) - kb_bits(0.5f);
        return (uint16_t)(sign | rounded);
    }
    uint32_t even = (magnitude >> 13) & 1u;
    return (uint16_t)(sign | ((magnitude - ((127u - 15u) << 23) + 0xfffu + even) >> 13));
}

KB_INLINE float kb_load(const void *base, int64_t index, kb_dtype type) {
    if (type == KB_F32) return ((const float *)base)[index];
    uint16_t half = ((const uint16_t *)base)[index];
    return type == KB_BF16 ? kb_bf16_to_f32(half) : kb_f16_to_f32(half);
}

KB_INLINE void kb_store(void *base, int64_t index, kb_dtype type, float value) {
    if (type == KB_F32)
        ((float *)base)[index] = value;
    else
        ((uint16_t *)base)[index] = type == KB_BF16 ? kb_f32_to_bf16(value) : kb_f32_to_f16(value);
}

/* The value that is left after storing it as `type`. */
KB_INLINE float kb_round_to(float value, kb_dtype type) {
    if (type == KB_F32) return value;
    return type == KB_BF16 ? kb_bf16_to_f32(kb_f32_to_bf16(value))
                           : kb_f16_to_f32(kb_f32_to_f16(value));
}

#endif
