/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that several models share: one object, one forward at a time. */
#include "support/engine_fixture.h"
#include "support/unit.h"

typedef struct scene {
    engine_fixture *fx;
    fake_class *function_class;
    fake_module *function; /* one object in both models */
    fake_module *a, *b;    /* a.rope, b.rope; classes ModelA and ModelB */
} scene;

static scene set_scene(engine_fixture *fx) {
    scene s = {.fx = fx, .function_class = fake_class_new(fx->host, "rope", "Rope")};
    s.function_class->is_function = true;
    s.function = fake_model_new(fx->host, s.function_class);
    s.a = fake_model_new(fx->host, fake_class_new(fx->host, "ModelA", NULL));
    s.b = fake_model_new(fx->host, fake_class_new(fx->host, "ModelB", NULL));
    fake_module_link(s.a, "rope", s.function);
    fake_module_link(s.b, "rope", s.function);
    fake_module_put_on(s.a, fake_cpu());
    fake_module_put_on(s.b, fake_cpu());
    map_fast(fx, "Rope", "Fast");
    return s;
}

static void kernelize_both(scene *s) {
    kn_request request = inference();
    kernelize(s->fx, s->a, &request);
    kernelize(s->fx, s->b, &request);
}

#define MESSAGE                                                                               \
    "function `Rope` is shared by ModelA and ModelB, which want it differently: it runs its " \
    "original forward for both"

/* Model b wants another forward than a. */
static void kernelize_differently(scene *s) {
    kn_request request = inference();
    kernelize(s->fx, s->a, &request);
    map_fast(s->fx, "Rope", "Other");
    kn_plan *plan = kernelize_plan(s->fx, s->b, &request);
    assert_string_equal(message_of(plan, 0), MESSAGE);
    expect_plan(plan, "rope: settle keep shared-conflict Other");
    assert_forwards(s->function, "(model)=original");
}

static void test_models_that_agree_share_the_forward(void **state) {
    scene s = set_scene(*state);
    kernelize_both(&s);
    assert_forwards(s.function, "(model)=Fast");
    assert_int_equal(s.fx->host->calls[FAKE_CALL_SWAP], 1);
    expect_plan(explain(s.fx, s.a), "rope: apply replace mapped Fast");
    expect_plan(explain(s.fx, s.b), "rope: apply replace mapped Fast");
}

static void test_another_mode_alone_is_no_conflict(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    kernelize(s.fx, s.a, &request);
    request.mode = KN_MODE_TRAINING;
    expect_plan(kernelize_plan(s.fx, s.b, &request), "rope: apply replace mapped Fast");
    assert_forwards(s.function, "(model)=Fast");
}

static void test_one_layer_from_equal_repositories_is_no_conflict(void **state) {
    scene s = set_scene(*state);
    fake_repo *first = map_fast(s.fx, "Rope", "First");
    fake_repo *again = fake_repo_new(s.fx->host, "Again", first->layer);
    first->equals = again->equals = "the same";
    kn_request request = inference();
    kernelize(s.fx, s.a, &request);
    map_cpu(s.fx, "Rope", KN_MODE_FALLBACK, again);
    expect_plan(kernelize_plan(s.fx, s.b, &request), "rope: apply replace mapped Again");
    assert_forwards(s.function, "(model)=First");
    unkernelize(s.fx, s.b);
    assert_forwards(s.function, "(model)=First");
    unkernelize(s.fx, s.a);
    assert_forwards(s.function, "(model)=original");
}

static void test_models_that_want_it_differently_get_the_original(void **state) {
    scene s = set_scene(*state);
    kernelize_differently(&s);
    assert_int_equal(fake_host_logged(s.fx->host, "warning: Rope: keeping the original forward "
                                                  "(shared-conflict): " MESSAGE),
                     1);
    kn_request request = inference();
    kernelize(s.fx, s.b, &request);
    assert_int_equal(fake_host_logged(s.fx->host, "shared-conflict"), 1);
    assert_forwards(s.function, "(model)=original");
}

static void test_both_models_are_told_of_the_conflict(void **state) {
    scene s = set_scene(*state);
    kernelize_differently(&s);
    expect_plan(explain(s.fx, s.b), "rope: apply keep shared-conflict -");
    expect_plan(explain(s.fx, s.a), "rope: apply keep shared-conflict -");
}

static void test_a_plan_tells_of_the_conflict_and_claims_nothing(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    kernelize(s.fx, s.a, &request);
    map_fast(s.fx, "Rope", "Other");
    request.fetch = true;
    expect_plan(make_plan(s.fx, s.b, &request), "rope: settle keep shared-conflict Other");
    assert_forwards(s.function, "(model)=Fast");
    unkernelize(s.fx, s.a);
    assert_forwards(s.function, "(model)=original");
    expect_plan(make_plan(s.fx, s.b, &request), "rope: settle replace mapped Other");
}

static void test_where_a_conflict_is_not_allowed_it_is_an_error(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    kernelize(s.fx, s.a, &request);
    map_fast(s.fx, "Rope", "Other");
    request.fallback = KN_FALLBACK_ALL & ~KN_FALLBACK_NO_COMPATIBLE_MODE;
    kernelize_fails(s.fx, s.b, &request, KN_ERR_VALUE, MESSAGE);
    assert_forwards(s.function, "(model)=Fast");
    /* Nothing was claimed: a alone decides. */
    unkernelize(s.fx, s.a);
    kernelize(s.fx, s.b, &request);
    assert_forwards(s.function, "(model)=Other");
}

static void test_a_model_that_keeps_the_original_conflicts_too(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    kernelize(s.fx, s.a, &request);
    assert_int_equal(kn_engine_register(s.fx->engine, NULL, 0, false, NULL), KN_OK);
    expect_plan(kernelize_plan(s.fx, s.b, &request), "rope: select keep shared-conflict -");
    assert_forwards(s.function, "(model)=original");
    unkernelize(s.fx, s.b);
    assert_forwards(s.function, "(model)=Fast");
}

static void test_the_function_stays_as_long_as_one_model_claims_it(void **state) {
    scene s = set_scene(*state);
    kernelize_both(&s);
    unkernelize(s.fx, s.a);
    assert_forwards(s.function, "(model)=Fast");
    unkernelize(s.fx, s.b);
    assert_forwards(s.function, "(model)=original");
}

static void test_a_model_that_is_gone_claims_nothing(void **state) {
    scene s = set_scene(*state);
    kernelize_both(&s);
    kn_engine_forget(s.fx->engine, &s.fx->host->table, s.a);
    assert_forwards(s.function, "(model)=Fast");
    kn_engine_forget(s.fx->engine, &s.fx->host->table, s.b);
    assert_forwards(s.function, "(model)=original");
}

static void forget_module(fake_host *host, void *ctx) {
    scene *s = ctx;
    kn_engine_forget(s->fx->engine, &host->table, s->a);
}

static void test_a_model_that_waits_for_its_collection_is_in_nobodys_way(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    kernelize(s.fx, s.a, &request);
    map_fast(s.fx, "Rope", "Other");
    fake_host_hook(s.fx->host, FAKE_CALL_COLLECT, 1, forget_module, &s);
    expect_plan(kernelize_plan(s.fx, s.b, &request), "rope: apply replace mapped Other");
    assert_forwards(s.function, "(model)=Other");
}

static void test_a_model_that_outlives_a_collection_is_put_to_none_again(void **state) {
    scene s = set_scene(*state);
    kernelize_differently(&s);
    assert_int_equal(s.fx->host->calls[FAKE_CALL_COLLECT], 1);
    kn_request request = inference();
    expect_plan(kernelize_plan(s.fx, s.b, &request), "rope: settle keep shared-conflict Other");
    assert_int_equal(s.fx->host->calls[FAKE_CALL_COLLECT], 1);
}

static void test_when_the_conflict_ends_the_other_gets_its_forward(void **state) {
    scene s = set_scene(*state);
    kernelize_differently(&s);
    unkernelize(s.fx, s.a);
    assert_forwards(s.function, "(model)=Other");
    expect_plan(explain(s.fx, s.b), "rope: apply replace mapped Other");
    unkernelize(s.fx, s.b);
    assert_forwards(s.function, "(model)=original");
}

static void test_when_the_conflicting_model_goes_the_first_gets_its_forward(void **state) {
    scene s = set_scene(*state);
    kernelize_differently(&s);
    kn_engine_forget(s.fx->engine, &s.fx->host->table, s.b);
    assert_forwards(s.function, "(model)=Fast");
}

static void test_a_model_that_comes_to_agree_ends_the_conflict(void **state) {
    scene s = set_scene(*state);
    kernelize_differently(&s);
    kn_request request = inference();
    kn_plan *plan = kernelize_plan(s.fx, s.a, &request);
    expect_plan(plan, "rope: apply replace mapped Other");
    assert_forwards(s.function, "(model)=Other");
}

static void test_switching_alone_replaces_the_claim(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    kernelize(s.fx, s.a, &request);
    map_fast(s.fx, "Rope", "Other");
    expect_plan(kernelize_plan(s.fx, s.a, &request), "rope: apply replace mapped Other");
    assert_forwards(s.function, "(model)=Other");
    unkernelize(s.fx, s.a);
    assert_forwards(s.function, "(model)=original");
}

static void test_a_function_that_is_left_out_is_not_claimed(void **state) {
    scene s = set_scene(*state);
    const char *patterns[] = {"rope"};
    kn_request request = inference();
    request.exclude = patterns;
    request.exclude_count = 1;
    kernelize(s.fx, s.b, &request);
    request.exclude_count = 0;
    kernelize(s.fx, s.a, &request);
    assert_forwards(s.function, "(model)=Fast");
}

static kn_undo *undo_of(scene *s, fake_module *model) {
    kn_undo *undo = NULL;
    assert_int_equal(kn_engine_unkernelize(s->fx->engine, &s->fx->host->table, model, &undo, NULL),
                     KN_OK);
    return undo;
}

static void restore(scene *s, kn_undo *undo) {
    assert_int_equal(kn_engine_restore(s->fx->engine, &s->fx->host->table, undo, NULL), KN_OK);
    kn_undo_free(undo);
}

static void test_the_end_of_a_block_brings_the_claims_back(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    kernelize(s.fx, s.a, &request);
    kn_undo *undo = undo_of(&s, s.a);
    assert_forwards(s.function, "(model)=original");
    restore(&s, undo);
    assert_forwards(s.function, "(model)=Fast");
    kernelize(s.fx, s.b, &request);
    unkernelize(s.fx, s.b);
    assert_forwards(s.function, "(model)=Fast"); /* a claims it again */
    unkernelize(s.fx, s.a);
    assert_forwards(s.function, "(model)=original");
}

static void test_a_block_of_one_of_two_models_changes_nothing(void **state) {
    scene s = set_scene(*state);
    kernelize_both(&s);
    kn_undo *undo = undo_of(&s, s.a);
    assert_forwards(s.function, "(model)=Fast");
    restore(&s, undo);
    unkernelize(s.fx, s.b);
    assert_forwards(s.function, "(model)=Fast");
}

static void test_an_undo_that_is_dropped_gives_the_claims_up(void **state) {
    scene s = set_scene(*state);
    kernelize_both(&s);
    kn_undo_free(undo_of(&s, s.a));
    unkernelize(s.fx, s.b);
    assert_forwards(s.function, "(model)=original");
}

static void test_at_the_end_of_a_block_the_claims_count_that_hold_then(void **state) {
    scene s = set_scene(*state);
    kernelize_both(&s);
    kn_undo *undo = undo_of(&s, s.a);
    unkernelize(s.fx, s.b);
    assert_forwards(s.function, "(model)=original");
    restore(&s, undo);
    assert_forwards(s.function, "(model)=Fast"); /* a claims it, and nobody else */
}

static void test_a_conflict_that_came_up_in_a_block_holds_at_its_end(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    kernelize(s.fx, s.a, &request);
    kn_undo *undo = undo_of(&s, s.a);
    map_fast(s.fx, "Rope", "Other");
    kernelize(s.fx, s.b, &request);
    assert_forwards(s.function, "(model)=Other");
    restore(&s, undo);
    assert_forwards(s.function, "(model)=original");
    unkernelize(s.fx, s.b);
    assert_forwards(s.function, "(model)=Fast");
}

static void test_a_forward_that_a_user_set_on_the_function_is_kept(void **state) {
    scene s = set_scene(*state);
    kernelize_both(&s);
    fake_module_set_own(s.function, 8);
    unkernelize(s.fx, s.a);
    assert_forwards(s.function, "(model)=own:8");
    kn_request request = inference();
    expect_plan(kernelize_plan(s.fx, s.a, &request), "rope: select keep foreign-forward -");
    kn_engine_forget(s.fx->engine, &s.fx->host->table, s.b);
    assert_forwards(s.function, "(model)=own:8");
}

static void set_own(fake_host *host, void *ctx) {
    (void)host;
    fake_module_set_own(ctx, 8);
}

static void test_a_forward_set_on_the_function_during_the_call_is_kept(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    fake_host_hook(s.fx->host, FAKE_CALL_BIND, 1, set_own, s.function);
    expect_plan(kernelize_plan(s.fx, s.a, &request), "rope: settle keep foreign-forward Fast");
    assert_forwards(s.function, "(model)=own:8");
}

static void test_a_model_that_cannot_be_watched_may_not_claim(void **state) {
    scene s = set_scene(*state);
    kn_request request = inference();
    fake_host_fail(s.fx->host, FAKE_CALL_WATCH, 2, KN_ERR_HOST); /* the first is the class */
    kernelize_fails(s.fx, s.a, &request, KN_ERR_TYPE,
                    "the model cannot be watched for its end, which shared functions need");
    assert_forwards(s.function, "(model)=original");
    kernelize(s.fx, s.b, &request);
    assert_forwards(s.function, "(model)=Fast");
}

/* Each callback of a call that changes a claim fails once, and so does each of the way back. */
static void test_if_a_call_fails_forward_and_claims_are_as_before(void **state) {
    scene s = set_scene(*state);
    kernelize_both(&s);
    fake_module *other = fake_module_add(s.a, "rope2", s.function_class);
    kn_request request = inference();
    kernelize(s.fx, s.a, &request);
    unkernelize(s.fx, s.b);
    map_fast(s.fx, "Rope", "Other");
    for (size_t k = 1; k <= 2; k++) {
        fake_host_calm(s.fx->host);
        fake_host_fail(s.fx->host, FAKE_CALL_SWAP, k, KN_ERR_HOST);
        kernelize_fails(s.fx, s.a, &request, KN_ERR_HOST, "failed in swap");
        assert_forwards(s.a, "rope=Fast rope2=Fast");
        fake_host_calm(s.fx->host);
        fake_host_fail(s.fx->host, FAKE_CALL_INSPECT, k, KN_ERR_HOST);
        kernelize_fails(s.fx, s.a, &request, KN_ERR_HOST, "failed in inspect");
        assert_forwards(s.a, "rope=Fast rope2=Fast");
        for (int call = 0; call < 2; call++) {
            fake_host_calm(s.fx->host);
            fake_host_fail(s.fx->host, call ? FAKE_CALL_SWAP : FAKE_CALL_INSPECT, k, KN_ERR_HOST);
            kn_undo *undo = (kn_undo *)s.fx;
            assert_int_equal(
                kn_engine_unkernelize(s.fx->engine, &s.fx->host->table, s.a, &undo, NULL),
                KN_ERR_HOST);
            assert_null(undo);
            assert_forwards(s.a, "rope=Fast rope2=Fast");
        }
    }
    fake_host_calm(s.fx->host);
    unkernelize(s.fx, s.a); /* the claims were still there to be released */
    assert_forwards(s.a, "rope=original rope2=original");
    assert_null(other->forward.ours);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        engine_test(test_models_that_agree_share_the_forward),
        engine_test(test_another_mode_alone_is_no_conflict),
        engine_test(test_one_layer_from_equal_repositories_is_no_conflict),
        engine_test(test_models_that_want_it_differently_get_the_original),
        engine_test(test_both_models_are_told_of_the_conflict),
        engine_test(test_a_plan_tells_of_the_conflict_and_claims_nothing),
        engine_test(test_where_a_conflict_is_not_allowed_it_is_an_error),
        engine_test(test_a_model_that_keeps_the_original_conflicts_too),
        engine_test(test_the_function_stays_as_long_as_one_model_claims_it),
        engine_test(test_a_model_that_is_gone_claims_nothing),
        engine_test(test_a_model_that_waits_for_its_collection_is_in_nobodys_way),
        engine_test(test_a_model_that_outlives_a_collection_is_put_to_none_again),
        engine_test(test_when_the_conflict_ends_the_other_gets_its_forward),
        engine_test(test_when_the_conflicting_model_goes_the_first_gets_its_forward),
        engine_test(test_a_model_that_comes_to_agree_ends_the_conflict),
        engine_test(test_switching_alone_replaces_the_claim),
        engine_test(test_a_function_that_is_left_out_is_not_claimed),
        engine_test(test_the_end_of_a_block_brings_the_claims_back),
        engine_test(test_a_block_of_one_of_two_models_changes_nothing),
        engine_test(test_an_undo_that_is_dropped_gives_the_claims_up),
        engine_test(test_at_the_end_of_a_block_the_claims_count_that_hold_then),
        engine_test(test_a_conflict_that_came_up_in_a_block_holds_at_its_end),
        engine_test(test_a_forward_that_a_user_set_on_the_function_is_kept),
        engine_test(test_a_forward_set_on_the_function_during_the_call_is_kept),
        engine_test(test_a_model_that_cannot_be_watched_may_not_claim),
        engine_test(test_if_a_call_fails_forward_and_claims_are_as_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
