/* SPDX-License-Identifier: Apache-2.0 */
/* What there is to know of a repository without loading it, with a Hub in memory. */
#include <kernels/hub.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/failing_alloc.h"
#include "support/fetch_scene.h"
#include "support/unit.h"

/* What one call of a new engine says of a repository's versions: "1 v1 1/1; ", version, branch,
 * builds that fit of all builds. */
typedef struct told {
    char text[256];
    kn_error err;
} told;

static kn_status versions(scene *s, const kn_alloc *alloc, const char *repo, bool refresh,
                          told *out) {
    const kn_repo_info info = {
        .size = sizeof info, .kind = KN_REPO_HUB, .id = repo, .refresh = refresh};
    kn_versions *found = NULL;
    out->text[0] = '\0';
    kn_error_init(&out->err);
    kn_status status;
    kn_engine *engine = new_engine(s, alloc, &status, &out->err);
    if (!status)
        status = kn_engine_versions(engine, &s->host->table, &info, true, &found, &out->err);
    for (size_t i = 0; found && i < kn_versions_count(found); i++) {
        kn_version_entry entry = {.size = sizeof entry};
        kn_versions_get(found, i, &entry);
        size_t length = strlen(out->text);
        snprintf(out->text + length, sizeof out->text - length, "%lld %s %zu; ",
                 (long long)entry.version, entry.ref,
                 entry.variants ? kn_variants_count(entry.variants) : 99);
    }
    kn_versions_free(found);
    kn_engine_free(engine, &s->host->table);
    return status;
}

static kn_status about(scene *s, const kn_alloc *alloc, const kn_repo_info *info, told *out) {
    kn_about *found = NULL;
    out->text[0] = '\0';
    kn_error_init(&out->err);
    kn_status status;
    kn_engine *engine = new_engine(s, alloc, &status, &out->err);
    if (!status) status = kn_engine_about(engine, &s->host->table, info, &found, &out->err);
    if (found) {
        kn_about_info facts = {.size = sizeof facts};
        kn_metadata_info metadata = {.size = sizeof metadata};
        kn_about_get(found, &facts);
        if (facts.metadata) kn_metadata_get(facts.metadata, &metadata);
        snprintf(out->text, sizeof out->text, "%s %s %s %s", facts.repo ? facts.repo : "-",
                 facts.ref ? facts.ref : "-", facts.variant ? facts.variant : "-",
                 facts.metadata ? metadata.name : "-");
    }
    kn_about_free(found);
    kn_engine_free(engine, &s->host->table);
    return status;
}

static kn_repo_info toy(const char *version) {
    return (kn_repo_info){
        .size = sizeof(kn_repo_info), .kind = KN_REPO_HUB, .id = "org/toy", .version = version};
}

/* What one call of a new engine says of three kernels, one of them twice: "0 torch-cpu; ", the
 * status and the variant of each. */
static kn_status about_all(scene *s, const kn_alloc *alloc, const kn_repo_info *directory,
                           told *out) {
    const kn_repo_info there = toy("1");
    const kn_repo_info missing = {
        .size = sizeof missing, .kind = KN_REPO_HUB, .id = "org/nothing", .version = "1"};
    const kn_repo_info *infos[] = {&there, &missing, directory, &there};
    kn_abouts *found = NULL;
    out->text[0] = '\0';
    kn_error_init(&out->err);
    kn_status status;
    kn_engine *engine = new_engine(s, alloc, &status, &out->err);
    if (!status) status = kn_engine_about_all(engine, &s->host->table, infos, 4, &found, &out->err);
    for (size_t i = 0; found && i < 4; i++) {
        kn_about_info facts = {.size = sizeof facts};
        kn_abouts_get(found, i, &facts);
        size_t length = strlen(out->text);
        snprintf(out->text + length, sizeof out->text - length, "%d %s; ", (int)facts.status,
                 facts.variant ? facts.variant : "-");
        if (facts.message) snprintf(out->err.message, sizeof out->err.message, "%s", facts.message);
    }
    kn_abouts_free(found);
    kn_engine_free(engine, &s->host->table);
    return status;
}

static void test_versions_are_asked_for_once_a_day(void **state) {
    scene *s = *state;
    told t;
    assert_int_equal(versions(s, NULL, "org/toy", false, &t), KN_OK);
    assert_string_equal(t.text, "1 v1 1; ");
    assert_int_equal(s->hub.requests, 2); /* the branches, one listing */
    assert_int_equal(versions(s, NULL, "org/toy", false, &t), KN_OK);
    assert_string_equal(t.text, "1 v1 1; ");
    assert_int_equal(s->hub.requests, 2);
    assert_int_equal(versions(s, NULL, "org/toy", true, &t), KN_OK);
    assert_int_equal(s->hub.requests, 3);
}

static void test_without_the_network_what_is_known_serves(void **state) {
    scene *s = *state;
    told t;
    setenv("HF_HUB_OFFLINE", "1", 1);
    assert_int_equal(versions(s, NULL, "org/toy", false, &t), KN_ERR_NOT_FOUND);
    assert_contains(t.err.message, "unset HF_HUB_OFFLINE");
    unsetenv("HF_HUB_OFFLINE");
    assert_int_equal(versions(s, NULL, "org/toy", false, &t), KN_OK);
    setenv("HF_HUB_OFFLINE", "1", 1);
    assert_int_equal(versions(s, NULL, "org/toy", false, &t), KN_OK);
    assert_string_equal(t.text, "1 v1 1; ");
    unsetenv("HF_HUB_OFFLINE");
    setenv("KERNELS_REFRESH_AFTER", "0", 1);
    s->hub.fail_at = s->hub.requests;
    s->hub.fails = 100;
    s->hub.fault = SCRIPTED_CONNECT;
    assert_int_equal(versions(s, NULL, "org/toy", false, &t), KN_OK);
    assert_string_equal(t.text, "1 v1 1; ");
    assert_int_equal(fake_host_logged(s->host, "the Hub could not be asked"), 1);
    unsetenv("KERNELS_REFRESH_AFTER");
}

static void test_versions_that_are_none(void **state) {
    scene *s = *state;
    told t;
    assert_int_equal(versions(s, NULL, "org/nothing", false, &t), KN_ERR_REPOSITORY);
    assert_contains(t.err.message, "org/nothing");
    assert_int_equal(versions(s, NULL, "no repository", false, &t), KN_ERR_VALUE);
    scripted_hub_model(&s->hub, "org/older");
    assert_int_equal(versions(s, NULL, "org/older", false, &t), KN_OK);
    assert_string_equal(t.text, "1 v1 1; ");
}

static void test_a_kernel_is_described_with_one_file(void **state) {
    scene *s = *state;
    kn_repo_info info = toy("1");
    told t;
    assert_int_equal(about(s, NULL, &info, &t), KN_OK);
    assert_string_equal(t.text, "org/toy v1 torch-cpu toy");
    assert_int_equal(s->hub.requests, 3); /* branches, listing, metadata; not what it depends on */
    assert_int_equal(about(s, NULL, &info, &t), KN_OK);
    assert_int_equal(s->hub.requests, 3);
    assert_int_equal(requests_of(s, "org/base", "1"), 6); /* nothing was done by halves */
}

static void test_a_kernel_for_other_machines_is_described(void **state) {
    scene *s = *state;
    kn_repo_info info = toy("1");
    told t;
    s->host->system.backend = "cu130";
    assert_int_equal(about(s, NULL, &info, &t), KN_OK);
    assert_string_equal(t.text, "org/toy v1 torch-cpu toy");
    info.version = "9";
    assert_int_equal(about(s, NULL, &info, &t), KN_ERR_VALUE);
    assert_contains(t.err.message, "available versions: 1");
}

static void test_kernels_are_described_together(void **state) {
    scene *s = *state;
    told t;
    char path[SCRATCH_PATH_MAX + 16];
    scratch_directory(&s->scratch, "local/build/torch-metal");
    snprintf(path, sizeof path, "%s/local", s->scratch.path);
    const kn_repo_info directory = {.size = sizeof directory, .kind = KN_REPO_LOCAL, .id = path};
    assert_int_equal(about_all(s, NULL, &directory, &t), KN_OK);
    assert_string_equal(t.text, "0 torch-cpu; 12 -; 0 -; 0 torch-cpu; ");
    assert_contains(t.err.message, "org/nothing");
    assert_int_equal(s->hub.requests, 5); /* three of the one that is there, once */
}

static void test_a_directory_is_described(void **state) {
    scene *s = *state;
    told t;
    scratch_file(&s->scratch, "local/build/torch-cpu/metadata.json",
                 "{\"id\": \"x\", \"name\": \"local\"}");
    scratch_directory(&s->scratch, "local/build/torch-metal");
    char path[SCRATCH_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/local", s->scratch.path);
    const kn_repo_info info = {.size = sizeof info, .kind = KN_REPO_LOCAL, .id = path};
    assert_int_equal(about(s, NULL, &info, &t), KN_OK);
    assert_string_equal(t.text, "- - torch-cpu local");
    scratch_file(&s->scratch, "local/build/torch-cpu/metadata.json", "{");
    assert_int_equal(about(s, NULL, &info, &t), KN_ERR_VALUE);
    assert_int_equal(s->hub.requests, 0);
}

static void test_each_allocation_fails_once(void **state) {
    scene *s = *state;
    const kn_repo_info info = toy("1");
    for (int what = 0; what < 3; what++) {
        for (size_t n = 0;; n += n < 60 ? 1 : 7) {
            told t;
            failing_alloc memory;
            failing_alloc_init(&memory, n);
            new_cache(s);
            kn_status status = what == 2   ? about_all(s, &memory.alloc, &info, &t)
                               : what == 1 ? about(s, &memory.alloc, &info, &t)
                                           : versions(s, &memory.alloc, "org/toy", false, &t);
            assert_int_equal(memory.live, 0);
            if (status && status != KN_ERR_NOMEM) fail_msg("allocation %zu: %s", n, t.err.message);
            assert_true(status == KN_OK || memory.failed);
            if (!memory.failed) break;
        }
    }
}

static void test_the_environment_as_it_is_read(void **state) {
    scene *s = *state;
    kn_settings *settings;
    kn_settings_info info = {.size = sizeof info};
    kn_error err = KN_ERROR_INIT;
    setenv("HF_TOKEN", "hf_secret", 1);
    assert_int_equal(kn_settings_read(NULL, &settings, &err), KN_OK);
    kn_settings_get(settings, &info);
    assert_string_equal(info.endpoint, SCRIPTED_ENDPOINT);
    assert_string_equal(info.cache, s->cache);
    assert_string_equal(info.token_source, "HF_TOKEN");
    assert_false(info.offline);
    kn_settings_free(settings);
    setenv("HF_TOKEN", "two words", 1);
    assert_int_equal(kn_settings_read(NULL, &settings, &err), KN_ERR_VALUE);
    assert_contains(err.message, "HF_TOKEN");
    assert_null(settings);
    unsetenv("HF_TOKEN");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        fetch_test(test_versions_are_asked_for_once_a_day),
        fetch_test(test_without_the_network_what_is_known_serves),
        fetch_test(test_versions_that_are_none),
        fetch_test(test_a_kernel_is_described_with_one_file),
        fetch_test(test_a_kernel_for_other_machines_is_described),
        fetch_test(test_kernels_are_described_together),
        fetch_test(test_a_directory_is_described),
        fetch_test(test_each_allocation_fails_once),
        fetch_test(test_the_environment_as_it_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
