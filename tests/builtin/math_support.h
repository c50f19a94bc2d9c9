/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MATH_SUPPORT_H
#define MATH_SUPPORT_H

/* Buffers that end exactly where the tensor does, so that ASan sees a read or write beyond. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kb_isa.h"
#include "kb_scalar.h"

static const kb_dtype all_types[] = {KB_F32, KB_BF16, KB_F16};
static const int64_t all_widths[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 257};

enum { TYPE_COUNT = 3, WIDTH_COUNT = sizeof all_widths / sizeof all_widths[0] };

/* Half an ulp at 1, a little more for what float32 arithmetic adds. */
static inline double unit_of(kb_dtype type) {
    return type == KB_F32 ? 1e-6 : type == KB_BF16 ? 4.2e-3 : 5.3e-4;
}

static inline void *buffer_new(int64_t count, kb_dtype type) {
    void *buffer = malloc((size_t)(count * kb_dtype_size(type)));
    assert_non_null(buffer);
    return buffer;
}

/* The same numbers on every run: -4 to 4. */
static inline void *buffer_random(int64_t count, kb_dtype type, uint32_t seed) {
    void *buffer = buffer_new(count, type);
    uint32_t state = seed * 2654435761u + 1u;
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        kb_store(buffer, i, type, (float)(state >> 8) / (float)(1 << 21) - 4.0f);
    }
    return buffer;
}

/* Buffers of which outputs may be streamed, and one that may not. */
static inline void *buffer_aligned(int64_t count, kb_dtype type) {
    size_t bytes = (size_t)(count * kb_dtype_size(type));
    void *buffer = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_non_null(buffer);
    return buffer;
}

typedef void (*isa_test)(kb_isa isa);

/* Runs the test with each instruction set of this CPU. */
static inline void for_each_isa(isa_test test) {
    for (int isa = 0; isa < KB_ISA_COUNT; isa++)
        if (kb_isa_is_available((kb_isa)isa)) test((kb_isa)isa);
}

static inline void assert_close(double value, double expected, double tolerance) {
    double error = fabs(value - expected), limit = tolerance * (1.0 + fabs(expected));
    if (error <= limit) return;
    fail_msg("%.9g instead of %.9g, off by %.3g, allowed %.3g", value, expected, error, limit);
}

#endif
