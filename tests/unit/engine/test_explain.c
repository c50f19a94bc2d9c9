/* SPDX-License-Identifier: Apache-2.0 */
#include "support/engine_fixture.h"
#include "support/unit.h"

typedef struct scene {
    engine_fixture *fx;
    fake_module *model, *norm, *act;
} scene;

/* norm and act on the processor; Norm is mapped. */
static scene set_scene(engine_fixture *fx) {
    scene s = {.fx = fx, .model = fake_model_new(fx->host, NULL)};
    s.norm = fake_module_add(s.model, "norm", fake_class_new(fx->host, "LlamaNorm", "Norm"));
    s.act = fake_module_add(s.model, "act", fake_class_new(fx->host, "LlamaAct", "Act"));
    fake_module_put_on(s.model, fake_cpu());
    map_fast(fx, "Norm", "FastNorm");
    return s;
}

static void test_before_kernelize_nothing_was_decided(void **state) {
    scene s = set_scene(*state);
    kn_plan *plan = explain(s.fx, s.model);
    assert_string_equal(message_of(plan, 0),
                        "runs its original forward: it was not kernelized, or that was undone");
    assert_int_equal(kn_plan_mode(plan), 0);
    expect_plan(plan, "norm: apply keep not-kernelized -\nact: apply keep not-kernelized -");
}

static void test_it_tells_what_runs_and_why(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    kernelize(s.fx, s.model, &request);
    kn_plan *plan = explain(s.fx, s.model);
    assert_int_equal(kn_plan_mode(plan), KN_MODE_INFERENCE);
    kn_decision d = {.size = sizeof d};
    kn_plan_get(plan, 0, &d);
    assert_true(d.applied);
    assert_string_equal(d.device, "cpu");
    assert_int_equal(d.repo_mode, KN_MODE_FALLBACK);
    assert_string_equal(d.message, "registered for cpu under FALLBACK");
    expect_plan(plan, "norm: apply replace mapped FastNorm\nact: apply keep no-layer -");
}

static void test_it_changes_nothing_and_runs_no_user_code(void **state) {
    scene s = set_scene(*state);
    s.norm->cls->has_condition = true;
    kn_request request = inference();
    kernelize(s.fx, s.model, &request);
    fake_host_calm(s.fx->host);
    kn_plan_release(explain(s.fx, s.model));
    const fake_call calls[] = {FAKE_CALL_SWAP,      FAKE_CALL_LOAD, FAKE_CALL_BIND,
                               FAKE_CALL_CONDITION, FAKE_CALL_LOG,  FAKE_CALL_PREDICATE};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        assert_int_equal(s.fx->host->calls[calls[i]], 0);
    }
}

static void test_after_unkernelize_nothing_is_decided_any_more(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    kernelize(s.fx, s.model, &request);
    unkernelize(s.fx, s.model);
    expect_plan(explain(s.fx, s.model),
                "norm: apply keep not-kernelized -\nact: apply keep not-kernelized -");
}

static void test_within_and_after_a_block_without_kernels_the_decisions_are_known(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    kernelize(s.fx, s.model, &request);
    kn_undo *undo = NULL;
    const kn_host *host = &s.fx->host->table;
    assert_int_equal(kn_engine_unkernelize(s.fx->engine, host, s.model, &undo, NULL), KN_OK);
    expect_plan(explain(s.fx, s.model),
                "norm: apply keep not-kernelized -\nact: apply keep no-layer -");
    assert_int_equal(kn_engine_restore(s.fx->engine, host, undo, NULL), KN_OK);
    kn_undo_free(undo);
    expect_plan(explain(s.fx, s.model),
                "norm: apply replace mapped FastNorm\nact: apply keep no-layer -");
}

static void test_a_foreign_forward_is_told(void **state) {
    scene s = set_scene(*state);
    fake_module_set_own(s.act, 2);
    expect_plan(explain(s.fx, s.model),
                "norm: apply keep not-kernelized -\nact: apply keep foreign-forward -");
}

static void test_what_was_unpickled_is_told_with_its_origin(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    kernelize(s.fx, s.model, &request);
    fake_module_unpickle(s.norm);
    kn_plan *plan = explain(s.fx, s.model);
    assert_string_equal(
        message_of(plan, 0),
        "described but not in place, as after unpickling: kernelize the model again");
    expect_plan(plan, "norm: apply keep not-applied FastNorm\nact: apply keep no-layer -");
}

static void test_a_copy_of_a_kernelized_model_is_explained_by_what_it_carries(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    kernelize(s.fx, s.model, &request);
    fake_module *copy = fake_model_new(s.fx->host, NULL);
    fake_module *norm = fake_module_add(copy, "norm", s.norm->cls);
    norm->forward = s.norm->forward;
    fake_retain(norm->forward.ours);
    kn_plan *plan = explain(s.fx, copy);
    assert_string_equal(message_of(plan, 0), "put in place by kernelize");
    expect_plan(plan, "norm: apply replace mapped FastNorm");
    unkernelize(s.fx, copy);
    assert_forwards(copy, "norm=original");
    assert_forwards(s.model, "norm=FastNorm act=original");
}

static void test_a_module_added_since_was_not_kernelized(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    kernelize(s.fx, s.model, &request);
    fake_module_add(s.model, "late", s.norm->cls);
    expect_plan(explain(s.fx, s.model), "norm: apply replace mapped FastNorm\n"
                                        "act: apply keep no-layer -\n"
                                        "late: apply keep not-kernelized -");
}

static void test_a_refused_module_says_condition(void **state) {
    scene s = set_scene(*state);
    s.norm->cls->has_condition = true;
    s.norm->refused = true;
    kn_request request = inference();
    kernelize(s.fx, s.model, &request);
    expect_plan(explain(s.fx, s.model), "norm: apply keep condition -\nact: apply keep no-layer -");
}

static void test_a_host_that_cannot_say_fails_the_call(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    kernelize(s.fx, s.model, &request);
    fake_host_calm(s.fx->host);
    const fake_call calls[] = {FAKE_CALL_WALK, FAKE_CALL_DESCRIBE};
    for (size_t i = 0; i < 2; i++) {
        fake_host_calm(s.fx->host);
        fake_host_fail(s.fx->host, calls[i], 1, KN_ERR_HOST);
        kn_plan *plan = (kn_plan *)s.fx;
        kn_error err = KN_ERROR_INIT;
        assert_int_equal(kn_engine_explain(s.fx->engine, &s.fx->host->table, s.model, &plan, &err),
                         KN_ERR_HOST);
        assert_null(plan);
        assert_contains(err.message, fake_call_name(calls[i]));
    }
    fake_module_unpickle(s.norm);
    fake_host_calm(s.fx->host);
    fake_host_fail(s.fx->host, FAKE_CALL_DESCRIBE_MODULE, 1, KN_ERR_HOST);
    kn_plan *plan;
    assert_int_equal(kn_engine_explain(s.fx->engine, &s.fx->host->table, s.model, &plan, NULL),
                     KN_ERR_HOST);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        engine_test(test_before_kernelize_nothing_was_decided),
        engine_test(test_it_tells_what_runs_and_why),
        engine_test(test_it_changes_nothing_and_runs_no_user_code),
        engine_test(test_after_unkernelize_nothing_is_decided_any_more),
        engine_test(test_within_and_after_a_block_without_kernels_the_decisions_are_known),
        engine_test(test_a_foreign_forward_is_told),
        engine_test(test_what_was_unpickled_is_told_with_its_origin),
        engine_test(test_a_copy_of_a_kernelized_model_is_explained_by_what_it_carries),
        engine_test(test_a_module_added_since_was_not_kernelized),
        engine_test(test_a_refused_module_says_condition),
        engine_test(test_a_host_that_cannot_say_fails_the_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
