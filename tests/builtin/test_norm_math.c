/* SPDX-License-Identifier: Apache-2.0 */
#include "math_support.h"
#include "norm_math.h"

enum { ROWS = 3 };

/* One input with its gradient, and the same in double. */
typedef struct sample {
    norm_job job;
    void *x, *weight, *bias, *grad, *out;
    float *weight_sum, *bias_sum;
} sample;

static sample sample_new(int64_t width, kb_dtype x_type, kb_dtype param_type, kb_dtype y_type) {
    sample s = {0};
    int64_t stride = width + 3; /* rows with a gap */
    s.x = buffer_random((ROWS - 1) * stride + width, x_type, 1);
    s.grad = buffer_random((ROWS - 1) * stride + width, y_type, 2);
    s.weight = buffer_random(width, param_type, 3);
    s.bias = buffer_random(width, param_type, 4);
    s.out = buffer_new(ROWS * width, KB_F32);
    s.weight_sum = calloc((size_t)width, sizeof *s.weight_sum);
    s.bias_sum = calloc((size_t)width, sizeof *s.bias_sum);
    assert_true(s.weight_sum && s.bias_sum);
    s.job = (norm_job){.x = s.x, .weight = s.weight, .bias = s.bias, .grad = s.grad, .out = s.out};
    s.job.width = width;
    s.job.x_stride = s.job.grad_stride = stride;
    s.job.eps = 1e-5f;
    s.job.x_type = x_type;
    s.job.param_type = param_type;
    s.job.y_type = y_type;
    return s;
}

static void sample_clear(sample *s) {
    free(s->x);
    free(s->grad);
    free(s->weight);
    free(s->bias);
    free(s->out);
    free(s->weight_sum);
    free(s->bias_sum);
}

typedef struct row_facts {
    double mean, scale;
} row_facts;

static double x_at(const sample *s, int64_t row, int64_t i) {
    return (double)kb_load(s->x, row * s->job.x_stride + i, s->job.x_type);
}

static double grad_at(const sample *s, int64_t row, int64_t i) {
    return (double)kb_load(s->grad, row * s->job.grad_stride + i, s->job.y_type);
}

static double weight_at(const sample *s, int64_t i) {
    return s->job.weight ? (double)kb_load(s->weight, i, s->job.param_type) : 1.0;
}

static row_facts facts_of(const sample *s, int64_t row, bool centered) {
    row_facts facts = {0};
    double squares = 0.0;
    for (int64_t i = 0; centered && i < s->job.width; i++) facts.mean += x_at(s, row, i);
    facts.mean /= (double)s->job.width;
    for (int64_t i = 0; i < s->job.width; i++)
        squares += (x_at(s, row, i) - facts.mean) * (x_at(s, row, i) - facts.mean);
    facts.scale = 1.0 / sqrt(squares / (double)s->job.width + 1e-5);
    return facts;
}

static void check_forward(const sample *s, bool centered) {
    for (int64_t row = 0; row < ROWS; row++) {
        row_facts facts = facts_of(s, row, centered);
        for (int64_t i = 0; i < s->job.width; i++) {
            double expected = (x_at(s, row, i) - facts.mean) * facts.scale * weight_at(s, i);
            if (s->job.bias) expected += (double)kb_load(s->bias, i, s->job.param_type);
            double y = (double)kb_load(s->out, row * s->job.width + i, s->job.y_type);
            double unit = unit_of(s->job.cast_first ? s->job.x_type : s->job.y_type);
            assert_close(y, expected, s->job.cast_first ? 2.5 * unit : 3.0 * unit);
        }
    }
}

static void check_backward(const sample *s, bool centered) {
    int64_t width = s->job.width;
    double *dw = calloc((size_t)width, sizeof *dw), *db = calloc((size_t)width, sizeof *db);
    assert_true(dw && db);
    for (int64_t row = 0; row < ROWS; row++) {
        row_facts facts = facts_of(s, row, centered);
        double d_mean = 0.0, dh_mean = 0.0;
        for (int64_t i = 0; i < width; i++) {
            double h = (x_at(s, row, i) - facts.mean) * facts.scale;
            double d = grad_at(s, row, i) * weight_at(s, i);
            d_mean += centered ? d / (double)width : 0.0;
            dh_mean += d * h / (double)width;
            dw[i] += grad_at(s, row, i) * h;
            db[i] += grad_at(s, row, i);
        }
        for (int64_t i = 0; i < width; i++) {
            double h = (x_at(s, row, i) - facts.mean) * facts.scale;
            double d = grad_at(s, row, i) * weight_at(s, i);
            double expected = facts.scale * (d - d_mean - h * dh_mean);
            double dx = (double)kb_load(s->out, row * width + i, s->job.x_type);
            /* a width of 1 or 2 leaves a difference of nearly equal terms, times a large scale */
            double slack = (fabs(d) + fabs(d_mean) + fabs(h * dh_mean)) * facts.scale * 4e-6;
            assert_close(dx, expected, 2.0 * unit_of(s->job.x_type) + slack);
        }
    }
    for (int64_t i = 0; i < width; i++) {
        assert_close((double)s->weight_sum[i], dw[i], 2e-5);
        assert_close((double)s->bias_sum[i], db[i], 1e-5);
    }
    free(dw);
    free(db);
}

typedef void (*sample_test)(const norm_table *table, sample *s);

static void for_all_samples(const norm_table *table, sample_test test) {
    for (int w = 0; w < WIDTH_COUNT; w++) {
        for (int t = 0; t < TYPE_COUNT; t++) {
            kb_dtype type = all_types[t];
            sample same = sample_new(all_widths[w], type, type, type);
            test(table, &same);
            sample_clear(&same);
            sample mixed = sample_new(all_widths[w], type, KB_F32, type);
            test(table, &mixed);
            sample_clear(&mixed);
            sample wide = sample_new(all_widths[w], type, KB_F32, KB_F32);
            test(table, &wide);
            sample_clear(&wide);
        }
    }
}

static void rms_forward_case(const norm_table *table, sample *s) {
    s->job.bias = NULL;
    table->rms_forward(&s->job, 0, ROWS);
    check_forward(s, false);
    s->job.cast_first = true;
    table->rms_forward(&s->job, 0, ROWS);
    check_forward(s, false);
    s->job.cast_first = false;
    s->job.weight = NULL;
    table->rms_forward(&s->job, 0, ROWS);
    check_forward(s, false);
}

static void layer_forward_case(const norm_table *table, sample *s) {
    table->layer_forward(&s->job, 0, ROWS);
    check_forward(s, true);
    s->job.bias = NULL;
    table->layer_forward(&s->job, 0, 1);
    table->layer_forward(&s->job, 1, ROWS);
    check_forward(s, true);
}

static void backward_case(const norm_table *table, sample *s, bool centered) {
    norm_rows kernel = centered ? table->layer_backward : table->rms_backward;
    kernel(&s->job, 0, ROWS); /* no sums wanted */
    s->job.weight_sum = s->weight_sum;
    s->job.bias_sum = s->bias_sum;
    kernel(&s->job, 0, 2); /* the sums are added to */
    kernel(&s->job, 2, ROWS);
    check_backward(s, centered);
}

static void rms_backward_case(const norm_table *table, sample *s) {
    backward_case(table, s, false);
}

static void layer_backward_case(const norm_table *table, sample *s) {
    backward_case(table, s, true);
}

/* x + residual is what comes out as the sum, and what is normalized. */
static void fused_add_case(const norm_table *table, sample *s, bool centered) {
    int64_t width = s->job.width, stride = s->job.x_stride;
    kb_dtype type = s->job.x_type;
    void *residual = buffer_random((ROWS - 1) * stride + width, type, 11);
    void *sum = buffer_new(ROWS * width, type);
    s->job.residual = residual;
    s->job.residual_stride = stride;
    s->job.sum = sum;
    if (!centered) s->job.bias = NULL;
    (centered ? table->layer_forward : table->rms_forward)(&s->job, 0, ROWS);
    for (int64_t row = 0; row < ROWS; row++)
        for (int64_t i = 0; i < width; i++) {
            double expected = x_at(s, row, i) + (double)kb_load(residual, row * stride + i, type);
            assert_close((double)kb_load(sum, row * width + i, type), expected, unit_of(type));
        }
    free(s->x);
    s->x = sum; /* what is now expected to be the normalized input */
    s->job.x_stride = width;
    check_forward(s, centered);
    free(residual);
}

static void fused_add_rms_case(const norm_table *table, sample *s) {
    fused_add_case(table, s, false);
}

static void fused_add_layer_case(const norm_table *table, sample *s) {
    fused_add_case(table, s, true);
}

static double sigmoid64(double x) { return 1.0 / (1.0 + exp(-x)); }

/* The gate multiplies what comes out without it; its gradient is that times the activation's. */
static void gated_case(const norm_table *table, sample *s) {
    int64_t width = s->job.width, stride = s->job.x_stride;
    kb_dtype type = s->job.x_type;
    if (s->job.y_type != type) return;
    void *gate = buffer_random((ROWS - 1) * stride + width, type, 12);
    void *gate_out = buffer_new(ROWS * width, type);
    float *plain = buffer_new(ROWS * width, KB_F32);
    s->job.bias = NULL;
    table->rms_forward(&s->job, 0, ROWS);
    for (int64_t i = 0; i < ROWS * width; i++) plain[i] = kb_load(s->out, i, type);
    s->job.gate = gate;
    s->job.gate_stride = stride;
    s->job.gate_out = gate_out;
    for (int kind = NORM_GATE_SILU; kind <= NORM_GATE_SIGMOID; kind++) {
        s->job.gate_kind = (norm_gate)kind;
        for (int backward = 0; backward < 2; backward++) {
            (backward ? table->rms_backward : table->rms_forward)(&s->job, 0, ROWS);
            for (int64_t at = 0; at < ROWS * width; at++) {
                double g = (double)kb_load(gate, at / width * stride + at % width, type);
                double value = kind == NORM_GATE_SILU ? g * sigmoid64(g) : sigmoid64(g);
                double rise = sigmoid64(g) * (1.0 - sigmoid64(g));
                double slope = kind == NORM_GATE_SILU ? sigmoid64(g) + g * rise : rise;
                double y = (double)plain[at];
                double expected =
                    backward ? grad_at(s, at / width, at % width) * y * slope : y * value;
                double found = (double)kb_load(backward ? gate_out : s->out, at, type);
                assert_close(found, expected, 4.0 * unit_of(type));
            }
        }
    }
    free(gate);
    free(gate_out);
    free(plain);
}

static void sum_grad_case(const norm_table *table, sample *s) {
    int64_t width = s->job.width;
    kb_dtype type = s->job.x_type;
    void *sum_grad = buffer_random(ROWS * width, type, 13);
    float *plain = buffer_new(ROWS * width, KB_F32);
    table->rms_backward(&s->job, 0, ROWS);
    for (int64_t i = 0; i < ROWS * width; i++) plain[i] = kb_load(s->out, i, type);
    s->job.sum_grad = sum_grad;
    s->job.sum_grad_stride = width;
    table->rms_backward(&s->job, 0, ROWS);
    for (int64_t i = 0; i < ROWS * width; i++) {
        double expected = (double)plain[i] + (double)kb_load(sum_grad, i, type);
        assert_close((double)kb_load(s->out, i, type), expected, 3.0 * unit_of(type));
    }
    free(sum_grad);
    free(plain);
}

/* Streamed results are the same bits. */
static void stream_case(const norm_table *table, sample *s) {
    int64_t width = s->job.width, bytes = ROWS * width * kb_dtype_size(s->job.y_type);
    void *plain = buffer_aligned(ROWS * width, KB_F32),
         *streamed = buffer_aligned(ROWS * width, KB_F32);
    s->job.out = plain;
    table->layer_forward(&s->job, 0, ROWS);
    s->job.out = streamed;
    s->job.stream = true;
    table->layer_forward(&s->job, 0, ROWS);
    assert_memory_equal(plain, streamed, (size_t)bytes);
    free(plain);
    free(streamed);
}

static void for_all_tables(sample_test test) {
    for (int isa = 0; isa < KB_ISA_COUNT; isa++)
        if (kb_isa_is_available((kb_isa)isa)) for_all_samples(norm_table_get((kb_isa)isa), test);
}

static void test_rms_forward_agrees_with_double(void **state) {
    (void)state;
    for_all_tables(rms_forward_case);
}

static void test_layer_forward_agrees_with_double(void **state) {
    (void)state;
    for_all_tables(layer_forward_case);
}

static void test_rms_backward_agrees_with_double(void **state) {
    (void)state;
    for_all_tables(rms_backward_case);
}

static void test_layer_backward_agrees_with_double(void **state) {
    (void)state;
    for_all_tables(layer_backward_case);
}

static void test_fused_addition_gives_the_sum_and_its_norm(void **state) {
    (void)state;
    for_all_tables(fused_add_rms_case);
    for_all_tables(fused_add_layer_case);
}

static void test_gate_multiplies_and_has_a_gradient(void **state) {
    (void)state;
    for_all_tables(gated_case);
}

static void test_gradient_of_the_sum_is_added(void **state) {
    (void)state;
    for_all_tables(sum_grad_case);
}

static void test_streamed_results_are_the_same(void **state) {
    (void)state;
    for_all_tables(stream_case);
}

/* A difference of squares would lose the variance here, a single shift by the first element, too.
 */
static void far_row_of_isa(kb_isa isa) {
    enum { WIDTH = 1000 };
    float *x = buffer_random(WIDTH, KB_F32, 14), *out = buffer_new(WIDTH, KB_F32);
    double mean = 0.0, squares = 0.0;
    for (int64_t i = 0; i < WIDTH; i++) x[i] += 1000.0f;
    x[0] = 0.0f;
    for (int64_t i = 0; i < WIDTH; i++) mean += (double)x[i] / WIDTH;
    for (int64_t i = 0; i < WIDTH; i++)
        squares += ((double)x[i] - mean) * ((double)x[i] - mean) / WIDTH;
    norm_job job = {.x = x, .out = out, .width = WIDTH, .x_stride = WIDTH};
    norm_table_get(isa)->layer_forward(&job, 0, 1);
    for (int64_t i = 0; i < WIDTH; i++)
        assert_close((double)out[i], ((double)x[i] - mean) / sqrt(squares), 1e-5);
    free(x);
    free(out);
}

static void test_a_row_far_from_zero_keeps_its_variance(void **state) {
    (void)state;
    for_each_isa(far_row_of_isa);
}

static void test_no_rows_touch_nothing(void **state) {
    (void)state;
    norm_job job = {.width = 8};
    norm_table_get(KB_ISA_SERIAL)->layer_backward(&job, 0, 0);
    norm_table_get(kb_isa_active())->layer_forward(&job, 0, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rms_forward_agrees_with_double),
        cmocka_unit_test(test_layer_forward_agrees_with_double),
        cmocka_unit_test(test_rms_backward_agrees_with_double),
        cmocka_unit_test(test_layer_backward_agrees_with_double),
        cmocka_unit_test(test_fused_addition_gives_the_sum_and_its_norm),
        cmocka_unit_test(test_gate_multiplies_and_has_a_gradient),
        cmocka_unit_test(test_gradient_of_the_sum_is_added),
        cmocka_unit_test(test_streamed_results_are_the_same),
        cmocka_unit_test(test_a_row_far_from_zero_keeps_its_variance),
        cmocka_unit_test(test_no_rows_touch_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
