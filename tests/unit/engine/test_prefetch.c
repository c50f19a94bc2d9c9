/* SPDX-License-Identifier: Apache-2.0 */
/* Many kernels at once: lists, mappings, all builds, what fails, and the digest. */
#include <kernels/prefetch.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/failing_alloc.h"
#include "support/fetch_scene.h"
#include "support/unit.h"

/* One call of a new engine. */
static kn_status prefetch(scene *s, const kn_alloc *alloc, const kn_prefetch_request *request,
                          kn_prefetched **out, kn_engine **engine, kn_error *err) {
    kn_status status;
    *out = NULL;
    *engine = new_engine(s, alloc, &status, err);
    return status ? status : kn_engine_prefetch(*engine, &s->host->table, request, out, err);
}

static void end(const scene *s, kn_prefetched *prefetched, kn_engine *engine) {
    kn_prefetched_free(prefetched);
    kn_engine_free(engine, &s->host->table);
}

#define HUB(name, of) \
    {.size = sizeof(kn_repo_info), .kind = KN_REPO_HUB, .id = (name), .version = (of)}

/* The digest of a list, which must succeed. */
static void digest_of(scene *s, const kn_repo_info *const *repos, size_t count, char out[65]) {
    const kn_prefetch_request request = {
        .size = sizeof request, .repos = repos, .repo_count = count};
    kn_prefetched *prefetched;
    kn_engine *engine;
    kn_error err = KN_ERROR_INIT;
    kn_status status = prefetch(s, NULL, &request, &prefetched, &engine, &err);
    if (!status) status = kn_prefetched_check(prefetched, &err);
    if (status) fail_msg("%s", err.message);
    snprintf(out, 65, "%s", kn_prefetched_digest(prefetched));
    end(s, prefetched, engine);
}

static const kn_repo_info toy = HUB("org/toy", "1"), base = HUB("org/base", "1");
static const kn_repo_info closed = HUB("other/toy", "1"), missing = HUB("org/none", "1");

static void test_a_list_is_fetched_once_and_then_costs_no_request(void **state) {
    scene *s = *state;
    const kn_repo_info *const list[] = {&toy, &base, &toy};
    char first[65], second[65];
    digest_of(s, list, 3, first);
    size_t requests = s->hub.requests;
    assert_int_equal(requests, 1 + 2 * (2 + 3)); /* the publisher; refs, listing and files */
    digest_of(s, list, 3, second);
    assert_int_equal(s->hub.requests, requests);
    assert_string_equal(first, second);
    assert_int_equal(s->host->calls[FAKE_CALL_IMPORT], 0);
}

static void test_the_digest_is_of_what_was_resolved_and_of_nothing_else(void **state) {
    scene *s = *state;
    const kn_repo_info by_branch = {
        .size = sizeof by_branch, .kind = KN_REPO_HUB, .id = "org/toy", .revision = "main"};
    const kn_repo_info *const one[] = {&base, &toy}, *const turned[] = {&toy, &base};
    const kn_repo_info *const other[] = {&by_branch}, *const less[] = {&base};
    char digest[65], again[65];
    digest_of(s, one, 2, digest);
    assert_int_equal(strlen(digest), 64);
    digest_of(s, turned, 2, again);
    assert_string_equal(digest, again);
    new_cache(s); /* elsewhere, by another name of the commit, and base as a dependency */
    digest_of(s, other, 1, again);
    assert_string_equal(digest, again);
    digest_of(s, less, 1, again);
    assert_string_not_equal(digest, again);
}

static void test_everything_that_fails_is_told(void **state) {
    scene *s = *state;
    const kn_repo_info both = {.size = sizeof both,
                               .kind = KN_REPO_HUB,
                               .id = "org/base",
                               .version = "1",
                               .revision = "main"};
    const kn_repo_info *const list[] = {&toy, &missing, &both, &closed};
    const kn_prefetch_request request = {.size = sizeof request, .repos = list, .repo_count = 4};
    kn_prefetched *prefetched;
    kn_engine *engine;
    kn_error err = KN_ERROR_INIT;
    scripted_hub_kernel(&s->hub, "other/toy", "[]");
    assert_int_equal(prefetch(s, NULL, &request, &prefetched, &engine, &err), KN_OK);
    assert_int_equal(kn_prefetched_check(prefetched, &err), KN_ERR_VALUE); /* the first's */
    assert_contains(err.message, "3 of 4 kernels cannot be had: org/base: Only one of `revision`");
    assert_contains(err.message, "; org/none: ");
    assert_contains(err.message, "; other/toy: ");
    assert_string_equal(kn_prefetched_digest(prefetched), "");
    end(s, prefetched, engine);
}

static void test_a_dependency_that_fails_is_told_once(void **state) {
    scene *s = *state;
    scripted_hub_kernel(&s->hub, "org/needy", "[{\"repo-id\": \"org/none\", \"version\": 1}]");
    const kn_repo_info needy = HUB("org/needy", "1");
    const kn_repo_info *const list[] = {&needy};
    const kn_prefetch_request request = {.size = sizeof request, .repos = list, .repo_count = 1};
    kn_prefetched *prefetched;
    kn_engine *engine;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(prefetch(s, NULL, &request, &prefetched, &engine, &err), KN_OK);
    assert_int_equal(kn_prefetched_check(prefetched, &err), KN_ERR_REPOSITORY);
    assert_contains(err.message, "org/needy depends on 'org/none': ");
    assert_int_equal(kn_prefetched_count(prefetched), 2);
    kn_prefetched_item item = {.size = sizeof item};
    kn_prefetched_get(prefetched, 1, &item);
    assert_string_equal(item.name, "org/none");
    assert_true(item.is_dependency);
    assert_null(item.folder);
    end(s, prefetched, engine);
}

static kn_mapping *mapping_of(fake_repo *const *repos, const kn_mode *modes, size_t count) {
    kn_mode_repo of_modes[4];
    kn_mapping *mapping;
    kn_error err = KN_ERROR_INIT;
    for (size_t i = 0; i < count; i++) of_modes[i] = (kn_mode_repo){modes[i], repos[i]->handle};
    const kn_mapping_entry entry = {
        "Layer", KN_DEVICE_CPU, {0, KN_CAPABILITY_MAX}, of_modes, count};
    assert_int_equal(kn_mapping_extend(NULL, NULL, &entry, 1, &mapping, &err), KN_OK);
    return mapping;
}

static size_t count_of_mapping(scene *s, kn_mapping *mapping, bool all_modes) {
    const kn_prefetch_request request = {
        .size = sizeof request, .mapping = mapping, .all_modes = all_modes};
    kn_prefetched *prefetched;
    kn_engine *engine;
    kn_error err = KN_ERROR_INIT;
    kn_status status = prefetch(s, NULL, &request, &prefetched, &engine, &err);
    if (!status) status = kn_prefetched_check(prefetched, &err);
    if (status) fail_msg("%s", err.message);
    size_t count = kn_prefetched_count(prefetched);
    end(s, prefetched, engine);
    return count;
}

static void test_a_mapping_is_fetched_without_what_only_the_host_loads(void **state) {
    scene *s = *state;
    fake_repo *const repos[] = {
        fake_repo_of_kind(s->host, KN_REPO_HUB, "org/base", "Layer"),
        fake_repo_of_kind(s->host, KN_REPO_HUB, "org/toy", "Layer"),
        fake_repo_new(s->host, "the host's own", NULL),
    };
    const kn_mode modes[] = {KN_MODE_INFERENCE, KN_MODE_TRAINING, KN_MODE_FALLBACK};
    kn_mapping *mapping = mapping_of(repos, modes, 3);
    assert_int_equal(count_of_mapping(s, mapping, false), 1);
    assert_int_equal(count_of_mapping(s, mapping, true), 3); /* toy, and the base that toy names */
    kn_mapping_release(mapping);
}

static void test_all_builds_are_fetched_and_each_is_an_item(void **state) {
    scene *s = *state;
    const kn_repo_info *const list[] = {&toy};
    const kn_prefetch_request request = {
        .size = sizeof request, .repos = list, .repo_count = 1, .all_variants = true};
    kn_prefetched *prefetched;
    kn_engine *engine;
    kn_error err = KN_ERROR_INIT;
    scripted_hub_add_build(&s->hub, "org/base", "torch29-cu118-x86_64-windows");
    for (int turn = 0; turn < 2; turn++) {
        assert_int_equal(prefetch(s, NULL, &request, &prefetched, &engine, &err), KN_OK);
        if (kn_prefetched_check(prefetched, &err)) fail_msg("%s", err.message);
        assert_int_equal(kn_prefetched_count(prefetched), 3);
        kn_prefetched_item item = {.size = sizeof item};
        kn_prefetched_get(prefetched, 2, &item);
        assert_string_equal(item.variant, "torch29-cu118-x86_64-windows");
        assert_contains(item.folder, "/build/torch29-cu118-x86_64-windows");
        end(s, prefetched, engine);
        setenv("HF_HUB_OFFLINE", "1", 1);
    }
    unsetenv("HF_HUB_OFFLINE");
}

static void test_every_kernel_of_a_lock_is_fetched_at_its_commit(void **state) {
    scene *s = *state;
    char commit[65], lock[512];
    scripted_hub_commit("org/base", commit);
    snprintf(lock, sizeof lock,
             "[{\"dependency\": {\"repo-id\": \"org/base\", \"version\": 7}, \"lock\": "
             "{\"commit\": \"%s\"}}]",
             commit);
    const kn_prefetch_request request = {.size = sizeof request, .lock = lock};
    kn_prefetched *prefetched;
    kn_engine *engine;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(prefetch(s, NULL, &request, &prefetched, &engine, &err), KN_OK);
    if (kn_prefetched_check(prefetched, &err)) fail_msg("%s", err.message);
    kn_prefetched_item item = {.size = sizeof item};
    kn_prefetched_get(prefetched, 0, &item);
    assert_string_equal(item.commit, commit);
    assert_int_equal(s->hub.requests, 2 + 3); /* no branches: publisher, listing and files */
    end(s, prefetched, engine);
    const kn_prefetch_request broken = {.size = sizeof broken, .lock = "{}"};
    assert_int_equal(prefetch(s, NULL, &broken, &prefetched, &engine, &err), KN_ERR_VALUE);
    assert_contains(err.message, "kernels.lock: not a lock file");
    end(s, prefetched, engine);
}

static kn_status prefetch_with(const kn_alloc *alloc, void *ctx, kn_error *err) {
    scene *s = ctx;
    const kn_repo_info *const list[] = {&toy, &closed};
    const kn_prefetch_request request = {.size = sizeof request, .repos = list, .repo_count = 2};
    kn_prefetched *prefetched;
    kn_engine *engine;
    new_cache(s);
    kn_status status = prefetch(s, alloc, &request, &prefetched, &engine, err);
    assert_int_equal(prefetched != NULL, status == KN_OK);
    end(s, prefetched, engine);
    return status;
}

static void test_every_allocation_that_fails_is_told(void **state) {
    assert_true(fault_sweep(prefetch_with, *state) > 100);
}

static void test_a_stop_ends_the_whole_call(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    fake_host_fail(s->host, FAKE_CALL_CANCELLED, 1, KN_ERR_CANCELLED);
    assert_int_equal(prefetch_with(NULL, s, &err), KN_ERR_CANCELLED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        fetch_test(test_a_list_is_fetched_once_and_then_costs_no_request),
        fetch_test(test_the_digest_is_of_what_was_resolved_and_of_nothing_else),
        fetch_test(test_everything_that_fails_is_told),
        fetch_test(test_a_dependency_that_fails_is_told_once),
        fetch_test(test_a_mapping_is_fetched_without_what_only_the_host_loads),
        fetch_test(test_all_builds_are_fetched_and_each_is_an_item),
        fetch_test(test_every_kernel_of_a_lock_is_fetched_at_its_commit),
        fetch_test(test_every_allocation_that_fails_is_told),
        fetch_test(test_a_stop_ends_the_whole_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
