/* SPDX-License-Identifier: Apache-2.0 */
#include "loss_math.h"
#include "math_support.h"

enum { ROWS = 4, IGNORED = -100 };

static void check_row(const loss_job *job, int64_t row, const void *x) {
    double sum = 0.0, mean = 0.0, top = -1e30, smoothing = (double)job->smoothing;
    for (int64_t i = 0; i < job->width; i++) {
        double value = (double)kb_load(x, row * job->stride + i, job->type);
        top = value > top ? value : top;
        mean += value / (double)job->width;
    }
    for (int64_t i = 0; i < job->width; i++)
        sum += exp((double)kb_load(x, row * job->stride + i, job->type) - top);
    double log_sum = top + log(sum), z = (double)job->z_weight;
    int64_t target = job->targets[row];
    bool counts = target != IGNORED;
    if (!counts) target = 0;
    double at_target = (double)kb_load(x, row * job->stride + target, job->type);
    double loss =
        log_sum - (1.0 - smoothing) * at_target - smoothing * mean + z * log_sum * log_sum;
    assert_close((double)job->losses[row], counts ? loss : 0.0, 2e-6);
    double scale = job->row_scales ? (double)job->row_scales[row] : (double)job->scale;
    for (int64_t i = 0; i < job->width; i++) {
        double value = (double)kb_load(x, row * job->stride + i, job->type);
        double expected = exp(value - log_sum) * (1.0 + 2.0 * z * log_sum);
        expected -= smoothing / (double)job->width + (i == target ? 1.0 - smoothing : 0.0);
        double found = (double)kb_load(job->grad, row * job->width + i, job->type);
        assert_close(found, counts ? expected * scale : 0.0, unit_of(job->type));
    }
}

static void one_case(kb_isa isa, int64_t width, kb_dtype type, float smoothing, float z_weight) {
    int64_t targets[ROWS] = {0, width - 1, IGNORED, width / 2}, stride = width + 3;
    float losses[ROWS], scales[ROWS] = {1.0f, 0.5f, 2.0f, -1.0f};
    void *x = buffer_random((ROWS - 1) * stride + width, type, 1);
    void *grad = buffer_aligned(ROWS * width, type);
    loss_job job = {.logits = x, .targets = targets, .losses = losses, .grad = grad};
    job.type = type;
    job.width = width;
    job.stride = stride;
    job.scale = 0.25f;
    job.smoothing = smoothing;
    job.z_weight = z_weight;
    job.ignore_index = IGNORED;
    loss_rows_get(isa)(&job, 0, ROWS);
    for (int64_t row = 0; row < ROWS; row++) check_row(&job, row, x);
    job.row_scales = scales;
    job.stream = true;
    loss_rows_get(isa)(&job, 0, ROWS);
    for (int64_t row = 0; row < ROWS; row++) check_row(&job, row, x);
    free(x);
    free(grad);
}

static void all_cases(kb_isa isa) {
    static const int64_t widths[] = {1, 7, 16, 33, 1024, 1025, 3000};
    for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++)
        for (int t = 0; t < TYPE_COUNT; t++) {
            one_case(isa, widths[w], all_types[t], 0.0f, 0.0f);
            one_case(isa, widths[w], all_types[t], 0.1f, 0.01f);
        }
}

static void test_losses_and_gradients_agree_with_double(void **state) {
    (void)state;
    for_each_isa(all_cases);
}

static void extreme_case(kb_isa isa) {
    float x[20], grad[20], loss[1];
    int64_t target[1] = {3};
    for (int i = 0; i < 20; i++) x[i] = i == 3 ? 1e4f : i == 4 ? -INFINITY : -1e4f;
    loss_job job = {.logits = x, .targets = target, .losses = loss, .grad = grad, .scale = 1.0f};
    job.width = job.stride = 20;
    job.ignore_index = IGNORED;
    loss_rows_get(isa)(&job, 0, 1);
    assert_true(loss[0] == 0.0f);
    for (int i = 0; i < 20; i++) assert_true(grad[i] == 0.0f);
}

static void test_large_and_infinite_logits_leave_no_nan(void **state) {
    (void)state;
    for_each_isa(extreme_case);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_losses_and_gradients_agree_with_double),
        cmocka_unit_test(test_large_and_infinite_logits_leave_no_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
