/* SPDX-License-Identifier: Apache-2.0 */
#include "activation_math.h"
#include "math_support.h"

static double sigmoid64(double x) { return 1.0 / (1.0 + exp(-x)); }

static double cdf64(double x) { return 0.5 * erfc(-x / sqrt(2.0)); }

static double tanh_inner64(double x) { return sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x); }

static double activate64(double x, activation_kind kind) {
    if (kind == ACTIVATION_SILU) return x * sigmoid64(x);
    if (kind == ACTIVATION_QUICK_GELU) return x * sigmoid64(1.702 * x);
    if (kind == ACTIVATION_GELU) return x * cdf64(x);
    return x * sigmoid64(2.0 * tanh_inner64(x)); /* x / 2 (1 + tanh), but exact to the left, too */
}

static double derivative64(double x, activation_kind kind) {
    if (kind == ACTIVATION_SILU) return sigmoid64(x) * (1.0 + x * (1.0 - sigmoid64(x)));
    if (kind == ACTIVATION_QUICK_GELU)
        return sigmoid64(1.702 * x) * (1.0 + 1.702 * x * (1.0 - sigmoid64(1.702 * x)));
    if (kind == ACTIVATION_GELU) return cdf64(x) + x * exp(-0.5 * x * x) / sqrt(2.0 * M_PI);
    double t = tanh(tanh_inner64(x));
    double slope = sqrt(2.0 / M_PI) * (1.0 + 3.0 * 0.044715 * x * x);
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope;
}

typedef void (*table_test)(const activation_table *table, int64_t width, kb_dtype type);

static void for_all(table_test test) {
    for (int isa = 0; isa < KB_ISA_COUNT; isa++) {
        if (!kb_isa_is_available((kb_isa)isa)) continue;
        for (int w = 0; w < WIDTH_COUNT; w++)
            for (int t = 0; t < TYPE_COUNT; t++)
                test(activation_table_get((kb_isa)isa), all_widths[w], all_types[t]);
    }
}

static void check_flat(const activation_table *table, activation_job *job, int64_t width) {
    kb_dtype type = job->type;
    table->forward(job, 0, width / 2); /* ranges need not begin at a multiple of the lanes */
    table->forward(job, width / 2, width);
    for (int64_t i = 0; i < width; i++) {
        double expected = activate64((double)kb_load(job->x, i, type), job->kind);
        assert_close((double)kb_load(job->out, i, type), expected, unit_of(type));
    }
    table->backward(job, 0, width);
    for (int64_t i = 0; i < width; i++) {
        double expected = derivative64((double)kb_load(job->x, i, type), job->kind);
        expected *= (double)kb_load(job->grad, i, type);
        assert_close((double)kb_load(job->out, i, type), expected, 2.0 * unit_of(type));
    }
}

static void flat_case(const activation_table *table, int64_t width, kb_dtype type) {
    void *x = buffer_random(width, type, 5), *grad = buffer_random(width, type, 6);
    void *out = buffer_new(width, type), *aligned = buffer_aligned(width, type);
    for (int kind = 0; kind < ACTIVATION_COUNT; kind++) {
        activation_job job = {.kind = (activation_kind)kind, .type = type, .x = x, .grad = grad};
        job.out = out;
        check_flat(table, &job, width);
        job.out = aligned;
        job.stream = true;
        check_flat(table, &job, width);
    }
    free(x);
    free(grad);
    free(out);
    free(aligned);
}

enum { ROWS = 3 };

static void check_gated_row(const activation_job *job, int64_t row, bool backward) {
    kb_dtype type = job->type;
    double unit = 3.0 * unit_of(type);
    for (int64_t i = 0; i < job->width; i++) {
        double a = (double)kb_load(job->x, row * job->x_stride + i, type);
        double b = (double)kb_load(job->factor, row * job->factor_stride + i, type);
        double value = activate64(a, job->kind);
        int64_t at = row * job->out_stride + i;
        if (!backward) {
            assert_close((double)kb_load(job->out, at, type), value * b, unit);
            continue;
        }
        double g = (double)kb_load(job->grad, row * job->grad_stride + i, type);
        double expected = g * b * derivative64(a, job->kind);
        assert_close((double)kb_load(job->out, at, type), expected, unit);
        assert_close((double)kb_load(job->factor_out, at, type), g * value, unit);
    }
}

static void check_gated(const activation_table *table, const activation_job *job) {
    table->gated_forward(job, 0, ROWS);
    for (int64_t row = 0; row < ROWS; row++) check_gated_row(job, row, false);
    table->gated_backward(job, 0, ROWS);
    for (int64_t row = 0; row < ROWS; row++) check_gated_row(job, row, true);
}

static void gated_case(const activation_table *table, int64_t width, kb_dtype type) {
    int64_t x_stride = 2 * width + 5, factor_stride = width + 2, grad_stride = width + 1;
    int64_t out_stride = (width + 31) / 32 * 32;
    void *x = buffer_random((ROWS - 1) * x_stride + width, type, 7);
    void *factor = buffer_random((ROWS - 1) * factor_stride + width, type, 9);
    void *grad = buffer_random((ROWS - 1) * grad_stride + width, type, 8);
    void *out = buffer_aligned(ROWS * out_stride, type);
    void *factor_out = buffer_aligned(ROWS * out_stride, type);
    for (int kind = 0; kind < ACTIVATION_COUNT; kind++) {
        activation_job job = {.kind = (activation_kind)kind, .type = type, .width = width};
        job.x = x;
        job.factor = factor;
        job.grad = grad;
        job.out = out;
        job.factor_out = factor_out;
        job.x_stride = x_stride;
        job.factor_stride = factor_stride;
        job.grad_stride = grad_stride;
        job.out_stride = width;
        check_gated(table, &job);
        job.out_stride = out_stride;
        job.stream = true;
        check_gated(table, &job);
    }
    free(x);
    free(factor);
    free(grad);
    free(out);
    free(factor_out);
}

static void test_flat_functions_agree_with_double(void **state) {
    (void)state;
    for_all(flat_case);
}

static void test_gated_functions_agree_with_double(void **state) {
    (void)state;
    for_all(gated_case);
}

/* Every finite and infinite half survives the way to float32 and back, and numbers between two
 * halves go to the nearer one, ties to the even one. */
static void test_half_conversions(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits < 0x10000u; bits++) {
        uint16_t half = (uint16_t)bits;
        float f16 = kb_f16_to_f32(half), bf16 = kb_bf16_to_f32(half);
        if (f16 == f16) assert_int_equal(kb_f32_to_f16(f16), half);
        if (bf16 == bf16) assert_int_equal(kb_f32_to_bf16(bf16), half);
        if (f16 != f16) assert_true(kb_round_to(f16, KB_F16) != kb_round_to(f16, KB_F16));
        if (bf16 != bf16) assert_true(kb_round_to(bf16, KB_BF16) != kb_round_to(bf16, KB_BF16));
        if ((bits & 0x7fffu) >= 0x7bffu) continue;
        float next = kb_f16_to_f32((uint16_t)(half + 1));
        assert_int_equal(kb_f32_to_f16((f16 + next) / 2), (half & 1u) ? half + 1 : half);
        assert_int_equal(kb_f32_to_f16(f16 + (next - f16) * 0.25f), half);
    }
    assert_int_equal(kb_f32_to_f16(65519.0f), 0x7bff);
    assert_int_equal(kb_f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(kb_f32_to_f16(1e-10f), 0);
    assert_int_equal(kb_f32_to_bf16(3.4e38f), 0x7f80);
}

static void stored_bits_case(kb_isa isa) {
    /* silu(x) = x exactly for large x: what comes out shows how the vector version rounds */
    float exact[16] = {88.0f,    300.5f, 1000.25f, 2049.0f, 2051.0f, 60000.0f, 65519.0f, 65520.0f,
                       65536.5f, 1e5f,   1e10f,    3.3e38f, 2050.0f, 513.5f,   INFINITY, NAN};
    for (int t = 0; t < TYPE_COUNT; t++) {
        kb_dtype type = all_types[t];
        float serial[16], vector[16], input[16];
        for (int i = 0; i < 16; i++) kb_store(input, i, type, exact[i]);
        activation_job job = {.kind = ACTIVATION_SILU, .type = type, .x = input, .out = serial};
        activation_table_get(KB_ISA_SERIAL)->forward(&job, 0, 16);
        job.out = vector;
        activation_table_get(isa)->forward(&job, 0, 16);
        size_t bytes = (size_t)kb_dtype_size(type);
        assert_memory_equal(serial, vector, 15 * bytes);
        assert_memory_equal(serial, input, 15 * bytes);
        float last = kb_load(vector, 15, type);
        assert_true(last != last);
    }
}

static void test_vector_rounding_is_the_serial_one(void **state) {
    (void)state;
    for_each_isa(stored_bits_case);
}

/* Results of a vector version lie within a few units in the last place of the serial one's. */
static void near_serial_case(kb_isa isa) {
    for (int kind = 0; kind < ACTIVATION_COUNT; kind++) {
        float x[1024], serial[1024], vector[1024];
        for (int i = 0; i < 1024; i++) x[i] = (float)(i - 512) * 0.02f;
        activation_job job = {.kind = (activation_kind)kind, .type = KB_F32, .x = x, .out = serial};
        activation_table_get(KB_ISA_SERIAL)->forward(&job, 0, 1024);
        job.out = vector;
        activation_table_get(isa)->forward(&job, 0, 1024);
        for (int i = 0; i < 1024; i++) assert_close((double)vector[i], (double)serial[i], 6e-7);
    }
}

static void test_vector_versions_are_near_the_serial_one(void **state) {
    (void)state;
    for_each_isa(near_serial_case);
}

/* The distance of bfloat16 numbers around `value`. */
static double bf16_ulp(double value) {
    int exponent;
    (void)frexp(value, &exponent);
    return ldexp(1.0, (exponent < -125 ? -125 : exponent) - 8);
}

static void every_bf16_case(kb_isa isa) {
    enum { COUNT = 0x10000 };
    uint16_t *x = buffer_new(COUNT, KB_BF16), *y = buffer_new(COUNT, KB_BF16);
    for (uint32_t bits = 0; bits < COUNT; bits++) x[bits] = (uint16_t)bits;
    for (int kind = 0; kind < ACTIVATION_COUNT; kind++) {
        activation_job job = {.kind = (activation_kind)kind, .type = KB_BF16, .x = x, .out = y};
        activation_table_get(isa)->forward(&job, 0, COUNT);
        /* To the left, an absolute error: Phi falls faster than any e^x, and e^-x ends at 3.4e38.
         */
        double floor = kind == ACTIVATION_GELU ? 2e-7 : 4e-37;
        for (int i = 0; i < COUNT; i++) {
            double value = (double)kb_bf16_to_f32(x[i]), found = (double)kb_bf16_to_f32(y[i]);
            if (!isfinite(value)) continue;
            double expected = activate64(value, (activation_kind)kind);
            if (fabs(found - expected) > bf16_ulp(expected) + floor)
                fail_msg("kind %d: %.9g for %.9g, not %.9g", kind, found, value, expected);
        }
    }
    free(x);
    free(y);
}

static void test_every_bfloat16_number_gives_one_of_the_two_nearest(void **state) {
    (void)state;
    for_each_isa(every_bf16_case);
}

/* KERNELS_CPU_ISA lowers the choice, never raises it, and must name an instruction set. */
static void test_the_environment_lowers_the_instruction_set(void **state) {
    (void)state;
    unsetenv("KERNELS_CPU_ISA");
    assert_null(kb_isa_choose());
    kb_isa best = kb_isa_active();
    assert_true(best == KB_ISA_COUNT - 1 || !kb_isa_is_available((kb_isa)(best + 1)));
    const char *expected = getenv("KN_EXPECTED_ISA"); /* who runs the test knows the CPU */
    if (expected) assert_string_equal(kb_isa_name(best), expected);
    setenv("KERNELS_CPU_ISA", "serial", 1);
    assert_null(kb_isa_choose());
    assert_int_equal(kb_isa_active(), KB_ISA_SERIAL);
    setenv("KERNELS_CPU_ISA", "avx512_bf16", 1);
    assert_null(kb_isa_choose());
    assert_int_equal(kb_isa_active(), best);
    setenv("KERNELS_CPU_ISA", "sse", 1);
    assert_string_equal(kb_isa_choose(), "sse");
    assert_int_equal(kb_isa_active(), best);
    unsetenv("KERNELS_CPU_ISA");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flat_functions_agree_with_double),
        cmocka_unit_test(test_gated_functions_agree_with_double),
        cmocka_unit_test(test_half_conversions),
        cmocka_unit_test(test_vector_rounding_is_the_serial_one),
        cmocka_unit_test(test_vector_versions_are_near_the_serial_one),
        cmocka_unit_test(test_every_bfloat16_number_gives_one_of_the_two_nearest),
        cmocka_unit_test(test_the_environment_lowers_the_instruction_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
