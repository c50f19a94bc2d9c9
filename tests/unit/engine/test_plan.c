/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan decides, why, and what happens where a fallback is not allowed. */
#include "support/engine_fixture.h"
#include "support/unit.h"

enum {
    I = KN_MODE_INFERENCE,
    T = KN_MODE_TRAINING,
    C = KN_MODE_TORCH_COMPILE,
    F = KN_MODE_FALLBACK
};

/* A model on the processor with one extensible module, "norm". */
static fake_module *one_norm(engine_fixture *fx) {
    fake_module *model = fake_model_new(fx->host, NULL);
    fake_module_add(model, "norm", fake_class_new(fx->host, "LlamaNorm", "Norm"));
    fake_module_put_on(model, fake_cpu());
    return model;
}

static void expect_kept(engine_fixture *fx, fake_module *model, const kn_request *request,
                        const char *decision) {
    expect_plan(make_plan(fx, model, request), decision);
    kernelize(fx, model, request);
    assert_forwards(model, "norm=original");
    assert_int_equal(fx->host->calls[FAKE_CALL_SWAP], 0);
}

/* With `flag` taken away from what is allowed both calls fail and nothing has changed. */
static void expect_refused(engine_fixture *fx, fake_module *model, kn_request request,
                           uint32_t flag, kn_status status, const char *part) {
    request.fallback = KN_FALLBACK_ALL & ~flag;
    kernelize_fails(fx, model, &request, status, part);
    request.fetch = true;
    plan_fails(fx, model, &request, status, part);
    assert_forwards(model, "norm=original");
    assert_int_equal(fx->host->calls[FAKE_CALL_SWAP], 0);
    request.fallback = KN_FALLBACK_NONE;
    kernelize_fails(fx, model, &request, status, part);
    request.fallback = KN_FALLBACK_ALL;
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=original");
}

static void test_a_mapped_layer_is_replaced(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    map_fast(fx, "Norm", "Fast");
    kn_request request = inference();
    expect_plan(make_plan(fx, model, &request), "norm: select replace mapped Fast");
    assert_forwards(model, "norm=original");
}

static void test_a_layer_name_that_is_not_mapped_is_kept(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    map_fast(fx, "Act", "Fast");
    kn_request request = inference();
    expect_kept(fx, model, &request, "norm: select keep no-layer -");
    expect_refused(fx, model, request, KN_FALLBACK_NO_LAYER, KN_ERR_VALUE,
                   "No layer mapping for `Norm`: the mapping in force does not name it; add it "
                   "with register_kernel_mapping or use_kernel_mapping");
}

static void test_a_device_that_is_not_mapped_is_kept(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    fake_repo *repo = fake_repo_new(fx->host, "org/a", NULL);
    map_cuda(fx, "Norm", 0, KN_CAPABILITY_MAX, repo);
    map_on(fx, "Norm", KN_DEVICE_XPU, 0, KN_CAPABILITY_MAX, F, repo);
    kn_request request = inference();
    expect_kept(fx, model, &request, "norm: select keep no-device -");
    expect_refused(fx, model, request, KN_FALLBACK_NO_DEVICE, KN_ERR_VALUE,
                   "No layer mapping for `Norm` with device type `cpu`: it is registered for cuda, "
                   "xpu");
}

static void test_a_device_type_that_nothing_can_be_registered_for_is_kept(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    fake_module_put_on(model, fake_device("meta"));
    map_fast(fx, "Norm", "Fast");
    kn_request request = inference();
    expect_kept(fx, model, &request, "norm: select keep no-device -");
    expect_refused(fx, model, request, KN_FALLBACK_NO_DEVICE, KN_ERR_VALUE, "device type `meta`");
}

static void test_a_capability_that_is_not_mapped_is_kept(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    fake_module_put_on(model, fake_cuda(0, 75));
    fx->host->capability = 75;
    map_cuda(fx, "Norm", 80, 89, fake_repo_new(fx->host, "org/a", NULL));
    kn_request request = inference();
    expect_kept(fx, model, &request, "norm: select keep no-compatible-properties -");
    expect_refused(fx, model, request, KN_FALLBACK_NO_COMPATIBLE_PROPERTIES, KN_ERR_VALUE,
                   "No layer mapping for `Norm` device `cuda` with the right properties: no "
                   "registered range holds capability 75");
}

static void test_a_capability_that_cannot_be_asked_is_kept(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    fake_module_put_on(model, fake_cuda(0, KN_CAPABILITY_UNKNOWN));
    map_cuda(fx, "Norm", 0, KN_CAPABILITY_MAX, fake_repo_new(fx->host, "org/a", NULL));
    kn_request request = inference();
    expect_kept(fx, model, &request, "norm: select keep no-compatible-properties -");
    expect_refused(fx, model, request, KN_FALLBACK_NO_COMPATIBLE_PROPERTIES, KN_ERR_VALUE,
                   "the capability of this device cannot be asked here");
}

static void test_a_mode_that_is_not_mapped_is_kept(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    map_cpu(fx, "Norm", I, fake_repo_new(fx->host, "org/a", NULL));
    kn_request request = request_for(T);
    expect_kept(fx, model, &request, "norm: select keep no-compatible-mode -");
    expect_refused(fx, model, request, KN_FALLBACK_NO_COMPATIBLE_MODE, KN_ERR_VALUE,
                   "No repository for `Norm` for configuration mode=TRAINING: it is registered for "
                   "INFERENCE");
}

static void test_a_layer_that_cannot_do_the_mode_is_kept(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    map_fast(fx, "Norm", "Fast");
    kn_request request = request_for(I | C);
    request.fetch = true;
    expect_kept(fx, model, &request, "norm: settle keep mode-unsupported Fast");
    expect_refused(fx, model, request, KN_FALLBACK_NO_COMPATIBLE_MODE, KN_ERR_VALUE,
                   "Available kernel does not support mode: INFERENCE|TORCH_COMPILE: Fast has no "
                   "support for torch.compile (layer `Norm`)");
}

static void test_a_layer_without_backward_is_kept_for_training(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    map_fast(fx, "Norm", "Fast")->layer->has_backward = false;
    kn_request request = request_for(T);
    request.fetch = true;
    expect_kept(fx, model, &request, "norm: settle keep mode-unsupported Fast");
    expect_refused(fx, model, request, KN_FALLBACK_NO_COMPATIBLE_MODE, KN_ERR_VALUE,
                   "Fast has no support for backward (layer `Norm`)");
}

static void test_what_cannot_be_loaded_is_kept_only_when_that_is_allowed(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    map_cpu(fx, "Norm", F, fake_repo_new(fx->host, "org/gone", NULL));
    kn_request request = inference();
    kernelize_fails(fx, model, &request, KN_ERR_NOT_FOUND, "this repository cannot load");
    request.fetch = true;
    request.fallback = KN_FALLBACK_ALL;
    expect_kept(fx, model, &request, "norm: select keep cannot-load org/gone");
    expect_refused(fx, model, request, KN_FALLBACK_CANNOT_LOAD, KN_ERR_NOT_FOUND,
                   "this repository cannot load");
}

static void test_other_failures_of_loading_always_raise(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    fake_repo *repo = fake_repo_new(fx->host, "org/gone", NULL);
    map_cpu(fx, "Norm", F, repo);
    kn_request request = inference();
    request.fallback = KN_FALLBACK_ALL;
    const kn_status statuses[] = {KN_ERR_VALUE, KN_ERR_TYPE, KN_ERR_OS, KN_ERR_RUNTIME,
                                  KN_ERR_HOST};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        repo->load_status = statuses[i];
        kernelize_fails(fx, model, &request, statuses[i], "this repository cannot load");
        assert_forwards(model, "norm=original");
    }
}

static void test_a_layer_registered_for_a_mode_that_it_cannot_do_is_an_error(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    fake_repo *repo = fake_repo_new(fx->host, "org/a", fake_layer_new(fx->host, "Fast"));
    repo->layer->has_backward = false;
    map_cpu(fx, "Norm", T, repo);
    /* Whatever mode was asked for, and whatever fallbacks are allowed. */
    kn_request request = inference();
    request.fallback = KN_FALLBACK_ALL;
    kernelize_fails(fx, model, &request, KN_ERR_VALUE,
                    "from repo org/a does not support backward. Was registered for `Norm` with "
                    "mode `TRAINING`");
    request.mode = T;
    kernelize_fails(fx, model, &request, KN_ERR_VALUE, "does not support backward");

    repo->layer->has_backward = true;
    map_cpu(fx, "Norm", T | C, repo);
    kernelize_fails(fx, model, &request, KN_ERR_VALUE,
                    "does not support torch.compile. Was registered for `Norm` with mode "
                    "`TRAINING|TORCH_COMPILE`");
    repo->layer->can_torch_compile = true;
    map_cpu(fx, "Norm", I | C, repo);
    assert_forwards(model, "norm=original");
}

static void test_a_layer_of_another_signature_is_a_type_error(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    map_fast(fx, "Norm", "Fast")->layer->signature = 2;
    kn_request request = inference();
    request.fallback = KN_FALLBACK_ALL;
    kernelize_fails(fx, model, &request, KN_ERR_TYPE, "different signatures");
    request.fetch = true;
    plan_fails(fx, model, &request, KN_ERR_TYPE, "different signatures");
    request.fetch = false;
    expect_plan(make_plan(fx, model, &request), "norm: select replace mapped Fast");
    assert_forwards(model, "norm=original");
}

static void test_the_signature_is_checked_against_every_class(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    fake_class *other = fake_class_new(fx->host, "OddNorm", "Norm");
    other->signature = 1;
    fake_module_add(model, "odd", other);
    map_fast(fx, "Norm", "Fast");
    kn_request request = inference();
    kernelize_fails(fx, model, &request, KN_ERR_TYPE, "different signatures");
    assert_forwards(model, "norm=original odd=original");
}

static void test_the_mode_of_the_request_is_checked(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    map_fast(fx, "Norm", "Fast");
    const kn_mode modes[] = {0, F, C, I | T, F | I, 64};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        kn_request request = request_for(modes[i]);
        kernelize_fails(fx, model, &request, KN_ERR_VALUE, "ode");
        plan_fails(fx, model, &request, KN_ERR_VALUE, "ode");
    }
    assert_int_equal(fx->host->calls[FAKE_CALL_WALK], 0);
}

static void test_a_negative_capability_is_refused(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    kn_request request = inference();
    request.capability = -90;
    plan_fails(fx, model, &request, KN_ERR_VALUE,
               "capability must be major * 10 + minor, as 90 for 9.0; got -90");
    request.capability = KN_CAPABILITY_UNKNOWN;
    plan_fails(fx, model, &request, KN_ERR_VALUE, "got -2");
}

static void test_a_model_without_parameters_needs_a_device(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    model->has_parameter = false;
    map_fast(fx, "Norm", "Fast");
    kn_request request = inference();
    kernelize_fails(fx, model, &request, KN_ERR_VALUE, "provide `device`");
    plan_fails(fx, model, &request, KN_ERR_VALUE, "provide `device`");
    kn_device device = fake_cpu();
    request.device = &device;
    expect_plan(make_plan(fx, model, &request), "norm: select replace mapped Fast");
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=Fast");
}

static void test_the_device_of_the_request_wins_over_the_models(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    map_fast(fx, "Norm", "Fast");
    kn_request request = inference();
    kn_device device = fake_device("xpu");
    request.device = &device;
    expect_plan(make_plan(fx, model, &request), "norm: select keep no-device -");
}

static void test_a_capability_that_this_machine_lacks_can_be_planned_for(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    map_cuda(fx, "Norm", 80, 89, fake_repo_new(fx->host, "org/ampere", NULL));
    map_cuda(fx, "Norm", 90, 99, fake_repo_new(fx->host, "org/hopper", NULL));
    kn_request request = inference();
    kn_device device = fake_cuda(-1, KN_CAPABILITY_UNKNOWN);
    request.device = &device;
    request.capability = 90;
    kn_plan *plan = make_plan(fx, model, &request);
    kn_decision decision = {.size = sizeof decision};
    kn_plan_get(plan, 0, &decision);
    assert_int_equal(decision.capability, 90);
    assert_string_equal(decision.device, "cuda");
    expect_plan(plan, "norm: select replace mapped org/hopper");
    request.capability = 86;
    expect_plan(make_plan(fx, model, &request), "norm: select replace mapped org/ampere");
    assert_int_equal(fx->host->calls[FAKE_CALL_CAPABILITY], 0);
}

/* Rows of the mode table: what is registered, what is asked for, what is found. */
static void test_each_row_of_the_mode_table_through_a_plan(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    static const struct {
        kn_mode registered[3], requested, found;
    } rows[] = {
        {{I, I | C, F}, I, I},         {{I | C, T, F}, I, I | C}, {{T, T | C, F}, I, T},
        {{T | C, F, 0}, I, T | C},     {{F, 0, 0}, I, F},         {{I, I | C, F}, I | C, I | C},
        {{I, T | C, F}, I | C, T | C}, {{I, T, F}, I | C, F},     {{I, T, T | C}, T, T},
        {{I, T | C, F}, T, T | C},     {{I, I | C, F}, T, F},     {{T, T | C, F}, T | C, T | C},
        {{T, I | C, F}, T | C, F},     {{I, I | C, 0}, T, 0},     {{I, T, I | C}, T | C, 0},
        {{I, T, 0}, I | C, 0},
    };
    fake_repo *repo = fake_repo_new(fx->host, "org/a", NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        kn_mode_repo pairs[3];
        size_t count = 0;
        for (; count < 3 && rows[i].registered[count]; count++) {
            pairs[count] = (kn_mode_repo){rows[i].registered[count], repo->handle};
        }
        const kn_mapping_entry entry = {
            "Norm", KN_DEVICE_CPU, {0, KN_CAPABILITY_MAX}, pairs, count};
        assert_int_equal(kn_engine_register(fx->engine, &entry, 1, false, NULL), KN_OK);
        kn_request request = request_for(rows[i].requested);
        kn_plan *plan = make_plan(fx, model, &request);
        assert_int_equal(kn_plan_mode(plan), rows[i].requested);
        kn_decision decision = {.size = sizeof decision};
        kn_plan_get(plan, 0, &decision);
        assert_int_equal(decision.repo_mode, rows[i].found);
        assert_int_equal(decision.action, rows[i].found ? KN_ACTION_REPLACE : KN_ACTION_KEEP);
        kn_plan_release(plan);
    }
}

static void test_a_plan_without_fetch_stops_after_select(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    map_fast(fx, "Norm", "Fast");
    kn_request request = inference();
    kn_plan_release(make_plan(fx, model, &request));
    assert_int_equal(fx->host->calls[FAKE_CALL_LOAD], 0);
    request.fetch = true;
    expect_plan(make_plan(fx, model, &request), "norm: settle replace mapped Fast");
    assert_int_equal(fx->host->calls[FAKE_CALL_LOAD], 1);
    assert_int_equal(fx->host->calls[FAKE_CALL_BIND], 1);
    assert_int_equal(fx->host->calls[FAKE_CALL_SWAP], 0);
    assert_forwards(model, "norm=original");
}

static void test_a_plan_holds_no_module(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    map_fast(fx, "Norm", "Fast");
    kn_request request = inference();
    request.fetch = true;
    kn_plan *plan = make_plan(fx, model, &request);
    fake_module_remove(model, "norm"); /* frees it: the sanitizer sees who still looks at it */
    assert_decisions(plan, "norm: settle replace mapped Fast");
    kn_plan_release(kn_plan_retain(plan));
    kn_plan_release(plan);
    kn_plan_release(NULL);
}

static void test_the_mapping_given_is_used_in_place_of_the_global_one(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    map_fast(fx, "Norm", "Global");
    fake_repo *repo = fake_repo_new(fx->host, "org/mine", NULL);
    const kn_mode_repo pair = {F, repo->handle};
    const kn_mapping_entry entry = {"Norm", KN_DEVICE_CPU, {0, KN_CAPABILITY_MAX}, &pair, 1};
    kn_mapping *mapping;
    assert_int_equal(kn_mapping_extend(NULL, NULL, &entry, 1, &mapping, NULL), KN_OK);
    kn_request request = inference();
    kn_plan *plan;
    assert_int_equal(
        kn_engine_plan(fx->engine, &fx->host->table, model, mapping, &request, &plan, NULL), KN_OK);
    kn_mapping_release(mapping);
    expect_plan(plan, "norm: select replace mapped org/mine");
    expect_plan(make_plan(fx, model, &request), "norm: select replace mapped Global");
}

static void test_errors_need_no_error_struct(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = one_norm(fx);
    kn_request request = inference();
    request.fallback = KN_FALLBACK_NONE;
    kn_plan *plan;
    assert_int_equal(
        kn_engine_plan(fx->engine, &fx->host->table, model, NULL, &request, &plan, NULL),
        KN_ERR_VALUE);
    map_cpu(fx, "Norm", F, fake_repo_new(fx->host, "org/gone", NULL));
    assert_int_equal(
        kn_engine_kernelize(fx->engine, &fx->host->table, model, NULL, &request, NULL, NULL),
        KN_ERR_NOT_FOUND);
}

static void test_texts_of_codes_are_stable(void **state) {
    (void)state;
    static const char *const reasons[KN_REASONS] = {"mapped",
                                                    "no-layer",
                                                    "no-device",
                                                    "no-compatible-properties",
                                                    "no-compatible-mode",
                                                    "mode-unsupported",
                                                    "cannot-load",
                                                    "condition",
                                                    "excluded",
                                                    "foreign-forward",
                                                    "shared-conflict",
                                                    "disabled",
                                                    "not-applied",
                                                    "not-kernelized",
                                                    "numerics-differ",
                                                    "denied"};
    for (int i = 0; i < KN_REASONS; i++) {
        assert_string_equal(kn_reason_text((kn_reason)i), reasons[i]);
    }
    assert_string_equal(kn_stage_text(KN_STAGE_SELECT), "select");
    assert_string_equal(kn_stage_text(KN_STAGE_RESOLVE), "resolve");
    assert_string_equal(kn_stage_text(KN_STAGE_SETTLE), "settle");
    assert_string_equal(kn_stage_text(KN_STAGE_APPLY), "apply");
    assert_string_equal(kn_action_text(KN_ACTION_KEEP), "keep");
    assert_string_equal(kn_action_text(KN_ACTION_REPLACE), "replace");
    assert_int_equal(KN_FALLBACK_DEFAULT, 1 | 2 | 4 | 8);
    assert_int_equal(KN_FALLBACK_ALL, KN_FALLBACK_DEFAULT | KN_FALLBACK_CANNOT_LOAD);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        engine_test(test_a_mapped_layer_is_replaced),
        engine_test(test_a_layer_name_that_is_not_mapped_is_kept),
        engine_test(test_a_device_that_is_not_mapped_is_kept),
        engine_test(test_a_device_type_that_nothing_can_be_registered_for_is_kept),
        engine_test(test_a_capability_that_is_not_mapped_is_kept),
        engine_test(test_a_capability_that_cannot_be_asked_is_kept),
        engine_test(test_a_mode_that_is_not_mapped_is_kept),
        engine_test(test_a_layer_that_cannot_do_the_mode_is_kept),
        engine_test(test_a_layer_without_backward_is_kept_for_training),
        engine_test(test_what_cannot_be_loaded_is_kept_only_when_that_is_allowed),
        engine_test(test_other_failures_of_loading_always_raise),
        engine_test(test_a_layer_registered_for_a_mode_that_it_cannot_do_is_an_error),
        engine_test(test_a_layer_of_another_signature_is_a_type_error),
        engine_test(test_the_signature_is_checked_against_every_class),
        engine_test(test_the_mode_of_the_request_is_checked),
        engine_test(test_a_negative_capability_is_refused),
        engine_test(test_a_model_without_parameters_needs_a_device),
        engine_test(test_the_device_of_the_request_wins_over_the_models),
        engine_test(test_a_capability_that_this_machine_lacks_can_be_planned_for),
        engine_test(test_each_row_of_the_mode_table_through_a_plan),
        engine_test(test_a_plan_without_fetch_stops_after_select),
        engine_test(test_a_plan_holds_no_module),
        engine_test(test_the_mapping_given_is_used_in_place_of_the_global_one),
        engine_test(test_errors_need_no_error_struct),
        cmocka_unit_test(test_texts_of_codes_are_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
