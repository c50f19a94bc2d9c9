/* SPDX-License-Identifier: Apache-2.0 */
/* From a request to a folder on disk, with a Hub in memory: requests counted, each request and each
 * allocation failing once. */
#include <stdio.h>
#include <stdlib.h>

#include "support/failing_alloc.h"
#include "support/fetch_scene.h"
#include "support/unit.h"

static void test_requests_are_those_that_are_needed(void **state) {
    scene *s = *state;
    assert_int_equal(requests_of(s, "org/base", "1"), 3 + 3);
    assert_int_equal(requests_of(s, "org/base", "1"), 0);
    assert_int_equal(requests_of(s, "org/base", NULL), 1);   /* main: the branches are asked for */
    assert_int_equal(requests_of(s, "org/toy", "1"), 3 + 3); /* what it needs is there */
    new_cache(s);
    assert_int_equal(requests_of(s, "org/toy", "1"), 3 + 3 + 3 + 3);
}

static void test_a_kernel_is_imported_after_what_it_needs(void **state) {
    scene *s = *state;
    kn_status status;
    kn_error err = KN_ERROR_INIT;
    kn_engine *engine = new_engine(s, NULL, &status, &err);
    const kn_repo_info info = {
        .size = sizeof info, .kind = KN_REPO_HUB, .id = "org/toy", .version = "1"};
    void *kernel = NULL, *again = NULL;
    status = kn_engine_get_kernel(engine, &s->host->table, &info, &kernel, &err);
    if (status) fail_msg("%s", err.message);
    assert_contains(s->host->imported, "kernels--org--toy");
    size_t before = s->hub.requests;
    assert_int_equal(kn_engine_get_kernel(engine, &s->host->table, &info, &again, &err), KN_OK);
    assert_ptr_equal(kernel, again);
    assert_int_equal(s->hub.requests, before);
    s->host->table.release(kernel);
    s->host->table.release(again);
    kn_engine_free(engine, &s->host->table);
}

static void test_circles_and_publishers(void **state) {
    scene *s = *state;
    scripted_hub_kernel(&s->hub, "org/base", "[{\"repo-id\": \"org/toy\", \"version\": 1}]");
    install_fails(s, "org/toy", KN_ERR_VALUE, "Cyclic kernel dependency detected: ");
    scripted_hub_kernel(&s->hub, "other/code", "[]");
    install_fails(s, "other/code", KN_ERR_UNTRUSTED, "trust_remote_code");
    scripted_hub_kernel(&s->hub, "org/needs", "[{\"repo-id\": \"other/code\", \"version\": 1}]");
    install_fails(s, "org/needs", KN_ERR_UNTRUSTED, "org/needs depends on 'other/code'");
    install_fails(s, "org/nothing", KN_ERR_REPOSITORY, "org/nothing");
}

static void test_offline_is_what_was_online(void **state) {
    scene *s = *state;
    assert_int_equal(requests_of(s, "org/toy", "1"), 12);
    setenv("HF_HUB_OFFLINE", "1", 1);
    assert_int_equal(requests_of(s, "org/toy", "1"), 0);
    install_fails(s, "org/never", KN_ERR_NOT_FOUND, "unset HF_HUB_OFFLINE");
    unsetenv("HF_HUB_OFFLINE");
}

static void test_cancelling_leaves_a_cache_that_works(void **state) {
    scene *s = *state;
    for (size_t at = 1; at < 5; at++) {
        new_cache(s);
        fake_host_calm(s->host);
        fake_host_fail(s->host, FAKE_CALL_CANCELLED, at, KN_ERR_CANCELLED);
        kn_error err = KN_ERROR_INIT;
        kn_status status = install(s, NULL, "org/toy", "1", &err);
        assert_true(status == KN_OK || status == KN_ERR_CANCELLED);
        if (at == 1) assert_int_equal(status, KN_ERR_CANCELLED);
        fake_host_calm(s->host);
        assert_int_equal(install(s, NULL, "org/toy", "1", &err), KN_OK);
    }
}

/* Every request of a cold call fails once, in every way: it is made again, or the call fails as a
 * whole, and the next one works. */
static void test_each_request_fails_once(void **state) {
    scene *s = *state;
    for (int fault = SCRIPTED_CONNECT; fault <= SCRIPTED_GARBAGE; fault++) {
        for (size_t at = 0; at < 6; at++) {
            new_cache(s);
            s->hub.fail_at = s->hub.requests + at;
            s->hub.fault = (scripted_fault)fault;
            kn_error err = KN_ERROR_INIT;
            kn_status status = install(s, NULL, "org/base", "1", &err);
            bool is_answer = at < 3; /* a file that is garbage is fetched again, an answer is not */
            if (fault == SCRIPTED_GARBAGE && is_answer)
                assert_int_equal(status, KN_ERR_NETWORK);
            else if (status)
                fail_msg("fault %d at %zu: %s", fault, at, err.message);
            s->hub.fail_at = SIZE_MAX;
            assert_int_equal(install(s, NULL, "org/base", "1", &err), KN_OK);
        }
    }
}

/* A sweep over the allocations of a call; `warm`: of one whose files are all there. */
static void sweep(scene *s, bool warm) {
    for (size_t n = 0;; n += n < 60 ? 1 : 7) {
        if (!warm) new_cache(s);
        failing_alloc memory;
        failing_alloc_init(&memory, n);
        kn_error err = KN_ERROR_INIT;
        kn_status status = install(s, &memory.alloc, "org/toy", "1", &err);
        assert_int_equal(memory.live, 0);
        if (status && status != KN_ERR_NOMEM) fail_msg("allocation %zu: %s", n, err.message);
        assert_true(status == KN_OK || memory.failed);
        if (!memory.failed) break;
        if (n % 5 == 0) {
            kn_status next = install(s, NULL, "org/toy", "1", &err);
            if (next) fail_msg("after allocation %zu: %s", n, err.message);
        }
    }
}

static void test_each_allocation_of_a_cold_call_fails_once(void **state) { sweep(*state, false); }

static void test_each_allocation_of_a_warm_call_fails_once(void **state) {
    requests_of(*state, "org/toy", "1");
    sweep(*state, true);
}

/* A file stands where a folder should be. */
static void test_a_cache_that_is_in_the_way(void **state) {
    scene *s = *state;
    static const char *const places[] = {"", "/kernels--org--base", "/kernels--org--base/blobs",
                                         "/kernels--org--base/snapshots", "/.locks"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char relative[SCRATCH_PATH_MAX];
        new_cache(s);
        snprintf(relative, sizeof relative, "%s%s", strrchr(s->cache, '/') + 1, places[i]);
        scratch_file(&s->scratch, relative, "in the way");
        kn_error err = KN_ERROR_INIT;
        kn_status status = install(s, NULL, "org/base", "1", &err);
        if (status != KN_ERR_OS && status != KN_OK) fail_msg("%s: %s", places[i], err.message);
        if (status) assert_contains(err.message, s->scratch.path);
    }
    static const char *const own[] = {"/kernels--org--base/.kernels", "/kernels--org--base/refs"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        char relative[SCRATCH_PATH_MAX];
        new_cache(s);
        snprintf(relative, sizeof relative, "%s%s", strrchr(s->cache, '/') + 1, own[i]);
        scratch_file(&s->scratch, relative, "in the way");
        kn_error err = KN_ERROR_INIT;
        if (install(s, NULL, "org/base", "1", &err)) fail_msg("%s: %s", own[i], err.message);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        fetch_test(test_requests_are_those_that_are_needed),
        fetch_test(test_a_kernel_is_imported_after_what_it_needs),
        fetch_test(test_circles_and_publishers),
        fetch_test(test_offline_is_what_was_online),
        fetch_test(test_cancelling_leaves_a_cache_that_works),
        fetch_test(test_each_request_fails_once),
        fetch_test(test_each_allocation_of_a_cold_call_fails_once),
        fetch_test(test_each_allocation_of_a_warm_call_fails_once),
        fetch_test(test_a_cache_that_is_in_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
