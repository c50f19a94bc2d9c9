/* SPDX-License-Identifier: Apache-2.0 */
#include "math_support.h"
#include "rotary_math.h"

static double angle_at(const rotary_shape *shape, const void *angles, int64_t element) {
    int64_t half = shape->turned / 2;
    bool pairs = shape->style == ROTARY_INTERLEAVED;
    int64_t pair = pairs ? element / 2 : element % half;
    return (double)kb_load(angles, shape->halved ? pair : element, shape->angle_type);
}

static void check_row(const rotary_shape *shape, const void *x, const void *cosine,
                      const void *sine, const void *y) {
    int64_t half = shape->turned / 2;
    for (int64_t i = 0; i < shape->width; i++) {
        double value = (double)kb_load(x, i, shape->type),
               found = (double)kb_load(y, i, shape->type);
        if (i >= shape->turned) {
            assert_true(found == value);
            continue;
        }
        bool pairs = shape->style == ROTARY_INTERLEAVED;
        bool first = pairs ? i % 2 == 0 : i < half;
        int64_t step = pairs ? 1 : half, other = first ? i + step : i - step;
        double partner = (double)kb_load(x, other, shape->type);
        double sin = angle_at(shape, sine, shape->transposed ? other : i);
        double sign = first == shape->transposed ? 1.0 : -1.0;
        double expected = value * angle_at(shape, cosine, i) + sign * partner * sin;
        assert_close(found, expected, 4.0 * unit_of(shape->type));
    }
}

static void shape_case(kb_isa isa, rotary_shape shape) {
    void *x = buffer_random(shape.width, shape.type, 1), *y = buffer_new(shape.width, shape.type);
    int64_t angles = shape.halved ? shape.turned / 2 : shape.turned;
    void *cosine = buffer_random(angles, shape.angle_type, 2);
    void *sine = buffer_random(angles, shape.angle_type, 3);
    rotary_row_get(isa)(&shape, x, cosine, sine, y);
    check_row(&shape, x, cosine, sine, y);
    free(x);
    free(y);
    free(cosine);
    free(sine);
}

static void all_shapes(kb_isa isa) {
    static const int64_t turned[] = {2, 6, 16, 32, 34, 64, 128};
    for (int t = 0; t < TYPE_COUNT; t++)
        for (size_t n = 0; n < sizeof turned / sizeof turned[0]; n++)
            for (int bits = 0; bits < 32; bits++) {
                rotary_shape shape = {.turned = turned[n], .type = all_types[t]};
                shape.style = bits & 1 ? ROTARY_INTERLEAVED : ROTARY_HALF;
                shape.halved = bits & 2;
                shape.transposed = bits & 4;
                shape.width = turned[n] + (bits & 8 ? 5 : 0);
                shape.angle_type = bits & 16 ? KB_F32 : all_types[t];
                shape_case(isa, shape);
            }
}

static void test_rows_agree_with_double(void **state) {
    (void)state;
    for_each_isa(all_shapes);
}

static void in_place_case(kb_isa isa) {
    rotary_shape shape = {.turned = 64, .width = 70};
    void *x = buffer_random(70, KB_F32, 1), *copy = buffer_random(70, KB_F32, 1);
    void *cosine = buffer_random(64, KB_F32, 2), *sine = buffer_random(64, KB_F32, 3);
    rotary_row_get(isa)(&shape, x, cosine, sine, x);
    check_row(&shape, copy, cosine, sine, x);
    free(x);
    free(copy);
    free(cosine);
    free(sine);
}

static void test_a_row_may_be_turned_in_place(void **state) {
    (void)state;
    for_each_isa(in_place_case);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_agree_with_double),
        cmocka_unit_test(test_a_row_may_be_turned_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
