/* SPDX-License-Identifier: Apache-2.0 */
#include "mlp_run.h"

enum {
    /* So many rows and outputs of gate and up lie on the stack until they are multiplied. */
    ROW_BLOCK = 4,
    OUTPUT_BLOCK = 32
};

static const mlp_table *active_table(void) { return mlp_table_get(kb_isa_active()); }

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

mlp_product mlp_product_of(kb_dtype type, const void *x, int64_t rows, int64_t width,
                           const mlp_matrix *matrix, int64_t outputs, void *out) {
    return (mlp_product){
        .type = type,
        .x = x,
        .weight = matrix->weight,
        .bias = matrix->bias,
        .out = out,
        .rows = rows,
        .width = width,
        .x_stride = width,
        .weight_stride = width,
        .out_stride = outputs,
    };
}

int64_t mlp_product_cost(const mlp_product *product) { return product->width * product->rows; }

void mlp_product_range(int64_t begin, int64_t end, void *context) {
    active_table()->multiply(context, begin, end);
}

/* The matrix from its output `first` on. */
static mlp_matrix matrix_from(const mlp_job *job, const mlp_matrix *matrix, int64_t first) {
    return (mlp_matrix){
        .weight = kb_at(matrix->weight, first * job->width, job->type),
        .bias = matrix->bias ? kb_at(matrix->bias, first, job->type) : NULL,
    };
}

/* What each step leaves is rounded, as separate torch calls would do it. */
static void hidden_block(const mlp_job *job, int64_t row, int64_t first) {
    float gate[ROW_BLOCK * OUTPUT_BLOCK], up[ROW_BLOCK * OUTPUT_BLOCK]; /* of job->type */
    int64_t rows = least(ROW_BLOCK, job->rows - row);
    int64_t outputs = least(OUTPUT_BLOCK, job->hidden_width - first);
    const void *x = kb_at(job->x, row * job->width, job->type);
    const mlp_matrix *matrices[] = {&job->gate, &job->up};
    void *results[] = {gate, up};
    for (int i = 0; i < 2; i++) {
        mlp_matrix matrix = matrix_from(job, matrices[i], first);
        mlp_product product =
            mlp_product_of(job->type, x, rows, job->width, &matrix, OUTPUT_BLOCK, results[i]);
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

mlp_product mlp_out_product(const mlp_job *job) {
    return mlp_product_of(job->type, job->hidden, job->rows, job->hidden_width, &job->down,
                          job->out_width, job->out);
}
