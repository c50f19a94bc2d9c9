/* SPDX-License-Identifier: Apache-2.0 */
/* Carrying out a plan that was made before, and refusing where the model has changed since. */
#include "support/engine_fixture.h"
#include "support/unit.h"

/* norm, act, norm2, mlp.norm on the processor; Norm and Act are mapped. */
static fake_module *small_model(engine_fixture *fx, fake_class *norm, fake_class *act) {
    fake_module *model = fake_model_new(fx->host, NULL);
    fake_module_add(model, "norm", norm);
    fake_module_add(model, "act", act);
    fake_module_add(model, "norm2", norm);
    fake_module_add(fake_module_add(model, "mlp", NULL), "norm", norm);
    fake_module_put_on(model, fake_cpu());
    return model;
}

typedef struct scene {
    engine_fixture *fx;
    fake_class *norm, *act;
    fake_module *model;
    kn_plan *plan;
} scene;

#define ORIGINALS "norm=original act=original norm2=original mlp.norm=original"
#define REPLACED "norm=FastNorm act=FastAct norm2=FastNorm mlp.norm=FastNorm"

static scene planned(engine_fixture *fx, bool fetch) {
    scene s = {.fx = fx,
               .norm = fake_class_new(fx->host, "LlamaNorm", "Norm"),
               .act = fake_class_new(fx->host, "LlamaAct", "Act")};
    s.model = small_model(fx, s.norm, s.act);
    map_fast(fx, "Norm", "FastNorm");
    map_fast(fx, "Act", "FastAct");
    kn_request request = inference();
    request.fetch = fetch;
    s.plan = make_plan(fx, s.model, &request);
    return s;
}

static void expect_changed(scene *s, const char *part, const char *forwards) {
    apply_fails(s->fx, s->model, s->plan, KN_ERR_VALUE,
                "the model has changed since the plan was made");
    apply_fails(s->fx, s->model, s->plan, KN_ERR_VALUE, part);
    apply_fails(s->fx, s->model, s->plan, KN_ERR_VALUE, "make a new plan");
    assert_forwards(s->model, forwards);
    assert_int_equal(s->fx->host->calls[FAKE_CALL_SWAP], 0);
    kn_plan_release(s->plan);
}

static void test_a_plan_is_carried_out(void **state) {
    for (int fetch = 0; fetch < 2; fetch++) {
        engine_fixture *fx = *state;
        scene s = planned(fx, fetch);
        apply_plan(fx, s.model, s.plan);
        assert_forwards(s.model, REPLACED);
        kn_plan_release(s.plan);
        expect_plan(explain(fx, s.model), "norm,norm2,mlp.norm: apply replace mapped FastNorm\n"
                                          "act: apply replace mapped FastAct");
        unkernelize(fx, s.model);
        assert_forwards(s.model, ORIGINALS);
    }
}

static void test_what_was_fetched_is_not_loaded_again(void **state) {
    engine_fixture *fx = *state;
    scene s = planned(fx, true);
    fake_host_calm(fx->host);
    apply_plan(fx, s.model, s.plan);
    apply_plan(fx, s.model, s.plan);
    assert_int_equal(fx->host->calls[FAKE_CALL_LOAD], 0);
    assert_int_equal(fx->host->calls[FAKE_CALL_BIND], 0);
    assert_int_equal(fx->host->calls[FAKE_CALL_SWAP], 4);
    kn_plan_release(s.plan);
}

static void test_the_plan_is_carried_out_as_recorded_whatever_is_mapped_now(void **state) {
    engine_fixture *fx = *state;
    scene s = planned(fx, false);
    assert_int_equal(kn_engine_register(fx->engine, NULL, 0, false, NULL), KN_OK);
    map_fast(fx, "Norm", "Newer");
    apply_plan(fx, s.model, s.plan);
    assert_forwards(s.model, REPLACED);
    kn_plan_release(s.plan);
}

static void test_a_plan_applies_to_an_equal_copy(void **state) {
    engine_fixture *fx = *state;
    scene s = planned(fx, true);
    fake_module *copy = small_model(fx, s.norm, s.act);
    apply_plan(fx, copy, s.plan);
    assert_forwards(copy, REPLACED);
    assert_forwards(s.model, ORIGINALS);
    kn_plan_release(s.plan);
}

static void test_a_plan_applies_where_classes_are_met_in_another_order(void **state) {
    engine_fixture *fx = *state;
    scene s = planned(fx, true);
    /* Another module without a site in front changes nothing for the plan. */
    fake_module *copy = fake_model_new(fx->host, NULL);
    fake_module_add(copy, "plain", NULL);
    fake_module_add(copy, "norm", s.norm);
    fake_module_add(copy, "act", s.act);
    fake_module_add(copy, "norm2", s.norm);
    fake_module_add(fake_module_add(copy, "mlp", NULL), "norm", s.norm);
    fake_module_put_on(copy, fake_cpu());
    apply_plan(fx, copy, s.plan);
    assert_forwards(copy, REPLACED);
    kn_plan_release(s.plan);
}

static void test_a_module_that_is_gone_is_named(void **state) {
    scene s = planned(*state, true);
    fake_module_remove(s.model->children[3].module, "norm");
    expect_changed(&s, ": 'mlp.norm' (is gone);", "norm=original act=original norm2=original");
}

static void test_a_module_that_is_gone_from_the_middle_is_the_only_one_named(void **state) {
    scene s = planned(*state, true);
    fake_module_remove(s.model, "act");
    expect_changed(&s, ": 'act' (is gone);", "norm=original norm2=original mlp.norm=original");
}

static void test_a_new_module_is_named(void **state) {
    scene s = planned(*state, true);
    fake_module_add(s.model, "last", s.act);
    expect_changed(&s, ": 'last' (is new);", ORIGINALS " last=original");
}

static void test_a_new_module_in_the_middle_is_the_only_one_named(void **state) {
    scene s = planned(*state, true);
    fake_module_add(s.model->children[0].module, "inner", s.act);
    expect_changed(&s, ": 'norm.inner' (is new);",
                   "norm=original norm.inner=original act=original norm2=original "
                   "mlp.norm=original");
}

static void test_a_module_that_moved_is_named_at_both_places(void **state) {
    scene s = planned(*state, true);
    fake_module *act = s.model->children[1].module;
    fake_module_link(s.model->children[3].module, "act", act);
    fake_module_remove(s.model, "act");
    expect_changed(&s, ": 'act' (is gone), 'mlp.act' (is new);",
                   "norm=original norm2=original mlp.norm=original mlp.act=original");
}

static void test_modules_in_another_order_are_refused(void **state) {
    scene s = planned(*state, true);
    fake_child first = s.model->children[0];
    s.model->children[0] = s.model->children[1];
    s.model->children[1] = first;
    expect_changed(&s, "'norm'", "act=original norm=original norm2=original mlp.norm=original");
}

static void test_another_class_is_named(void **state) {
    scene s = planned(*state, true);
    fake_class *other = fake_class_new(s.fx->host, "LlamaNorm", "Norm");
    fake_module *norm2 = s.model->children[2].module;
    fake_release(norm2->cls);
    norm2->cls = other;
    fake_retain(other);
    expect_changed(&s, ": 'norm2' (has another class);", ORIGINALS);
}

static void test_another_layer_name_is_named(void **state) {
    scene s = planned(*state, true);
    s.norm->layer_name = "Act";
    expect_changed(&s, "'norm' (has another layer name)", ORIGINALS);
}

static void test_a_forward_that_was_set_since_is_named(void **state) {
    scene s = planned(*state, true);
    fake_module_set_own(s.model->children[1].module, 6);
    expect_changed(&s, ": 'act' (has a forward of its own);",
                   "norm=original act=own:6 norm2=original mlp.norm=original");
}

static void test_a_forward_that_was_there_stays(void **state) {
    engine_fixture *fx = *state;
    scene s = planned(fx, true);
    kn_plan_release(s.plan);
    fake_module_set_own(s.model->children[1].module, 6);
    kn_request request = inference();
    s.plan = make_plan(fx, s.model, &request);
    apply_plan(fx, s.model, s.plan);
    assert_forwards(s.model, "norm=FastNorm act=own:6 norm2=FastNorm mlp.norm=FastNorm");
    kn_plan_release(s.plan);
}

static void test_another_device_is_named(void **state) {
    scene s = planned(*state, true);
    fake_module_put_on(s.model, fake_cuda(0, 90));
    expect_changed(&s, "it was on device 'cpu' and is on 'cuda'", ORIGINALS);
}

static void test_many_differences_are_counted(void **state) {
    scene s = planned(*state, true);
    for (int i = 0; i < 12; i++) {
        char name[16] = {(char)('a' + i), 0};
        fake_module_add(s.model, name, s.act);
    }
    apply_fails(s.fx, s.model, s.plan, KN_ERR_VALUE,
                ": 'a' (is new), 'b' (is new), 'c' (is new), 'd' (is new), 'e' (is new), 'f' (is "
                "new), 'g' (is new), 'h' (is new) and 4 more;");
    kn_plan_release(s.plan);
}

static void test_a_plan_for_another_machine_applies_here(void **state) {
    engine_fixture *fx = *state;
    scene s = planned(fx, true);
    kn_plan_release(s.plan);
    map_cuda(fx, "Norm", 90, 99, fake_repo_new(fx->host, "g", fake_layer_new(fx->host, "Hopper")));
    kn_device device = fake_cuda(-1, KN_CAPABILITY_UNKNOWN);
    kn_request request = inference();
    request.device = &device;
    request.capability = 90;
    s.plan = make_plan(fx, s.model, &request);
    assert_decisions(s.plan, "norm,norm2,mlp.norm: select replace mapped g\n"
                             "act: select keep no-device -");
    apply_plan(fx, s.model, s.plan);
    assert_forwards(s.model, "norm=Hopper act=original norm2=Hopper mlp.norm=Hopper");
    kn_plan_release(s.plan);
}

static void test_a_plan_for_a_model_without_parameters_applies(void **state) {
    engine_fixture *fx = *state;
    scene s = planned(fx, true);
    kn_plan_release(s.plan);
    s.model->has_parameter = false;
    kn_device device = fake_cpu();
    kn_request request = inference();
    request.device = &device;
    s.plan = make_plan(fx, s.model, &request);
    apply_plan(fx, s.model, s.plan);
    assert_forwards(s.model, REPLACED);
    kn_plan_release(s.plan);
}

static void test_the_plan_of_a_kernelize_applies_to_a_copy(void **state) {
    engine_fixture *fx = *state;
    scene s = planned(fx, true);
    kn_plan_release(s.plan);
    kn_request request = inference();
    s.plan = kernelize_plan(fx, s.model, &request);
    fake_module *copy = small_model(fx, s.norm, s.act);
    apply_plan(fx, copy, s.plan);
    assert_forwards(copy, REPLACED);
    kn_plan_release(s.plan);
}

static void test_what_explain_gave_cannot_be_applied(void **state) {
    engine_fixture *fx = *state;
    scene s = planned(fx, true);
    kn_plan_release(s.plan);
    s.model->has_parameter = false;
    kn_device device = fake_cpu();
    kn_request request = inference();
    request.device = &device;
    kernelize(fx, s.model, &request);
    s.plan = explain(fx, s.model);
    apply_fails(fx, s.model, s.plan, KN_ERR_VALUE, "explain");
    assert_forwards(s.model, REPLACED);
    kn_plan_release(s.plan);
}

static void test_a_plan_keeps_what_its_patterns_left_out(void **state) {
    engine_fixture *fx = *state;
    scene s = planned(fx, false);
    kn_plan_release(s.plan);
    const char *patterns[] = {"norm*"};
    kn_request request = inference();
    request.include = patterns;
    request.include_count = 1;
    s.plan = make_plan(fx, s.model, &request);
    apply_plan(fx, s.model, s.plan);
    assert_forwards(s.model, "norm=FastNorm act=original norm2=FastNorm mlp.norm=original");
    kn_plan_release(s.plan);
}

static void test_if_applying_fails_all_are_as_before(void **state) {
    engine_fixture *fx = *state;
    scene s = planned(fx, false);
    for (size_t k = 1; k <= 4; k++) {
        fake_host_calm(fx->host);
        fake_host_fail(fx->host, FAKE_CALL_SWAP, k, KN_ERR_HOST);
        apply_fails(fx, s.model, s.plan, KN_ERR_HOST, "failed in swap");
        assert_forwards(s.model, ORIGINALS);
        assert_decisions(s.plan, "norm,norm2,mlp.norm: select replace mapped FastNorm\n"
                                 "act: select replace mapped FastAct");
    }
    kn_plan_release(s.plan);
}

static void test_what_cannot_be_loaded_at_apply_is_an_error(void **state) {
    engine_fixture *fx = *state;
    scene s = planned(fx, false);
    kn_plan_release(s.plan);
    map_cpu(fx, "Act", KN_MODE_FALLBACK, fake_repo_new(fx->host, "org/gone", NULL));
    kn_request request = inference();
    s.plan = make_plan(fx, s.model, &request);
    apply_fails(fx, s.model, s.plan, KN_ERR_NOT_FOUND, "this repository cannot load");
    assert_forwards(s.model, ORIGINALS);
    kn_plan_release(s.plan);
    request.fallback = KN_FALLBACK_ALL;
    s.plan = make_plan(fx, s.model, &request);
    apply_plan(fx, s.model, s.plan);
    assert_forwards(s.model, "norm=FastNorm act=original norm2=FastNorm mlp.norm=FastNorm");
    kn_plan_release(s.plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        engine_test(test_a_plan_is_carried_out),
        engine_test(test_what_was_fetched_is_not_loaded_again),
        engine_test(test_the_plan_is_carried_out_as_recorded_whatever_is_mapped_now),
        engine_test(test_a_plan_applies_to_an_equal_copy),
        engine_test(test_a_plan_applies_where_classes_are_met_in_another_order),
        engine_test(test_a_module_that_is_gone_is_named),
        engine_test(test_a_module_that_is_gone_from_the_middle_is_the_only_one_named),
        engine_test(test_a_new_module_is_named),
        engine_test(test_a_new_module_in_the_middle_is_the_only_one_named),
        engine_test(test_a_module_that_moved_is_named_at_both_places),
        engine_test(test_modules_in_another_order_are_refused),
        engine_test(test_another_class_is_named),
        engine_test(test_another_layer_name_is_named),
        engine_test(test_a_forward_that_was_set_since_is_named),
        engine_test(test_a_forward_that_was_there_stays),
        engine_test(test_another_device_is_named),
        engine_test(test_many_differences_are_counted),
        engine_test(test_a_plan_for_another_machine_applies_here),
        engine_test(test_a_plan_for_a_model_without_parameters_applies),
        engine_test(test_the_plan_of_a_kernelize_applies_to_a_copy),
        engine_test(test_what_explain_gave_cannot_be_applied),
        engine_test(test_a_plan_keeps_what_its_patterns_left_out),
        engine_test(test_if_applying_fails_all_are_as_before),
        engine_test(test_what_cannot_be_loaded_at_apply_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
