/* SPDX-License-Identifier: Apache-2.0 */
/* What kernels.toml changes about what is fetched, over a Hub in memory. */
#include <stdio.h>
#include <stdlib.h>

#include "support/failing_alloc.h"
#include "support/fetch_scene.h"
#include "support/unit.h"

/* Puts the user's kernels.toml in place. */
static const char *configure(scene *s, const char *toml) {
    scratch_file(&s->scratch, "user/kernels.toml", toml);
    const char *path = scratch_path(&s->scratch, "user/kernels.toml");
    setenv("KERNELS_CONFIG", path, 1);
    return path;
}

static kn_repo_info hub_repo(const char *id) {
    return (kn_repo_info){.size = sizeof(kn_repo_info), .kind = KN_REPO_HUB, .id = id};
}

/* A Hub with two versions of org/two, and a tag for each; version 2 is at the commit of its name.
 */
static void add_two_versions(scene *s, char commits[2][65]) {
    scripted_hub_kernel(&s->hub, "org/two", "[]");
    scripted_hub_commit("org/two", commits[0]);
    memset(commits[1], '2', 40);
    commits[1][40] = '\0';
    char text[1200], path[200];
    snprintf(text, sizeof text,
             "{\"branches\": [{\"name\": \"main\", \"ref\": \"refs/heads/main\", \"targetCommit\": "
             "\"%s\"}, {\"name\": \"v1\", \"ref\": \"refs/heads/v1\", \"targetCommit\": \"%s\"}, "
             "{\"name\": \"v2\", \"ref\": \"refs/heads/v2\", \"targetCommit\": \"%s\"}], \"tags\": "
             "[{\"name\": \"v1.0\", \"ref\": \"refs/tags/v1.0\", \"targetCommit\": \"%s\"}, "
             "{\"name\": \"v2.0\", \"ref\": \"refs/tags/v2.0\", \"targetCommit\": \"%s\"}], "
             "\"converts\": []}",
             commits[1], commits[0], commits[1], commits[0], commits[1]);
    scripted_hub_set(&s->hub, "/api/kernels/org/two/refs", text);
    snprintf(path, sizeof path, "/api/kernels/org/two/tree/%s?recursive=true&expand=false",
             commits[1]);
    scripted_hub_set(&s->hub, path, "[]");
}

static void assert_commit(scene *s, const kn_repo_info *info, const char *expected) {
    kn_status status;
    kn_error err = KN_ERROR_INIT;
    char *commit;
    kn_engine *engine = new_engine(s, NULL, &status, &err);
    if (kn_engine_resolve_commit(engine, &s->host->table, info, &commit, &err))
        fail_msg("%s", err.message);
    assert_string_equal(commit, expected);
    kn_text_free(engine, commit);
    kn_engine_free(engine, &s->host->table);
}

static void assert_install_fails(scene *s, const kn_repo_info *info, kn_status expected,
                                 const char *part) {
    kn_error err = KN_ERROR_INIT;
    kn_status status = install_info(s, NULL, info, &err);
    assert_contains(err.message, part);
    assert_int_equal(status, expected);
}

/* ---- pins ---- */

static void test_a_pin_takes_the_place_of_what_is_asked_for_by_name(void **state) {
    scene *s = *state;
    char commits[2][65];
    add_two_versions(s, commits);
    configure(s, "[pin]\n\"org/two\" = 1\n");
    kn_repo_info info = hub_repo("org/two");
    assert_commit(s, &info, commits[0]);
    info.revision = "main";
    assert_commit(s, &info, commits[0]);
    info.revision = NULL;
    info.version = "2";
    assert_commit(s, &info, commits[0]);
    info.version = ">=2";
    assert_commit(s, &info, commits[0]);
    configure(s, "[pin]\n\"org/two\" = \"<2\"\n");
    assert_commit(s, &info, commits[0]);
    configure(s, "[pin]\n\"org/two\" = \">1\"\n");
    info.version = "1";
    assert_commit(s, &info, commits[1]);
}

static void test_a_commit_is_not_changed_by_a_pin(void **state) {
    scene *s = *state;
    char commits[2][65];
    add_two_versions(s, commits);
    configure(s, "[pin]\n\"org/two\" = 1\n");
    kn_repo_info info = hub_repo("org/two");
    info.revision = commits[1];
    assert_commit(s, &info, commits[1]);
}

static void test_a_pin_to_a_commit_asks_for_no_branch(void **state) {
    scene *s = *state;
    char toml[200], commit[65];
    scripted_hub_commit("org/base", commit);
    snprintf(toml, sizeof toml, "[pin]\n\"org/base\" = \"%s\"\n", commit);
    configure(s, toml);
    assert_int_equal(requests_of(s, "org/base", "7"), 2 + 3); /* publisher, listing and files */
}

static void test_what_a_pin_changed_is_logged_with_file_and_line(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    char expected[600];
    const char *path = configure(s, "\n[pin]\n\"org/base\" = 1\n");
    kn_repo_info info = hub_repo("org/base");
    if (install_info(s, NULL, &info, &err)) fail_msg("%s", err.message);
    snprintf(expected, sizeof expected,
             "info: 'org/base': version 1 instead of revision main, as %s:3 pins it", path);
    assert_int_equal(fake_host_logged(s->host, expected), 1);
    info.version = "1";
    if (install_info(s, NULL, &info, &err)) fail_msg("%s", err.message);
    assert_int_equal(fake_host_logged(s->host, "instead of"), 1); /* nothing was changed */
}

static void test_what_another_kernel_needs_is_pinned_as_well(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    configure(s, "[pin]\n\"org/base\" = 7\n");
    assert_int_equal(install(s, NULL, "org/toy", "1", &err), KN_ERR_VALUE);
    assert_contains(err.message, "depends on 'org/base': Version 7 not found");
}

static void test_a_directory_takes_the_place_of_a_pin(void **state) {
    scene *s = *state;
    char local[600];
    kn_error err = KN_ERROR_INIT;
    scratch_file(&s->scratch, "here/build/torch-cpu/metadata.json",
                 "{\"id\": \"_base\", \"name\": \"base\", \"version\": 1, \"backend\": {\"type\": "
                 "\"cpu\"}}");
    scratch_file(&s->scratch, "here/build/torch-cpu/__init__.py", "");
    snprintf(local, sizeof local, "org/base=%s", scratch_path(&s->scratch, "here"));
    setenv("LOCAL_KERNELS", local, 1);
    configure(s, "[pin]\n\"org/base\" = 7\n");
    kn_repo_info info = hub_repo("org/base");
    size_t before = s->hub.requests;
    if (install_info(s, NULL, &info, &err)) fail_msg("%s", err.message);
    assert_int_equal(s->hub.requests, before);
    configure(s, "order = [\"builtin\", \"cache\", \"hub\"]\n");
    if (install_info(s, NULL, &info, &err)) fail_msg("%s", err.message);
    assert_true(s->hub.requests > before);
    assert_int_equal(fake_host_logged(s->host, "LOCAL_KERNELS is not heeded, as the order in "), 1);
    info.version = "7";
    configure(s, "deny = [\"org/base >= 1\"]\n");
    assert_install_fails(s, &info, KN_ERR_DENIED, "'org/base' at version 1 is denied by");
    unsetenv("LOCAL_KERNELS");
}

/* ---- denies ---- */

static void test_what_is_denied_is_refused_before_anything_is_asked(void **state) {
    scene *s = *state;
    char expected[600];
    const char *path = configure(s, "deny = [\"org/base\"]\n");
    kn_repo_info info = hub_repo("org/base");
    snprintf(
        expected, sizeof expected,
        "'org/base' is denied by \"org/base\" in %s:1; use another kernel, or change that line",
        path);
    assert_install_fails(s, &info, KN_ERR_DENIED, expected);
    info.allowed = "*";
    assert_install_fails(s, &info, KN_ERR_DENIED, expected);
    assert_int_equal(s->hub.requests, 0);
}

static void test_a_version_that_is_denied_is_refused_by_each_of_its_names(void **state) {
    scene *s = *state;
    char commits[2][65];
    add_two_versions(s, commits);
    configure(s, "deny = [\"two >= 2\"]\n");
    kn_repo_info info = hub_repo("org/two");
    info.version = "2";
    assert_install_fails(s, &info, KN_ERR_DENIED, "'org/two' at version 2 is denied by");
    info.version = NULL;
    info.revision = "v2";
    assert_install_fails(s, &info, KN_ERR_DENIED, "'org/two' at version v2 is denied by");
    assert_int_equal(s->hub.requests, 0);
    info.revision = NULL;
    info.version = ">=1";
    assert_commit(s, &info, commits[0]); /* the newest that is not */
    assert_int_equal(fake_host_logged(s->host, "v1.0 instead of v2.0, which \"two >= 2\" in "), 1);
    info.version = ">=2";
    assert_install_fails(s, &info, KN_ERR_DENIED,
                         "its tags: v1.0, v2.0 (kernels.toml denies 'v2.0')");
}

static void test_a_build_is_refused_by_the_version_in_its_metadata(void **state) {
    scene *s = *state;
    configure(s, "deny = [\"org/base >= 1\"]\n"); /* its metadata says 1, its branch is main */
    kn_repo_info info = hub_repo("org/base");
    assert_install_fails(s, &info, KN_ERR_DENIED, "'org/base' at version 1 is denied by");
    configure(s, "deny = [\"org/base > 1\"]\n");
    kn_error err = KN_ERROR_INIT;
    if (install_info(s, NULL, &info, &err)) fail_msg("%s", err.message);
}

static void test_what_was_cached_before_it_was_denied_is_refused(void **state) {
    scene *s = *state;
    char commits[2][65], toml[200];
    add_two_versions(s, commits);
    kn_repo_info info = hub_repo("org/two");
    info.version = ">=1";
    assert_commit(s, &info, commits[1]);
    configure(s, "deny = [\"two >= 2\"]\n");
    assert_commit(s, &info, commits[0]);
    info.version = NULL;
    info.revision = commits[0];
    snprintf(toml, sizeof toml, "deny = [\"org/two %s\"]\n", commits[0]);
    configure(s, toml);
    assert_install_fails(s, &info, KN_ERR_DENIED, "'org/two' is denied by");
}

static void test_what_needs_a_denied_kernel_is_refused(void **state) {
    scene *s = *state;
    configure(s, "deny = [\"base\"]\n");
    kn_repo_info info = hub_repo("org/toy");
    info.version = "1";
    assert_install_fails(s, &info, KN_ERR_DENIED,
                         "depends on 'org/base': 'org/base' at version 1 is denied by");
}

static void test_a_denied_kernel_is_not_there_for_who_asks(void **state) {
    scene *s = *state;
    kn_status status;
    kn_error err = KN_ERROR_INIT;
    configure(s, "deny = [\"base\"]\n");
    kn_engine *engine = new_engine(s, NULL, &status, &err);
    bool found = true;
    kn_repo_info info = hub_repo("org/base");
    assert_int_equal(kn_engine_has_kernel(engine, &s->host->table, &info, &found, &err), KN_OK);
    assert_false(found);
    found = true;
    info.id = "org/toy";
    assert_int_equal(kn_engine_has_kernel(engine, &s->host->table, &info, &found, &err), KN_OK);
    assert_false(found);
    kn_engine_free(engine, &s->host->table);
}

static void test_a_site_denies_whatever_its_user_says(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    configure(s, "[pin]\n\"org/base\" = 1\n[trust]\nrepositories = [\"org/base\"]\n");
    scratch_file(&s->scratch, "etc/kernels.toml", "deny = [\"org/base\"]\n");
    const kn_engine_options options = {.size = sizeof options,
                                       .transport_new = scripted_transport_new,
                                       .transport_ctx = &s->hub,
                                       .site_config =
                                           scratch_path(&s->scratch, "etc/kernels.toml")};
    kn_engine *engine;
    assert_int_equal(kn_engine_new(&options, &engine, &err), KN_OK);
    kn_repo_info info = hub_repo("org/base");
    char *folder;
    assert_int_equal(kn_engine_install(engine, &s->host->table, &info, &folder, &err),
                     KN_ERR_DENIED);
    assert_contains(err.message, "etc/kernels.toml:1");
    kn_engine_free(engine, &s->host->table);
}

/* ---- trust ---- */

static void test_who_is_trusted_by_the_file_is_not_asked_about(void **state) {
    scene *s = *state;
    char expected[600];
    scripted_hub_kernel(&s->hub, "other/one", "[]");
    kn_repo_info info = hub_repo("other/one");
    assert_install_fails(s, &info, KN_ERR_UNTRUSTED, "not from a trusted publisher");
    const char *path = configure(s, "[trust]\norganizations = [\"other\"]\n");
    new_cache(s);
    assert_int_equal(requests_of(s, "other/one", "1"), 2 + 3); /* branches, listing and files */
    snprintf(expected, sizeof expected, "info: 'other/one': trusted by \"other\" in %s:2", path);
    assert_int_equal(fake_host_logged(s->host, expected), 1);
    configure(s, "[trust]\nrepositories = [\"other/two\"]\n");
    new_cache(s);
    assert_install_fails(s, &info, KN_ERR_UNTRUSTED, "not from a trusted publisher");
}

static void test_a_build_is_trusted_by_its_digest(void **state) {
    scene *s = *state;
    char toml[300];
    kn_error err = KN_ERROR_INIT;
    scripted_hub_kernel(&s->hub, "other/one", "[]");
    kn_repo_info info = hub_repo("other/one");
    configure(s, "[trust]\ndigests = [\"sha256-"
                 "0000000000000000000000000000000000000000000000000000000000000000\"]\n");
    assert_int_equal(install_info(s, NULL, &info, &err), KN_ERR_UNTRUSTED);
    const char *digest = strstr(err.message, "has the digest sha256-");
    assert_non_null(digest);
    snprintf(toml, sizeof toml, "[trust]\ndigests = [\"%.71s\"]\n", digest + 15);
    configure(s, toml);
    if (install_info(s, NULL, &info, &err)) fail_msg("%s", err.message);
    assert_int_equal(fake_host_logged(s->host, "'other/one': trusted by \"sha256-"), 1);
    setenv("HF_HUB_OFFLINE", "1", 1);
    if (install_info(s, NULL, &info, &err)) fail_msg("%s", err.message);
    configure(s, "");
    assert_install_fails(s, &info, KN_ERR_UNTRUSTED, "as the Hub said when it was last asked");
}

/* ---- order ---- */

static void test_without_the_hub_in_the_order_no_request_is_made(void **state) {
    scene *s = *state;
    char expected[600];
    const char *path = configure(s, "order = [\"local\", \"builtin\", \"cache\"]\n");
    kn_repo_info info = hub_repo("org/base");
    snprintf(expected, sizeof expected, "online first (add \"hub\" to the order in %s:1)", path);
    assert_install_fails(s, &info, KN_ERR_NOT_FOUND, expected);
    configure(s, "order = [\"local\", \"builtin\"]\n");
    assert_install_fails(s, &info, KN_ERR_NOT_FOUND, "leaves \"cache\" and \"hub\" out");
    assert_int_equal(s->hub.requests, 0);
    configure(s, "order = [\"local\", \"cache\", \"hub\"]\n");
    info.id = "builtin/norm";
    assert_install_fails(s, &info, KN_ERR_NOT_FOUND, "leaves \"builtin\" out");
}

static void test_with_the_hub_before_the_cache_it_is_asked_each_time(void **state) {
    scene *s = *state;
    assert_int_equal(requests_of(s, "org/base", "1"), 3 + 3);
    assert_int_equal(requests_of(s, "org/base", "1"), 0);
    configure(s, "order = [\"local\", \"builtin\", \"hub\", \"cache\"]\n");
    assert_int_equal(requests_of(s, "org/base", "1"), 1);
}

/* ---- the file ---- */

static void test_a_file_that_makes_no_sense_fails_every_call(void **state) {
    scene *s = *state;
    char expected[600];
    const char *path = configure(s, "\n[pins]\n\"org/base\" = 1\n");
    kn_repo_info info = hub_repo("org/base");
    snprintf(expected, sizeof expected,
             "%s:2:2: unknown key 'pins' in kernels.toml; did you mean 'pin'?", path);
    assert_install_fails(s, &info, KN_ERR_VALUE, expected);
    configure(s, "pin = \n");
    assert_install_fails(s, &info, KN_ERR_VALUE, "not valid TOML: line 1, column");
    setenv("KERNELS_CONFIG", "/no/such/kernels.toml", 1);
    assert_install_fails(s, &info, KN_ERR_VALUE,
                         "KERNELS_CONFIG is '/no/such/kernels.toml': there is no such file");
    assert_int_equal(s->hub.requests, 0);
}

static void test_the_users_file_is_where_xdg_has_it(void **state) {
    scene *s = *state;
    kn_repo_info info = hub_repo("org/base");
    unsetenv("KERNELS_CONFIG");
    scratch_file(&s->scratch, "xdg/kernels/kernels.toml", "deny = [\"base\"]\n");
    scratch_file(&s->scratch, "home/.config/kernels/kernels.toml", "deny = [\"org/*\"]\n");
    setenv("XDG_CONFIG_HOME", scratch_path(&s->scratch, "xdg"), 1);
    assert_install_fails(s, &info, KN_ERR_DENIED, "xdg/kernels/kernels.toml:1");
    unsetenv("XDG_CONFIG_HOME");
    setenv("HOME", scratch_path(&s->scratch, "home"), 1);
    assert_install_fails(s, &info, KN_ERR_DENIED, "home/.config/kernels/kernels.toml:1");
}

static kn_status install_configured(const kn_alloc *alloc, void *ctx, kn_error *err) {
    scene *s = ctx;
    new_cache(s);
    return install(s, alloc, "org/base", "1", err); /* nothing is changed, and so nothing logged */
}

static void test_lack_of_memory_leaves_nothing_behind(void **state) {
    scene *s = *state;
    configure(s, "deny = [\"org/base >= 3\"]\n[pin]\n\"org/base\" = 1\n[trust]\n"
                 "organizations = [\"mine\"]\n");
    assert_true(fault_sweep(install_configured, s) > 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        fetch_test(test_a_pin_takes_the_place_of_what_is_asked_for_by_name),
        fetch_test(test_a_commit_is_not_changed_by_a_pin),
        fetch_test(test_a_pin_to_a_commit_asks_for_no_branch),
        fetch_test(test_what_a_pin_changed_is_logged_with_file_and_line),
        fetch_test(test_what_another_kernel_needs_is_pinned_as_well),
        fetch_test(test_a_directory_takes_the_place_of_a_pin),
        fetch_test(test_what_is_denied_is_refused_before_anything_is_asked),
        fetch_test(test_a_version_that_is_denied_is_refused_by_each_of_its_names),
        fetch_test(test_a_build_is_refused_by_the_version_in_its_metadata),
        fetch_test(test_what_was_cached_before_it_was_denied_is_refused),
        fetch_test(test_what_needs_a_denied_kernel_is_refused),
        fetch_test(test_a_denied_kernel_is_not_there_for_who_asks),
        fetch_test(test_a_site_denies_whatever_its_user_says),
        fetch_test(test_who_is_trusted_by_the_file_is_not_asked_about),
        fetch_test(test_a_build_is_trusted_by_its_digest),
        fetch_test(test_without_the_hub_in_the_order_no_request_is_made),
        fetch_test(test_with_the_hub_before_the_cache_it_is_asked_each_time),
        fetch_test(test_a_file_that_makes_no_sense_fails_every_call),
        fetch_test(test_the_users_file_is_where_xdg_has_it),
        fetch_test(test_lack_of_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
