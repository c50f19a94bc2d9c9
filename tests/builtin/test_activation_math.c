/* SPDX-License-Identifier: Apache-2.0 */
#include "activation_math.h"
#include "math_support.h"

static double sigmoid64(double x) { return 1.0 / (1.0 + exp(-x)); }

static double cdf64(double x) { return 0.5 * erfc(-x / sqrt(2.0)); }

static double tanh_inner64(double x) { return sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x); }

static double activate64(double x, activation_kind kind) {
    if (kind == ACTIVATION_SILU) return x * sigmoid64(x);
    if (kind == ACTIVATION_GELU) return x * cdf64(x);
    return 0.5 * x * (1.0 + tanh(tanh_inner64(x)));
}

static double derivative64(double x, activation_kind kind) {
    if (kind == ACTIVATION_SILU) return sigmoid64(x) * (1.0 + x * (1.0 - sigmoid64(x)));
    if (kind == ACTIVATION_GELU) return cdf64(x) + x * exp(-0.5 * x * x) / sqrt(2.0 * M_PI);
    double t = tanh(tanh_inner64(x));
    double slope = sqrt(2.0 / M_PI) * (1.0 + 3.0 * 0.044715 * x * x);
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope;
}

typedef void (*table_test)(const activation_table *table, int64_t width, kb_dtype type);

static void for_all(table_test test) {
    for (int isa = KB_ISA_SERIAL; isa <= KB_ISA_AVX2; isa++) {
        if (!kb_isa_is_available((kb_isa)isa)) continue;
        for (int w = 0; w < WIDTH_COUNT; w++)
            for (int t = 0; t < TYPE_COUNT; t++)
                test(activation_table_get((kb_isa)isa), all_widths[w], all_types[t]);
    }
}

static void flat_case(const activation_table *table, int64_t width, kb_dtype type) {
    void *x = buffer_random(width, type, 5), *grad = buffer_random(width, type, 6);
    void *out = buffer_new(width, type);
    activation_job job = {.x = x, .grad = grad, .out = out, .type = type};
    for (int kind = 0; kind < ACTIVATION_COUNT; kind++) {
        table->forward[kind](&job, 0, width / 2); /* ranges need not begin at a multiple of 8 */
        table->forward[kind](&job, width / 2, width);
        for (int64_t i = 0; i < width; i++) {
            double expected = activate64((double)kb_load(x, i, type), (activation_kind)kind);
            assert_close((double)kb_load(out, i, type), expected, unit_of(type));
        }
        table->backward[kind](&job, 0, width);
        for (int64_t i = 0; i < width; i++) {
            double expected = derivative64((double)kb_load(x, i, type), (activation_kind)kind);
            expected *= (double)kb_load(grad, i, type);
            assert_close((double)kb_load(out, i, type), expected, 2.0 * unit_of(type));
        }
    }
    free(x);
    free(grad);
    free(out);
}

enum { ROWS = 3 };

static void check_gated_row(const activation_job *job, int64_t row, bool backward) {
    kb_dtype type = job->type;
    double unit = 3.0 * unit_of(type);
    for (int64_t i = 0; i < job->width; i++) {
        double a = (double)kb_load(job->x, row * job->x_stride + i, type);
        double b = (double)kb_load(job->x, row * job->x_stride + job->width + i, type);
        double value = activate64(a, ACTIVATION_SILU);
        if (!backward) {
            double y = (double)kb_load(job->out, row * job->width + i, type);
            assert_close(y, value * b, unit);
            continue;
        }
        double g = (double)kb_load(job->grad, row * job->grad_stride + i, type);
        int64_t at = row * 2 * job->width + i;
        assert_close((double)kb_load(job->out, at, type), g * b * derivative64(a, ACTIVATION_SILU),
                     unit);
        assert_close((double)kb_load(job->out, at + job->width, type), g * value, unit);
    }
}

static void gated_case(const activation_table *table, int64_t width, kb_dtype type) {
    int64_t x_stride = 2 * width + 5, grad_stride = width + 1; /* rows with gaps */
    void *x = buffer_random((ROWS - 1) * x_stride + 2 * width, type, 7);
    void *grad = buffer_random((ROWS - 1) * grad_stride + width, type, 8);
    void *out = buffer_new(ROWS * 2 * width, type);
    activation_job job = {.x = x, .grad = grad, .out = out, .width = width, .type = type};
    job.x_stride = x_stride;
    job.grad_stride = grad_stride;
    table->silu_and_mul_forward(&job, 0, ROWS);
    for (int64_t row = 0; row < ROWS; row++) check_gated_row(&job, row, false);
    table->silu_and_mul_backward(&job, 0, ROWS);
    for (int64_t row = 0; row < ROWS; row++) check_gated_row(&job, row, true);
    free(x);
    free(grad);
    free(out);
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

static void stored_bits_case(const activation_table *table, int64_t width, kb_dtype type) {
    (void)table;
    if (width != 8 || type == KB_F32 || !kb_isa_is_available(KB_ISA_AVX2)) return;
    /* silu(x) = x exactly for large x: what comes out shows how the vector version rounds */
    float exact[8] = {88.0f, 300.5f, 1000.25f, 2049.0f, 2051.0f, 60000.0f, 65519.0f, 65520.0f};
    uint16_t serial[8], vector[8], input[8];
    for (int i = 0; i < 8; i++) kb_store(input, i, type, exact[i]);
    activation_job job = {.x = input, .out = serial, .type = type};
    activation_table_get(KB_ISA_SERIAL)->forward[ACTIVATION_SILU](&job, 0, 8);
    job.out = vector;
    activation_table_get(KB_ISA_AVX2)->forward[ACTIVATION_SILU](&job, 0, 8);
    assert_memory_equal(serial, vector, sizeof serial);
    assert_memory_equal(serial, input, sizeof serial);
}

static void test_vector_rounding_is_the_serial_one(void **state) {
    (void)state;
    for_all(stored_bits_case);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flat_functions_agree_with_double),
        cmocka_unit_test(test_gated_functions_agree_with_double),
        cmocka_unit_test(test_half_conversions),
        cmocka_unit_test(test_vector_rounding_is_the_serial_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
