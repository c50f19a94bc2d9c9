/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MLP_MATH_H
#define MLP_MATH_H

#include "kb_isa.h"
#include "kb_scalar.h"

/*
 * A few rows times a matrix: out[r][j] = bias[j] + the sum over k of x[r][k] * weight[j][k]. Row r
 * of x begins at element r * x_stride, and so on. All tensors have one type; sums are float32.
 */
typedef struct mlp_product {
    kb_dtype type;
    const void *x;
    const void *weight;
    const void *bias; /* or NULL */
    void *out;
    int64_t rows;
    int64_t width; /* elements of a row of x, and of weight */
    int64_t x_stride;
    int64_t weight_stride;
    int64_t out_stride;
} mlp_product;

/*
 * Outputs j from `begin` to `end` of every row. Each row of the matrix is read from memory once.
 * What is computed for one output depends on nothing but its two rows, so that any division among
 * threads and any number of rows give the same bits. Thread-safe for disjoint ranges.
 */
typedef void (*mlp_outputs)(const mlp_product *product, int64_t begin, int64_t end);

typedef struct mlp_table {
    mlp_outputs multiply;
} mlp_table;

extern const mlp_table mlp_serial;
extern const mlp_table mlp_avx2; /* these only where KB_HAS_X86 is defined */
extern const mlp_table mlp_avx512;
extern const mlp_table mlp_avx512_bf16;

/* The table for an available instruction set. */
const mlp_table *mlp_table_get(kb_isa isa);

#endif
