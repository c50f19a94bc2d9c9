/* SPDX-License-Identifier: Apache-2.0 */
/* The engine from several threads; of use above all under a thread sanitizer. */
#include <pthread.h>
#include <stdio.h>

#include "support/engine_fixture.h"
#include "support/unit.h"

enum { THREADS = 16, ROUNDS = 25, SHARED = 3 };

static void start_engine(kn_engine **engine) {
    const kn_engine_options options = {.size = sizeof options};
    assert_int_equal(kn_engine_new(&options, engine, NULL), KN_OK);
}

static void run_threads(void *(*body)(void *), void *args, size_t size) {
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, body, (char *)args + i * size), 0);
    }
    for (size_t i = 0; i < THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* ---- registering ---- */

typedef struct registrar {
    kn_engine *engine;
    kn_repo *repo;
    size_t number;
    size_t failures;
} registrar;

static void layer_name(char out[32], size_t thread, size_t round) {
    snprintf(out, 32, "Layer%zu/%zu", thread, round);
}

static kn_mapping_answer look_up(kn_engine *engine, const char *name) {
    kn_mode_repo found;
    kn_mapping *mapping = kn_engine_mapping(engine);
    kn_mapping_answer answer =
        kn_mapping_find(mapping, name, KN_DEVICE_CPU, 0, KN_MODE_INFERENCE, &found);
    kn_mapping_release(mapping);
    return answer;
}

static void *register_layers(void *ctx) {
    registrar *r = ctx;
    for (size_t round = 0; round < ROUNDS; round++) {
        char name[32];
        layer_name(name, r->number, round);
        const kn_mode_repo pair = {KN_MODE_FALLBACK, r->repo};
        const kn_mapping_entry entry = {name, KN_DEVICE_CPU, {0, KN_CAPABILITY_MAX}, &pair, 1};
        if (kn_engine_register(r->engine, &entry, 1, true, NULL)) r->failures++;
        /* What a thread has registered stays in sight of it. */
        if (look_up(r->engine, name) != KN_MAPPING_FOUND) r->failures++;
    }
    return NULL;
}

static void test_what_threads_register_at_the_same_time_is_all_there(void **state) {
    (void)state;
    fake_host *host = fake_host_new();
    kn_engine *engine;
    start_engine(&engine);
    registrar registrars[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        registrars[i] = (registrar){engine, fake_repo_new(host, "org/a", NULL)->handle, i, 0};
    }
    run_threads(register_layers, registrars, sizeof *registrars);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(registrars[i].failures, 0);
        for (size_t round = 0; round < ROUNDS; round++) {
            char name[32];
            layer_name(name, i, round);
            assert_int_equal(look_up(engine, name), KN_MAPPING_FOUND);
        }
    }
    kn_engine_free(engine, &host->table);
    fake_host_free(host);
}

/* ---- kernelizing ---- */

typedef struct worker {
    kn_engine *engine;
    fake_host *host;
    fake_module *model;
    char layer[32];
    fake_repo *repo;
    size_t failures;
} worker;

static void *kernelize_again_and_again(void *ctx) {
    worker *w = ctx;
    const kn_host *host = &w->host->table;
    const kn_request request = inference();
    const kn_mode_repo pair = {KN_MODE_FALLBACK, w->repo->handle};
    const kn_mapping_entry entry = {w->layer, KN_DEVICE_CPU, {0, KN_CAPABILITY_MAX}, &pair, 1};
    for (size_t round = 0; round < ROUNDS; round++) {
        kn_plan *plan = NULL;
        bool ok = !kn_engine_register(w->engine, &entry, 1, true, NULL) &&
                  !kn_engine_kernelize(w->engine, host, w->model, NULL, &request, NULL, NULL) &&
                  w->model->children[0].module->forward.ours &&
                  !kn_engine_explain(w->engine, host, w->model, &plan, NULL) &&
                  !kn_engine_unkernelize(w->engine, host, w->model, NULL, NULL) &&
                  !w->model->children[0].module->forward.ours;
        kn_plan_release(plan);
        if (round % 3 == 2) kn_engine_forget(w->engine, host, w->model);
        if (round % 5 == 4) kn_engine_forget(w->engine, host, w->model->children[0].module->cls);
        w->failures += !ok;
    }
    return NULL;
}

static void test_threads_kernelize_each_its_own_model(void **state) {
    (void)state;
    kn_engine *engine;
    start_engine(&engine);
    worker workers[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        worker *w = &workers[i];
        *w = (worker){.engine = engine, .host = fake_host_new()};
        layer_name(w->layer, i, 0);
        w->model = fake_model_new(w->host, NULL);
        fake_module_add(w->model, "norm", fake_class_new(w->host, "LlamaNorm", w->layer));
        fake_module_put_on(w->model, fake_cpu());
        w->repo = fake_repo_new(w->host, "org/a", fake_layer_new(w->host, "Fast"));
    }
    run_threads(kernelize_again_and_again, workers, sizeof *workers);
    kn_engine_free(engine, &workers[0].host->table);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(workers[i].failures, 0);
        assert_int_equal(workers[i].host->calls[FAKE_CALL_LOAD], 1);
        fake_host_free(workers[i].host);
    }
}

/* ---- all of it, over what threads share ---- */

/* Repositories, layers and mappings belong to all; hosts, classes and models to one thread each. */
typedef struct sharer {
    kn_engine *engine;
    fake_host *host;
    fake_module *model;
    fake_repo *const *shared;
    size_t number;
    size_t failures;
} sharer;

/* Whether all of the model's modules run `layer`. */
static bool runs(const fake_module *model, const fake_layer *layer) {
    for (size_t i = 0; i < model->count; i++) {
        const fake_forward *ours = model->children[i].module->forward.ours;
        if ((ours ? ours->layer : NULL) != layer) return false;
    }
    return true;
}

/* Under a mapping of the thread's own, over the one that all are changing. */
static bool kernelize_in_a_block(sharer *s, const fake_repo *repo) {
    const kn_host *host = &s->host->table;
    const kn_request request = inference();
    const kn_mode_repo pair = {KN_MODE_FALLBACK, repo->handle};
    const kn_mapping_entry entry = {"Shared", KN_DEVICE_CPU, {0, KN_CAPABILITY_MAX}, &pair, 1};
    kn_mapping *current = kn_engine_mapping(s->engine), *block = NULL;
    kn_plan *made = NULL, *applied = NULL;
    bool ok = !kn_mapping_extend(NULL, current, &entry, 1, &block, NULL) &&
              !kn_engine_plan(s->engine, host, s->model, block, &request, &made, NULL) &&
              !kn_engine_kernelize(s->engine, host, s->model, block, &request, &applied, NULL) &&
              runs(s->model, repo->layer);
    kn_plan_release(applied);
    kn_plan_release(made);
    kn_mapping_release(block);
    kn_mapping_release(current);
    return ok;
}

/* Under the mapping that all are changing: one of the shared layers, whichever is registered. */
static bool kernelize_by_the_global_mapping(sharer *s, const fake_repo *repo) {
    const kn_host *host = &s->host->table;
    const kn_request request = inference();
    const kn_mode_repo pair = {KN_MODE_FALLBACK, repo->handle};
    const kn_mapping_entry entry = {"Shared", KN_DEVICE_CPU, {0, KN_CAPABILITY_MAX}, &pair, 1};
    kn_plan *told = NULL;
    bool ok = !kn_engine_register(s->engine, &entry, 1, true, NULL) &&
              !kn_engine_kernelize(s->engine, host, s->model, NULL, &request, NULL, NULL) &&
              !kn_engine_explain(s->engine, host, s->model, &told, NULL);
    bool known = false;
    for (size_t i = 0; i < SHARED; i++) known = known || runs(s->model, s->shared[i]->layer);
    kn_plan_release(told);
    return ok && known;
}

static void *share(void *ctx) {
    sharer *s = ctx;
    const kn_host *host = &s->host->table;
    for (size_t round = 0; round < ROUNDS; round++) {
        const fake_repo *repo = s->shared[(s->number + round) % SHARED];
        bool ok = kernelize_in_a_block(s, repo) && kernelize_by_the_global_mapping(s, repo) &&
                  !kn_engine_unkernelize(s->engine, host, s->model, NULL, NULL) &&
                  runs(s->model, NULL);
        if (round % 3 == 2) kn_engine_forget(s->engine, host, s->model);
        if (round % 5 == 4) kn_engine_forget(s->engine, host, s->model->children[0].module->cls);
        s->failures += !ok;
    }
    return NULL;
}

static void test_threads_share_repositories_layers_and_the_mapping(void **state) {
    (void)state;
    kn_engine *engine;
    start_engine(&engine);
    fake_host *owner = fake_host_new();
    const char *const names[SHARED] = {"One", "Two", "Three"};
    fake_repo *shared[SHARED];
    for (size_t i = 0; i < SHARED; i++)
        shared[i] = fake_repo_new(owner, names[i], fake_layer_new(owner, names[i]));
    sharer sharers[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        sharer *s = &sharers[i];
        *s = (sharer){.engine = engine, .host = fake_host_new(), .shared = shared, .number = i};
        s->model = fake_model_new(s->host, NULL);
        fake_module_add(s->model, "first", fake_class_new(s->host, "First", "Shared"));
        fake_module_add(s->model, "second", fake_class_new(s->host, "Second", "Shared"));
        fake_module_put_on(s->model, fake_cpu());
    }
    run_threads(share, sharers, sizeof *sharers);
    kn_engine_free(engine, &owner->table);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(sharers[i].failures, 0);
        fake_host_free(sharers[i].host);
    }
    fake_host_free(owner);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_threads_register_at_the_same_time_is_all_there),
        cmocka_unit_test(test_threads_kernelize_each_its_own_model),
        cmocka_unit_test(test_threads_share_repositories_layers_and_the_mapping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
