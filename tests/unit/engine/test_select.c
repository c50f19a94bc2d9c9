/* SPDX-License-Identifier: Apache-2.0 */
/* Which modules of a model are decided how: patterns, predicates, conditions, devices, walks. */
#define _POSIX_C_SOURCE 200809L

#include <stdlib.h>

#include "support/engine_fixture.h"
#include "support/unit.h"

/* norm, mlp.act, mlp.norm, out on the processor; Norm and Act are mapped. */
static fake_module *small_model(engine_fixture *fx) {
    fake_class *norm = fake_class_new(fx->host, "LlamaNorm", "Norm");
    fake_class *act = fake_class_new(fx->host, "LlamaAct", "Act");
    fake_module *model = fake_model_new(fx->host, NULL);
    fake_module_add(model, "norm", norm);
    fake_module *mlp = fake_module_add(model, "mlp", NULL);
    fake_module_add(mlp, "act", act);
    fake_module_add(mlp, "norm", norm);
    fake_module_add(model, "out", NULL);
    fake_module_put_on(model, fake_cpu());
    map_fast(fx, "Norm", "FastNorm");
    map_fast(fx, "Act", "FastAct");
    return model;
}

static void test_alike_modules_share_a_decision(void **state) {
    engine_fixture *fx = *state;
    kn_request request = inference();
    kn_plan *plan = make_plan(fx, small_model(fx), &request);
    kn_decision decision = {.size = sizeof decision};
    kn_plan_get(plan, 0, &decision);
    assert_int_equal(decision.module_count, 2);
    assert_string_equal(decision.layer_name, "Norm");
    assert_string_equal(decision.module_class, "LlamaNorm");
    assert_string_equal(decision.device, "cpu");
    assert_int_equal(decision.capability, KN_CAPABILITY_UNKNOWN);
    assert_string_equal(decision.message, "registered for cpu under FALLBACK");
    expect_plan(plan, "norm,mlp.norm: select replace mapped FastNorm\n"
                      "mlp.act: select replace mapped FastAct");
}

static void test_classes_of_one_layer_name_are_decided_each_for_itself(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    fake_module_add(model, "last", fake_class_new(fx->host, "OtherNorm", "Norm"));
    kn_request request = inference();
    expect_plan(make_plan(fx, model, &request), "norm,mlp.norm: select replace mapped FastNorm\n"
                                                "mlp.act: select replace mapped FastAct\n"
                                                "last: select replace mapped FastNorm");
}

static void test_the_model_itself_may_be_extensible(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = fake_model_new(fx->host, fake_class_new(fx->host, "LlamaNorm", "Norm"));
    fake_module_put_on(model, fake_cpu());
    map_fast(fx, "Norm", "Fast");
    kn_request request = inference();
    expect_plan(make_plan(fx, model, &request), "(model): select replace mapped Fast");
    kernelize(fx, model, &request);
    assert_forwards(model, "(model)=Fast");
}

static void test_a_model_without_extensible_modules_is_left_alone(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = fake_model_new(fx->host, NULL);
    fake_module_add(model, "linear", fake_class_new(fx->host, "Linear", NULL));
    fake_module_put_on(model, fake_cpu());
    kn_request request = inference();
    expect_plan(make_plan(fx, model, &request), "");
    kernelize(fx, model, &request);
    expect_plan(explain(fx, model), "");
    assert_int_equal(fx->host->calls[FAKE_CALL_SWAP], 0);
}

static void expect_with(engine_fixture *fx, fake_module *model, const kn_request *request,
                        const char *forwards) {
    kernelize(fx, model, request);
    assert_forwards(model, forwards);
    unkernelize(fx, model);
}

static void test_patterns_choose_modules_by_path(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    static const struct {
        const char *include[2], *exclude[2], *forwards;
    } rows[] = {
        {{"mlp.*"}, {NULL}, "norm=original mlp.act=FastAct mlp.norm=FastNorm"},
        {{"norm"}, {NULL}, "norm=FastNorm mlp.act=original mlp.norm=original"},
        {{"norm", "*.act"}, {NULL}, "norm=FastNorm mlp.act=FastAct mlp.norm=original"},
        {{"nothing"}, {NULL}, "norm=original mlp.act=original mlp.norm=original"},
        {{NULL}, {"*norm"}, "norm=original mlp.act=FastAct mlp.norm=original"},
        {{NULL}, {"norm", "mlp.act"}, "norm=original mlp.act=original mlp.norm=FastNorm"},
        {{"mlp.*"}, {"*.norm"}, "norm=original mlp.act=FastAct mlp.norm=original"},
        {{"mlp.[a-b]c?"}, {NULL}, "norm=original mlp.act=FastAct mlp.norm=original"},
        {{"*"}, {"*"}, "norm=original mlp.act=original mlp.norm=original"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        kn_request request = inference();
        request.include = rows[i].include[0] ? rows[i].include : NULL;
        request.exclude = rows[i].exclude;
        while (request.include_count < 2 && rows[i].include[request.include_count]) {
            request.include_count++;
        }
        while (request.exclude_count < 2 && rows[i].exclude[request.exclude_count]) {
            request.exclude_count++;
        }
        expect_with(fx, model, &request, rows[i].forwards);
    }
}

static void test_an_empty_list_of_includes_chooses_nothing(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    const char *none[] = {NULL};
    kn_request request = inference();
    request.include = none;
    expect_with(fx, model, &request, "norm=original mlp.act=original mlp.norm=original");
    request.include = NULL;
    request.exclude = none;
    expect_with(fx, model, &request, "norm=FastNorm mlp.act=FastAct mlp.norm=FastNorm");
}

static void test_what_is_left_out_says_so(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    const char *patterns[] = {"mlp.*"};
    kn_request request = inference();
    request.exclude = patterns;
    request.exclude_count = 1;
    kn_plan *plan = make_plan(fx, model, &request);
    assert_string_equal(message_of(plan, 1), "left out by include or exclude");
    expect_plan(plan, "norm: select replace mapped FastNorm\n"
                      "mlp.act: select keep excluded -\n"
                      "mlp.norm: select keep excluded -");
}

static void test_predicates_choose_modules(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    kn_request request = inference();
    request.include_predicate = fake_predicate("norm");
    expect_with(fx, model, &request, "norm=FastNorm mlp.act=original mlp.norm=FastNorm");
    request.exclude_predicate = fake_predicate("mlp");
    expect_with(fx, model, &request, "norm=FastNorm mlp.act=original mlp.norm=original");
    request.include_predicate = NULL;
    expect_with(fx, model, &request, "norm=FastNorm mlp.act=original mlp.norm=original");
}

static void test_a_predicate_is_asked_only_where_patterns_leave_it_open(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    const char *patterns[] = {"mlp.*"};
    kn_request request = inference();
    request.include = patterns;
    request.include_count = 1;
    request.include_predicate = fake_predicate("norm");
    request.exclude_predicate = fake_predicate("nowhere");
    expect_with(fx, model, &request, "norm=original mlp.act=original mlp.norm=FastNorm");
    /* include for both in mlp, exclude for the one that is included. */
    assert_int_equal(fx->host->calls[FAKE_CALL_PREDICATE], 3);
}

static void test_what_is_left_out_keeps_what_it_runs(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    kn_request request = inference();
    kernelize(fx, model, &request);
    map_fast(fx, "Norm", "Newer");
    const char *patterns[] = {"mlp.*"};
    request.exclude = patterns;
    request.exclude_count = 1;
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=Newer mlp.act=FastAct mlp.norm=FastNorm");
}

static void test_what_is_left_out_is_not_asked_for_its_condition(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    model->children[0].module->cls->has_condition = true;
    const char *patterns[] = {"*norm"};
    kn_request request = inference();
    request.exclude = patterns;
    request.exclude_count = 1;
    kernelize(fx, model, &request);
    assert_int_equal(fx->host->calls[FAKE_CALL_CONDITION], 0);
}

static void test_a_condition_is_asked_for_each_module_of_its_class(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    model->children[0].module->cls->has_condition = true;
    model->children[0].module->refused = true;
    kn_request request = inference();
    kn_plan *plan = kernelize_plan(fx, model, &request);
    assert_string_equal(message_of(plan, 0), "the condition of `LlamaNorm` refused this module");
    expect_plan(plan, "norm: select keep condition -\n"
                      "mlp.act: apply replace mapped FastAct\n"
                      "mlp.norm: apply replace mapped FastNorm");
    assert_forwards(model, "norm=original mlp.act=FastAct mlp.norm=FastNorm");
    assert_int_equal(fx->host->calls[FAKE_CALL_CONDITION], 2);
}

static void test_a_condition_is_asked_again_at_each_kernelize(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    fake_module *norm = model->children[0].module;
    norm->cls->has_condition = true;
    norm->refused = true;
    kn_request request = inference();
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=original mlp.act=FastAct mlp.norm=FastNorm");
    norm->refused = false;
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=FastNorm mlp.act=FastAct mlp.norm=FastNorm");
    /* False leaves the module untouched: what it runs stays. */
    norm->refused = true;
    map_fast(fx, "Norm", "Newer");
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=FastNorm mlp.act=FastAct mlp.norm=Newer");
}

static void test_a_refused_module_needs_no_fallback(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    fake_class *odd = fake_class_new(fx->host, "Odd", "Unmapped");
    odd->has_condition = true;
    fake_module_add(model, "odd", odd)->refused = true;
    kn_request request = inference();
    request.fallback = KN_FALLBACK_NONE;
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=FastNorm mlp.act=FastAct mlp.norm=FastNorm odd=original");
}

static void test_a_foreign_forward_is_kept(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    fake_module_set_own(model->children[0].module, 3);
    kn_request request = inference();
    kn_plan *plan = kernelize_plan(fx, model, &request);
    assert_string_equal(
        message_of(plan, 0),
        "the module has a forward of its own that this library did not set; it is kept");
    expect_plan(plan, "norm: select keep foreign-forward -\n"
                      "mlp.act: apply replace mapped FastAct\n"
                      "mlp.norm: apply replace mapped FastNorm");
    assert_forwards(model, "norm=own:3 mlp.act=FastAct mlp.norm=FastNorm");
    assert_int_equal(fake_host_logged(fx->host, "warning: Norm: keeping the original forward "
                                                "(foreign-forward): the module has a forward of"),
                     1);
    unkernelize(fx, model);
    assert_forwards(model, "norm=own:3 mlp.act=original mlp.norm=original");
}

static void test_a_foreign_forward_behind_an_alike_module_is_kept_too(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    fake_module_set_own(model->children[1].module->children[1].module, 4);
    kn_request request = inference();
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=FastNorm mlp.act=FastAct mlp.norm=own:4");
}

static void test_disabling_keeps_every_original_forward(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    kn_request request = inference();
    setenv("DISABLE_KERNEL_MAPPING", "1", 1);
    request.fallback = KN_FALLBACK_NONE;
    expect_plan(make_plan(fx, model, &request), "norm,mlp.norm: select keep disabled -\n"
                                                "mlp.act: select keep disabled -");
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=original mlp.act=original mlp.norm=original");
    assert_int_equal(fx->host->calls[FAKE_CALL_LOAD], 0);
    assert_string_equal(fx->host->log, "");

    setenv("DISABLE_KERNEL_MAPPING", "0", 1);
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=FastNorm mlp.act=FastAct mlp.norm=FastNorm");

    /* Kernelizing again decides again. */
    setenv("DISABLE_KERNEL_MAPPING", "1", 1);
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=original mlp.act=original mlp.norm=original");
    unsetenv("DISABLE_KERNEL_MAPPING");
}

static void test_a_shared_module_is_one_site(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    fake_module_link(model->children[1].module, "tied", model->children[0].module);
    kn_request request = inference();
    expect_plan(make_plan(fx, model, &request), "norm,mlp.norm: select replace mapped FastNorm\n"
                                                "mlp.act: select replace mapped FastAct");
    kernelize(fx, model, &request);
    assert_int_equal(fx->host->calls[FAKE_CALL_SWAP], 3);
    assert_ptr_equal(model->children[1].module->children[2].module->forward.ours,
                     model->children[0].module->forward.ours);
    unkernelize(fx, model);
    assert_forwards(model, "norm=original mlp.act=original mlp.norm=original");
}

static void test_a_cycle_of_modules_ends(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    fake_module *mlp = model->children[1].module;
    fake_module_link(mlp, "parent", model);
    fake_module_link(mlp->children[0].module, "self", mlp->children[0].module);
    fake_module_link(mlp->children[0].module, "up", mlp);
    kn_request request = inference();
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=FastNorm mlp.act=FastAct mlp.norm=FastNorm");
    expect_plan(explain(fx, model), "norm,mlp.norm: apply replace mapped FastNorm\n"
                                    "mlp.act: apply replace mapped FastAct");
    unkernelize(fx, model);
    assert_forwards(model, "norm=original mlp.act=original mlp.norm=original");
}

/* ---- devices that differ ---- */

typedef struct two_gpus {
    fake_module *model, *first, *second;
} two_gpus;

static two_gpus model_on_two_gpus(engine_fixture *fx) {
    fake_class *norm = fake_class_new(fx->host, "LlamaNorm", "Norm");
    two_gpus m;
    m.model = fake_model_new(fx->host, NULL);
    m.first = fake_module_add(m.model, "first", NULL);
    m.second = fake_module_add(m.model, "second", NULL);
    fake_module_add(m.first, "norm", norm);
    fake_module_add(m.second, "norm", norm);
    fake_module_put_on(m.first, fake_cuda(0, 80));
    fake_module_put_on(m.second, fake_cuda(1, 90));
    fx->host->capability = 80;
    fx->host->has_unlike_devices = true;
    map_cuda(fx, "Norm", 80, 89,
             fake_repo_new(fx->host, "org/ampere", fake_layer_new(fx->host, "Ampere")));
    map_cuda(fx, "Norm", 90, 99,
             fake_repo_new(fx->host, "org/hopper", fake_layer_new(fx->host, "Hopper")));
    return m;
}

static void test_unlike_devices_get_each_their_own_kernel(void **state) {
    engine_fixture *fx = *state;
    two_gpus m = model_on_two_gpus(fx);
    kn_request request = inference();
    kn_plan *plan = kernelize_plan(fx, m.model, &request);
    kn_decision decision = {.size = sizeof decision};
    kn_plan_get(plan, 1, &decision);
    assert_int_equal(decision.capability, 90);
    expect_plan(plan, "first.norm: apply replace mapped org/ampere\n"
                      "second.norm: apply replace mapped org/hopper");
    assert_forwards(m.model, "first.norm=Ampere second.norm=Hopper");
}

static void test_a_modules_own_device_comes_before_its_parents(void **state) {
    engine_fixture *fx = *state;
    two_gpus m = model_on_two_gpus(fx);
    fake_module_put_on(m.first->children[0].module, fake_cuda(1, 90));
    fake_module_put_on(fake_module_add(m.second->children[0].module, "weight", NULL),
                       fake_cuda(0, 80));
    kn_request request = inference();
    kernelize(fx, m.model, &request);
    assert_forwards(m.model, "first.norm=Hopper second.norm=Ampere");
}

static void test_without_a_device_in_sight_the_calls_is_taken(void **state) {
    engine_fixture *fx = *state;
    two_gpus m = model_on_two_gpus(fx);
    m.first->has_parameter = m.second->has_parameter = false;
    kn_device device = fake_cuda(0, 80);
    kn_request request = inference();
    request.device = &device;
    kernelize(fx, m.model, &request);
    assert_forwards(m.model, "first.norm=Ampere second.norm=Ampere");
}

static void test_a_module_on_another_device_type_is_planned_for_the_calls(void **state) {
    engine_fixture *fx = *state;
    two_gpus m = model_on_two_gpus(fx);
    fake_module_put_on(m.second, fake_cpu());
    kn_request request = inference();
    kernelize(fx, m.model, &request);
    assert_forwards(m.model, "first.norm=Ampere second.norm=Ampere");
}

static void test_an_unlike_device_whose_capability_is_unknown_has_no_properties(void **state) {
    engine_fixture *fx = *state;
    two_gpus m = model_on_two_gpus(fx);
    fake_module_put_on(m.second, fake_cuda(1, KN_CAPABILITY_UNKNOWN));
    kn_request request = inference();
    expect_plan(make_plan(fx, m.model, &request),
                "first.norm: select replace mapped org/ampere\n"
                "second.norm: select keep no-compatible-properties -");
}

static void test_devices_of_modules_are_read_only_where_that_matters(void **state) {
    engine_fixture *fx = *state;
    two_gpus m = model_on_two_gpus(fx);
    kn_request request = inference();

    fx->host->has_unlike_devices = false;
    expect_plan(make_plan(fx, m.model, &request),
                "first.norm,second.norm: select replace mapped org/ampere");
    fx->host->has_unlike_devices = true;
    request.capability = 90;
    expect_plan(make_plan(fx, m.model, &request),
                "first.norm,second.norm: select replace mapped org/hopper");
    request.capability = KN_CAPABILITY_ASK;
    assert_int_equal(kn_engine_register(fx->engine, NULL, 0, false, NULL), KN_OK);
    map_cuda(fx, "Norm", 0, KN_CAPABILITY_MAX, fake_repo_new(fx->host, "org/any", NULL));
    size_t asked = fx->host->calls[FAKE_CALL_UNLIKE_DEVICES];
    expect_plan(make_plan(fx, m.model, &request),
                "first.norm,second.norm: select replace mapped org/any");
    assert_int_equal(fx->host->calls[FAKE_CALL_UNLIKE_DEVICES], asked);
    assert_int_equal(fx->host->calls[FAKE_CALL_MODULE_DEVICE], 0);
}

static void test_a_foreign_forward_on_an_unlike_device_is_kept(void **state) {
    engine_fixture *fx = *state;
    two_gpus m = model_on_two_gpus(fx);
    fake_module_set_own(m.second->children[0].module, 5);
    kn_request request = inference();
    kernelize(fx, m.model, &request);
    assert_forwards(m.model, "first.norm=Ampere second.norm=own:5");
}

int main(void) {
    unsetenv("DISABLE_KERNEL_MAPPING");
    const struct CMUnitTest tests[] = {
        engine_test(test_alike_modules_share_a_decision),
        engine_test(test_classes_of_one_layer_name_are_decided_each_for_itself),
        engine_test(test_the_model_itself_may_be_extensible),
        engine_test(test_a_model_without_extensible_modules_is_left_alone),
        engine_test(test_patterns_choose_modules_by_path),
        engine_test(test_an_empty_list_of_includes_chooses_nothing),
        engine_test(test_what_is_left_out_says_so),
        engine_test(test_predicates_choose_modules),
        engine_test(test_a_predicate_is_asked_only_where_patterns_leave_it_open),
        engine_test(test_what_is_left_out_keeps_what_it_runs),
        engine_test(test_what_is_left_out_is_not_asked_for_its_condition),
        engine_test(test_a_condition_is_asked_for_each_module_of_its_class),
        engine_test(test_a_condition_is_asked_again_at_each_kernelize),
        engine_test(test_a_refused_module_needs_no_fallback),
        engine_test(test_a_foreign_forward_is_kept),
        engine_test(test_a_foreign_forward_behind_an_alike_module_is_kept_too),
        engine_test(test_disabling_keeps_every_original_forward),
        engine_test(test_a_shared_module_is_one_site),
        engine_test(test_a_cycle_of_modules_ends),
        engine_test(test_unlike_devices_get_each_their_own_kernel),
        engine_test(test_a_modules_own_device_comes_before_its_parents),
        engine_test(test_without_a_device_in_sight_the_calls_is_taken),
        engine_test(test_a_module_on_another_device_type_is_planned_for_the_calls),
        engine_test(test_an_unlike_device_whose_capability_is_unknown_has_no_properties),
        engine_test(test_devices_of_modules_are_read_only_where_that_matters),
        engine_test(test_a_foreign_forward_on_an_unlike_device_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
