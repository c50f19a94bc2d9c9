/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that a parser reads here and there: a file's, or those in memory. */
#ifndef KNI_CODEC_INPUT_H
#define KNI_CODEC_INPUT_H

#include <kernels/common.h>

typedef struct kni_input {
    void *ctx;
    uint64_t size;
    /* `length` bytes from `offset` on, all of which lie within `size`. */
    kn_status (*get)(void *ctx, uint64_t offset, void *out, size_t length, kn_error *err);
} kni_input;

/* Whether `length` bytes from `offset` on lie within the input. */
static inline bool kni_input_has(const kni_input *input, uint64_t offset, uint64_t length) {
    return offset <= input->size && length <= input->size - offset;
}

/* Numbers as little-endian formats store them. */
static inline uint16_t kni_little16(const unsigned char *at) {
    return (uint16_t)(at[0] | (unsigned)at[1] << 8);
}

static inline uint32_t kni_little32(const unsigned char *at) {
    return kni_little16(at) | (uint32_t)kni_little16(at + 2) << 16;
}

static inline uint64_t kni_little64(const unsigned char *at) {
    return kni_little32(at) | (uint64_t)kni_little32(at + 4) << 32;
}

#endif
