/* SPDX-License-Identifier: Apache-2.0 */
#include "mlp_run.h"

enum {
    /* So many rows and outputs of gate and up lie on the stack until they are multiplied. */
    ROW_BLOCK = 4,
    OUTPUT_BLOCK = 32
};

static const mlp_table *active_table(void) { return mlp_table_get(kb_isa_active()); }

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Outputs from `first` on of this matrix, for rows from `row` on. */
static mlp_product product_of(const mlp_job *job, const mlp_matrix *matrix, int64_t row,
                              int64_t first) {
    mlp_product product = {.type = job->type, .width = job->width};
    product.x_stride = product.weight_stride = job->width;
    product.x = kb_at(job->x, row * job->width, job->type);
    product.weight = kb_at(matrix->weight, first * job->width, job->type);
    if (matrix->bias) product.bias = kb_at(matrix->bias, first, job->type);
    return product;
}

/* What each step leaves is rounded, as separate torch calls would do it. */
static void hidden_block(const mlp_job *job, int64_t row, int64_t first) {
    float gate[ROW_BLOCK * OUTPUT_BLOCK], up[ROW_BLOCK * OUTPUT_BLOCK]; /* of job->type */
    int64_t rows = least(ROW_BLOCK, job->rows - row);
    int64_t outputs = least(OUTPUT_BLOCK, job->hidden_width - first);
    const mlp_matrix *matrices[] = {&job->gate, &job->up};
    void *results[] = {gate, up};
    for (int i = 0; i < 2; i++) {
        mlp_product product = product_of(job, matrices[i], row, first);
        product.rows = rows;
        product.out = results[i];
        product.out_stride = OUTPUT_BLOCK;
        active_table()->multiply(&product, 0, outputs);
    }
    activation_job gated = {.kind = job->kind, .type = job->type, .x = gate, .factor = up};
    gated.width = outputs;
    gated.x_stride = gated.factor_stride = OUTPUT_BLOCK;
    gated.out = kb_at_mut(job->hidden, row * job->hidden_width + first, job->type);
    gated.out_stride = job->hidden_width;
    activation_table_get(kb_isa_active())->gated_forward(&gated, 0, rows);
}

int64_t mlp_hidden_units(const mlp_job *job) {
    return (job->hidden_width + OUTPUT_BLOCK - 1) / OUTPUT_BLOCK;
}

int64_t mlp_hidden_cost(const mlp_job *job) { return job->width * job->rows * 2 * OUTPUT_BLOCK; }

void mlp_hidden_range(int64_t begin, int64_t end, void *context) {
    const mlp_job *job = context;
    for (int64_t block = begin; block < end; block++)
        for (int64_t row = 0; row < job->rows; row += ROW_BLOCK)
            hidden_block(job, row, block * OUTPUT_BLOCK);
}

int64_t mlp_out_units(const mlp_job *job) { return job->out_width; }

int64_t mlp_out_cost(const mlp_job *job) { return job->hidden_width * job->rows; }

void mlp_out_range(int64_t begin, int64_t end, void *context) {
    const mlp_job *job = context;
    mlp_product product = {
        .type = job->type,
        .x = job->hidden,
        .weight = job->down.weight,
        .bias = job->down.bias,
        .out = job->out,
        .rows = job->rows,
        .width = job->hidden_width,
        .x_stride = job->hidden_width,
        .weight_stride = job->hidden_width,
        .out_stride = job->out_width,
    };
    active_table()->multiply(&product, begin, end);
}
