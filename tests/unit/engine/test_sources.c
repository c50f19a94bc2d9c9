/* SPDX-License-Identifier: Apache-2.0 */
/* Several sources: two Hubs in memory, mirrors behind a web server and in a directory. */
#include <stdio.h>
#include <stdlib.h>

#include "support/failing_alloc.h"
#include "support/fetch_scene.h"
#include "support/unit.h"

#define SECOND "http://second.test"
#define MIRROR "http://mirror.test/k"

#define TEXT_MAX 2000

static void configure(scene *s, const char *toml) {
    scratch_file(&s->scratch, "user/kernels.toml", toml);
    setenv("KERNELS_CONFIG", scratch_path(&s->scratch, "user/kernels.toml"), 1);
}

static kn_repo_info hub_repo(const char *id) {
    return (kn_repo_info){
        .size = sizeof(kn_repo_info), .kind = KN_REPO_HUB, .id = id, .version = "1"};
}

static void installs(scene *s, const kn_repo_info *info) {
    kn_error err = KN_ERROR_INIT;
    if (install_info(s, NULL, info, &err)) fail_msg("%s", err.message);
}

static void fails(scene *s, const kn_repo_info *info, kn_status expected, const char *part) {
    kn_error err = KN_ERROR_INIT;
    kn_status status = install_info(s, NULL, info, &err);
    assert_contains(err.message, part);
    assert_int_equal(status, expected);
}

/* The environment's Hub is one that knows no repository; all are at the second. */
static void move_to_second(scene *s) {
    scripted_hub_move(&s->hub, SECOND);
    configure(s, "[[source]]\nhub = \"" SECOND "\"\n");
}

/* A mirror behind a web server that has org/base, whatever the Hubs have. */
static void add_web_mirror(scene *s, const char *from) {
    static const char *const files[] = {"metadata.json", "__init__.py", "other.py"};
    char commit[65], url[TEXT_MAX], source[TEXT_MAX];
    scripted_hub_commit("org/base", commit);
    scripted_hub_set_url(&s->hub, MIRROR "/kernels--org--base/refs/v1", commit);
    snprintf(source, sizeof source, "%s/api/kernels/org/base/tree/%s?recursive=true&expand=false",
             from, commit);
    snprintf(url, sizeof url, MIRROR "/kernels--org--base/.kernels/listings/%s.json", commit);
    scripted_hub_set_url(&s->hub, url, scripted_hub_get(&s->hub, source));
    for (size_t i = 0; i < 3; i++) {
        snprintf(source, sizeof source, "%s/kernels/org/base/resolve/%s/build/torch-cpu/%s", from,
                 commit, files[i]);
        snprintf(url, sizeof url, MIRROR "/kernels--org--base/snapshots/%s/build/torch-cpu/%s",
                 commit, files[i]);
        scripted_hub_set_url(&s->hub, url, scripted_hub_get(&s->hub, source));
    }
}

/* Fills a cache from the Hub, which then has nothing any more: a directory to copy from. */
static void make_directory(scene *s, char directory[SCRATCH_PATH_MAX + 16]) {
    kn_repo_info info = hub_repo("org/base");
    installs(s, &info);
    memcpy(directory, s->cache, sizeof s->cache);
    new_cache(s);
}

static void use_directory(scene *s, const char *directory, const char *more) {
    char toml[TEXT_MAX];
    snprintf(toml, sizeof toml, "[[source]]\ndirectory = \"%s\"\n%s", directory, more);
    configure(s, toml);
}

/* ---- Hubs ---- */

static void test_what_the_first_hub_does_not_have_comes_from_the_second(void **state) {
    scene *s = *state;
    move_to_second(s);
    kn_repo_info info = hub_repo("org/toy");
    installs(s, &info);
    assert_int_equal(fake_host_logged(s->host, "info: 'org/toy': going on with the source " SECOND
                                               ", since " SCRIPTED_ENDPOINT " failed: "),
                     1);
    size_t before = s->hub.requests;
    installs(s, &info); /* warm */
    assert_int_equal(s->hub.requests, before);
}

static void test_a_commit_is_found_at_the_hub_that_has_it(void **state) {
    scene *s = *state;
    char commit[65];
    scripted_hub_commit("org/base", commit);
    move_to_second(s);
    kn_repo_info info = hub_repo("org/base");
    info.version = NULL;
    info.revision = commit;
    installs(s, &info);
}

static void test_a_hub_that_cannot_be_reached_is_passed_over_at_once(void **state) {
    scene *s = *state;
    move_to_second(s);
    s->hub.fail_at = 0; /* the publisher, and the branches */
    s->hub.fails = 2;
    kn_repo_info info = hub_repo("org/base");
    installs(s, &info);
    assert_int_equal(
        fake_host_logged(s->host, "warning: 'org/base': going on with the source " SECOND), 1);
    assert_int_equal(s->hub.requests, 2 + 3 + 3);
}

static void test_a_version_that_the_first_hub_does_not_have_is_looked_for_at_the_second(
    void **state) {
    scene *s = *state;
    configure(s, "[[source]]\nhub = \"" SECOND "\"\n");
    kn_repo_info info = hub_repo("org/base");
    info.version = "7";
    fails(s, &info, KN_ERR_VALUE,
          "no source has what is asked for of 'org/base': " SCRIPTED_ENDPOINT
          ": Version 7 not found");
}

static void test_where_all_sources_fail_each_is_told_and_the_network_counts(void **state) {
    scene *s = *state;
    move_to_second(s);
    s->hub.fail_at = 0;
    s->hub.fails = 1000;
    s->hub.fault = SCRIPTED_STATUS;
    setenv("KERNELS_TIMEOUT", "0.2", 1);
    kn_repo_info info = hub_repo("org/base");
    fails(s, &info, KN_ERR_TIMEOUT, "; " SECOND ": ");
    unsetenv("KERNELS_TIMEOUT");
    s->hub.fail_at = SIZE_MAX;
    info.id = "org/none";
    fails(s, &info, KN_ERR_REPOSITORY, "; " SECOND ": ");
}

static void test_what_is_cached_serves_where_no_source_can_be_reached(void **state) {
    scene *s = *state;
    move_to_second(s);
    kn_repo_info info = hub_repo("org/base");
    installs(s, &info);
    s->hub.fail_at = 0;
    s->hub.fails = 1000;
    info.refresh = true;
    installs(s, &info);
    assert_int_equal(fake_host_logged(s->host, "is taken from the cache"), 1);
}

static void test_each_hub_vouches_for_what_it_has_itself(void **state) {
    scene *s = *state;
    scripted_hub_kernel(&s->hub, "other/one", "[]");
    move_to_second(s);
    scripted_hub_publisher(&s->hub, "other", true); /* at the first Hub, which has no such kernel */
    kn_repo_info info = hub_repo("other/one");
    fails(s, &info, KN_ERR_UNTRUSTED, "'other/one' is not from a trusted publisher");
}

static void test_the_answer_of_one_hub_is_not_another_ones(void **state) {
    scene *s = *state;
    kn_repo_info info = hub_repo("org/base");
    installs(s, &info);
    scripted_hub_move(&s->hub, SECOND);
    setenv("HF_ENDPOINT", SECOND, 1);
    scripted_hub_set_url(&s->hub, SECOND "/api/organizations/org/overview",
                         "{\"trustedKernelPublisher\": false}");
    info.refresh = true;
    fails(s, &info, KN_ERR_UNTRUSTED, "not from a trusted publisher");
}

/* ---- mirrors ---- */

static void test_files_come_from_a_mirror_and_what_they_are_from_the_hub(void **state) {
    scene *s = *state;
    add_web_mirror(s, SCRIPTED_ENDPOINT);
    unsetenv("HF_ENDPOINT");
    configure(s,
              "[[source]]\nmirror = \"" MIRROR "\"\n[[source]]\nhub = \"" SCRIPTED_ENDPOINT "\"\n");
    char url[TEXT_MAX], commit[65];
    scripted_hub_commit("org/base", commit);
    snprintf(url, sizeof url, "/kernels/org/base/resolve/%s/build/torch-cpu/other.py", commit);
    scripted_hub_set(&s->hub, url, "not from here");
    kn_repo_info info = hub_repo("org/base");
    installs(s, &info);
    assert_int_equal(s->hub.requests, 3 + 3);
}

static void test_wrong_bytes_of_a_mirror_are_fetched_from_the_next_source(void **state) {
    scene *s = *state;
    add_web_mirror(s, SCRIPTED_ENDPOINT);
    unsetenv("HF_ENDPOINT");
    configure(s,
              "[[source]]\nmirror = \"" MIRROR "\"\n[[source]]\nhub = \"" SCRIPTED_ENDPOINT "\"\n");
    char url[TEXT_MAX], commit[65];
    scripted_hub_commit("org/base", commit);
    snprintf(url, sizeof url, MIRROR "/kernels--org--base/snapshots/%s/build/torch-cpu/other.py",
             commit);
    scripted_hub_set_url(&s->hub, url, "OTHER = 'org/EVIL'\n"); /* as long as what it should be */
    kn_repo_info info = hub_repo("org/base");
    installs(s, &info);
    assert_int_equal(fake_host_logged(s->host, "going on with the source " SCRIPTED_ENDPOINT
                                               " for its files, since " MIRROR " failed"),
                     1);
    configure(s, "[[source]]\nmirror = \"" MIRROR "\"\n[trust]\norganizations = [\"org\"]\n");
    new_cache(s);
    fails(s, &info, KN_ERR_INTEGRITY, "other.py");
}

static void test_a_mirror_vouches_for_nobody(void **state) {
    scene *s = *state;
    add_web_mirror(s, SCRIPTED_ENDPOINT);
    unsetenv("HF_ENDPOINT");
    configure(s, "[[source]]\nmirror = \"" MIRROR "\"\n");
    kn_repo_info info = hub_repo("org/base");
    fails(s, &info, KN_ERR_UNTRUSTED, "are mirrors, which vouch for nobody");
    assert_int_equal(s->hub.requests, 0);
    info.allowed = "org/base";
    installs(s, &info);
    assert_int_equal(s->hub.requests, 2 + 3); /* the branch, the listing and the files */
}

static void test_what_a_mirror_told_does_not_count_once_nobody_vouches(void **state) {
    scene *s = *state;
    add_web_mirror(s, SCRIPTED_ENDPOINT);
    unsetenv("HF_ENDPOINT");
    configure(s, "[trust]\norganizations = [\"org\"]\n[[source]]\nmirror = \"" MIRROR "\"\n");
    kn_repo_info info = hub_repo("org/base");
    installs(s, &info);
    configure(s, "[[source]]\nhub = \"" SCRIPTED_ENDPOINT "\"\n");
    info.cache_only = true;
    fails(s, &info, KN_ERR_NOT_FOUND, "Cannot find a local snapshot");
    char commit[65];
    scripted_hub_commit("org/base", commit);
    info.version = NULL;
    info.revision = commit;
    fails(s, &info, KN_ERR_UNTRUSTED, "came from a mirror, which vouches for nobody");
    info.cache_only = false;
    size_t before = s->hub.requests;
    installs(s, &info);
    assert_int_equal(s->hub.requests - before, 2); /* publisher and listing: the files are right */
}

static void test_a_directory_is_a_copy_of_a_cache(void **state) {
    scene *s = *state;
    char directory[SCRATCH_PATH_MAX + 16];
    make_directory(s, directory);
    unsetenv("HF_ENDPOINT");
    use_directory(s, directory, "[trust]\nrepositories = [\"org/base\"]\n");
    size_t before = s->hub.requests;
    kn_repo_info info = hub_repo("org/base");
    installs(s, &info);
    info.version = NULL;
    char commit[65];
    scripted_hub_commit("org/base", commit);
    info.revision = commit;
    new_cache(s);
    installs(s, &info);
    assert_int_equal(s->hub.requests, before);
    info.revision = "v2";
    fails(s, &info, KN_ERR_REPOSITORY, "does not have what is asked for (revision:v2)");
}

static void test_a_directory_stands_in_for_a_hub_that_lost_a_file(void **state) {
    scene *s = *state;
    char directory[SCRATCH_PATH_MAX + 16], url[TEXT_MAX], commit[65];
    make_directory(s, directory);
    scripted_hub_commit("org/base", commit);
    snprintf(url, sizeof url, "/kernels/org/base/resolve/%s/build/torch-cpu/other.py", commit);
    scripted_hub_set(&s->hub, url, "lost");
    use_directory(s, directory, "");
    kn_repo_info info = hub_repo("org/base");
    installs(s, &info);
    assert_int_equal(fake_host_logged(s->host, "for its files, since " SCRIPTED_ENDPOINT " failed"),
                     1);
}

static void test_a_directory_that_is_not_there_is_passed_over(void **state) {
    scene *s = *state;
    unsetenv("HF_ENDPOINT");
    configure(
        s,
        "[trust]\norganizations = [\"org\"]\n[[source]]\ndirectory = \"/no/such/folder\"\n[[source]]\nhub = \"" SCRIPTED_ENDPOINT
        "\"\n");
    kn_repo_info info = hub_repo("org/base");
    installs(s, &info);
}

static void test_a_build_of_a_mirror_is_trusted_by_its_digest(void **state) {
    scene *s = *state;
    char directory[SCRATCH_PATH_MAX + 16], toml[300];
    kn_error err = KN_ERROR_INIT;
    make_directory(s, directory);
    unsetenv("HF_ENDPOINT");
    use_directory(
        s, directory,
        "[trust]\ndigests = [\"sha256-0000000000000000000000000000000000000000000000000000000000000000\"]\n");
    kn_repo_info info = hub_repo("org/base");
    assert_int_equal(install_info(s, NULL, &info, &err), KN_ERR_UNTRUSTED);
    const char *digest = strstr(err.message, "has the digest sha256-");
    assert_non_null(digest);
    snprintf(toml, sizeof toml, "[trust]\ndigests = [\"%.71s\"]\n", digest + 15);
    use_directory(s, directory, toml);
    installs(s, &info);
    setenv("HF_HUB_OFFLINE", "1", 1);
    installs(s, &info);
}

static void test_offline_no_source_is_asked(void **state) {
    scene *s = *state;
    char directory[SCRATCH_PATH_MAX + 16];
    make_directory(s, directory);
    use_directory(s, directory, "[trust]\norganizations = [\"org\"]\n");
    setenv("HF_HUB_OFFLINE", "1", 1);
    kn_repo_info info = hub_repo("org/base");
    fails(s, &info, KN_ERR_NOT_FOUND, "no request is made in offline mode");
}

static kn_status install_anew(const kn_alloc *alloc, void *ctx, kn_error *err) {
    scene *s = ctx;
    new_cache(s);
    return install(s, alloc, "org/base", "1", err);
}

static void test_lack_of_memory_leaves_nothing_behind(void **state) {
    scene *s = *state;
    char directory[SCRATCH_PATH_MAX + 16];
    make_directory(s, directory);
    unsetenv("HF_ENDPOINT");
    use_directory(s, directory, "[[source]]\nhub = \"" SCRIPTED_ENDPOINT "\"\n");
    assert_true(fault_sweep(install_anew, s) > 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        fetch_test(test_what_the_first_hub_does_not_have_comes_from_the_second),
        fetch_test(test_a_commit_is_found_at_the_hub_that_has_it),
        fetch_test(test_a_hub_that_cannot_be_reached_is_passed_over_at_once),
        fetch_test(test_a_version_that_the_first_hub_does_not_have_is_looked_for_at_the_second),
        fetch_test(test_where_all_sources_fail_each_is_told_and_the_network_counts),
        fetch_test(test_what_is_cached_serves_where_no_source_can_be_reached),
        fetch_test(test_each_hub_vouches_for_what_it_has_itself),
        fetch_test(test_the_answer_of_one_hub_is_not_another_ones),
        fetch_test(test_files_come_from_a_mirror_and_what_they_are_from_the_hub),
        fetch_test(test_wrong_bytes_of_a_mirror_are_fetched_from_the_next_source),
        fetch_test(test_a_mirror_vouches_for_nobody),
        fetch_test(test_what_a_mirror_told_does_not_count_once_nobody_vouches),
        fetch_test(test_a_directory_is_a_copy_of_a_cache),
        fetch_test(test_a_directory_stands_in_for_a_hub_that_lost_a_file),
        fetch_test(test_a_directory_that_is_not_there_is_passed_over),
        fetch_test(test_a_build_of_a_mirror_is_trusted_by_its_digest),
        fetch_test(test_offline_no_source_is_asked),
        fetch_test(test_lack_of_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
