/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels that are taken out because their results are wrong. */
#include "support/engine_fixture.h"
#include "support/unit.h"

typedef struct scene {
    engine_fixture *fx;
    fake_module *model, *norm, *norm2, *act;
} scene;

/* norm and norm2 run FastNorm; act is not mapped. */
static scene set_scene(engine_fixture *fx) {
    scene s = {.fx = fx, .model = fake_model_new(fx->host, NULL)};
    fake_class *norm = fake_class_new(fx->host, "LlamaNorm", "Norm");
    s.norm = fake_module_add(s.model, "norm", norm);
    s.norm2 = fake_module_add(s.model, "norm2", norm);
    s.act = fake_module_add(s.model, "act", fake_class_new(fx->host, "LlamaAct", "Act"));
    fake_module_put_on(s.model, fake_cpu());
    map_fast(fx, "Norm", "FastNorm");
    kn_request request = inference();
    kernelize(fx, s.model, &request);
    return s;
}

static void test_a_refused_kernel_is_taken_out_and_explained(void **state) {
    scene s = set_scene(*state);
    refuse(s.fx, s.model, s.norm2, "off by 0.5");
    assert_forwards(s.model, "norm=FastNorm norm2=original act=original");
    kn_plan *plan = explain(s.fx, s.model);
    assert_string_equal(message_of(plan, 0), "registered for cpu under FALLBACK");
    assert_string_equal(message_of(plan, 1), "off by 0.5");
    kn_decision d = {.size = sizeof d};
    kn_plan_get(plan, 1, &d);
    assert_false(d.applied);
    kn_plan_get(plan, 0, &d);
    assert_int_equal(d.repo_mode, KN_MODE_FALLBACK);
    assert_int_equal(kn_plan_mode(plan), KN_MODE_INFERENCE);
    expect_plan(plan, "norm: apply replace mapped FastNorm\n"
                      "norm2: apply keep numerics-differ -\n"
                      "act: apply keep no-layer -");
}

static void test_one_refusal_after_the_other_is_remembered(void **state) {
    scene s = set_scene(*state);
    refuse(s.fx, s.model, s.norm2, "off by 0.5");
    refuse(s.fx, s.model, s.norm, "off by 2");
    expect_plan(explain(s.fx, s.model), "norm: apply keep numerics-differ -\n"
                                        "norm2: apply keep numerics-differ -\n"
                                        "act: apply keep no-layer -");
}

static void test_kernelizing_again_decides_again(void **state) {
    scene s = set_scene(*state);
    refuse(s.fx, s.model, s.norm, "off by 0.5");
    kn_request request = inference();
    kernelize(s.fx, s.model, &request);
    assert_forwards(s.model, "norm=FastNorm norm2=FastNorm act=original");
    expect_plan(explain(s.fx, s.model),
                "norm,norm2: apply replace mapped FastNorm\nact: apply keep no-layer -");
}

static void test_where_no_kernel_is_in_place_nothing_is_refused(void **state) {
    scene s = set_scene(*state);
    const kn_refusal refusals[] = {{s.norm, "off"}, {s.act, "off"}};
    const kn_refusal twice[] = {{s.norm, "off"}, {s.norm, "off"}};
    const kn_refusal *const cases[] = {refusals, twice};
    for (size_t i = 0; i < 2; i++) {
        kn_error err = KN_ERROR_INIT;
        kn_status status =
            kn_engine_refuse(s.fx->engine, &s.fx->host->table, s.model, cases[i], 2, &err);
        assert_int_equal(status, KN_ERR_VALUE);
        assert_string_equal(err.message,
                            "no kernel is in place at the module whose kernel is to be taken out");
        assert_forwards(s.model, "norm=FastNorm norm2=FastNorm act=original");
        expect_plan(explain(s.fx, s.model),
                    "norm,norm2: apply replace mapped FastNorm\nact: apply keep no-layer -");
    }
}

static void test_a_refused_function_runs_its_original_for_every_model(void **state) {
    engine_fixture *fx = *state;
    fake_class *rope = fake_class_new(fx->host, "rope", "Rope");
    rope->is_function = true;
    fake_module *function = fake_model_new(fx->host, rope);
    fake_module *a = fake_model_new(fx->host, fake_class_new(fx->host, "ModelA", NULL));
    fake_module *b = fake_model_new(fx->host, fake_class_new(fx->host, "ModelB", NULL));
    fake_module_link(a, "rope", function);
    fake_module_link(b, "rope", function);
    fake_module_put_on(a, fake_cpu());
    fake_module_put_on(b, fake_cpu());
    map_fast(fx, "Rope", "Fast");
    kn_request request = inference();
    kernelize(fx, a, &request);
    refuse(fx, a, function, "off by 0.5");
    assert_forwards(function, "(model)=original");
    expect_plan(explain(fx, a), "rope: apply keep numerics-differ -");
    expect_plan(kernelize_plan(fx, b, &request), "rope: settle keep shared-conflict Fast");
    assert_forwards(function, "(model)=original");
    unkernelize(fx, a);
    assert_forwards(function, "(model)=Fast");
}

/* ---- what fails on the way ---- */

typedef struct shared_scene {
    engine_fixture fx;
    fake_module *model, *norm, *function;
} shared_scene;

#define BEFORE "norm=Norm rope=Rope"

static void open_shared_scene(shared_scene *s) {
    *s = (shared_scene){.norm = NULL};
    engine_fixture_open(&s->fx);
    fake_class *rope = fake_class_new(s->fx.host, "rope", "Rope");
    rope->is_function = true;
    s->model = fake_model_new(s->fx.host, NULL);
    s->norm = fake_module_add(s->model, "norm", fake_class_new(s->fx.host, "LlamaNorm", "Norm"));
    s->function = fake_module_add(s->model, "rope", rope);
    fake_module_put_on(s->model, fake_cpu());
    map_fast(&s->fx, "Norm", "Norm");
    map_fast(&s->fx, "Rope", "Rope");
    kn_request request = inference();
    kernelize(&s->fx, s->model, &request);
    fake_host_calm(s->fx.host);
    assert_forwards(s->model, BEFORE);
}

static kn_status refuse_both(shared_scene *s) {
    const kn_refusal refusals[] = {{s->norm, "off"}, {s->function, "off"}};
    return kn_engine_refuse(s->fx.engine, &s->fx.host->table, s->model, refusals, 2, NULL);
}

/* All or nothing, and nothing that hinders the next call. */
static void check_shared_scene(shared_scene *s, kn_status status) {
    s->fx.memory.fail_at = SIZE_MAX;
    fake_host_calm(s->fx.host);
    if (status) {
        assert_forwards(s->model, BEFORE);
        expect_plan(explain(&s->fx, s->model), "norm: apply replace mapped Norm\n"
                                               "rope: apply replace mapped Rope");
        assert_int_equal(refuse_both(s), KN_OK);
    }
    assert_forwards(s->model, "norm=original rope=original");
    unkernelize(&s->fx, s->model);
    assert_forwards(s->model, "norm=original rope=original");
    engine_fixture_close(&s->fx);
}

static void test_without_memory_nothing_is_refused(void **state) {
    (void)state;
    size_t refused = 0;
    for (size_t n = 0;; n++) {
        shared_scene s;
        open_shared_scene(&s);
        s.fx.memory.fail_at = s.fx.memory.requests + n;
        kn_status status = refuse_both(&s);
        bool reached = s.fx.memory.failed;
        if (status) assert_int_equal(status, KN_ERR_NOMEM);
        refused += status != KN_OK;
        check_shared_scene(&s, status);
        if (!reached) break;
    }
    assert_true(refused >= 5);
}

static void test_a_host_that_fails_leaves_every_kernel_in_place(void **state) {
    (void)state;
    const fake_call calls[] = {FAKE_CALL_WALK, FAKE_CALL_DESCRIBE, FAKE_CALL_INSPECT,
                               FAKE_CALL_SWAP};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        size_t reached = 0;
        for (size_t n = 1;; n++) {
            shared_scene s;
            open_shared_scene(&s);
            fake_host_fail(s.fx.host, calls[i], n, KN_ERR_HOST);
            kn_status status = refuse_both(&s);
            assert_int_equal(status, s.fx.host->calls[calls[i]] >= n ? KN_ERR_HOST : KN_OK);
            check_shared_scene(&s, status);
            if (!status) break;
            reached++;
        }
        assert_true(reached >= 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        engine_test(test_a_refused_kernel_is_taken_out_and_explained),
        engine_test(test_one_refusal_after_the_other_is_remembered),
        engine_test(test_kernelizing_again_decides_again),
        engine_test(test_where_no_kernel_is_in_place_nothing_is_refused),
        engine_test(test_a_refused_function_runs_its_original_for_every_model),
        cmocka_unit_test(test_without_memory_nothing_is_refused),
        cmocka_unit_test(test_a_host_that_fails_leaves_every_kernel_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
