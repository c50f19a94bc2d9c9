/* SPDX-License-Identifier: Apache-2.0 */
/* User code that changes the model, the mapping or the engine during a call. */
#include "support/engine_fixture.h"
#include "support/unit.h"

typedef struct scene {
    engine_fixture *fx;
    fake_module *model;
    const kn_request *request;
    const char *layer, *name; /* what a hook registers */
    size_t ran;
} scene;

/* norm, act, norm2 on the processor; Norm and Act are mapped; Norm has a condition. */
static scene set_scene(engine_fixture *fx) {
    scene s = {.fx = fx, .model = fake_model_new(fx->host, NULL)};
    fake_class *norm = fake_class_new(fx->host, "LlamaNorm", "Norm");
    norm->has_condition = true;
    fake_module_add(s.model, "norm", norm);
    fake_module_add(s.model, "act", fake_class_new(fx->host, "LlamaAct", "Act"));
    fake_module_add(s.model, "norm2", norm);
    fake_module_put_on(s.model, fake_cpu());
    map_fast(fx, "Norm", "FastNorm");
    map_fast(fx, "Act", "FastAct");
    return s;
}

static const fake_call user_calls[] = {FAKE_CALL_CONDITION, FAKE_CALL_LOAD, FAKE_CALL_BIND};
#define USER_CALLS (sizeof user_calls / sizeof *user_calls)

static void remove_act(fake_host *host, void *ctx) {
    (void)host;
    fake_module_remove(((scene *)ctx)->model, "act");
    ((scene *)ctx)->ran++;
}

static void test_a_module_that_user_code_removes_harms_nothing(void **state) {
    for (size_t i = 0; i < USER_CALLS; i++) {
        scene s = set_scene(*state);
        kn_request request = inference();
        fake_host_calm(s.fx->host);
        fake_host_hook(s.fx->host, user_calls[i], 1, remove_act, &s);
        kn_plan *plan = kernelize_plan(s.fx, s.model, &request);
        assert_int_equal(s.ran, 1);
        assert_forwards(s.model, "norm=FastNorm norm2=FastNorm");
        expect_plan(plan, "norm,norm2: apply replace mapped FastNorm\n"
                          "act: apply replace mapped FastAct");
        expect_plan(explain(s.fx, s.model), "norm,norm2: apply replace mapped FastNorm");
        unkernelize(s.fx, s.model);
        assert_forwards(s.model, "norm=original norm2=original");
        assert_int_equal(kn_engine_register(s.fx->engine, NULL, 0, false, NULL), KN_OK);
    }
}

static void remove_all(fake_host *host, void *ctx) {
    scene *s = ctx;
    (void)host;
    while (s->model->count) fake_module_remove(s->model, s->model->children[0].name);
    fake_module_add(s->model, "new", NULL);
    s->ran++;
}

static void test_a_model_that_user_code_empties_harms_nothing(void **state) {
    for (size_t i = 0; i < USER_CALLS; i++) {
        scene s = set_scene(*state);
        kn_request request = inference();
        fake_host_calm(s.fx->host);
        fake_host_hook(s.fx->host, user_calls[i], 1, remove_all, &s);
        kernelize(s.fx, s.model, &request);
        assert_int_equal(s.ran, 1);
        assert_forwards(s.model, "");
        expect_plan(explain(s.fx, s.model), "");
    }
}

static void set_own_forwards(fake_host *host, void *ctx) {
    scene *s = ctx;
    (void)host;
    fake_module_set_own(s->model->children[0].module, 3);
    s->ran++;
}

static void test_a_forward_that_user_code_sets_is_kept(void **state) {
    for (size_t i = 0; i < USER_CALLS; i++) {
        scene s = set_scene(*state);
        kn_request request = inference();
        fake_host_calm(s.fx->host);
        fake_host_hook(s.fx->host, user_calls[i], 1, set_own_forwards, &s);
        kn_plan *plan = kernelize_plan(s.fx, s.model, &request);
        assert_int_equal(s.ran, 1);
        assert_forwards(s.model, "norm=own:3 act=FastAct norm2=FastNorm");
        assert_string_equal(
            message_of(plan, 2),
            "a forward was set on the module while it was being kernelized; it is kept");
        expect_plan(plan, "norm2: apply replace mapped FastNorm\n"
                          "act: apply replace mapped FastAct\n"
                          "norm: settle keep foreign-forward FastNorm");
        unkernelize(s.fx, s.model);
        assert_forwards(s.model, "norm=own:3 act=original norm2=original");
    }
}

static void test_a_forward_set_while_equal_repositories_are_compared_is_kept(void **state) {
    const fake_call calls[] = {FAKE_CALL_REPO_HASH, FAKE_CALL_REPO_EQUAL};
    for (size_t i = 0; i < 2; i++) {
        scene s = set_scene(*state);
        s.model->children[0].module->cls->has_condition = false;
        kn_request request = inference();
        kernelize(s.fx, s.model, &request);
        /* Another repository, equal to what was loaded: nothing is loaded, but it is compared. */
        fake_layer *layer = s.model->children[0].module->forward.ours->layer;
        fake_repo *first = fake_repo_new(s.fx->host, "first", layer);
        fake_repo *again = fake_repo_new(s.fx->host, "again", layer);
        first->equals = again->equals = "the same";
        map_cpu(s.fx, "Norm", KN_MODE_FALLBACK, first);
        kernelize(s.fx, s.model, &request);
        map_cpu(s.fx, "Norm", KN_MODE_FALLBACK, again);
        fake_host_calm(s.fx->host);
        fake_host_hook(s.fx->host, calls[i], 1, set_own_forwards, &s);
        kernelize(s.fx, s.model, &request);
        assert_int_equal(s.ran, 1);
        assert_int_equal(s.fx->host->calls[FAKE_CALL_LOAD], 0);
        assert_forwards(s.model, "norm=own:3 act=FastAct norm2=FastNorm");
        unkernelize(s.fx, s.model);
    }
}

static void test_a_repository_that_was_loaded_is_known_without_running_its_code(void **state) {
    scene s = set_scene(*state);
    s.model->children[0].module->cls->has_condition = false;
    kn_request request = inference();
    kernelize(s.fx, s.model, &request);
    fake_host_calm(s.fx->host);
    kernelize(s.fx, s.model, &request);
    assert_int_equal(s.fx->host->calls[FAKE_CALL_REPO_HASH], 0);
    assert_int_equal(s.fx->host->calls[FAKE_CALL_REPO_EQUAL], 0);
    assert_int_equal(s.fx->host->calls[FAKE_CALL_INSPECT], 0);
}

static void register_layer(fake_host *host, void *ctx) {
    scene *s = ctx;
    (void)host;
    map_fast(s->fx, s->layer, s->name);
    s->ran++;
}

static void test_a_mapping_registered_during_the_call_counts_from_the_next(void **state) {
    for (size_t i = 0; i < USER_CALLS; i++) {
        scene s = set_scene(*state);
        s.layer = "Norm";
        s.name = "Late";
        kn_request request = inference();
        fake_host_calm(s.fx->host);
        fake_host_hook(s.fx->host, user_calls[i], 1, register_layer, &s);
        kernelize(s.fx, s.model, &request);
        assert_int_equal(s.ran, 1);
        assert_forwards(s.model, "norm=FastNorm act=FastAct norm2=FastNorm");
        kernelize(s.fx, s.model, &request);
        assert_forwards(s.model, "norm=Late act=FastAct norm2=Late");
    }
}

static void kernelize_inside(fake_host *host, void *ctx) {
    scene *s = ctx;
    (void)host;
    s->ran++;
    kernelize(s->fx, s->model, s->request);
    assert_forwards(s->model, "norm=FastNorm act=FastAct norm2=FastNorm");
}

static void test_kernelizing_the_same_model_from_within_comes_to_the_same(void **state) {
    for (size_t i = 0; i < USER_CALLS; i++) {
        scene s = set_scene(*state);
        kn_request request = inference();
        s.request = &request;
        fake_host_calm(s.fx->host);
        fake_host_hook(s.fx->host, user_calls[i], 1, kernelize_inside, &s);
        kernelize(s.fx, s.model, &request);
        assert_int_equal(s.ran, 1);
        assert_forwards(s.model, "norm=FastNorm act=FastAct norm2=FastNorm");
        /* What was made twice is one from now on: nothing is swapped any more. */
        fake_host_calm(s.fx->host);
        kernelize(s.fx, s.model, &request);
        assert_int_equal(s.fx->host->calls[FAKE_CALL_SWAP], 0);
        assert_int_equal(s.fx->host->calls[FAKE_CALL_LOAD], 0);
        unkernelize(s.fx, s.model);
        assert_forwards(s.model, "norm=original act=original norm2=original");
    }
}

static void unkernelize_inside(fake_host *host, void *ctx) {
    scene *s = ctx;
    (void)host;
    s->ran++;
    unkernelize(s->fx, s->model);
}

static void test_unkernelizing_from_within_does_not_hinder_the_call(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    kernelize(s.fx, s.model, &request);
    map_fast(s.fx, "Norm", "Newer");
    for (size_t i = 0; i < USER_CALLS; i++) {
        s.ran = 0;
        fake_host_calm(s.fx->host);
        fake_host_hook(s.fx->host, user_calls[i], 1, unkernelize_inside, &s);
        kernelize(s.fx, s.model, &request);
        assert_forwards(s.model, "norm=Newer act=FastAct norm2=Newer");
    }
}

static void fail_inside(fake_host *host, void *ctx) {
    scene *s = ctx;
    s->ran++;
    fake_host_fail(host, FAKE_CALL_SWAP, 2, KN_ERR_HOST);
    kernelize_fails(s->fx, s->model, s->request, KN_ERR_HOST, "failed in swap");
    assert_forwards(s->model, "norm=original act=original norm2=original");
}

static void test_a_failed_call_within_leaves_the_outer_one_whole(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    s.request = &request;
    fake_host_hook(s.fx->host, FAKE_CALL_LOAD, 2, fail_inside, &s);
    kernelize(s.fx, s.model, &request);
    assert_int_equal(s.ran, 1);
    assert_forwards(s.model, "norm=FastNorm act=FastAct norm2=FastNorm");
}

static void forget_all(fake_host *host, void *ctx) {
    scene *s = ctx;
    s->ran++;
    kn_engine_forget(s->fx->engine, &host->table, s->model);
    kn_engine_forget(s->fx->engine, &host->table, s->model->children[0].module->cls);
}

static void test_being_forgotten_during_the_call_harms_nothing(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    for (size_t i = 0; i < USER_CALLS; i++) {
        fake_host_calm(s.fx->host);
        fake_host_hook(s.fx->host, user_calls[i], 1, forget_all, &s);
        kernelize(s.fx, s.model, &request);
        assert_forwards(s.model, "norm=FastNorm act=FastAct norm2=FastNorm");
    }
}

static void set_both_own(fake_host *host, void *ctx) {
    scene *s = ctx;
    (void)host;
    for (size_t i = 0; i < 2; i++) fake_module_set_own(s->model->children[i].module, (int)i + 1);
}

static void test_what_is_kept_on_unlike_devices_keeps_each_its_capability(void **state) {
    engine_fixture *fx = *state;
    scene s = {.fx = fx, .model = fake_model_new(fx->host, NULL)};
    fake_class *norm = fake_class_new(fx->host, "LlamaNorm", "Norm");
    fake_module_put_on(fake_module_add(s.model, "first", norm), fake_cuda(0, 80));
    fake_module_put_on(fake_module_add(s.model, "second", norm), fake_cuda(1, 90));
    fx->host->capability = 80;
    fx->host->has_unlike_devices = true;
    fake_repo *repo = fake_repo_new(fx->host, "org/a", fake_layer_new(fx->host, "Fast"));
    map_cuda(fx, "Norm", 80, 99, repo);
    kn_request request = inference();
    fake_host_hook(fx->host, FAKE_CALL_LOAD, 1, set_both_own, &s);
    kn_plan *plan = kernelize_plan(fx, s.model, &request);
    kn_decision first = {.size = sizeof first}, second = {.size = sizeof second};
    assert_decisions(plan, "first: settle keep foreign-forward org/a\n"
                           "second: settle keep foreign-forward org/a");
    kn_plan_get(plan, 0, &first);
    kn_plan_get(plan, 1, &second);
    assert_int_equal(first.capability, 80);
    assert_int_equal(second.capability, 90);
    kn_plan_release(plan);
}

static void swap_children(fake_host *host, void *ctx) {
    scene *s = ctx;
    (void)host;
    fake_child first = s->model->children[0];
    s->model->children[0] = s->model->children[1];
    s->model->children[1] = first;
    s->ran++;
}

static void test_predicates_are_given_the_model_as_it_was_walked(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    request.include_predicate = fake_predicate("norm");
    fake_host_hook(s.fx->host, FAKE_CALL_PREDICATE, 1, swap_children, &s);
    kernelize(s.fx, s.model, &request);
    assert_int_equal(s.ran, 1);
    assert_forwards(s.model, "act=original norm=FastNorm norm2=FastNorm");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        engine_test(test_a_module_that_user_code_removes_harms_nothing),
        engine_test(test_a_model_that_user_code_empties_harms_nothing),
        engine_test(test_a_forward_that_user_code_sets_is_kept),
        engine_test(test_a_forward_set_while_equal_repositories_are_compared_is_kept),
        engine_test(test_a_repository_that_was_loaded_is_known_without_running_its_code),
        engine_test(test_a_mapping_registered_during_the_call_counts_from_the_next),
        engine_test(test_kernelizing_the_same_model_from_within_comes_to_the_same),
        engine_test(test_unkernelizing_from_within_does_not_hinder_the_call),
        engine_test(test_a_failed_call_within_leaves_the_outer_one_whole),
        engine_test(test_being_forgotten_during_the_call_harms_nothing),
        engine_test(test_what_is_kept_on_unlike_devices_keeps_each_its_capability),
        engine_test(test_predicates_are_given_the_model_as_it_was_walked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
