/* SPDX-License-Identifier: Apache-2.0 */
#include "math_support.h"
#include "mlp_run.h"

enum { ROWS = 5, OUTPUTS = 6 };

/* Sums are off by a few ulps of what they add up, and the result is rounded once. */
static void check_product(const mlp_product *p, int64_t row, int64_t output) {
    double sum = 0.0, total = 0.0;
    for (int64_t k = 0; k < p->width; k++) {
        double term = (double)kb_load(p->x, row * p->x_stride + k, p->type);
        term *= (double)kb_load(p->weight, output * p->weight_stride + k, p->type);
        sum += term;
        total += fabs(term);
    }
    if (p->bias) sum += (double)kb_load(p->bias, output, p->type);
    double found = (double)kb_load(p->out, row * p->out_stride + output, p->type);
    double limit = unit_of(p->type) * fabs(sum) + 1e-6 * (1.0 + total);
    if (fabs(found - sum) > limit) fail_msg("%.9g instead of %.9g", found, sum);
}

static void product_case(const mlp_table *table, int64_t rows, int64_t width, kb_dtype type,
                         bool has_bias) {
    mlp_product p = {.type = type, .rows = rows, .width = width};
    p.x_stride = width + 1; /* so that no second row is aligned */
    p.weight_stride = width + 3;
    p.out_stride = OUTPUTS + 2;
    void *x = buffer_random((rows - 1) * p.x_stride + width, type, 1);
    void *weight = buffer_random((OUTPUTS - 1) * p.weight_stride + width, type, 2);
    void *bias = buffer_random(OUTPUTS, type, 3);
    void *out = buffer_new((rows - 1) * p.out_stride + OUTPUTS, type), *one = buffer_new(1, type);
    p.x = x;
    p.weight = weight;
    p.bias = has_bias ? bias : NULL;
    p.out = out;
    table->multiply(&p, 0, 2);
    table->multiply(&p, 2, OUTPUTS);
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t output = 0; output < OUTPUTS; output++) check_product(&p, row, output);
        mlp_product alone = p;
        alone.rows = 1;
        alone.x = kb_at(x, row * p.x_stride, type);
        alone.weight = kb_at(weight, p.weight_stride, type);
        alone.bias = has_bias ? kb_at(bias, 1, type) : NULL;
        alone.out = one;
        table->multiply(&alone, 0, 1);
        assert_memory_equal(one, kb_at(out, row * p.out_stride + 1, type),
                            (size_t)kb_dtype_size(type));
    }
    free(x);
    free(weight);
    free(bias);
    free(out);
    free(one);
}

static void products_of_isa(kb_isa isa) {
    for (int w = 0; w < WIDTH_COUNT; w++)
        for (int t = 0; t < TYPE_COUNT; t++)
            for (int64_t rows = 1; rows <= ROWS; rows++)
                product_case(mlp_table_get(isa), rows, all_widths[w], all_types[t], rows % 2 == 0);
}

static void test_products_agree_with_float64_and_do_not_depend_on_other_rows(void **state) {
    (void)state;
    for_each_isa(products_of_isa);
}

static void test_rows_without_elements_give_the_bias(void **state) {
    (void)state;
    const float bias[2] = {3.0f, -0.5f};
    float out[2] = {0};
    mlp_product p = {.type = KB_F32, .rows = 1, .bias = bias, .out = out, .out_stride = 2};
    for (int isa = 0; isa < KB_ISA_COUNT; isa++) {
        if (!kb_isa_is_available((kb_isa)isa)) continue;
        memset(out, 0, sizeof out);
        mlp_table_get((kb_isa)isa)->multiply(&p, 0, 2);
        assert_true(out[0] == 3.0f && out[1] == -0.5f);
    }
}

/* More rows and hidden elements than go through the stack at a time, and not a multiple of them. */
enum { MLP_ROWS = 6, WIDTH = 33, HIDDEN = 71, OUT = 5 };

static double product64(const void *x, int64_t row, int64_t width, const mlp_matrix *m, int64_t j,
                        kb_dtype type) {
    double sum = (double)kb_load(m->bias, j, type);
    for (int64_t k = 0; k < width; k++)
        sum += (double)kb_load(x, row * width + k, type) *
               (double)kb_load(m->weight, j * width + k, type);
    return sum;
}

static double activate64(double x, activation_kind kind) {
    if (kind == ACTIVATION_SILU) return x / (1.0 + exp(-x));
    if (kind == ACTIVATION_GELU) return 0.5 * x * erfc(-x / sqrt(2.0));
    return 0.5 * x * (1.0 + tanh(sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
}

static mlp_matrix matrix_random(int64_t outputs, int64_t width, kb_dtype type, uint32_t seed) {
    float *weight = buffer_random(outputs * width, KB_F32, seed);
    void *small = buffer_new(outputs * width, type);
    for (int64_t i = 0; i < outputs * width; i++)
        kb_store(small, i, type, weight[i] / (float)width); /* so that results are about 1 */
    free(weight);
    return (mlp_matrix){small, buffer_random(outputs, type, seed + 1)};
}

static void matrix_free(const mlp_matrix *matrix) {
    free((void *)(uintptr_t)matrix->weight);
    free((void *)(uintptr_t)matrix->bias);
}

/* Each stage from what the one before has left. */
static void check_mlp(const mlp_job *job) {
    kb_dtype type = job->type;
    for (int64_t row = 0; row < MLP_ROWS; row++) {
        for (int64_t j = 0; j < HIDDEN; j++) {
            double gate = product64(job->x, row, WIDTH, &job->gate, j, type);
            double up = product64(job->x, row, WIDTH, &job->up, j, type);
            double found = (double)kb_load(job->hidden, row * HIDDEN + j, type);
            double limit = 4.0 * unit_of(type) * (1.0 + fabs(gate)) * (1.0 + fabs(up));
            double expected = activate64(gate, job->kind) * up;
            if (fabs(found - expected) > limit) fail_msg("%.9g for %.9g", found, expected);
        }
        for (int64_t j = 0; j < OUT; j++)
            assert_close((double)kb_load(job->out, row * OUT + j, type),
                         product64(job->hidden, row, HIDDEN, &job->down, j, type),
                         2.0 * unit_of(type));
    }
}

static void mlp_case(kb_dtype type, activation_kind kind) {
    mlp_job job = {.kind = kind, .type = type, .rows = MLP_ROWS, .width = WIDTH};
    job.hidden_width = HIDDEN;
    job.out_width = OUT;
    void *x = buffer_random(MLP_ROWS * WIDTH, type, 4);
    job.x = x;
    job.gate = matrix_random(HIDDEN, WIDTH, type, 5);
    job.up = matrix_random(HIDDEN, WIDTH, type, 7);
    job.down = matrix_random(OUT, HIDDEN, type, 9);
    job.hidden = buffer_new(MLP_ROWS * HIDDEN, type);
    job.out = buffer_new(MLP_ROWS * OUT, type);
    assert_int_equal(mlp_hidden_units(&job), 3);
    mlp_hidden_range(2, 3, &job);
    mlp_hidden_range(0, 2, &job);
    mlp_product out = mlp_out_product(&job);
    assert_int_equal(mlp_product_cost(&out), MLP_ROWS * HIDDEN);
    mlp_product_range(2, OUT, &out);
    mlp_product_range(0, 2, &out);
    check_mlp(&job);
    free(x);
    free(job.hidden);
    free(job.out);
    matrix_free(&job.gate);
    matrix_free(&job.up);
    matrix_free(&job.down);
}

static void mlps_of_isa(kb_isa isa) {
    kb_isa before = kb_isa_active();
    kb_isa_select(isa);
    for (int t = 0; t < TYPE_COUNT; t++) {
        mlp_case(all_types[t], ACTIVATION_SILU);
        mlp_case(all_types[t], ACTIVATION_GELU);
        mlp_case(all_types[t], ACTIVATION_GELU_TANH);
    }
    kb_isa_select(before);
}

static void test_both_stages_agree_with_float64(void **state) {
    (void)state;
    for_each_isa(mlps_of_isa);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products_agree_with_float64_and_do_not_depend_on_other_rows),
        cmocka_unit_test(test_rows_without_elements_give_the_bias),
        cmocka_unit_test(test_both_stages_agree_with_float64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
