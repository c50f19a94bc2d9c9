/* SPDX-License-Identifier: Apache-2.0 */
#include "support/fetch_scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/unit.h"

void new_cache(scene *s) {
    static unsigned number;
    snprintf(s->cache, sizeof s->cache, "%s/%u", s->scratch.path, number++);
    setenv("KERNELS_CACHE", s->cache, 1);
}

int set_scene(void **state) {
    scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    setenv("KERNELS_NET_LIBRARY", KN_NET_LIBRARY, 1);
    setenv("HF_ENDPOINT", SCRIPTED_ENDPOINT, 1);
    setenv("XDG_CACHE_HOME", "/no/such/place", 1);
    setenv("KERNELS_CONFIG", "/dev/null", 1);
    unsetenv("HF_HUB_OFFLINE");
    unsetenv("HF_TOKEN");
    unsetenv("KERNELS_REFRESH_AFTER");
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    scratch_folder_make(&s->scratch);
    new_cache(s);
    scripted_hub_init(&s->hub);
    scripted_hub_publisher(&s->hub, "org", true);
    scripted_hub_publisher(&s->hub, "other", false);
    scripted_hub_kernel(&s->hub, "org/base", "[]");
    scripted_hub_kernel(&s->hub, "org/toy", "[{\"repo-id\": \"org/base\", \"version\": 1}]");
    s->host = fake_host_new();
    *state = s;
    return 0;
}

int clear_scene(void **state) {
    scene *s = *state;
    fake_host_free(s->host);
    scripted_hub_clear(&s->hub);
    scratch_folder_remove(&s->scratch);
    free(s);
    return 0;
}

kn_engine *new_engine(scene *s, const kn_alloc *alloc, kn_status *status, kn_error *err) {
    const kn_engine_options options = {.size = sizeof options,
                                       .alloc = alloc,
                                       .transport_new = scripted_transport_new,
                                       .transport_ctx = &s->hub};
    kn_engine *engine = NULL;
    *status = kn_engine_new(&options, &engine, err);
    return engine;
}

/* One call of a new engine: what a new process would do. */
kn_status install_info(scene *s, const kn_alloc *alloc, const kn_repo_info *info, kn_error *err) {
    kn_status status;
    kn_engine *engine = new_engine(s, alloc, &status, err);
    char *folder = NULL;
    if (!status) {
        status = kn_engine_install(engine, &s->host->table, info, &folder, err);
        assert_int_equal(folder != NULL, status == KN_OK);
        kn_text_free(engine, folder);
    }
    kn_engine_free(engine, &s->host->table);
    return status;
}

kn_status install(scene *s, const kn_alloc *alloc, const char *repo, const char *version,
                  kn_error *err) {
    const kn_repo_info info = {
        .size = sizeof info, .kind = KN_REPO_HUB, .id = repo, .version = version};
    return install_info(s, alloc, &info, err);
}

size_t requests_of(scene *s, const char *repo, const char *version) {
    kn_error err = KN_ERROR_INIT;
    size_t before = s->hub.requests;
    if (install(s, NULL, repo, version, &err)) fail_msg("%s", err.message);
    assert_string_equal(err.message, ""); /* it is left alone */
    return s->hub.requests - before;
}

size_t requests_of_commit(scene *s, const char *repo) {
    char commit[65];
    kn_error err = KN_ERROR_INIT;
    size_t before = s->hub.requests;
    scripted_hub_commit(repo, commit);
    const kn_repo_info info = {
        .size = sizeof info, .kind = KN_REPO_HUB, .id = repo, .revision = commit};
    if (install_info(s, NULL, &info, &err)) fail_msg("%s", err.message);
    return s->hub.requests - before;
}

void install_fails(scene *s, const char *repo, kn_status expected, const char *part) {
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(install(s, NULL, repo, "1", &err), expected);
    assert_contains(err.message, part);
}
