/* SPDX-License-Identifier: Apache-2.0 */
/* An engine over a fake host, offline and without a cache, and assertions that say in a line of
 * text what a model runs and what a plan decided. Closing it asserts that no memory and no handle
 * was leaked. */
#ifndef TEST_ENGINE_FIXTURE_H
#define TEST_ENGINE_FIXTURE_H

#include <kernels/engine.h>

#include "support/failing_alloc.h"
#include "support/fake_host.h"

typedef struct engine_fixture {
    failing_alloc memory; /* the engine's */
    fake_host *host;
    kn_engine *engine;
    const char *builtin_folder; /* set before engine_fixture_open */
} engine_fixture;

void engine_fixture_open(engine_fixture *fx);
void engine_fixture_close(engine_fixture *fx);

/* For cmocka: *state is an engine_fixture. */
int engine_fixture_setup(void **state);
int engine_fixture_teardown(void **state);

#define engine_test(test) \
    cmocka_unit_test_setup_teardown(test, engine_fixture_setup, engine_fixture_teardown)

/* Adds to the global mapping; the shorter form for the processor. */
void map_on(engine_fixture *fx, const char *layer, kn_device_type device, int64_t min, int64_t max,
            kn_mode mode, const fake_repo *repo);
void map_cpu(engine_fixture *fx, const char *layer, kn_mode mode, const fake_repo *repo);
void map_cuda(engine_fixture *fx, const char *layer, int64_t min, int64_t max,
              const fake_repo *repo);

/* A host repository "org/<name>" whose layer is `name`, and which is registered for `layer` on the
 * processor as fallback. */
fake_repo *map_fast(engine_fixture *fx, const char *layer, const char *name);

/* Inference on the model's device, fallbacks as by default. */
kn_request inference(void);
kn_request request_for(kn_mode mode);

/* Each asserts success, or the failure that is expected. A plan that is not wanted is released. */
void kernelize(engine_fixture *fx, fake_module *model, const kn_request *request);
void kernelize_fails(engine_fixture *fx, fake_module *model, const kn_request *request,
                     kn_status expected, const char *part);
kn_plan *kernelize_plan(engine_fixture *fx, fake_module *model, const kn_request *request);
kn_plan *make_plan(engine_fixture *fx, fake_module *model, const kn_request *request);
void plan_fails(engine_fixture *fx, fake_module *model, const kn_request *request,
                kn_status expected, const char *part);
kn_plan *explain(engine_fixture *fx, fake_module *model);
void unkernelize(engine_fixture *fx, fake_module *model);
void refuse(engine_fixture *fx, fake_module *model, fake_module *module, const char *message);
void apply_plan(engine_fixture *fx, fake_module *model, kn_plan *plan);
void apply_fails(engine_fixture *fx, fake_module *model, kn_plan *plan, kn_status expected,
                 const char *part);

/* What each extensible module runs, in the order of the walk: "a=Fast b=original c=own:3
 * d=described". The model itself is "(model)". In a static buffer. */
const char *forwards_of(const fake_module *model);
#define assert_forwards(model, expected) assert_string_equal(forwards_of(model), expected)

/* One line a decision: "paths: stage action reason repo", paths with commas between, "-" for no
 * repository; lines parted by '\n'. In a static buffer. */
const char *decisions_of(const kn_plan *plan);
#define assert_decisions(plan, expected) assert_string_equal(decisions_of(plan), expected)

/* Asserts on the plan and releases it. */
void expect_plan(kn_plan *plan, const char *expected);

/* The message of decision `index`. */
const char *message_of(const kn_plan *plan, size_t index);

#endif
