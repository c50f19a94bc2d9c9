/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MLP_RUN_H
#define MLP_RUN_H

/* Products of a few rows, and a gated MLP of them, y = down(activation(gate(x)) * up(x)), with
 * their division among threads. */
#include "activation_math.h"
#include "mlp_math.h"

typedef struct mlp_matrix {
    const void *weight; /* contiguous: a row for each output */
    const void *bias;   /* or NULL */
} mlp_matrix;

/* The product of contiguous rows: `rows` x `width` of x become `rows` x `outputs` of out. */
mlp_product mlp_product_of(kb_dtype type, const void *x, int64_t rows, int64_t width,
                           const mlp_matrix *matrix, int64_t outputs, void *out);

/* What kb_parallel is called with for the outputs of a product, which is the context. */
int64_t mlp_product_cost(const mlp_product *product);
void mlp_product_range(int64_t begin, int64_t end, void *context);

/* All tensors are contiguous and of one type. */
typedef struct mlp_job {
    activation_kind kind;
    kb_dtype type;
    const void *x; /* rows x width */
    mlp_matrix gate, up, down;
    void *hidden; /* rows x hidden_width: activation(gate(x)) * up(x) */
    void *out;    /* rows x out_width */
    int64_t rows, width, hidden_width, out_width;
} mlp_job;

/* What kb_parallel is called with for `hidden`, whose context is the job. */
int64_t mlp_hidden_units(const mlp_job *job);
int64_t mlp_hidden_cost(const mlp_job *job);
void mlp_hidden_range(int64_t begin, int64_t end, void *context);

/* And then `out`. */
mlp_product mlp_out_product(const mlp_job *job);

#endif
