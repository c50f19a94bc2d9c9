/* SPDX-License-Identifier: Apache-2.0 */
/* What an engine does for a program that has no host, or one with few callbacks. */
#include <stdio.h>
#include <stdlib.h>

#include "support/engine_fixture.h"
#include "support/fetch_scene.h"
#include "support/unit.h"

typedef struct sinks {
    char said[512];
    int64_t done, total;
} sinks;

static void on_log(void *ctx, kn_log_level level, kn_log_topic topic, const char *message) {
    sinks *s = ctx;
    (void)topic;
    snprintf(s->said, sizeof s->said, "%d %s", (int)level, message);
}

static void on_progress(void *ctx, int64_t done, int64_t total) {
    sinks *s = ctx;
    s->done = done;
    s->total = total;
}

static kn_engine *engine_with(scene *s, sinks *told, const kn_system *system) {
    const kn_engine_options options = {.size = sizeof options,
                                       .transport_new = scripted_transport_new,
                                       .transport_ctx = &s->hub,
                                       .system = system,
                                       .log = on_log,
                                       .progress = on_progress,
                                       .sink_ctx = told};
    kn_engine *engine = NULL;
    assert_int_equal(kn_engine_new(&options, &engine, NULL), KN_OK);
    return engine;
}

static const kn_repo_info toy = {
    .size = sizeof toy, .kind = KN_REPO_HUB, .id = "org/toy", .version = "1"};

static void test_without_a_host_kernels_are_installed_and_the_engines_sinks_are_told(void **state) {
    sinks told = {.total = 0};
    kn_engine *engine = engine_with(*state, &told, NULL);
    char *folder;
    kn_error err = KN_ERROR_INIT;
    if (kn_engine_install(engine, NULL, &toy, &folder, &err)) fail_msg("%s", err.message);
    assert_contains(folder, "/build/torch-cpu");
    assert_true(told.done > 0 && told.done == told.total);
    kn_text_free(engine, folder);
    setenv("KERNELS_REFRESH_AFTER", "0", 1);
    scripted_hub *hub = &((scene *)*state)->hub;
    hub->fault = SCRIPTED_STATUS;
    hub->fail_at = hub->requests;
    hub->fails = 64;
    assert_int_equal(kn_engine_install(engine, NULL, &toy, &folder, NULL), KN_OK);
    assert_contains(told.said, "30 ");
    kn_text_free(engine, folder);
    kn_engine_free(engine, NULL);
}

static const char *refusal_of(kn_engine *engine, const char *name) {
    static char reason[256];
    kn_variants *variants;
    reason[0] = '\0';
    assert_int_equal(kn_engine_variants(engine, NULL, &toy, &variants, NULL), KN_OK);
    for (size_t i = 0; i < kn_variants_count(variants); i++) {
        kn_variant v = {.size = sizeof v};
        kn_variants_get(variants, i, &v);
        if (strcmp(v.name, name) == 0 && !v.accepted)
            snprintf(reason, sizeof reason, "%s", v.reason);
    }
    kn_variants_free(variants);
    return reason;
}

static void test_builds_have_to_fit_this_machine_or_the_one_of_the_options(void **state) {
    scene *s = *state;
    static const char *const cpu = "tvm-ffi01-cpu-x86_64-linux", *const cuda =
                                                                     "tvm-ffi01-cu130-x86_64-linux";
    scripted_hub_add_build(&s->hub, "org/toy", cpu);
    scripted_hub_add_build(&s->hub, "org/toy", cuda);
    sinks told = {.total = 0};
    kn_engine *engine = engine_with(s, &told, NULL);
    assert_string_equal(refusal_of(engine, cpu), "");
    kn_engine_free(engine, NULL);
    const kn_system gpu = {.size = sizeof gpu,
                           .torch_major = -1,
                           .tvm_ffi_minor = 1,
                           .backend = "cu130",
                           .arch = "x86_64",
                           .os = "linux"};
    engine = engine_with(s, &told, &gpu);
    assert_string_equal(refusal_of(engine, cuda), "");
    kn_engine_free(engine, NULL);
}

static void test_a_cancelled_engine_stops_until_it_may_go_on(void **state) {
    sinks told = {.total = 0};
    kn_engine *engine = engine_with(*state, &told, NULL);
    char *folder;
    kn_engine_cancel(engine, true);
    assert_int_equal(kn_engine_install(engine, NULL, &toy, &folder, NULL), KN_ERR_CANCELLED);
    kn_engine_cancel(engine, false);
    assert_int_equal(kn_engine_install(engine, NULL, &toy, &folder, NULL), KN_OK);
    kn_text_free(engine, folder);
    kn_engine_free(engine, NULL);
}

static void test_the_network_module_is_loaded_when_asked_for_or_the_file_named(void **state) {
    (void)state;
    kn_engine *engine;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_engine_new(NULL, &engine, NULL), KN_OK);
    assert_int_equal(kn_engine_load_network(engine, &err), KN_OK);
    kn_engine_free(engine, NULL);
    setenv("KERNELS_NET_LIBRARY", "/no/such/module.so", 1);
    assert_int_equal(kn_engine_new(NULL, &engine, NULL), KN_OK);
    assert_int_equal(kn_engine_load_network(engine, &err), KN_ERR_RUNTIME);
    assert_contains(err.message, "/no/such/module.so");
    kn_engine_free(engine, NULL);
}

/* A host with what kernelize cannot do without. */
static kn_host bare(const kn_host *whole) {
    return (kn_host){.size = sizeof(kn_host),
                     .ctx = whole->ctx,
                     .walk = whole->walk,
                     .load = whole->load,
                     .bind = whole->bind,
                     .inspect = whole->inspect,
                     .swap = whole->swap,
                     .restore = whole->restore,
                     .retain = whole->retain,
                     .release = whole->release};
}

static fake_module *norm_model(engine_fixture *fx) {
    fake_module *model = fake_model_new(fx->host, NULL);
    fake_module_add(model, "norm", fake_class_new(fx->host, "LlamaNorm", "Norm"));
    map_fast(fx, "Norm", "FastNorm");
    return model;
}

static void test_a_host_with_eight_callbacks_kernelizes(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = norm_model(fx);
    const kn_host host = bare(&fx->host->table);
    const kn_request request = inference();
    kn_error err = KN_ERROR_INIT;
    if (kn_engine_kernelize(fx->engine, &host, model, NULL, &request, NULL, &err))
        fail_msg("%s", err.message);
    assert_forwards(model, "norm=FastNorm");
    assert_int_equal(kn_engine_unkernelize(fx->engine, &host, model, NULL, NULL), KN_OK);
    assert_forwards(model, "norm=original");
}

static void test_a_callback_that_is_needed_and_missing_is_named(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = norm_model(fx);
    kn_host host = bare(&fx->host->table);
    const kn_request request = inference();
    kn_error err = KN_ERROR_INIT;
    host.swap = NULL;
    assert_int_equal(kn_engine_kernelize(fx->engine, &host, model, NULL, &request, NULL, &err),
                     KN_ERR_UNSUPPORTED);
    assert_string_equal(err.message, "the host has no callback 'swap', which this call needs");
    assert_int_equal(kn_engine_kernelize(fx->engine, NULL, model, NULL, &request, NULL, &err),
                     KN_ERR_UNSUPPORTED);
    assert_contains(err.message, "'walk'");
    assert_forwards(model, "norm=original");
}

static bool never(void *ctx) {
    (void)ctx;
    fail_msg("called, although it lies behind the struct of its host");
    return true;
}

static void test_of_an_older_programs_structs_no_more_is_read_than_there_is(void **state) {
    engine_fixture *fx = *state;
    fake_module *model = norm_model(fx);
    kn_host host = bare(&fx->host->table);
    const kn_request request = inference();
    host.cancelled = never;
    host.size = offsetof(kn_host, cancelled);
    assert_int_equal(kn_engine_kernelize(fx->engine, &host, model, NULL, &request, NULL, NULL),
                     KN_OK);

    sinks told = {.total = 0};
    const kn_engine_options options = {
        .size = offsetof(kn_engine_options, system), .log = on_log, .sink_ctx = &told};
    kn_engine *engine;
    assert_int_equal(kn_engine_new(&options, &engine, NULL), KN_OK);
    fake_module *other = fake_model_new(fx->host, NULL);
    fake_module_add(other, "act", fake_class_new(fx->host, "LlamaAct", "Act"));
    assert_int_equal(kn_engine_kernelize(engine, &host, other, NULL, &request, NULL, NULL), KN_OK);
    assert_string_equal(told.said, "");
    kn_engine_free(engine, &host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        fetch_test(test_without_a_host_kernels_are_installed_and_the_engines_sinks_are_told),
        fetch_test(test_builds_have_to_fit_this_machine_or_the_one_of_the_options),
        fetch_test(test_a_cancelled_engine_stops_until_it_may_go_on),
        fetch_test(test_the_network_module_is_loaded_when_asked_for_or_the_file_named),
        engine_test(test_a_host_with_eight_callbacks_kernelizes),
        engine_test(test_a_callback_that_is_needed_and_missing_is_named),
        engine_test(test_of_an_older_programs_structs_no_more_is_read_than_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
