/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MLP_RUN_H
#define MLP_RUN_H

/* A gated MLP for a few rows, y = down(activation(gate(x)) * up(x)), and its division among
 * threads. */
#include "activation_math.h"
#include "mlp_math.h"

typedef struct mlp_matrix {
    const void *weight; /* contiguous: a row for each output */
    const void *bias;   /* or NULL */
} mlp_matrix;

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

/* What kb_parallel is called with, first for `hidden` and then for `out`, whose context is the job.
 */
int64_t mlp_hidden_units(const mlp_job *job);
int64_t mlp_hidden_cost(const mlp_job *job);
void mlp_hidden_range(int64_t begin, int64_t end, void *context);

int64_t mlp_out_units(const mlp_job *job);
int64_t mlp_out_cost(const mlp_job *job);
void mlp_out_range(int64_t begin, int64_t end, void *context);

#endif
