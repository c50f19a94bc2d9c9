/* SPDX-License-Identifier: Apache-2.0 */
/* An empty cache and a Hub in memory: what one call of a new engine does, as in a new process. */
#ifndef TEST_FETCH_SCENE_H
#define TEST_FETCH_SCENE_H

#include <kernels/engine.h>

#include "support/fake_host.h"
#include "support/scratch_folder.h"
#include "support/scripted_hub.h"

/* The Hub has org/base and org/toy, which needs it; org is trusted, other is not. */
typedef struct scene {
    scratch_folder scratch;
    scripted_hub hub;
    fake_host *host;
    char cache[SCRATCH_PATH_MAX + 16];
} scene;

/* cmocka's: *state is a scene. */
int set_scene(void **state);
int clear_scene(void **state);
#define fetch_test(test) cmocka_unit_test_setup_teardown(test, set_scene, clear_scene)

/* The cache is another, empty one from now on. */
void new_cache(scene *s);
/* NULL and *status when it cannot be made. */
kn_engine *new_engine(scene *s, const kn_alloc *alloc, kn_status *status, kn_error *err);
kn_status install_info(scene *s, const kn_alloc *alloc, const kn_repo_info *info, kn_error *err);
kn_status install(scene *s, const kn_alloc *alloc, const char *repo, const char *version,
                  kn_error *err);
/* Installs; how many requests that took. */
size_t requests_of(scene *s, const char *repo, const char *version);
size_t requests_of_commit(scene *s, const char *repo);
void install_fails(scene *s, const char *repo, kn_status expected, const char *part);

#endif
