/* SPDX-License-Identifier: Apache-2.0 */
/* What the Hub said, how long it is believed, and what serves when it cannot be asked. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/state.h"
#include "os/clock.h"
#include "os/file_lock.h"
#include "support/fetch_scene.h"
#include "support/unit.h"

static kn_repo_info hub_kernel(const char *repo, const char *version) {
    return (kn_repo_info){
        .size = sizeof(kn_repo_info), .kind = KN_REPO_HUB, .id = repo, .version = version};
}

/* `relative` below the cache, for scratch_*. */
static const char *in_cache(const scene *s, const char *relative) {
    static char path[SCRATCH_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", strrchr(s->cache, '/') + 1, relative);
    return path;
}

static void remove_from_cache(const scene *s, const char *relative) {
    char command[SCRATCH_PATH_MAX + 64];
    snprintf(command, sizeof command, "rm -rf '%s/%s'", s->cache, relative);
    assert_int_equal(system(command), 0);
}

/* Answers are old as soon as they are there. */
static void age_answers(void) { setenv("KERNELS_REFRESH_AFTER", "0", 1); }

static int take_lock(const scene *s, const char *repository, const char *name) {
    int fd;
    kn_error err = KN_ERROR_INIT;
    char folder[SCRATCH_PATH_MAX + 64];
    snprintf(folder, sizeof folder, "%s/.locks/%s", s->cache, repository);
    if (kni_file_lock_try(folder, name, &fd, &err)) fail_msg("%s", err.message);
    assert_true(fd >= 0);
    return fd;
}

/* ---- answers are recorded ---- */

static void test_by_commit_everything_is_learnt_once(void **state) {
    scene *s = *state;
    scripted_hub_model(&s->hub, "org/older");
    static const char *const repositories[] = {"org/base", "org/older"};
    static const size_t requests[] = {2 + 3, 3 + 3}; /* the type kernel is tried first */
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(requests_of_commit(s, repositories[i]), requests[i]);
        assert_int_equal(requests_of_commit(s, repositories[i]), 0);
        setenv("HF_HUB_OFFLINE", "1", 1);
        assert_int_equal(requests_of_commit(s, repositories[i]), 0);
        unsetenv("HF_HUB_OFFLINE");
    }
    assert_string_equal(s->host->log, "");
}

static void test_the_variants_of_a_commit_are_asked_for_once(void **state) {
    scene *s = *state;
    scripted_hub_model(&s->hub, "org/older");
    char commit[65];
    scripted_hub_commit("org/older", commit);
    kn_repo_info info = hub_kernel("org/older", NULL);
    info.revision = commit;
    for (size_t turn = 0; turn < 2; turn++) {
        kn_status status;
        kn_error err = KN_ERROR_INIT;
        kn_engine *engine = new_engine(s, NULL, &status, &err);
        kn_variants *variants;
        status = kn_engine_variants(engine, &s->host->table, &info, &variants, &err);
        if (status) fail_msg("%s", err.message);
        assert_int_equal(kn_variants_count(variants), 1);
        kn_variants_free(variants);
        kn_engine_free(engine, &s->host->table);
        assert_int_equal(s->hub.requests, 2); /* the listing, as of either type */
    }
}

static void test_a_refusal_keeps_what_was_learnt(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    scripted_hub_kernel(&s->hub, "other/code", "[]");
    install_fails(s, "other/code", KN_ERR_UNTRUSTED, "trust_remote_code");
    assert_int_equal(s->hub.requests, 2);
    install_fails(s, "other/code", KN_ERR_UNTRUSTED, "trust_remote_code");
    assert_int_equal(s->hub.requests, 2);
    kn_repo_info info = hub_kernel("other/code", "1");
    info.allowed = "*";
    if (install_info(s, NULL, &info, &err)) fail_msg("%s", err.message);
    assert_int_equal(s->hub.requests, 2 + 1 + 3); /* the listing and the files */
}

static void test_a_refusal_by_commit_is_recorded_too(void **state) {
    scene *s = *state;
    char commit[65];
    scripted_hub_model(&s->hub, "other/older");
    scripted_hub_commit("other/older", commit);
    kn_repo_info info = hub_kernel("other/older", NULL);
    info.revision = commit;
    for (size_t turn = 0; turn < 2; turn++) {
        kn_error err = KN_ERROR_INIT;
        assert_int_equal(install_info(s, NULL, &info, &err), KN_ERR_UNTRUSTED);
        assert_int_equal(s->hub.requests, 1);
    }
}

/* The later answer counts, whichever folder it is in. */
static void test_an_older_answer_does_not_hide_a_later_one(void **state) {
    scene *s = *state;
    scripted_hub_model(&s->hub, "org/older");
    scratch_file(&s->scratch, in_cache(s, "kernels--org--older/.kernels/trust.json"),
                 "{\"trusted\": 0, \"time\": 1000}");
    assert_int_equal(requests_of(s, "org/older", "1"), 4 + 3);
    assert_int_equal(requests_of(s, "org/older", "1"), 0);
}

static void set_status(scene *s, const char *part, int status) {
    size_t found = 0;
    for (size_t i = 0; i < s->hub.count; i++) {
        if (!strstr(s->hub.answers[i].url, part)) continue;
        s->hub.answers[i].status = status;
        found++;
    }
    assert_true(found > 0);
}

static void test_a_repository_may_change_its_type(void **state) {
    scene *s = *state;
    scripted_hub_model(&s->hub, "org/older");
    assert_int_equal(requests_of(s, "org/older", "1"), 4 + 3);
    set_status(s, "/api/models/org/older", 404);
    scripted_hub_kernel(&s->hub, "org/older", "[]");
    setenv("KERNELS_REFRESH_AFTER", "0", 1);
    assert_int_equal(requests_of(s, "org/older", "1"), 2 + 1 + 3); /* it is another folder */
    unsetenv("KERNELS_REFRESH_AFTER");
    assert_int_equal(requests_of(s, "org/older", "1"), 0);
}

/* ---- how long answers are believed ---- */

static void test_what_has_expired_once_is_known_again(void **state) {
    scene *s = *state;
    kn_status status;
    kn_error err = KN_ERROR_INIT;
    setenv("KERNELS_REFRESH_AFTER", "2", 1);
    kn_engine *engine = new_engine(s, NULL, &status, &err);
    const kn_repo_info info = hub_kernel("org/base", "1");
    static const size_t requests[] = {3 + 3, 6 + 1, 6 + 1};
    for (size_t turn = 0; turn < 3; turn++) {
        void *kernel = NULL;
        status = kn_engine_get_kernel(engine, &s->host->table, &info, &kernel, &err);
        if (status) fail_msg("%s", err.message);
        s->host->table.release(kernel);
        assert_int_equal(s->hub.requests, requests[turn]);
        if (turn == 0) kni_sleep_ms(2100);
        if (turn == 1) remove_from_cache(s, ""); /* the third does not look */
    }
    kn_engine_free(engine, &s->host->table);
}

static void test_who_allows_a_kernel_himself_needs_no_new_answer(void **state) {
    scene *s = *state;
    kn_status status;
    kn_error err = KN_ERROR_INIT;
    kn_engine *engine = new_engine(s, NULL, &status, &err);
    kn_repo_info info = hub_kernel("org/base", "1");
    info.allowed = "org/base";
    scratch_file(&s->scratch, in_cache(s, "kernels--org--base/.kernels/trust.json"),
                 "{\"trusted\": 1, \"time\": 1000}");
    for (size_t turn = 0; turn < 2; turn++) {
        void *kernel = NULL;
        status = kn_engine_get_kernel(engine, &s->host->table, &info, &kernel, &err);
        if (status) fail_msg("%s", err.message);
        s->host->table.release(kernel);
        assert_int_equal(s->hub.requests, 2 + 3);
        remove_from_cache(s, ""); /* the second does not look */
    }
    kn_engine_free(engine, &s->host->table);
}

static kn_status resolve(scene *s, kn_engine *engine, kni_sought *sought, size_t count,
                         bool may_ask, kn_error *err) {
    kni_run run;
    kni_run_init(&run, engine, &s->host->table, NULL);
    kn_status status = kni_engine_resolve(&run, sought, count, may_ask, err);
    kni_run_clear(&run);
    return status;
}

/* A plan that asks nobody neither answers for calls that do, nor passes by the publisher. */
static void test_without_asking_nothing_untrusted_is_found(void **state) {
    scene *s = *state;
    kn_status status;
    kn_error err = KN_ERROR_INIT;
    scripted_hub_kernel(&s->hub, "other/code", "[]");
    kni_sought sought = {.info = hub_kernel("other/code", "1"), .device = KN_DEVICE_CPU};
    sought.info.allowed = "*";
    if (install_info(s, NULL, &sought.info, &err)) fail_msg("%s", err.message);
    kn_engine *engine = new_engine(s, NULL, &status, &err);
    assert_int_equal(resolve(s, engine, &sought, 1, false, &err), KN_OK);
    assert_int_equal(sought.status, KN_OK);
    sought.info.allowed = NULL;
    assert_int_equal(resolve(s, engine, &sought, 1, false, &err), KN_OK);
    assert_int_equal(sought.status, KN_ERR_NOT_FOUND); /* the Hub would have to be asked */
    assert_int_equal(resolve(s, engine, &sought, 1, true, &err), KN_OK);
    assert_int_equal(sought.status, KN_ERR_UNTRUSTED);
    assert_int_equal(resolve(s, engine, &sought, 1, false, &err), KN_OK);
    assert_int_equal(sought.status, KN_ERR_UNTRUSTED);
    kn_engine_free(engine, &s->host->table);
}

/* What a plan finds without asking is not what a call that may ask goes by. */
static void test_what_was_found_without_asking_is_asked_for(void **state) {
    scene *s = *state;
    kn_status status;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(requests_of(s, "org/base", "1"), 6);
    setenv("KERNELS_REFRESH_AFTER", "1", 1);
    kni_sleep_ms(2100);
    kn_engine *engine = new_engine(s, NULL, &status, &err);
    kni_sought sought = {.info = hub_kernel("org/base", "1"), .device = KN_DEVICE_CPU};
    static const size_t requests[] = {6, 6 + 1};
    for (size_t turn = 0; turn < 2; turn++) {
        if (resolve(s, engine, &sought, 1, turn == 1, &err)) fail_msg("%s", err.message);
        assert_int_equal(sought.status, KN_OK);
        assert_int_equal(s->hub.requests, requests[turn]);
    }
    kn_engine_free(engine, &s->host->table);
}

/* ---- failures are those of the want that met them ---- */

static void find_two(scene *s, kni_sought sought[2]) {
    kn_status status;
    kn_error err = KN_ERROR_INIT;
    kn_engine *engine = new_engine(s, NULL, &status, &err);
    sought[0] = (kni_sought){.info = hub_kernel("org/base", "1"), .device = KN_DEVICE_CPU};
    sought[1] = (kni_sought){.info = hub_kernel("org/free", "1"), .device = KN_DEVICE_CPU};
    if (resolve(s, engine, sought, 2, true, &err)) fail_msg("%s", err.message);
    if (sought[1].status) fail_msg("%s", sought[1].err.message);
    kn_engine_free(engine, &s->host->table);
}

/* Contents of org/base are folders, which are no files and cannot be removed as such. */
static void put_folders_in_the_place_of_contents(scene *s) {
    char command[2 * SCRATCH_PATH_MAX];
    snprintf(command, sizeof command,
             "cd '%s/kernels--org--base/blobs' && for f in *; do rm $f && mkdir -p $f/full; done",
             s->cache);
    assert_int_equal(system(command), 0);
}

static void test_a_file_that_cannot_be_removed_fails_its_kernel_alone(void **state) {
    scene *s = *state;
    kni_sought sought[2];
    scripted_hub_kernel(&s->hub, "org/free", "[]");
    assert_int_equal(requests_of(s, "org/base", "1"), 6);
    put_folders_in_the_place_of_contents(s);
    find_two(s, sought);
    assert_int_equal(sought[0].status, KN_ERR_OS);
    assert_contains(sought[0].err.message, "kernels--org--base");
}

static void test_a_lock_that_is_not_let_go_fails_its_kernel_alone(void **state) {
    scene *s = *state;
    kni_sought sought[2];
    scripted_hub_kernel(&s->hub, "org/free", "[]");
    setenv("KERNELS_TIMEOUT", "0.2", 1);
    assert_int_equal(requests_of(s, "org/base", "1"), 6);
    char command[2 * SCRATCH_PATH_MAX], name[128];
    snprintf(command, sizeof command, "ls '%s/kernels--org--base/blobs'", s->cache);
    FILE *list = popen(command, "r");
    assert_non_null(list);
    assert_int_equal(fscanf(list, "%100s", name), 1);
    pclose(list);
    snprintf(command, sizeof command, "kernels--org--base/blobs/%s", name);
    remove_from_cache(s, command);
    snprintf(name + strlen(name), sizeof name - strlen(name), ".lock");
    int fd = take_lock(s, "kernels--org--base", name);
    find_two(s, sought);
    kni_file_lock_drop(fd);
    unsetenv("KERNELS_TIMEOUT");
    assert_int_equal(sought[0].status, KN_ERR_TIMEOUT);
    assert_contains(sought[0].err.message, "of 'org/base': another process holds the lock '");
}

static bool has_kernel(scene *s, const char *repo, kn_status *status, kn_error *err) {
    bool found = true;
    kn_engine *engine = new_engine(s, NULL, status, err);
    const kn_repo_info info = hub_kernel(repo, "1");
    *status = kn_engine_has_kernel(engine, &s->host->table, &info, &found, err);
    kn_engine_free(engine, &s->host->table);
    return found;
}

static void test_has_kernel_is_false_where_there_is_none_and_else_an_error(void **state) {
    scene *s = *state;
    kn_status status;
    kn_error err = KN_ERROR_INIT;
    assert_true(has_kernel(s, "org/base", &status, &err));
    assert_int_equal(status, KN_OK);
    assert_false(has_kernel(s, "builtin/no-such", &status, &err));
    assert_int_equal(status, KN_OK);
    assert_false(has_kernel(s, "org/nothing", &status, &err));
    assert_int_equal(status, KN_ERR_REPOSITORY);
    setenv("HF_HUB_OFFLINE", "1", 1);
    assert_false(has_kernel(s, "org/never", &status, &err));
    assert_int_equal(status, KN_OK);
    unsetenv("HF_HUB_OFFLINE");
    new_cache(s);
    setenv("KERNELS_NET_LIBRARY", "/no/such/library.so", 1);
    assert_false(has_kernel(s, "org/base", &status, &err));
    assert_int_equal(status, KN_ERR_RUNTIME);
    assert_contains(err.message, "/no/such/library.so");
    setenv("KERNELS_NET_LIBRARY", KN_NET_LIBRARY, 1);
}

/* ---- when the Hub cannot be asked ---- */

static void test_a_transport_that_failed_is_not_used_again(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    s->hub.poll_fails = 2;
    const kn_repo_info info = hub_kernel("org/base", "1");
    kn_status status;
    kn_engine *engine = new_engine(s, NULL, &status, &err);
    char *folder;
    status = kn_engine_install(engine, &s->host->table, &info, &folder, &err);
    assert_int_equal(status, KN_ERR_NETWORK);
    assert_contains(err.message, "polling failed");
    assert_int_equal(s->hub.freed, 1);
    s->hub.waiting_count = 0; /* they went with the transport */
    status = kn_engine_install(engine, &s->host->table, &info, &folder, &err);
    if (status) fail_msg("%s", err.message);
    assert_int_equal(s->hub.opened, 2);
    kn_text_free(engine, folder);
    kn_engine_free(engine, &s->host->table);
    assert_int_equal(s->hub.freed, 2);
}

static void test_a_stuck_process_does_not_keep_what_is_cached(void **state) {
    scene *s = *state;
    setenv("KERNELS_TIMEOUT", "0.2", 1);
    assert_int_equal(requests_of(s, "org/base", "1"), 6);
    age_answers();
    int fd = take_lock(s, "kernels--org--base", "repository.lock");
    assert_int_equal(requests_of(s, "org/base", "1"), 0);
    assert_int_equal(fake_host_logged(s->host, "'org/base' is taken from the cache"), 1);
    assert_int_equal(fake_host_logged(s->host, "another process is at work on 'org/base'"), 1);
    remove_from_cache(s, "kernels--org--base/blobs");
    install_fails(s, "org/base", KN_ERR_TIMEOUT, "another process is at work on 'org/base'");
    kni_file_lock_drop(fd);
    assert_int_equal(requests_of(s, "org/base", "1"), 1 + 3);
    unsetenv("KERNELS_TIMEOUT");
}

static void test_a_hub_that_is_away_is_not_waited_for_when_the_cache_has_all(void **state) {
    scene *s = *state;
    assert_int_equal(requests_of(s, "org/base", "1"), 6);
    age_answers();
    s->hub.fail_at = s->hub.requests;
    s->hub.fault = SCRIPTED_CONNECT;
    assert_int_equal(requests_of(s, "org/base", "1"), 1);
    assert_int_equal(fake_host_logged(s->host, "'org/base' is taken from the cache"), 1);
}

static void test_a_hub_that_is_away_for_a_moment_is_waited_for_when_the_cache_has_too_little(
    void **state) {
    scene *s = *state;
    assert_int_equal(requests_of(s, "org/base", "1"), 6);
    age_answers();
    remove_from_cache(s, "kernels--org--base/blobs");
    s->hub.fail_at = s->hub.requests;
    s->hub.fails = 4;
    s->hub.fault = SCRIPTED_CONNECT;
    assert_int_equal(requests_of(s, "org/base", "1"), 4 + 1 + 3);
    assert_string_equal(s->host->log, "");
}

/* ---- a fork in the middle of a call ---- */

static pid_t forked;

static void fork_here(fake_host *host, void *ctx) {
    (void)host;
    (void)ctx;
    forked = fork();
}

static void test_a_child_forked_in_a_callback_ends_its_call(void **state) {
    scene *s = *state;
    kn_error err = KN_ERROR_INIT;
    forked = -1;
    fake_host_hook(s->host, FAKE_CALL_CANCELLED, 1, fork_here, NULL);
    kn_status status = install(s, NULL, "org/base", "1", &err);
    if (forked == 0) _exit(status == KN_ERR_CANCELLED ? 0 : 1);
    if (status) fail_msg("%s", err.message);
    int ended;
    assert_int_equal(waitpid(forked, &ended, 0), forked);
    assert_true(WIFEXITED(ended));
    assert_int_equal(WEXITSTATUS(ended), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        fetch_test(test_by_commit_everything_is_learnt_once),
        fetch_test(test_the_variants_of_a_commit_are_asked_for_once),
        fetch_test(test_a_refusal_keeps_what_was_learnt),
        fetch_test(test_a_refusal_by_commit_is_recorded_too),
        fetch_test(test_an_older_answer_does_not_hide_a_later_one),
        fetch_test(test_a_repository_may_change_its_type),
        fetch_test(test_who_allows_a_kernel_himself_needs_no_new_answer),
        fetch_test(test_what_has_expired_once_is_known_again),
        fetch_test(test_without_asking_nothing_untrusted_is_found),
        fetch_test(test_what_was_found_without_asking_is_asked_for),
        fetch_test(test_a_file_that_cannot_be_removed_fails_its_kernel_alone),
        fetch_test(test_a_lock_that_is_not_let_go_fails_its_kernel_alone),
        fetch_test(test_has_kernel_is_false_where_there_is_none_and_else_an_error),
        fetch_test(test_a_transport_that_failed_is_not_used_again),
        fetch_test(test_a_stuck_process_does_not_keep_what_is_cached),
        fetch_test(test_a_hub_that_is_away_is_not_waited_for_when_the_cache_has_all),
        fetch_test(
            test_a_hub_that_is_away_for_a_moment_is_waited_for_when_the_cache_has_too_little),
        fetch_test(test_a_child_forked_in_a_callback_ends_its_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
