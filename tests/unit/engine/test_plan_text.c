/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as a table and as JSON, character by character. */
#include "support/engine_fixture.h"
#include "support/unit.h"

static void assert_table(const kn_plan *plan, const char *expected) {
    char *text = NULL;
    assert_int_equal(kn_plan_table(plan, &text, NULL), KN_OK);
    assert_string_equal(text, expected);
    kn_plan_text_free(plan, text);
}

static void assert_json(const kn_plan *plan, const char *expected) {
    char *text = NULL;
    assert_int_equal(kn_plan_json(plan, &text, NULL), KN_OK);
    assert_string_equal(text, expected);
    kn_plan_text_free(plan, text);
}

/* norm, norm2 and act on the processor; Norm is mapped. */
static fake_module *small_model(engine_fixture *fx) {
    fake_module *model = fake_model_new(fx->host, NULL);
    fake_class *norm = fake_class_new(fx->host, "LlamaNorm", "Norm");
    fake_module_add(model, "norm", norm);
    fake_module_add(model, "norm2", norm);
    fake_module_add(fake_module_add(model, "mlp", NULL), "act",
                    fake_class_new(fx->host, "Silu\u00e9", "Act"));
    fake_module_put_on(model, fake_cpu());
    map_fast(fx, "Norm", "org/fast");
    return model;
}

static void test_a_plan_as_a_table(void **state) {
    engine_fixture *fx = *state;
    kn_request request = inference();
    kn_plan *plan = make_plan(fx, small_model(fx), &request);
    assert_table(
        plan,
        "module     layer  device  mode       kernel            variant  why\n"
        "norm (+1)  Norm   cpu     INFERENCE  org/fast          -        mapped: registered for cpu "
        "under FALLBACK\n"
        "mlp.act    Act    cpu     INFERENCE  original forward  -        no-layer: No layer mapping "
        "for `Act`: the mapping in force does not name it; add it with register_kernel_mapping or "
        "use_kernel_mapping");
    kn_plan_release(plan);
}

static void test_a_plan_as_json(void **state) {
    engine_fixture *fx = *state;
    kn_request request = inference();
    kn_plan *plan = kernelize_plan(fx, small_model(fx), &request);
    assert_json(
        plan,
        "{\"version\": 1, \"mode\": \"INFERENCE\", \"device\": \"cpu\", \"decisions\": ["
        "{\"paths\": [\"norm\", \"norm2\"], \"layer_name\": \"Norm\", \"module_class\": "
        "\"LlamaNorm\", \"device\": \"cpu\", \"capability\": null, \"stage\": \"apply\", "
        "\"action\": \"replace\", \"reason\": \"mapped\", \"message\": \"registered for cpu under "
        "FALLBACK\", \"repo\": \"org/fast\", \"repo_layer\": null, \"repo_mode\": \"FALLBACK\", "
        "\"commit\": null, \"variant\": null, \"applied\": true}, "
        "{\"paths\": [\"mlp.act\"], \"layer_name\": \"Act\", \"module_class\": \"Silu\u00e9\", "
        "\"device\": \"cpu\", \"capability\": null, \"stage\": \"select\", \"action\": \"keep\", "
        "\"reason\": \"no-layer\", \"message\": \"No layer mapping for `Act`: the mapping in force "
        "does not name it; add it with register_kernel_mapping or use_kernel_mapping\", \"repo\": "
        "null, \"repo_layer\": null, \"repo_mode\": null, \"commit\": null, \"variant\": null, "
        "\"applied\": false}]}");
    kn_plan_release(plan);
}

static void test_a_capability_and_the_model_itself_are_shown(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = fake_model_new(fx->host, fake_class_new(fx->host, "Root", "Norm"));
    fake_module_put_on(model, fake_cuda(0, 90));
    fx->host->capability = 90;
    fake_repo *repo = fake_repo_of_kind(fx->host, KN_REPO_HUB, "org/a", "Fast");
    repo->info.display = "org/a (revision v1)";
    map_cuda(fx, "Norm", 90, 99, repo);
    kn_request request = request_for(KN_MODE_TRAINING | KN_MODE_TORCH_COMPILE);
    kn_plan *plan = make_plan(fx, model, &request);
    assert_table(
        plan,
        "module   layer  device   mode                    kernel                    variant  why\n"
        "(model)  Norm   cuda 90  TRAINING|TORCH_COMPILE  org/a (revision v1):Fast  -        "
        "mapped: registered for cuda under FALLBACK");
    assert_json(plan,
                "{\"version\": 1, \"mode\": \"TRAINING|TORCH_COMPILE\", \"device\": \"cuda\", "
                "\"decisions\": [{\"paths\": [\"\"], \"layer_name\": \"Norm\", \"module_class\": "
                "\"Root\", \"device\": \"cuda\", \"capability\": 90, \"stage\": \"select\", "
                "\"action\": \"replace\", \"reason\": \"mapped\", \"message\": \"registered for "
                "cuda under FALLBACK\", \"repo\": \"org/a (revision v1)\", \"repo_layer\": "
                "\"Fast\", \"repo_mode\": \"FALLBACK\", \"commit\": null, \"variant\": null, "
                "\"applied\": false}]}");
    kn_plan_release(plan);
}

static void test_a_plan_of_nothing_is_shown(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = fake_model_new(fx->host, NULL);
    fake_module_put_on(model, fake_cpu());
    kn_request request = inference();
    kn_plan *plan = make_plan(fx, model, &request);
    assert_table(plan, "no extensible modules");
    assert_json(plan, "{\"version\": 1, \"mode\": \"INFERENCE\", \"device\": \"cpu\", "
                      "\"decisions\": []}");
    kn_plan_release(plan);
}

static void test_what_explain_gives_of_an_original_model_has_no_mode_or_device(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = fake_model_new(fx->host, fake_class_new(fx->host, "Root", "Norm"));
    kn_plan *plan = explain(fx, model);
    assert_table(plan, "module   layer  device  mode  kernel            variant  why\n"
                       "(model)  Norm   -       -     original forward  -        not-kernelized: "
                       "runs its original forward: it was not kernelized, or that was undone");
    char *text;
    assert_int_equal(kn_plan_json(plan, &text, NULL), KN_OK);
    assert_contains(text, "{\"version\": 1, \"mode\": null, \"device\": null, ");
    kn_plan_text_free(plan, text);
    kn_plan_release(plan);
}

static void test_json_escapes_what_json_must(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = fake_model_new(fx->host, NULL);
    fake_module_add(model, "a\"b\\c\n\x01\x7f", fake_class_new(fx->host, "Tab\there", "Norm\r"));
    fake_module_put_on(model, fake_cpu());
    kn_request request = inference();
    kn_plan *plan = make_plan(fx, model, &request);
    char *text;
    assert_int_equal(kn_plan_json(plan, &text, NULL), KN_OK);
    assert_contains(text, "\"paths\": [\"a\\\"b\\\\c\\n\\u0001\x7f\"]");
    assert_contains(text, "\"layer_name\": \"Norm\\r\", \"module_class\": \"Tab\\there\"");
    kn_plan_text_free(plan, text);
    kn_plan_release(plan);
}

static void test_wide_text_is_padded_by_characters(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = fake_model_new(fx->host, NULL);
    fake_module_add(model, "\u00e9\u00e8\u00ea\u00eb", fake_class_new(fx->host, "A", "Norm"));
    fake_module_add(model, "four", fake_class_new(fx->host, "B", "Norm"));
    fake_module_put_on(model, fake_cpu());
    map_fast(fx, "Norm", "org/fast");
    kn_request request = inference();
    kn_plan *plan = make_plan(fx, model, &request);
    assert_table(plan, "module  layer  device  mode       kernel    variant  why\n"
                       "\u00e9\u00e8\u00ea\u00eb    Norm   cpu     INFERENCE  org/fast  -        "
                       "mapped: registered for cpu under FALLBACK\n"
                       "four    Norm   cpu     INFERENCE  org/fast  -        "
                       "mapped: registered for cpu under FALLBACK");
    kn_plan_release(plan);
}

typedef struct stop {
    size_t seen;
} stop;

static bool stop_after_one(void *ctx, const char *path, size_t length) {
    assert_string_equal(path, "norm");
    assert_int_equal(length, 4);
    return ++((stop *)ctx)->seen < 1;
}

static void test_paths_are_visited_until_that_is_enough(void **state) {
    engine_fixture *fx = *state;
    kn_request request = inference();
    kn_plan *plan = make_plan(fx, small_model(fx), &request);
    stop seen = {0};
    assert_int_equal(kn_plan_each_path(plan, 0, stop_after_one, &seen, NULL), KN_OK);
    assert_int_equal(seen.seen, 1);
    kn_plan_release(plan);
}

static void test_a_reader_of_an_older_struct_gets_what_it_knows(void **state) {
    engine_fixture *fx = *state;
    kn_request request = inference();
    kn_plan *plan = make_plan(fx, small_model(fx), &request);
    struct {
        kn_decision decision;
    } out;
    memset(&out, 0xAA, sizeof out);
    out.decision.size = offsetof(kn_decision, device);
    kn_plan_get(plan, 0, &out.decision);
    assert_string_equal(out.decision.layer_name, "Norm");
    assert_int_equal(out.decision.size, offsetof(kn_decision, device));
    unsigned char untouched[sizeof out.decision.device];
    memset(untouched, 0xAA, sizeof untouched);
    assert_memory_equal(&out.decision.device, untouched, sizeof untouched);
    kn_plan_release(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        engine_test(test_a_plan_as_a_table),
        engine_test(test_a_plan_as_json),
        engine_test(test_a_capability_and_the_model_itself_are_shown),
        engine_test(test_a_plan_of_nothing_is_shown),
        engine_test(test_what_explain_gives_of_an_original_model_has_no_mode_or_device),
        engine_test(test_json_escapes_what_json_must),
        engine_test(test_wide_text_is_padded_by_characters),
        engine_test(test_paths_are_visited_until_that_is_enough),
        engine_test(test_a_reader_of_an_older_struct_gets_what_it_knows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
