/* SPDX-License-Identifier: Apache-2.0 */
/* Kernelizing, again and differently, and the way back. */
#include "support/engine_fixture.h"
#include "support/unit.h"

/* norm, act, norm2 on the processor. */
static fake_module *small_model(engine_fixture *fx) {
    fake_class *norm = fake_class_new(fx->host, "LlamaNorm", "Norm");
    fake_module *model = fake_model_new(fx->host, NULL);
    fake_module_add(model, "norm", norm);
    fake_module_add(model, "act", fake_class_new(fx->host, "LlamaAct", "Act"));
    fake_module_add(model, "norm2", norm);
    fake_module_put_on(model, fake_cpu());
    return model;
}

static fake_module *child(const fake_module *model, size_t index) {
    return model->children[index].module;
}

static void test_forwards_are_put_in_place(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    map_fast(fx, "Norm", "FastNorm");
    map_fast(fx, "Act", "FastAct");
    kn_request request = inference();
    kn_plan *plan = kernelize_plan(fx, model, &request);
    assert_forwards(model, "norm=FastNorm act=FastAct norm2=FastNorm");
    expect_plan(plan, "norm,norm2: apply replace mapped FastNorm\n"
                      "act: apply replace mapped FastAct");
    assert_string_equal(fx->host->log, "");
    assert_string_equal(child(model, 0)->forward.ours->info.mapped_name, "Norm");
    assert_string_equal(child(model, 0)->forward.ours->info.repo, "FastNorm");
}

static void test_keeping_a_module_writes_nothing_to_it(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    map_fast(fx, "Act", "FastAct");
    kn_request request = inference();
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=original act=FastAct norm2=original");
    assert_int_equal(fx->host->calls[FAKE_CALL_SWAP], 1);
}

static void test_kernelizing_again_loads_nothing_and_swaps_nothing(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    map_fast(fx, "Norm", "FastNorm");
    map_fast(fx, "Act", "FastAct");
    kn_request request = inference();
    kernelize(fx, model, &request);
    fake_forward *forward = child(model, 0)->forward.ours;
    fake_host_calm(fx->host);
    for (int i = 0; i < 3; i++) kernelize(fx, model, &request);
    assert_int_equal(fx->host->calls[FAKE_CALL_LOAD], 0);
    assert_int_equal(fx->host->calls[FAKE_CALL_BIND], 0);
    assert_int_equal(fx->host->calls[FAKE_CALL_SWAP], 0);
    assert_int_equal(fx->host->calls[FAKE_CALL_WALK], 3);
    assert_ptr_equal(child(model, 0)->forward.ours, forward);
}

static void test_a_layer_is_loaded_once_for_all_models_and_classes(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx), *other = small_model(fx);
    fake_repo *repo = map_fast(fx, "Norm", "Fast");
    map_cpu(fx, "Act", KN_MODE_FALLBACK, repo);
    kn_request request = inference();
    kernelize(fx, model, &request);
    kernelize(fx, other, &request);
    assert_forwards(other, "norm=Fast act=Fast norm2=Fast");
    assert_int_equal(fx->host->calls[FAKE_CALL_LOAD], 1);
    assert_int_equal(fx->host->calls[FAKE_CALL_BIND], 4); /* two classes in each model */
}

static void test_equal_repositories_are_loaded_once(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    map_fast(fx, "Norm", "First")->equals = "the same";
    fake_repo *act = map_fast(fx, "Act", "Second");
    act->equals = "the same";
    kn_request request = inference();
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=First act=First norm2=First");
    assert_int_equal(fx->host->calls[FAKE_CALL_LOAD], 1);
    act->equals = "another";
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=First act=Second norm2=First");
}

static void test_each_of_equal_repositories_is_named_where_it_is_used(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    fake_repo *first = map_fast(fx, "Norm", "First");
    fake_repo *again = fake_repo_new(fx->host, "Again", first->layer);
    first->equals = again->equals = "the same";
    kn_request request = inference();
    kernelize(fx, model, &request);
    map_cpu(fx, "Norm", KN_MODE_FALLBACK, again);
    kernelize(fx, model, &request);
    expect_plan(explain(fx, model), "norm,norm2: apply replace mapped Again\n"
                                    "act: apply keep no-layer -");
    assert_int_equal(fx->host->calls[FAKE_CALL_LOAD], 1);
}

static void test_switching_mode_and_back_loads_each_once(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    fake_repo *infer = fake_repo_new(fx->host, "i", fake_layer_new(fx->host, "Infer"));
    fake_repo *train = fake_repo_new(fx->host, "t", fake_layer_new(fx->host, "Train"));
    const kn_mode_repo modes[] = {{KN_MODE_INFERENCE, infer->handle},
                                  {KN_MODE_TRAINING, train->handle}};
    const kn_mapping_entry entry = {"Norm", KN_DEVICE_CPU, {0, KN_CAPABILITY_MAX}, modes, 2};
    assert_int_equal(kn_engine_register(fx->engine, &entry, 1, true, NULL), KN_OK);
    kn_request inferring = inference(), training = request_for(KN_MODE_TRAINING);
    for (int i = 0; i < 3; i++) {
        kernelize(fx, model, &inferring);
        assert_forwards(model, "norm=Infer act=original norm2=Infer");
        kernelize(fx, model, &training);
        assert_forwards(model, "norm=Train act=original norm2=Train");
    }
    assert_int_equal(fx->host->calls[FAKE_CALL_LOAD], 2);
    assert_int_equal(fx->host->calls[FAKE_CALL_BIND], 2);
    unkernelize(fx, model);
    assert_forwards(model, "norm=original act=original norm2=original");
}

static void test_switching_device_and_back_loads_each_once(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    fx->host->capability = 90;
    map_fast(fx, "Norm", "OnCpu");
    map_cuda(fx, "Norm", 80, 99, fake_repo_new(fx->host, "g", fake_layer_new(fx->host, "OnGpu")));
    kn_request request = inference();
    for (int i = 0; i < 3; i++) {
        fake_module_put_on(model, fake_cuda(0, 90));
        kernelize(fx, model, &request);
        assert_forwards(model, "norm=OnGpu act=original norm2=OnGpu");
        fake_module_put_on(model, fake_cpu());
        kernelize(fx, model, &request);
        assert_forwards(model, "norm=OnCpu act=original norm2=OnCpu");
    }
    assert_int_equal(fx->host->calls[FAKE_CALL_LOAD], 2);
    fake_module_put_on(model, fake_device("meta"));
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=original act=original norm2=original");
}

static void test_kernelizing_again_decides_again(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    kn_request request = inference();
    map_fast(fx, "Norm", "First");
    map_fast(fx, "Act", "FastAct");
    kernelize(fx, model, &request);
    assert_int_equal(kn_engine_register(fx->engine, NULL, 0, false, NULL), KN_OK);
    map_fast(fx, "Norm", "Second");
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=Second act=original norm2=Second");
    assert_int_equal(kn_engine_register(fx->engine, NULL, 0, false, NULL), KN_OK);
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=original act=original norm2=original");
}

static void test_a_fallback_is_logged_once_for_a_layer_name_and_says_what_to_do(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx), *other = small_model(fx);
    kn_request request = inference();
    kernelize(fx, model, &request);
    kernelize(fx, model, &request);
    kernelize(fx, other, &request);
    assert_string_equal(
        fx->host->log,
        "warning: Norm: keeping the original forward (no-layer): No layer mapping for `Norm`: the "
        "mapping in force does not name it; add it with register_kernel_mapping or "
        "use_kernel_mapping\n"
        "warning: Act: keeping the original forward (no-layer): No layer mapping for `Act`: the "
        "mapping in force does not name it; add it with register_kernel_mapping or "
        "use_kernel_mapping\n");
    assert_int_equal(fx->host->topic, KN_LOG_LAYERS);
}

static void test_a_plan_logs_nothing(void **state) {
    engine_fixture *fx = *state;
    kn_request request = inference();
    kn_plan_release(make_plan(fx, small_model(fx), &request));
    assert_int_equal(fx->host->calls[FAKE_CALL_LOG], 0);
}

static void test_if_the_swap_of_any_module_fails_all_are_as_before(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    fake_module_set_own(child(model, 1), 0);
    kn_request request = inference();
    map_fast(fx, "Norm", "FirstNorm");
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=FirstNorm act=original norm2=FirstNorm");
    fake_forward *before = child(model, 0)->forward.ours;
    map_fast(fx, "Norm", "SecondNorm");
    map_fast(fx, "Act", "SecondAct");
    for (size_t k = 1; k <= 3; k++) {
        fake_host_calm(fx->host);
        fake_host_fail(fx->host, FAKE_CALL_SWAP, k, KN_ERR_HOST);
        kernelize_fails(fx, model, &request, KN_ERR_HOST, "failed in swap");
        assert_forwards(model, "norm=FirstNorm act=original norm2=FirstNorm");
        assert_ptr_equal(child(model, 0)->forward.ours, before);
        assert_ptr_equal(child(model, 2)->forward.ours, before);
        assert_int_equal(fx->host->calls[FAKE_CALL_RESTORE], k - 1);
        assert_string_equal(fx->host->log, "");
        expect_plan(explain(fx, model), "norm,norm2: apply replace mapped FirstNorm\n"
                                        "act: apply keep no-layer -");
    }
    fake_host_calm(fx->host);
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=SecondNorm act=SecondAct norm2=SecondNorm");
}

static void test_what_cannot_be_taken_back_is_told_and_the_rest_is(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    map_fast(fx, "Norm", "FastNorm");
    map_fast(fx, "Act", "FastAct");
    kn_request request = inference();
    fake_host_fail(fx->host, FAKE_CALL_SWAP, 3, KN_ERR_RUNTIME);
    fake_host_fail(fx->host, FAKE_CALL_RESTORE, 1, KN_ERR_RUNTIME);
    kernelize_fails(fx, model, &request, KN_ERR_RUNTIME, "failed in swap");
    assert_forwards(model, "norm=original act=FastAct norm2=original");
    assert_string_equal(fx->host->log,
                        "warning: some modules could not be taken back after a failed call; they "
                        "keep the new forward\n");
}

static void test_unkernelizing_restores_what_stood_there(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    map_fast(fx, "Norm", "FastNorm");
    kn_request request = inference();
    kernelize(fx, model, &request);
    /* A wrapper that ours came to stand in front of. */
    child(model, 2)->forward.own = 9;
    unkernelize(fx, model);
    assert_forwards(model, "norm=original act=original norm2=own:9");
    fake_host_calm(fx->host);
    unkernelize(fx, model);
    assert_int_equal(fx->host->calls[FAKE_CALL_SWAP], 0);
}

static void test_a_forward_that_a_user_set_over_ours_is_not_undone(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    map_fast(fx, "Norm", "FastNorm");
    kn_request request = inference();
    kernelize(fx, model, &request);
    fake_module_set_own(child(model, 0), 4);
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=own:4 act=original norm2=FastNorm");
    unkernelize(fx, model);
    assert_forwards(model, "norm=own:4 act=original norm2=original");
    assert_null(child(model, 0)->forward.described);
}

static void test_what_was_unpickled_is_applied_again(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    map_fast(fx, "Norm", "FastNorm");
    kn_request request = inference();
    kernelize(fx, model, &request);
    fake_module_unpickle(child(model, 0));
    assert_forwards(model, "norm=described act=original norm2=FastNorm");
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=FastNorm act=original norm2=FastNorm");
    assert_null(child(model, 0)->forward.described);
}

static void test_a_stale_description_goes_when_the_module_is_kept(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    map_fast(fx, "Norm", "FastNorm");
    kn_request request = inference();
    kernelize(fx, model, &request);
    fake_module_unpickle(child(model, 0));
    fake_module_unpickle(child(model, 2));
    unkernelize(fx, model);
    assert_forwards(model, "norm=original act=original norm2=original");

    kernelize(fx, model, &request);
    fake_module_unpickle(child(model, 0));
    assert_int_equal(kn_engine_register(fx->engine, NULL, 0, false, NULL), KN_OK);
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=original act=original norm2=original");
}

static void test_a_block_without_kernels_ends_where_it_began(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    map_fast(fx, "Norm", "FastNorm");
    kn_request request = inference();
    kernelize(fx, model, &request);
    fake_module_unpickle(child(model, 2));
    fake_forward *before = child(model, 0)->forward.ours;
    kn_undo *undo = NULL;
    assert_int_equal(kn_engine_unkernelize(fx->engine, &fx->host->table, model, &undo, NULL),
                     KN_OK);
    assert_forwards(model, "norm=original act=original norm2=original");
    assert_int_equal(kn_engine_restore(fx->engine, &fx->host->table, undo, NULL), KN_OK);
    kn_undo_free(undo);
    assert_forwards(model, "norm=FastNorm act=original norm2=described");
    assert_ptr_equal(child(model, 0)->forward.ours, before);
    kn_undo_free(NULL);
}

static void test_restoring_goes_on_after_a_failure_and_tells_it(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    map_fast(fx, "Norm", "FastNorm");
    kn_request request = inference();
    kernelize(fx, model, &request);
    kn_undo *undo = NULL;
    assert_int_equal(kn_engine_unkernelize(fx->engine, &fx->host->table, model, &undo, NULL),
                     KN_OK);
    fake_host_fail(fx->host, FAKE_CALL_RESTORE, 1, KN_ERR_HOST);
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_engine_restore(fx->engine, &fx->host->table, undo, &err), KN_ERR_HOST);
    assert_string_equal(err.message, "the fake host failed in restore");
    assert_forwards(model, "norm=FastNorm act=original norm2=original");
    kn_undo_free(undo);
}

static void test_an_undo_that_is_not_used_only_lets_go(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    map_fast(fx, "Norm", "FastNorm");
    kn_request request = inference();
    kernelize(fx, model, &request);
    kn_undo *undo = NULL;
    assert_int_equal(kn_engine_unkernelize(fx->engine, &fx->host->table, model, &undo, NULL),
                     KN_OK);
    kn_undo_free(undo);
    assert_forwards(model, "norm=original act=original norm2=original");
}

static void test_if_unkernelizing_fails_all_are_as_before(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    map_fast(fx, "Norm", "FastNorm");
    map_fast(fx, "Act", "FastAct");
    kn_request request = inference();
    kernelize(fx, model, &request);
    for (size_t k = 1; k <= 3; k++) {
        fake_host_calm(fx->host);
        fake_host_fail(fx->host, FAKE_CALL_SWAP, k, KN_ERR_HOST);
        kn_error err = KN_ERROR_INIT;
        kn_undo *undo = (kn_undo *)fx;
        assert_int_equal(kn_engine_unkernelize(fx->engine, &fx->host->table, model, &undo, &err),
                         KN_ERR_HOST);
        assert_null(undo);
        assert_string_equal(err.message, "the fake host failed in swap");
        assert_forwards(model, "norm=FastNorm act=FastAct norm2=FastNorm");
    }
}

static void test_a_cancelled_call_leaves_the_model_as_it_was(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    map_fast(fx, "Norm", "FastNorm");
    map_fast(fx, "Act", "FastAct");
    kn_request request = inference();
    for (size_t k = 1; k <= 2; k++) {
        fake_host_calm(fx->host);
        fake_host_fail(fx->host, FAKE_CALL_CANCELLED, k, KN_ERR_CANCELLED);
        kernelize_fails(fx, model, &request, KN_ERR_CANCELLED, "stopped");
        assert_forwards(model, "norm=original act=original norm2=original");
    }
}

static void test_a_class_that_cannot_be_watched_is_bound_anew(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    map_fast(fx, "Norm", "FastNorm");
    kn_request request = inference();
    for (int i = 0; i < 2; i++) {
        fake_host_calm(fx->host);
        fake_host_fail(fx->host, FAKE_CALL_WATCH, 1, KN_ERR_HOST);
        kernelize(fx, model, &request);
        assert_forwards(model, "norm=FastNorm act=original norm2=FastNorm");
        assert_int_equal(fx->host->calls[FAKE_CALL_BIND], 1);
    }
}

static void test_forgetting_a_model_and_a_class_lets_go_of_all(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = small_model(fx);
    fake_class *norm = child(model, 0)->cls;
    map_fast(fx, "Norm", "FastNorm");
    kn_request request = inference();
    kernelize(fx, model, &request);
    long held = norm->object.references;
    kn_engine_forget(fx->engine, &fx->host->table, model);
    assert_int_equal(norm->object.references, held - 1); /* that of the plan */
    unkernelize(fx, model);
    size_t live = fx->host->live;
    kn_engine_forget(fx->engine, &fx->host->table, norm);
    assert_int_equal(fx->host->live, live - 1); /* the forward */
    kn_engine_forget(fx->engine, &fx->host->table, norm);
    kn_engine_forget(fx->engine, &fx->host->table, fx);
    expect_plan(explain(fx, model), "norm,norm2: apply keep not-kernelized -\n"
                                    "act: apply keep not-kernelized -");
    kernelize(fx, model, &request);
    assert_forwards(model, "norm=FastNorm act=original norm2=FastNorm");
    assert_int_equal(fx->host->calls[FAKE_CALL_LOAD], 1);
    assert_int_equal(fx->host->calls[FAKE_CALL_BIND], 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        engine_test(test_forwards_are_put_in_place),
        engine_test(test_keeping_a_module_writes_nothing_to_it),
        engine_test(test_kernelizing_again_loads_nothing_and_swaps_nothing),
        engine_test(test_a_layer_is_loaded_once_for_all_models_and_classes),
        engine_test(test_equal_repositories_are_loaded_once),
        engine_test(test_each_of_equal_repositories_is_named_where_it_is_used),
        engine_test(test_switching_mode_and_back_loads_each_once),
        engine_test(test_switching_device_and_back_loads_each_once),
        engine_test(test_kernelizing_again_decides_again),
        engine_test(test_a_fallback_is_logged_once_for_a_layer_name_and_says_what_to_do),
        engine_test(test_a_plan_logs_nothing),
        engine_test(test_if_the_swap_of_any_module_fails_all_are_as_before),
        engine_test(test_what_cannot_be_taken_back_is_told_and_the_rest_is),
        engine_test(test_unkernelizing_restores_what_stood_there),
        engine_test(test_a_forward_that_a_user_set_over_ours_is_not_undone),
        engine_test(test_what_was_unpickled_is_applied_again),
        engine_test(test_a_stale_description_goes_when_the_module_is_kept),
        engine_test(test_a_block_without_kernels_ends_where_it_began),
        engine_test(test_restoring_goes_on_after_a_failure_and_tells_it),
        engine_test(test_an_undo_that_is_not_used_only_lets_go),
        engine_test(test_if_unkernelizing_fails_all_are_as_before),
        engine_test(test_a_cancelled_call_leaves_the_model_as_it_was),
        engine_test(test_a_class_that_cannot_be_watched_is_bound_anew),
        engine_test(test_forgetting_a_model_and_a_class_lets_go_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
