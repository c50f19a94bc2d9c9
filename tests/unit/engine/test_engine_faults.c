/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation and every callback of the host fails once, in every call of the engine, each
 * time in a world of its own. Asserted is the state afterwards: models, mapping, what explain says;
 * no memory and no handle leaked. */
#define _POSIX_C_SOURCE 200809L

#include <stdlib.h>

#include "support/engine_fixture.h"
#include "support/scratch_folder.h"
#include "support/unit.h"

#define FITS "torch-stable-abi210-cpu-x86_64-linux"

/* A model on two unlike GPUs and another one that shares the function `rope` with it. Both are
 * kernelized; then another mapping is registered, which asks for nearly every callback. */
typedef struct world {
    engine_fixture fx;
    fake_module *model, *other;
    kn_plan *plan; /* for the second mapping, not fetched */
    kn_undo *undo;
    kn_request request;
} world;

#define BEFORE "norm=FirstNorm act=original norm2=FirstNorm own=own:4 rope=FirstRope"
#define AFTER "norm=Fast act=FastAct norm2=Hopper own=own:4 rope=original"
#define UNDONE "norm=original act=original norm2=original own=own:4 rope=FirstRope"

#define EXPLAINED_BEFORE                           \
    "norm,norm2: apply replace mapped FirstNorm\n" \
    "act: apply keep no-layer -\n"                 \
    "own: apply keep foreign-forward -\n"          \
    "rope: apply replace mapped FirstRope"

static scratch_folder scratch;

static fake_repo *repo_of(world *w, const char *name) {
    return fake_repo_new(w->fx.host, name, fake_layer_new(w->fx.host, name));
}

static fake_module *build_model(world *w) {
    fake_host *host = w->fx.host;
    fake_class *norm = fake_class_new(host, "LlamaNorm", "Norm");
    fake_class *act = fake_class_new(host, "LlamaAct", "Act");
    act->has_condition = true;
    fake_module *model = fake_model_new(host, fake_class_new(host, "ModelA", NULL));
    fake_module_put_on(fake_module_add(model, "norm", norm), fake_cuda(0, 80));
    fake_module_add(model, "act", act);
    fake_module_put_on(fake_module_add(model, "norm2", norm), fake_cuda(1, 90));
    fake_module_set_own(fake_module_add(model, "own", norm), 4);
    return model;
}

static void map_first(world *w) {
    map_cuda(&w->fx, "Norm", 0, KN_CAPABILITY_MAX, repo_of(w, "FirstNorm"));
    map_cuda(&w->fx, "Rope", 0, KN_CAPABILITY_MAX, repo_of(w, "FirstRope"));
}

static void map_second(world *w) {
    fake_layer_new(w->fx.host, "Fast");
    fake_repo *local =
        fake_repo_of_kind(w->fx.host, KN_REPO_LOCAL, scratch_path(&scratch, "fast"), "Fast");
    map_cuda(&w->fx, "Norm", 80, 89, local);
    map_cuda(&w->fx, "Norm", 90, 99, repo_of(w, "Hopper"));
    map_cuda(&w->fx, "Act", 0, KN_CAPABILITY_MAX, repo_of(w, "FastAct"));
    map_cuda(&w->fx, "Rope", 0, KN_CAPABILITY_MAX, repo_of(w, "OtherRope"));
}

static void open_world(world *w) {
    *w = (world){.request = inference()};
    engine_fixture_open(&w->fx);
    w->fx.host->capability = 80;
    w->fx.host->has_unlike_devices = true;
    w->model = build_model(w);
    fake_class *function = fake_class_new(w->fx.host, "rope", "Rope");
    function->is_function = true;
    w->other = fake_model_new(w->fx.host, fake_class_new(w->fx.host, "ModelB", NULL));
    fake_module_put_on(w->other, fake_cuda(0, 80));
    fake_module_link(w->model, "rope", fake_module_add(w->other, "rope", function));
    map_first(w);
    kernelize(&w->fx, w->model, &w->request);
    kernelize(&w->fx, w->other, &w->request);
    map_second(w);
    w->request.exclude_predicate = fake_predicate("nowhere");
    w->plan = make_plan(&w->fx, w->model, &w->request);
    fake_host_calm(w->fx.host);
    assert_forwards(w->model, BEFORE);
}

static void close_world(world *w) {
    kn_plan_release(w->plan);
    kn_undo_free(w->undo);
    engine_fixture_close(&w->fx);
}

/* ---- the calls ---- */

typedef kn_status (*world_call)(world *w, kn_error *err);

static kn_status call_kernelize(world *w, kn_error *err) {
    kn_plan *plan = NULL;
    kn_status status = kn_engine_kernelize(w->fx.engine, &w->fx.host->table, w->model, NULL,
                                           &w->request, &plan, err);
    assert_int_equal(plan != NULL, status == KN_OK);
    kn_plan_release(plan);
    return status;
}

static kn_status call_plan(world *w, kn_error *err) {
    kn_request request = w->request;
    request.fetch = true;
    kn_plan *plan = NULL;
    kn_status status =
        kn_engine_plan(w->fx.engine, &w->fx.host->table, w->model, NULL, &request, &plan, err);
    assert_int_equal(plan != NULL, status == KN_OK);
    kn_plan_release(plan);
    return status;
}

static kn_status call_apply(world *w, kn_error *err) {
    return kn_engine_apply(w->fx.engine, &w->fx.host->table, w->model, w->plan, err);
}

static kn_status call_explain(world *w, kn_error *err) {
    kn_plan *plan = NULL;
    kn_status status = kn_engine_explain(w->fx.engine, &w->fx.host->table, w->model, &plan, err);
    assert_int_equal(plan != NULL, status == KN_OK);
    kn_plan_release(plan);
    return status;
}

static kn_status call_unkernelize(world *w, kn_error *err) {
    kn_status status =
        kn_engine_unkernelize(w->fx.engine, &w->fx.host->table, w->model, &w->undo, err);
    assert_int_equal(w->undo != NULL, status == KN_OK);
    kn_undo_free(w->undo);
    w->undo = NULL;
    return status;
}

static kn_status call_block(world *w, kn_error *err) {
    kn_status status =
        kn_engine_unkernelize(w->fx.engine, &w->fx.host->table, w->model, &w->undo, err);
    if (!status) status = kn_engine_restore(w->fx.engine, &w->fx.host->table, w->undo, err);
    kn_undo_free(w->undo);
    w->undo = NULL;
    return status;
}

static kn_status call_texts(world *w, kn_error *err) {
    char *text = NULL;
    kn_status status = kn_plan_table(w->plan, &text, err);
    assert_int_equal(text != NULL, status == KN_OK);
    kn_plan_text_free(w->plan, text);
    if (status) return status;
    status = kn_plan_json(w->plan, &text, err);
    assert_int_equal(text != NULL, status == KN_OK);
    kn_plan_text_free(w->plan, text);
    return status;
}

static kn_status call_changed_apply(world *w, kn_error *err) {
    fake_module *late = fake_module_add(w->model, "late", w->model->children[0].module->cls);
    (void)late;
    kn_status status = call_apply(w, err);
    fake_module_remove(w->model, "late");
    return status;
}

typedef struct sweep {
    world_call call;
    kn_status expected; /* of the call that nothing hinders */
    const char *after;  /* what the model runs then */
} sweep;

static const sweep sweeps[] = {
    {call_kernelize, KN_OK, AFTER},    {call_plan, KN_OK, BEFORE},
    {call_apply, KN_OK, AFTER},        {call_explain, KN_OK, BEFORE},
    {call_unkernelize, KN_OK, UNDONE}, {call_block, KN_OK, BEFORE},
    {call_texts, KN_OK, BEFORE},       {call_changed_apply, KN_ERR_VALUE, BEFORE},
};
#define SWEEPS (sizeof sweeps / sizeof *sweeps)

/* ---- what must hold ---- */

static void assert_as_before(world *w) {
    assert_forwards(w->model, BEFORE);
    assert_forwards(w->other, "rope=FirstRope");
    fake_host_calm(w->fx.host);
    expect_plan(explain(&w->fx, w->model), EXPLAINED_BEFORE);
    expect_plan(explain(&w->fx, w->other), "rope: apply replace mapped FirstRope");
}

static void check(world *w, const sweep *s, kn_status status) {
    if (status == s->expected)
        assert_forwards(w->model, s->after);
    else
        assert_as_before(w);
    fake_host_calm(w->fx.host);
    /* Whatever happened, the same call can be made again. */
    assert_int_equal(s->call(w, NULL), s->expected);
    assert_forwards(w->model, s->after);
    /* Claims are as they should be: without the models the function is itself again. */
    fake_host_calm(w->fx.host);
    unkernelize(&w->fx, w->model);
    assert_forwards(w->model, UNDONE);
    unkernelize(&w->fx, w->other);
    assert_forwards(w->other, "rope=original");
}

/* Whether allocation `n` of the call was reached. */
static bool fail_allocation(const sweep *s, size_t n, size_t *refused) {
    world w;
    open_world(&w);
    w.fx.memory.fail_at = w.fx.memory.requests + n;
    kn_error err = KN_ERROR_INIT;
    kn_status status = s->call(&w, &err);
    bool reached = w.fx.memory.failed;
    w.fx.memory.fail_at = SIZE_MAX;
    if (status != s->expected) {
        assert_int_equal(status, KN_ERR_NOMEM);
        assert_int_equal(err.status, KN_ERR_NOMEM);
        assert_contains(err.message, "memory");
        ++*refused;
    }
    check(&w, s, status);
    close_world(&w);
    return reached;
}

static void test_every_allocation_of_every_call_may_fail(void **state) {
    (void)state;
    for (size_t i = 0; i < SWEEPS; i++) {
        size_t refused = 0;
        for (size_t n = 0; fail_allocation(&sweeps[i], n, &refused); n++) {
        }
        assert_true(refused >= 10);
    }
}

/* Whether call `n` of the callback was reached. */
static bool fail_callback(const sweep *s, fake_call call, size_t n) {
    world w;
    open_world(&w);
    kn_status failure = call == FAKE_CALL_CANCELLED ? KN_ERR_CANCELLED : KN_ERR_HOST;
    fake_host_fail(w.fx.host, call, n, failure);
    kn_error err = KN_ERROR_INIT;
    kn_status status = s->call(&w, &err);
    bool reached = w.fx.host->calls[call] >= n;
    bool may_differ = call == FAKE_CALL_WATCH || call == FAKE_CALL_MODEL_DEVICE;
    if (status != s->expected) {
        assert_true(reached);
        if (!may_differ) assert_int_equal(status, failure);
        assert_int_equal(err.status, status);
        assert_true(err.message[0] != '\0');
    } else if (reached && status == KN_OK) {
        assert_true(may_differ || call == FAKE_CALL_LOG || call == FAKE_CALL_COLLECT);
    }
    check(&w, s, status);
    close_world(&w);
    return reached;
}

static bool is_asked_for_by_restore(const sweep *s, fake_call call) {
    /* A way back that fails leaves things as they are, and says so: see test_kernelize.c. */
    return s->call == call_block && (call == FAKE_CALL_RESTORE || call == FAKE_CALL_INSPECT);
}

static void test_every_callback_of_every_call_may_fail(void **state) {
    (void)state;
    size_t reached[FAKE_CALLS] = {0};
    for (size_t i = 0; i < SWEEPS; i++) {
        for (int call = 0; call < FAKE_CALLS; call++) {
            if (is_asked_for_by_restore(&sweeps[i], (fake_call)call)) continue;
            for (size_t n = 1; fail_callback(&sweeps[i], (fake_call)call, n); n++) reached[call]++;
        }
    }
    /* The sweep is worth something only if it came to all of them. These have tests of their own.
     */
    for (int call = 0; call < FAKE_CALLS; call++) {
        if (call == FAKE_CALL_RESTORE || call == FAKE_CALL_DESCRIBE_MODULE) continue;
        if (call >= FAKE_CALL_CAN_IMPORT) continue; /* asked only by what such a kernel says */
        if (!reached[call]) fail_msg("%s was never reached", fake_call_name((fake_call)call));
    }
}

/* ---- calls that do not concern a model ---- */

static void test_registering_without_memory_keeps_the_mapping(void **state) {
    (void)state;
    for (size_t n = 0;; n++) {
        engine_fixture fx = {.builtin_folder = NULL};
        engine_fixture_open(&fx);
        fake_repo *first = map_fast(&fx, "Norm", "First");
        fake_repo *second = fake_repo_new(fx.host, "Second", NULL);
        const kn_mode_repo pair = {KN_MODE_FALLBACK, second->handle};
        const kn_mapping_entry entries[] = {
            {"Norm", KN_DEVICE_CPU, {0, KN_CAPABILITY_MAX}, &pair, 1},
            {"Act", KN_DEVICE_CUDA, {80, 90}, &pair, 1},
        };
        fx.memory.fail_at = fx.memory.requests + n;
        kn_error err = KN_ERROR_INIT;
        kn_status status = kn_engine_register(fx.engine, entries, 2, n % 2, &err);
        bool failed = fx.memory.failed;
        kn_mapping *mapping = kn_engine_mapping(fx.engine);
        kn_mode_repo found;
        kn_mapping_answer answer =
            kn_mapping_find(mapping, "Norm", KN_DEVICE_CPU, 0, KN_MODE_INFERENCE, &found);
        assert_int_equal(answer, KN_MAPPING_FOUND);
        assert_ptr_equal(found.repo, failed ? first->handle : second->handle);
        answer = kn_mapping_find(mapping, "Act", KN_DEVICE_CUDA, 85, KN_MODE_INFERENCE, &found);
        assert_int_equal(answer, failed ? KN_MAPPING_NO_LAYER : KN_MAPPING_FOUND);
        assert_int_equal(status, failed ? KN_ERR_NOMEM : KN_OK);
        kn_mapping_release(mapping);
        engine_fixture_close(&fx);
        if (!failed) break;
    }
}

static kn_status start_engine(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    const kn_engine_options options = {
        .size = sizeof options, .alloc = alloc, .builtin_folder = "/builtin"};
    kn_engine *engine;
    kn_status status = kn_engine_new(&options, &engine, err);
    assert_int_equal(engine != NULL, status == KN_OK);
    kn_engine_free(engine, NULL);
    return status;
}

static void test_an_engine_starts_or_not(void **state) {
    (void)state;
    assert_true(fault_sweep(start_engine, NULL) >= 4);
    kn_engine_free(NULL, NULL);
}

static void test_getting_a_layer_without_memory_gives_nothing(void **state) {
    (void)state;
    for (size_t n = 0;; n++) {
        engine_fixture fx = {.builtin_folder = NULL};
        engine_fixture_open(&fx);
        fake_layer_new(fx.host, "Fast");
        const kn_repo_info info = {.size = sizeof info,
                                   .kind = KN_REPO_LOCAL,
                                   .id = scratch_path(&scratch, "fast"),
                                   .layer_name = "Fast"};
        fx.memory.fail_at = fx.memory.requests + n;
        kn_layer layer;
        kn_status status = kn_engine_get_layer(fx.engine, &fx.host->table, &info, &layer, NULL);
        bool failed = fx.memory.failed;
        assert_int_equal(status, failed ? KN_ERR_NOMEM : KN_OK);
        assert_int_equal(layer.handle == NULL, failed);
        if (layer.handle) fake_release(layer.handle);
        fx.memory.fail_at = SIZE_MAX;
        assert_int_equal(kn_engine_get_layer(fx.engine, &fx.host->table, &info, &layer, NULL),
                         KN_OK);
        fake_release(layer.handle);
        engine_fixture_close(&fx);
        if (!failed) break;
    }
}

static void test_forgetting_a_model_needs_no_memory(void **state) {
    (void)state;
    world w;
    open_world(&w);
    kernelize(&w.fx, w.model, &w.request);
    assert_forwards(w.other, "rope=original");
    w.fx.memory.fail_at = w.fx.memory.requests;
    kn_engine_forget(w.fx.engine, &w.fx.host->table, w.other);
    assert_forwards(w.other, "rope=OtherRope");
    kn_engine_forget(w.fx.engine, &w.fx.host->table, w.model);
    assert_forwards(w.other, "rope=original");
    assert_false(w.fx.memory.failed);
    close_world(&w);
}

static int make_kernel(void **state) {
    (void)state;
    unsetenv("LOCAL_KERNELS");
    unsetenv("DISABLE_KERNEL_MAPPING");
    scratch_folder_make(&scratch);
    scratch_file(&scratch, "fast/build/" FITS "/metadata.json",
                 "{\"id\": \"_fast_1\", \"name\": \"fast\"}");
    scratch_file(&scratch, "fast/build/" FITS "/__init__.py", "");
    return 0;
}

static int remove_kernel(void **state) {
    (void)state;
    scratch_folder_remove(&scratch);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_of_every_call_may_fail),
        cmocka_unit_test(test_every_callback_of_every_call_may_fail),
        cmocka_unit_test(test_registering_without_memory_keeps_the_mapping),
        cmocka_unit_test(test_an_engine_starts_or_not),
        cmocka_unit_test(test_getting_a_layer_without_memory_gives_nothing),
        cmocka_unit_test(test_forgetting_a_model_needs_no_memory),
    };
    return cmocka_run_group_tests(tests, make_kernel, remove_kernel);
}
