/* SPDX-License-Identifier: Apache-2.0 */
#include "support/fetch_fixture.h"

#include <stdio.h>
#include <unistd.h>

#include "support/unit.h"

static const char *const unset[] = {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE",  "HF_TOKEN",
                                    "HF_TOKEN_PATH",  "KERNELS_REFRESH_AFTER", "KERNELS_TRUST",
                                    "KERNELS_VERIFY", "KERNELS_TIMEOUT",       "LOCAL_KERNELS",
                                    "KERNELS_TRACE",  "DISABLE_KERNEL_MAPPING"};

static void start_engine(fetch_fixture *fx) {
    const kn_engine_options options = {
        .size = sizeof options,
        .alloc = &fx->base.memory.alloc,
        .transport_new = memory_hub_transport,
        .transport_ctx = &fx->hub,
    };
    kn_error err = KN_ERROR_INIT;
    if (kn_engine_new(&options, &fx->base.engine, &err)) fail_msg("%s", err.message);
}

static void stop_engine(fetch_fixture *fx) {
    kn_engine_free(fx->base.engine, &fx->base.host->table);
    assert_int_equal(fx->base.memory.live, 0);
}

void fetch_open(fetch_fixture *fx, const char *net_library) {
    failing_alloc_init(&fx->base.memory, SIZE_MAX);
    memory_hub_open(&fx->hub);
    /* Where syncing costs nothing, if there is such a place. */
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    scratch_folder_make(&fx->scratch);
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++) unsetenv(unset[i]);
    setenv("KERNELS_NET_LIBRARY", net_library, 1);
    setenv("HF_ENDPOINT", HUB_ENDPOINT, 1);
    setenv("XDG_CACHE_HOME", scratch_path(&fx->scratch, "user"), 1);
    setenv("HF_HOME", scratch_path(&fx->scratch, "home"), 1);
    setenv("KERNELS_CACHE", fetch_path(fx, ""), 1);
    fx->base.host = fake_host_new();
    start_engine(fx);
}

void fetch_close(fetch_fixture *fx) {
    stop_engine(fx);
    fake_host_free(fx->base.host);
    memory_hub_close(&fx->hub);
    scratch_folder_remove(&fx->scratch);
}

void fetch_restart(fetch_fixture *fx) {
    stop_engine(fx);
    start_engine(fx);
    fake_host_calm(fx->base.host);
}

void fetch_start_cold(fetch_fixture *fx) {
    fx->caches++;
    setenv("KERNELS_CACHE", fetch_path(fx, ""), 1);
    fetch_restart(fx);
}

const char *fetch_path(const fetch_fixture *fx, const char *relative) {
    char path[SCRATCH_PATH_MAX];
    snprintf(path, sizeof path, "cache%u%s%s", fx->caches, *relative ? "/" : "", relative);
    return scratch_path(&fx->scratch, path);
}

/* ---- what the Hub has ---- */

hub_repo *put_kernel(fetch_fixture *fx, const char *id, const char *commit, const char *extra) {
    char text[1024];
    const char *name = strchr(id, '/') + 1;
    hub_repo *repo = memory_hub_repo(&fx->hub, id);
    snprintf(text, sizeof text, "{\"id\": \"_%s_%.4s\", \"name\": \"%s\", \"version\": 1%s%s}",
             name, commit, name, extra ? ", " : "", extra ? extra : "");
    hub_repo_put(repo, commit, BUILD "metadata.json", text);
    snprintf(text, sizeof text, "NAME = '%s'\nCOMMIT = '%s'\n", id, commit);
    hub_repo_put(repo, commit, BUILD "__init__.py", text);
    snprintf(text, sizeof text, "the code of %s at %s", id, commit);
    hub_repo_put_large(repo, commit, BUILD "code.so", text);
    return repo;
}

hub_repo *put_simple(fetch_fixture *fx, const char *id, const char *commit, const char *extra) {
    hub_repo *repo = put_kernel(fx, id, commit, extra);
    hub_repo_branch(repo, "main", commit);
    hub_repo_branch(repo, "v1", commit);
    return repo;
}

hub_repo *put_redirect(fetch_fixture *fx, const char *id, const char *commit, const char *to) {
    char text[256];
    hub_repo *repo = memory_hub_repo(&fx->hub, id);
    snprintf(text, sizeof text, "kind = \"redirect\"\ndestination = \"%s\"\n", to);
    hub_repo_put(repo, commit, "kernel-status.toml", text);
    hub_repo_branch(repo, "main", commit);
    return repo;
}

/* ---- calls ---- */

kn_repo_info at_main(const char *id) {
    return (kn_repo_info){.size = sizeof(kn_repo_info), .kind = KN_REPO_HUB, .id = id};
}

kn_repo_info at_revision(const char *id, const char *revision) {
    kn_repo_info info = at_main(id);
    info.revision = revision;
    return info;
}

kn_repo_info at_version(const char *id, const char *version) {
    kn_repo_info info = at_main(id);
    info.version = version;
    return info;
}

static kn_status install(fetch_fixture *fx, const kn_repo_info *info, char **folder,
                         kn_error *err) {
    *folder = NULL;
    kn_status status = kn_engine_install(fx->base.engine, &fx->base.host->table, info, folder, err);
    assert_int_equal(*folder != NULL, status == KN_OK);
    assert_int_equal(fx->base.host->left, 0);
    return status;
}

kn_status try_install(fetch_fixture *fx, kn_repo_info info, kn_error *err) {
    char *folder;
    kn_status status = install(fx, &info, &folder, err);
    kn_text_free(fx->base.engine, folder);
    return status;
}

size_t install_at(fetch_fixture *fx, kn_repo_info info, const char *commit) {
    static const char *const names[] = {"metadata.json", "__init__.py", "code.so"};
    char *folder, path[2 * SCRATCH_PATH_MAX];
    kn_error err = KN_ERROR_INIT;
    size_t before = fx->hub.count;
    if (install(fx, &info, &folder, &err)) fail_msg("%s: %s", info.id, err.message);
    assert_contains(folder, commit);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        assert_int_equal(access(path, R_OK), 0);
    }
    kn_text_free(fx->base.engine, folder);
    return fx->hub.count - before;
}

void install_fails(fetch_fixture *fx, kn_repo_info info, kn_status expected, const char *part) {
    kn_error err = KN_ERROR_INIT;
    kn_status status = try_install(fx, info, &err);
    if (status != expected) fail_msg("status %d, not %d: %s", status, expected, err.message);
    assert_int_equal(err.status, expected);
    assert_contains(err.message, part);
}

kn_status try_get(fetch_fixture *fx, kn_repo_info info, kn_error *err) {
    void *kernel;
    kn_status status =
        kn_engine_get_kernel(fx->base.engine, &fx->base.host->table, &info, &kernel, err);
    assert_int_equal(kernel != NULL, status == KN_OK);
    if (kernel) fake_release(kernel);
    return status;
}
