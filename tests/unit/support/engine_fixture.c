/* SPDX-License-Identifier: Apache-2.0 */
#include "support/engine_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/unit.h"

void engine_fixture_open(engine_fixture *fx) {
    failing_alloc_init(&fx->memory, SIZE_MAX);
    setenv("HF_HUB_OFFLINE", "1", 1);
    setenv("KERNELS_CACHE", "/no/such/cache", 1);
    fx->host = fake_host_new();
    const kn_engine_options options = {
        .size = sizeof options, .alloc = &fx->memory.alloc, .builtin_folder = fx->builtin_folder};
    kn_error err = KN_ERROR_INIT;
    if (kn_engine_new(&options, &fx->engine, &err)) fail_msg("%s", err.message);
}

void engine_fixture_close(engine_fixture *fx) {
    kn_engine_free(fx->engine, &fx->host->table);
    assert_int_equal(fx->memory.live, 0);
    fake_host_free(fx->host);
}

int engine_fixture_setup(void **state) {
    engine_fixture *fx = calloc(1, sizeof *fx);
    assert_non_null(fx);
    engine_fixture_open(fx);
    *state = fx;
    return 0;
}

int engine_fixture_teardown(void **state) {
    engine_fixture_close(*state);
    free(*state);
    return 0;
}

void map_on(engine_fixture *fx, const char *layer, kn_device_type device, int64_t min, int64_t max,
            kn_mode mode, const fake_repo *repo) {
    const kn_mode_repo modes = {mode, repo->handle};
    const kn_mapping_entry entry = {layer, device, {min, max}, &modes, 1};
    kn_error err = KN_ERROR_INIT;
    if (kn_engine_register(fx->engine, &entry, 1, true, &err)) fail_msg("%s", err.message);
}

void map_cpu(engine_fixture *fx, const char *layer, kn_mode mode, const fake_repo *repo) {
    map_on(fx, layer, KN_DEVICE_CPU, 0, KN_CAPABILITY_MAX, mode, repo);
}

void map_cuda(engine_fixture *fx, const char *layer, int64_t min, int64_t max,
              const fake_repo *repo) {
    map_on(fx, layer, KN_DEVICE_CUDA, min, max, KN_MODE_FALLBACK, repo);
}

fake_repo *map_fast(engine_fixture *fx, const char *layer, const char *name) {
    fake_repo *repo = fake_repo_new(fx->host, name, fake_layer_new(fx->host, name));
    map_cpu(fx, layer, KN_MODE_FALLBACK, repo);
    return repo;
}

kn_request request_for(kn_mode mode) {
    return (kn_request){.size = sizeof(kn_request),
                        .mode = mode,
                        .capability = KN_CAPABILITY_ASK,
                        .fallback = KN_FALLBACK_DEFAULT};
}

kn_request inference(void) { return request_for(KN_MODE_INFERENCE); }

static void assert_failed(kn_status status, const kn_error *err, kn_status expected,
                          const char *part) {
    if (status != expected) fail_msg("status %d, not %d: %s", status, expected, err->message);
    assert_int_equal(err->status, expected);
    assert_contains(err->message, part);
}

kn_plan *kernelize_plan(engine_fixture *fx, fake_module *model, const kn_request *request) {
    kn_error err = KN_ERROR_INIT;
    kn_plan *plan = NULL;
    kn_status status =
        kn_engine_kernelize(fx->engine, &fx->host->table, model, NULL, request, &plan, &err);
    if (status) fail_msg("%s", err.message);
    assert_non_null(plan);
    return plan;
}

void kernelize(engine_fixture *fx, fake_module *model, const kn_request *request) {
    kn_plan_release(kernelize_plan(fx, model, request));
}

void kernelize_fails(engine_fixture *fx, fake_module *model, const kn_request *request,
                     kn_status expected, const char *part) {
    kn_error err = KN_ERROR_INIT;
    kn_plan *plan = (kn_plan *)fx;
    kn_status status =
        kn_engine_kernelize(fx->engine, &fx->host->table, model, NULL, request, &plan, &err);
    assert_failed(status, &err, expected, part);
    assert_null(plan);
}

kn_plan *make_plan(engine_fixture *fx, fake_module *model, const kn_request *request) {
    kn_error err = KN_ERROR_INIT;
    kn_plan *plan = NULL;
    kn_status status =
        kn_engine_plan(fx->engine, &fx->host->table, model, NULL, request, &plan, &err);
    if (status) fail_msg("%s", err.message);
    assert_non_null(plan);
    return plan;
}

void plan_fails(engine_fixture *fx, fake_module *model, const kn_request *request,
                kn_status expected, const char *part) {
    kn_error err = KN_ERROR_INIT;
    kn_plan *plan = (kn_plan *)fx;
    kn_status status =
        kn_engine_plan(fx->engine, &fx->host->table, model, NULL, request, &plan, &err);
    assert_failed(status, &err, expected, part);
    assert_null(plan);
}

kn_plan *explain(engine_fixture *fx, fake_module *model) {
    kn_error err = KN_ERROR_INIT;
    kn_plan *plan = NULL;
    if (kn_engine_explain(fx->engine, &fx->host->table, model, &plan, &err)) {
        fail_msg("%s", err.message);
    }
    assert_non_null(plan);
    return plan;
}

void unkernelize(engine_fixture *fx, fake_module *model) {
    kn_error err = KN_ERROR_INIT;
    if (kn_engine_unkernelize(fx->engine, &fx->host->table, model, NULL, &err)) {
        fail_msg("%s", err.message);
    }
}

void refuse(engine_fixture *fx, fake_module *model, fake_module *module, const char *message) {
    kn_error err = KN_ERROR_INIT;
    const kn_refusal refusal = {module, message};
    if (kn_engine_refuse(fx->engine, &fx->host->table, model, &refusal, 1, &err)) {
        fail_msg("%s", err.message);
    }
}

void apply_plan(engine_fixture *fx, fake_module *model, kn_plan *plan) {
    kn_error err = KN_ERROR_INIT;
    if (kn_engine_apply(fx->engine, &fx->host->table, model, plan, &err)) {
        fail_msg("%s", err.message);
    }
}

void apply_fails(engine_fixture *fx, fake_module *model, kn_plan *plan, kn_status expected,
                 const char *part) {
    kn_error err = KN_ERROR_INIT;
    kn_status status = kn_engine_apply(fx->engine, &fx->host->table, model, plan, &err);
    assert_failed(status, &err, expected, part);
}

/* ---- as text ---- */

#define TEXT_MAX 16384

KN_PRINTF(2, 3) static void append(char *text, const char *format, ...) {
    size_t length = strlen(text);
    va_list args;
    va_start(args, format);
    int added = vsnprintf(text + length, TEXT_MAX - length, format, args);
    va_end(args);
    assert_true(added >= 0 && length + (size_t)added < TEXT_MAX);
}

static void add_forward(char *text, const char *path, const fake_module *module) {
    const fake_state *state = &module->forward;
    char number[16];
    snprintf(number, sizeof number, "own:%d", state->own);
    const char *runs = "original";
    if (state->ours)
        runs = state->ours->layer->name;
    else if (state->own)
        runs = number;
    else if (state->described)
        runs = "described";
    append(text, "%s%s=%s", *text ? " " : "", *path ? path : "(model)", runs);
}

static void add_forwards(char *text, const char *path, const fake_module *module,
                         const fake_module **seen, size_t *seen_count) {
    for (size_t i = 0; i < *seen_count; i++) {
        if (seen[i] == module) return;
    }
    assert_true(*seen_count < 256);
    seen[(*seen_count)++] = module;
    if (module->cls && module->cls->layer_name) add_forward(text, path, module);
    for (size_t i = 0; i < module->count; i++) {
        char below[256];
        snprintf(below, sizeof below, "%s%s%s", path, *path ? "." : "", module->children[i].name);
        add_forwards(text, below, module->children[i].module, seen, seen_count);
    }
}

const char *forwards_of(const fake_module *model) {
    static char texts[2][TEXT_MAX];
    static size_t next;
    char *text = texts[next++ % 2];
    const fake_module *seen[256];
    size_t seen_count = 0;
    text[0] = '\0';
    add_forwards(text, "", model, seen, &seen_count);
    return text;
}

static bool add_path(void *ctx, const char *path, size_t length) {
    char *text = ctx;
    assert_int_equal(strlen(path), length);
    size_t end = strlen(text);
    append(text, "%s%s", end && text[end - 1] != '\n' ? "," : "", *path ? path : "(model)");
    return true;
}

const char *decisions_of(const kn_plan *plan) {
    static char text[TEXT_MAX];
    text[0] = '\0';
    for (size_t i = 0; i < kn_plan_count(plan); i++) {
        kn_decision d = {.size = sizeof d};
        kn_plan_get(plan, i, &d);
        if (i) append(text, "\n");
        assert_int_equal(kn_plan_each_path(plan, i, add_path, text, NULL), KN_OK);
        append(text, ": %s %s %s %s", kn_stage_text(d.stage), kn_action_text(d.action),
               kn_reason_text(d.reason), d.repo ? d.repo : "-");
        assert_int_equal(d.applied, d.stage == KN_STAGE_APPLY && d.action == KN_ACTION_REPLACE);
        assert_true(d.message && d.message[0]);
    }
    return text;
}

void expect_plan(kn_plan *plan, const char *expected) {
    assert_decisions(plan, expected);
    kn_plan_release(plan);
}

const char *message_of(const kn_plan *plan, size_t index) {
    kn_decision d = {.size = sizeof d};
    kn_plan_get(plan, index, &d);
    return d.message;
}
