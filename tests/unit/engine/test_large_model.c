/* SPDX-License-Identifier: Apache-2.0 */
/* Models of 100,000 modules, and very deep ones. */
#include <stdio.h>

#include "support/engine_fixture.h"
#include "support/unit.h"

enum { BLOCKS = 100, IN_BLOCK = 1000, SITES = BLOCKS * IN_BLOCK / 2 };

/* 100 blocks of 1,000 modules; of those every second is extensible, of two classes in turn. */
static fake_module *large_model(engine_fixture *fx) {
    fake_class *classes[] = {fake_class_new(fx->host, "LlamaNorm", "Norm"), NULL,
                             fake_class_new(fx->host, "LlamaAct", "Act"), NULL};
    fake_module *model = fake_model_new(fx->host, NULL);
    fake_module_put_on(model, fake_cpu());
    for (int i = 0; i < BLOCKS; i++) {
        char name[24];
        snprintf(name, sizeof name, "%d", i);
        fake_module *block = fake_module_add(model, name, NULL);
        for (int j = 0; j < IN_BLOCK; j++) {
            snprintf(name, sizeof name, "m%d", j);
            fake_module_add(block, name, classes[j % 4]);
        }
    }
    map_fast(fx, "Norm", "FastNorm");
    map_fast(fx, "Act", "FastAct");
    return model;
}

static size_t count_replaced(const fake_module *model) {
    size_t count = 0;
    for (size_t i = 0; i < model->count; i++) {
        const fake_module *block = model->children[i].module;
        for (size_t j = 0; j < block->count; j++)
            count += block->children[j].module->forward.ours != NULL;
    }
    return count;
}

typedef struct path_count {
    size_t count;
    char last[32];
} path_count;

static bool count_path(void *ctx, const char *path, size_t length) {
    path_count *paths = ctx;
    paths->count++;
    assert_true(length < sizeof paths->last);
    memcpy(paths->last, path, length + 1);
    return true;
}

static void assert_two_decisions(kn_plan *plan) {
    assert_int_equal(kn_plan_count(plan), 2);
    path_count norms = {0}, acts = {0};
    assert_int_equal(kn_plan_each_path(plan, 0, count_path, &norms, NULL), KN_OK);
    assert_int_equal(kn_plan_each_path(plan, 1, count_path, &acts, NULL), KN_OK);
    assert_int_equal(norms.count, SITES / 2);
    assert_int_equal(acts.count, SITES / 2);
    assert_string_equal(norms.last, "99.m996");
    assert_string_equal(acts.last, "99.m998");
    kn_plan_release(plan);
}

static void test_a_hundred_thousand_modules_cost_one_walk_and_two_decisions(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = large_model(fx);
    kn_request request = inference();
    assert_two_decisions(kernelize_plan(fx, model, &request));
    assert_int_equal(count_replaced(model), SITES);
    assert_int_equal(fx->host->calls[FAKE_CALL_WALK], 1);
    assert_int_equal(fx->host->calls[FAKE_CALL_LOAD], 2);
    assert_int_equal(fx->host->calls[FAKE_CALL_BIND], 2);
    assert_int_equal(fx->host->calls[FAKE_CALL_SWAP], SITES);

    fake_host_calm(fx->host);
    kernelize(fx, model, &request);
    assert_int_equal(fx->host->calls[FAKE_CALL_SWAP], 0);
    assert_int_equal(fx->host->calls[FAKE_CALL_INSPECT], 0);
    assert_two_decisions(explain(fx, model));

    unkernelize(fx, model);
    assert_int_equal(count_replaced(model), 0);
}

static void test_a_hundred_thousand_modules_are_taken_back_when_the_last_swap_fails(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = large_model(fx);
    kn_request request = inference();
    fake_host_fail(fx->host, FAKE_CALL_SWAP, SITES, KN_ERR_HOST);
    kernelize_fails(fx, model, &request, KN_ERR_HOST, "failed in swap");
    assert_int_equal(count_replaced(model), 0);
    assert_int_equal(fx->host->calls[FAKE_CALL_RESTORE], SITES - 1);
}

static void test_a_plan_of_a_hundred_thousand_modules_applies_and_finds_the_one_that_is_gone(
    void **state) {
    engine_fixture *fx = *state;
    fake_module *model = large_model(fx);
    kn_request request = inference();
    kn_plan *plan = make_plan(fx, model, &request);
    apply_plan(fx, model, plan);
    assert_int_equal(count_replaced(model), SITES);
    fake_module_remove(model->children[3].module, "m500");
    apply_fails(fx, model, plan, KN_ERR_VALUE, ": '3.m500' (is gone); make a new plan");
    kn_plan_release(plan);
}

static void test_patterns_over_a_hundred_thousand_modules_make_few_decisions(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = large_model(fx);
    const char *patterns[] = {"7.*", "42.*"};
    kn_request request = inference();
    request.include = patterns;
    request.include_count = 2;
    kn_plan *plan = kernelize_plan(fx, model, &request);
    assert_int_equal(kn_plan_count(plan), 4);
    kn_plan_release(plan);
    assert_int_equal(count_replaced(model), 2 * IN_BLOCK / 2);
}

static bool is_deep_path(void *ctx, const char *path, size_t length) {
    assert_int_equal(length, 2 * 3000 - 1);
    assert_int_equal(strlen(path), length);
    assert_memory_equal(path, "a.a.a.a", 7);
    assert_memory_equal(path + length - 7, "a.a.a.a", 7);
    ++*(size_t *)ctx;
    return true;
}

static void test_a_model_of_three_thousand_levels_has_long_paths(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = fake_model_new(fx->host, NULL), *at = model;
    fake_module_put_on(model, fake_cpu());
    fake_class *norm = fake_class_new(fx->host, "LlamaNorm", "Norm");
    for (int i = 1; i <= 3000; i++) at = fake_module_add(at, "a", i == 3000 ? norm : NULL);
    map_fast(fx, "Norm", "FastNorm");
    kn_request request = inference();
    kn_plan *plan = kernelize_plan(fx, model, &request);
    assert_non_null(at->forward.ours);
    size_t seen = 0;
    assert_int_equal(kn_plan_each_path(plan, 0, is_deep_path, &seen, NULL), KN_OK);
    assert_int_equal(seen, 1);
    kn_plan_release(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        engine_test(test_a_hundred_thousand_modules_cost_one_walk_and_two_decisions),
        engine_test(test_a_hundred_thousand_modules_are_taken_back_when_the_last_swap_fails),
        engine_test(
            test_a_plan_of_a_hundred_thousand_modules_applies_and_finds_the_one_that_is_gone),
        engine_test(test_patterns_over_a_hundred_thousand_modules_make_few_decisions),
        engine_test(test_a_model_of_three_thousand_levels_has_long_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
