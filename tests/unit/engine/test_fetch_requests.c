/* SPDX-License-Identifier: Apache-2.0 */
/* Which requests each kind of a call makes, cold, warm and when what is known is old. */
#include <stdio.h>
#include <unistd.h>

#include "support/fetch_fixture.h"
#include "support/unit.h"

#define COLD (3 + 4) /* publisher, refs, listing; three files, one of them by a redirect */

static void test_cold_and_warm(void **state) {
    fetch_fixture *fx = *state;
    put_simple(fx, "org/toy", COMMIT_1, NULL);
    assert_int_equal(install_at(fx, at_version("org/toy", "1"), COMMIT_1), COLD);
    assert_int_equal(memory_hub_asked(&fx->hub, "/overview"), 1);
    assert_int_equal(memory_hub_asked(&fx->hub, "/refs"), 1);
    assert_int_equal(memory_hub_asked(&fx->hub, "/tree/"), 1);
    assert_int_equal(memory_hub_asked(&fx->hub, "/resolve/"), 3);
    assert_int_equal(memory_hub_asked(&fx->hub, HUB_STORE), 1);
    assert_int_equal(install_at(fx, at_version("org/toy", "1"), COMMIT_1), 0);
    fetch_restart(fx);
    assert_int_equal(install_at(fx, at_version("org/toy", "1"), COMMIT_1), 0);
    assert_int_equal(install_at(fx, at_version("org/toy", "01"), COMMIT_1), 0);
}

static void test_a_branch_and_a_tag(void **state) {
    fetch_fixture *fx = *state;
    hub_repo *repo = put_simple(fx, "org/toy", COMMIT_1, NULL);
    put_kernel(fx, "org/toy", COMMIT_2, NULL);
    hub_repo_tag(repo, "nightly", COMMIT_2);
    assert_int_equal(install_at(fx, at_main("org/toy"), COMMIT_1), COLD);
    /* Of what differs, as little as can be: refs, listing, files. */
    assert_int_equal(install_at(fx, at_revision("org/toy", "nightly"), COMMIT_2), 2 + 4);
    fetch_restart(fx);
    assert_int_equal(install_at(fx, at_main("org/toy"), COMMIT_1), 0);
    assert_int_equal(install_at(fx, at_revision("org/toy", "nightly"), COMMIT_2), 0);
    install_fails(fx, at_revision("org/toy", "none"), KN_ERR_REVISION, "no such branch");
}

static void test_a_commit(void **state) {
    fetch_fixture *fx = *state;
    put_simple(fx, "org/toy", COMMIT_1, NULL);
    /* No refs: the publisher, the listing and the files. */
    assert_int_equal(install_at(fx, at_revision("org/toy", COMMIT_1), COMMIT_1), 2 + 4);
    fetch_restart(fx);
    assert_int_equal(install_at(fx, at_revision("org/toy", COMMIT_1), COMMIT_1), 0);
    setenv("HF_HUB_OFFLINE", "1", 1);
    fetch_restart(fx);
    assert_int_equal(install_at(fx, at_revision("org/toy", COMMIT_1), COMMIT_1), 0);
    assert_string_equal(fx->base.host->log, ""); /* its publisher's standing was recorded */
    install_fails(fx, at_revision("org/toy", COMMIT_2), KN_ERR_NOT_FOUND, "unset HF_HUB_OFFLINE");
}

static void test_a_short_commit_and_a_pull_request(void **state) {
    fetch_fixture *fx = *state;
    hub_repo *repo = put_simple(fx, "org/toy", COMMIT_1, NULL);
    put_kernel(fx, "org/toy", COMMIT_2, NULL);
    hub_repo_branch(repo, "refs/pr/1", COMMIT_2);
    assert_int_equal(install_at(fx, at_revision("org/toy", "1111111"), COMMIT_1), COLD + 1);
    assert_int_equal(install_at(fx, at_revision("org/toy", "refs/pr/1"), COMMIT_2), 3 + 4);
    assert_int_equal(memory_hub_asked(&fx->hub, "/revision/refs%2Fpr%2F1"), 1);
    fetch_restart(fx);
    assert_int_equal(install_at(fx, at_revision("org/toy", "1111111"), COMMIT_1), 0);
    assert_int_equal(install_at(fx, at_revision("org/toy", "refs/pr/1"), COMMIT_2), 0);
}

static void test_specifiers_choose_among_tags(void **state) {
    fetch_fixture *fx = *state;
    hub_repo *repo = put_simple(fx, "org/toy", COMMIT_1, NULL);
    put_kernel(fx, "org/toy", COMMIT_2, NULL);
    hub_repo_tag(repo, "v0.1.0", COMMIT_1);
    hub_repo_tag(repo, "v0.1.9", COMMIT_2);
    hub_repo_tag(repo, "v0.2.0", COMMIT_3);
    assert_int_equal(install_at(fx, at_version("org/toy", ">=0.1,<0.2"), COMMIT_2), COLD);
    install_fails(fx, at_version("org/toy", ">=9"), KN_ERR_VALUE, "v0.1.0, v0.1.9, v0.2.0");
    install_fails(fx, at_version("org/toy", "one"), KN_ERR_VALUE, "one");
    install_fails(fx, at_version("org/toy", "7"), KN_ERR_VALUE,
                  "Version 7 not found, available versions: 1");
    fetch_restart(fx);
    assert_int_equal(install_at(fx, at_version("org/toy", ">=0.1,<0.2"), COMMIT_2), 0);
    kn_repo_info both = at_version("org/toy", "1");
    both.revision = "main";
    install_fails(fx, both, KN_ERR_VALUE, "Only one of");
}

static void test_a_newer_version_is_told_once(void **state) {
    fetch_fixture *fx = *state;
    hub_repo *repo = put_simple(fx, "org/toy", COMMIT_1, NULL);
    hub_repo_branch(repo, "v3", COMMIT_2);
    install_at(fx, at_version("org/toy", "1"), COMMIT_1);
    assert_int_equal(fake_host_logged(fx->base.host, "version 3 is available"), 1);
    kn_repo_info again = at_version("org/toy", "1");
    again.refresh = true;
    install_at(fx, again, COMMIT_1);
    assert_int_equal(fake_host_logged(fx->base.host, "version 3 is available"), 1);
}

static void test_the_older_type_of_repository(void **state) {
    fetch_fixture *fx = *state;
    hub_repo *repo = put_simple(fx, "org/old", COMMIT_1, NULL);
    repo->is_model = true;
    assert_int_equal(install_at(fx, at_main("org/old"), COMMIT_1), COLD + 1);
    assert_int_equal(memory_hub_asked(&fx->hub, "/api/kernels/org/old/refs"), 1);
    assert_int_equal(memory_hub_asked(&fx->hub, "/api/models/org/old/"), 2);
    assert_int_equal(access(fetch_path(fx, "models--org--old/snapshots"), F_OK), 0);
    assert_int_not_equal(access(fetch_path(fx, "kernels--org--old"), F_OK), 0);
    fetch_restart(fx);
    assert_int_equal(install_at(fx, at_main("org/old"), COMMIT_1), 0);
    fetch_start_cold(fx);
    assert_int_equal(install_at(fx, at_revision("org/old", COMMIT_1), COMMIT_1), 2 + 1 + 4);
    fetch_restart(fx);
    assert_int_equal(install_at(fx, at_revision("org/old", COMMIT_1), COMMIT_1), 0);
    install_fails(fx, at_main("org/none"), KN_ERR_UNTRUSTED, "org/none");
}

static void test_a_listing_in_pages(void **state) {
    fetch_fixture *fx = *state;
    put_simple(fx, "org/toy", COMMIT_1, NULL);
    fx->hub.page = 2;
    assert_int_equal(install_at(fx, at_main("org/toy"), COMMIT_1), COLD + 1);
    fetch_restart(fx);
    assert_int_equal(install_at(fx, at_main("org/toy"), COMMIT_1), 0);
}

static void test_identical_content_is_fetched_once(void **state) {
    fetch_fixture *fx = *state;
    hub_repo *repo = put_simple(fx, "org/toy", COMMIT_1, NULL);
    hub_repo_put(repo, COMMIT_1, BUILD "a.py", "the same");
    hub_repo_put(repo, COMMIT_1, BUILD "sub/b.py", "the same");
    hub_repo_put(repo, COMMIT_1, BUILD "__pycache__/a.pyc", "no such thing");
    hub_repo_put(repo, COMMIT_1, "build/torch-cuda/a.py", "not for here");
    assert_int_equal(install_at(fx, at_main("org/toy"), COMMIT_1), COLD + 1);
    char path[128];
    snprintf(path, sizeof path, "kernels--org--toy/snapshots/%s/build/torch-cpu/sub/b.py",
             COMMIT_1);
    assert_int_equal(access(fetch_path(fx, path), R_OK), 0);
}

static void test_a_branch_that_moved_is_seen_after_a_while_or_when_asked_to(void **state) {
    fetch_fixture *fx = *state;
    hub_repo *repo = put_simple(fx, "org/toy", COMMIT_1, NULL);
    put_kernel(fx, "org/toy", COMMIT_2, NULL);
    install_at(fx, at_main("org/toy"), COMMIT_1);
    hub_repo_branch(repo, "main", COMMIT_2);
    assert_int_equal(install_at(fx, at_main("org/toy"), COMMIT_1), 0);
    kn_repo_info refreshed = at_main("org/toy");
    refreshed.refresh = true;
    /* The publisher and the refs, then what is new. */
    assert_int_equal(install_at(fx, refreshed, COMMIT_2), COLD);
    assert_int_equal(install_at(fx, at_main("org/toy"), COMMIT_2), 0);
    hub_repo_branch(repo, "main", COMMIT_1);
    setenv("KERNELS_REFRESH_AFTER", "0", 1);
    assert_int_equal(install_at(fx, at_main("org/toy"), COMMIT_1), 1);
    assert_int_equal(install_at(fx, at_main("org/toy"), COMMIT_1), 1);
}

/* How often a kernel that was found before is looked for on the disk. */
static kn_status get_without_a_cache(fetch_fixture *fx, kn_error *err) {
    char moved[SCRATCH_PATH_MAX];
    snprintf(moved, sizeof moved, "%s.away", fetch_path(fx, ""));
    assert_int_equal(rename(fetch_path(fx, ""), moved), 0);
    setenv("HF_ENDPOINT", HUB_ENDPOINT, 1);
    kn_status status = try_get(fx, at_main("org/toy"), err);
    rename(moved, fetch_path(fx, ""));
    return status;
}

static void test_what_is_known_in_memory_ends_with_its_time_and_is_known_again(void **state) {
    fetch_fixture *fx = *state;
    put_simple(fx, "org/toy", COMMIT_1, NULL);
    setenv("KERNELS_REFRESH_AFTER", "2", 1);
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(try_get(fx, at_main("org/toy"), &err), KN_OK);
    assert_int_equal(fx->hub.count, COLD);
    /* Nothing is looked at. */
    assert_int_equal(get_without_a_cache(fx, &err), KN_OK);
    assert_int_equal(fx->hub.count, COLD);
    usleep(2100000);
    assert_int_equal(try_get(fx, at_main("org/toy"), &err), KN_OK);
    assert_int_equal(fx->hub.count, COLD + 1);
    /* From here on it is known again. */
    assert_int_equal(get_without_a_cache(fx, &err), KN_OK);
    assert_int_equal(fx->hub.count, COLD + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        fetch_test(test_cold_and_warm),
        fetch_test(test_a_branch_and_a_tag),
        fetch_test(test_a_commit),
        fetch_test(test_a_short_commit_and_a_pull_request),
        fetch_test(test_specifiers_choose_among_tags),
        fetch_test(test_a_newer_version_is_told_once),
        fetch_test(test_the_older_type_of_repository),
        fetch_test(test_a_listing_in_pages),
        fetch_test(test_identical_content_is_fetched_once),
        fetch_test(test_a_branch_that_moved_is_seen_after_a_while_or_when_asked_to),
        fetch_test(test_what_is_known_in_memory_ends_with_its_time_and_is_known_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
