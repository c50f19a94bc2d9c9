/* SPDX-License-Identifier: Apache-2.0 */
/* An engine with a fake host, a Hub in memory and a cache of its own in a scratch folder. The
 * engine can be started anew, which is what another process would have. Closing asserts that no
 * memory and no handle was leaked. */
#ifndef TEST_FETCH_FIXTURE_H
#define TEST_FETCH_FIXTURE_H

#include <stdlib.h>

#include "support/engine_fixture.h"
#include "support/memory_hub.h"
#include "support/scratch_folder.h"

#define BUILD "build/torch-cpu/" /* what fits the fake host */
#define COMMIT_1 "1111111111111111111111111111111111111111"
#define COMMIT_2 "2222222222222222222222222222222222222222"
#define COMMIT_3 "3333333333333333333333333333333333333333"

typedef struct fetch_fixture {
    engine_fixture base; /* its host, engine and memory */
    memory_hub hub;
    scratch_folder scratch;
    unsigned caches;
} fetch_fixture;

/* `net_library`: KN_NET_LIBRARY. The Hub is empty. */
void fetch_open(fetch_fixture *fx, const char *net_library);
void fetch_close(fetch_fixture *fx);
/* As another process would begin. */
void fetch_restart(fetch_fixture *fx);
/* The same, over an empty cache, which is "cache<number>" in the scratch folder. */
void fetch_start_cold(fetch_fixture *fx);
/* A path in the current cache. */
const char *fetch_path(const fetch_fixture *fx, const char *relative);

/* A kernel of three files at a commit, one of them large; `extra` are members of its metadata, such
 * as "\"kernel-depends\": []", or NULL. */
hub_repo *put_kernel(fetch_fixture *fx, const char *id, const char *commit, const char *extra);
/* The same with the branches main and v1. */
hub_repo *put_simple(fetch_fixture *fx, const char *id, const char *commit, const char *extra);
/* A commit that redirects. */
hub_repo *put_redirect(fetch_fixture *fx, const char *id, const char *commit, const char *to);

kn_repo_info at_main(const char *id);
kn_repo_info at_revision(const char *id, const char *revision);
kn_repo_info at_version(const char *id, const char *version);

/* kn_engine_install: how many requests it made. Asserts that the folder is that of `commit`, which
 * has all its files. */
size_t install_at(fetch_fixture *fx, kn_repo_info info, const char *commit);
void install_fails(fetch_fixture *fx, kn_repo_info info, kn_status expected, const char *part);
/* Without an assertion. */
kn_status try_install(fetch_fixture *fx, kn_repo_info info, kn_error *err);
/* kn_engine_get_kernel, whose handle is given back. */
kn_status try_get(fetch_fixture *fx, kn_repo_info info, kn_error *err);

static inline int fetch_setup(void **state) {
    fetch_fixture *fx = calloc(1, sizeof *fx);
    fetch_open(fx, KN_NET_LIBRARY);
    *state = fx;
    return 0;
}

static inline int fetch_teardown(void **state) {
    fetch_close(*state);
    free(*state);
    return 0;
}

#define fetch_test(test) cmocka_unit_test_setup_teardown(test, fetch_setup, fetch_teardown)

#endif
