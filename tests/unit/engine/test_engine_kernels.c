/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels on disk: local paths, LOCAL_KERNELS, first-party kernels, and what is said where there is
 * none. */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>

#include "support/engine_fixture.h"
#include "support/scratch_folder.h"
#include "support/unit.h"

#define FITS "torch-stable-abi210-cpu-x86_64-linux"

typedef struct scene {
    engine_fixture fx;
    scratch_folder scratch;
    char builtin[SCRATCH_PATH_MAX + 16];
    fake_module *model;
} scene;

static int set_scene(void **state) {
    scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    unsetenv("LOCAL_KERNELS");
    unsetenv("DISABLE_KERNEL_MAPPING");
    scratch_folder_make(&s->scratch);
    snprintf(s->builtin, sizeof s->builtin, "%s/builtin", s->scratch.path);
    s->fx.builtin_folder = s->builtin;
    engine_fixture_open(&s->fx);
    s->model = fake_model_new(s->fx.host, NULL);
    fake_module_add(s->model, "norm", fake_class_new(s->fx.host, "LlamaNorm", "Norm"));
    fake_module_put_on(s->model, fake_cpu());
    fake_layer_new(s->fx.host, "Fast");
    *state = s;
    return 0;
}

static int clear_scene(void **state) {
    scene *s = *state;
    engine_fixture_close(&s->fx);
    scratch_folder_remove(&s->scratch);
    unsetenv("LOCAL_KERNELS");
    free(s);
    return 0;
}

/* A build of the kernel at `folder` for `variant`, with the file `metadata`. */
static void write_build(scene *s, const char *folder, const char *variant, const char *metadata) {
    char path[300];
    snprintf(path, sizeof path, "%s/build/%s/metadata.json", folder, variant);
    scratch_file(&s->scratch, path, metadata);
    snprintf(path, sizeof path, "%s/build/%s/__init__.py", folder, variant);
    scratch_file(&s->scratch, path, "");
}

#define METADATA "{\"id\": \"_fast_1\", \"name\": \"fast\", \"version\": 1}"

static fake_repo *map_kind(scene *s, kn_repo_kind kind, const char *id) {
    fake_repo *repo = fake_repo_of_kind(s->fx.host, kind, id, "Fast");
    map_cpu(&s->fx, "Norm", KN_MODE_FALLBACK, repo);
    return repo;
}

/* Everything fails alike, with a message that holds `part`, or keeps the forward where that is
 * allowed. */
static void expect_missing(scene *s, kn_status status, const char *part) {
    kn_request request = inference();
    kernelize_fails(&s->fx, s->model, &request, status, part);
    assert_forwards(s->model, "norm=original");
    request.fallback = KN_FALLBACK_ALL;
    if (status == KN_ERR_NOT_FOUND) {
        kn_plan *plan = kernelize_plan(&s->fx, s->model, &request);
        assert_contains(message_of(plan, 0), part);
        kn_decision d = {.size = sizeof d};
        kn_plan_get(plan, 0, &d);
        assert_int_equal(d.reason, KN_REASON_CANNOT_LOAD);
        kn_plan_release(plan);
    } else {
        kernelize_fails(&s->fx, s->model, &request, status, part);
    }
    assert_forwards(s->model, "norm=original");
    assert_int_equal(s->fx.host->calls[FAKE_CALL_IMPORT], 0);
}

static void test_a_local_kernel_is_found_loaded_and_put_in_place(void **state) {
    scene *s = *state;
    write_build(s, "fast", FITS, METADATA);
    map_kind(s, KN_REPO_LOCAL, scratch_path(&s->scratch, "fast"));
    kn_request request = inference();
    kn_plan *plan = make_plan(&s->fx, s->model, &request);
    kn_decision d = {.size = sizeof d};
    kn_plan_get(plan, 0, &d);
    assert_int_equal(d.stage, KN_STAGE_RESOLVE);
    assert_string_equal(d.variant, FITS);
    assert_string_equal(d.repo_layer, "Fast");
    assert_null(d.commit);
    kn_plan_release(plan);
    assert_int_equal(s->fx.host->calls[FAKE_CALL_IMPORT], 0);

    request.fetch = true;
    plan = make_plan(&s->fx, s->model, &request);
    kn_plan_get(plan, 0, &d);
    assert_int_equal(d.stage, KN_STAGE_SETTLE);
    kn_plan_release(plan);
    assert_int_equal(s->fx.host->calls[FAKE_CALL_IMPORT], 1);
    assert_string_equal(s->fx.host->imported, scratch_path(&s->scratch, "fast/build/" FITS));

    plan = kernelize_plan(&s->fx, s->model, &request);
    kn_plan_get(plan, 0, &d);
    assert_int_equal(d.stage, KN_STAGE_APPLY);
    kn_plan_release(plan);
    assert_forwards(s->model, "norm=Fast");
    assert_int_equal(s->fx.host->calls[FAKE_CALL_IMPORT], 1);
    assert_int_equal(s->fx.host->calls[FAKE_CALL_FIND_LAYER], 1);
    assert_int_equal(s->fx.host->leaves, 1); /* the disk is read once, with the host left */

    plan = explain(&s->fx, s->model);
    kn_plan_get(plan, 0, &d);
    assert_string_equal(d.variant, FITS);
    assert_string_equal(d.repo_layer, "Fast");
    kn_plan_release(plan);
}

static void test_a_plan_that_resolved_is_applied_without_looking_again(void **state) {
    scene *s = *state;
    write_build(s, "fast", FITS, METADATA);
    map_kind(s, KN_REPO_LOCAL, scratch_path(&s->scratch, "fast"));
    kn_request request = inference();
    kn_plan *plan = make_plan(&s->fx, s->model, &request);
    apply_plan(&s->fx, s->model, plan);
    assert_forwards(s->model, "norm=Fast");
    kn_plan_release(plan);
    assert_int_equal(s->fx.host->leaves, 1);
}

static void test_one_kernel_is_imported_once_by_whatever_name(void **state) {
    scene *s = *state;
    write_build(s, "fast", FITS, METADATA);
    scratch_link(&s->scratch, "link", scratch_path(&s->scratch, "fast"));
    kn_request request = inference();
    map_kind(s, KN_REPO_LOCAL, scratch_path(&s->scratch, "fast"));
    kernelize(&s->fx, s->model, &request);
    map_kind(s, KN_REPO_LOCAL, scratch_path(&s->scratch, "link"));
    kernelize(&s->fx, s->model, &request);
    char value[SCRATCH_PATH_MAX + 64];
    snprintf(value, sizeof value, "org/fast=%s/link", s->scratch.path);
    setenv("LOCAL_KERNELS", value, 1);
    map_kind(s, KN_REPO_HUB, "org/fast");
    kernelize(&s->fx, s->model, &request);
    assert_forwards(s->model, "norm=Fast");
    assert_int_equal(s->fx.host->calls[FAKE_CALL_IMPORT], 1);
    assert_int_equal(s->fx.host->calls[FAKE_CALL_FIND_LAYER], 1);
}

static void test_a_repository_is_found_through_local_kernels(void **state) {
    scene *s = *state;
    write_build(s, "fast", FITS, METADATA);
    char value[SCRATCH_PATH_MAX + 64];
    snprintf(value, sizeof value, "org/other=/nowhere:org/fast=%s/fast", s->scratch.path);
    setenv("LOCAL_KERNELS", value, 1);
    map_kind(s, KN_REPO_HUB, "org/fast");
    kn_request request = inference();
    expect_plan(make_plan(&s->fx, s->model, &request), "norm: resolve replace mapped org/fast");
    kernelize(&s->fx, s->model, &request);
    assert_forwards(s->model, "norm=Fast");
}

static void test_local_kernels_comes_before_the_first_party_ones(void **state) {
    scene *s = *state;
    write_build(s, "mine", FITS, METADATA);
    write_build(s, "builtin/fast", FITS, METADATA);
    char value[SCRATCH_PATH_MAX + 64];
    snprintf(value, sizeof value, "builtin/fast=%s/mine", s->scratch.path);
    setenv("LOCAL_KERNELS", value, 1);
    map_kind(s, KN_REPO_HUB, "builtin/fast");
    kn_request request = inference();
    kernelize(&s->fx, s->model, &request);
    assert_string_equal(s->fx.host->imported, scratch_path(&s->scratch, "mine/build/" FITS));
}

static void test_a_first_party_kernel_is_found_in_the_builtin_folder(void **state) {
    scene *s = *state;
    write_build(s, "builtin/fast", FITS, METADATA);
    map_kind(s, KN_REPO_HUB, "builtin/fast");
    kn_request request = inference();
    kernelize(&s->fx, s->model, &request);
    assert_forwards(s->model, "norm=Fast");
    assert_string_equal(s->fx.host->imported,
                        scratch_path(&s->scratch, "builtin/fast/build/" FITS));
}

static void test_on_free_threaded_python_only_first_party_kernels_run_builds_for_an_arch(
    void **state) {
    scene *s = *state;
    s->fx.host->system.free_threaded = true;
    write_build(s, "builtin/fast", FITS, METADATA);
    write_build(s, "fast", FITS, METADATA);
    char *path = strdup(scratch_path(&s->scratch, "fast"));
    map_kind(s, KN_REPO_LOCAL, path);
    expect_missing(s, KN_ERR_NOT_FOUND, "not supported on free-threaded Python");
    free(path);
    map_kind(s, KN_REPO_HUB, "builtin/fast");
    kn_request request = inference();
    kernelize(&s->fx, s->model, &request);
    assert_forwards(s->model, "norm=Fast");
}

static void test_a_first_party_kernel_that_is_not_there_is_told(void **state) {
    scene *s = *state;
    scratch_directory(&s->scratch, "builtin");
    map_kind(s, KN_REPO_HUB, "builtin/gone");
    expect_missing(s, KN_ERR_NOT_FOUND,
                   "'builtin/gone': there is no first-party kernel of that name; looked in '");
    map_kind(s, KN_REPO_HUB, "builtin/..");
    expect_missing(s, KN_ERR_NOT_FOUND,
                   "'builtin/..': there is no first-party kernel of that name");
    map_kind(s, KN_REPO_HUB, "builtin/a/b");
    expect_missing(s, KN_ERR_NOT_FOUND, "'builtin/a/b': there is no first-party kernel");
    map_kind(s, KN_REPO_HUB, "builtin/");
    expect_missing(s, KN_ERR_NOT_FOUND, "'builtin/': there is no first-party kernel");
}

static void test_a_repository_that_only_the_hub_has_says_where_was_looked(void **state) {
    scene *s = *state;
    map_kind(s, KN_REPO_HUB, "org/fast");
    expect_missing(
        s, KN_ERR_NOT_FOUND,
        "Cannot find a local snapshot for org/fast (revision:main): it is not in the cache "
        "('/no/such/cache/kernels--org--fast')");
    setenv("LOCAL_KERNELS", "org/other=/nowhere", 1);
    expect_missing(s, KN_ERR_NOT_FOUND,
                   "(unset HF_HUB_OFFLINE), or name a directory that has it with "
                   "LOCAL_KERNELS=org/fast=PATH");
}

static void test_a_plan_does_not_mind_what_only_the_hub_has(void **state) {
    scene *s = *state;
    map_kind(s, KN_REPO_HUB, "org/fast");
    kn_request request = inference();
    kn_plan *plan = make_plan(&s->fx, s->model, &request);
    assert_decisions(plan, "norm: select replace mapped org/fast");
    apply_fails(&s->fx, s->model, plan, KN_ERR_NOT_FOUND,
                "Cannot find a local snapshot for org/fast");
    assert_forwards(s->model, "norm=original");
    /* What was not resolved then is resolved by apply. */
    write_build(s, "fast", FITS, METADATA);
    char value[SCRATCH_PATH_MAX + 64];
    snprintf(value, sizeof value, "org/fast=%s/fast", s->scratch.path);
    setenv("LOCAL_KERNELS", value, 1);
    apply_plan(&s->fx, s->model, plan);
    assert_forwards(s->model, "norm=Fast");
    kn_plan_release(plan);
}

static void test_broken_local_kernels_is_an_error(void **state) {
    scene *s = *state;
    setenv("LOCAL_KERNELS", "nonsense", 1);
    map_kind(s, KN_REPO_HUB, "org/fast");
    expect_missing(s, KN_ERR_VALUE, "Invalid LOCAL_KERNELS entry: nonsense.");
}

static void test_a_path_that_is_not_there_is_told(void **state) {
    scene *s = *state;
    map_kind(s, KN_REPO_LOCAL, scratch_path(&s->scratch, "gone"));
    expect_missing(s, KN_ERR_NOT_FOUND, "/gone: there is no such path");
    kn_request request = inference();
    plan_fails(&s->fx, s->model, &request, KN_ERR_NOT_FOUND, "there is no such path");
    map_kind(s, KN_REPO_LOCAL, "no/such/relative/path");
    expect_missing(s, KN_ERR_NOT_FOUND, "no/such/relative/path");
}

static void test_a_kernel_without_a_variant_for_this_machine_is_told(void **state) {
    scene *s = *state;
    write_build(s, "fast", "torch-stable-abi210-cu128-x86_64-linux", METADATA);
    write_build(s, "fast", "torch-stable-abi210-cpu-aarch64-linux", METADATA);
    map_kind(s, KN_REPO_LOCAL, scratch_path(&s->scratch, "fast"));
    expect_missing(s, KN_ERR_NOT_FOUND, "Cannot find a build variant for this system");
    expect_missing(s, KN_ERR_NOT_FOUND,
                   "torch-stable-abi210-cpu-aarch64-linux: CPU (aarch64) does not match system CPU "
                   "(x86_64)");
}

static void test_broken_metadata_is_an_error_whatever_is_allowed(void **state) {
    scene *s = *state;
    const char *broken[] = {"{", "[]", "{\"id\": \"x\"}", "{\"name\": \"fast\"}", "not json"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char folder[16];
        snprintf(folder, sizeof folder, "broken%zu", i);
        write_build(s, folder, FITS, broken[i]);
        map_kind(s, KN_REPO_LOCAL, scratch_path(&s->scratch, folder));
        expect_missing(s, KN_ERR_VALUE, "metadata.json");
    }
}

static void test_a_kernel_without_metadata_or_module_is_not_there(void **state) {
    scene *s = *state;
    scratch_file(&s->scratch, "bare/build/" FITS "/__init__.py", "");
    map_kind(s, KN_REPO_LOCAL, scratch_path(&s->scratch, "bare"));
    expect_missing(s, KN_ERR_NOT_FOUND, "has no metadata.json");
    scratch_file(&s->scratch, "empty/build/" FITS "/metadata.json", METADATA);
    map_kind(s, KN_REPO_LOCAL, scratch_path(&s->scratch, "empty"));
    expect_missing(s, KN_ERR_NOT_FOUND, "No kernel module found");
}

static void test_what_was_missing_is_found_once_it_is_there(void **state) {
    scene *s = *state;
    map_kind(s, KN_REPO_LOCAL, scratch_path(&s->scratch, "fast"));
    expect_missing(s, KN_ERR_NOT_FOUND, "there is no such path");
    write_build(s, "fast", FITS, METADATA);
    kn_request request = inference();
    kernelize(&s->fx, s->model, &request);
    assert_forwards(s->model, "norm=Fast");
}

static void test_an_import_that_misses_a_file_is_no_reason_to_fall_back(void **state) {
    scene *s = *state;
    write_build(s, "fast", FITS, METADATA);
    map_kind(s, KN_REPO_LOCAL, scratch_path(&s->scratch, "fast"));
    kn_request request = inference();
    request.fallback = KN_FALLBACK_ALL;
    fake_host_fail(s->fx.host, FAKE_CALL_IMPORT, 1, KN_ERR_NOT_FOUND);
    kernelize_fails(&s->fx, s->model, &request, KN_ERR_HOST, "failed in import_kernel");
    assert_forwards(s->model, "norm=original");
    kernelize(&s->fx, s->model, &request);
    assert_forwards(s->model, "norm=Fast");
}

static void test_a_layer_that_the_kernel_lacks_is_an_error(void **state) {
    scene *s = *state;
    write_build(s, "fast", FITS, METADATA);
    fake_repo *repo =
        fake_repo_of_kind(s->fx.host, KN_REPO_LOCAL, scratch_path(&s->scratch, "fast"), "Slow");
    map_cpu(&s->fx, "Norm", KN_MODE_FALLBACK, repo);
    kn_request request = inference();
    request.fallback = KN_FALLBACK_ALL;
    kernelize_fails(&s->fx, s->model, &request, KN_ERR_VALUE, "the kernel has no such layer");
    assert_forwards(s->model, "norm=original");
}

static void test_a_backend_that_is_not_the_systems_is_an_error(void **state) {
    scene *s = *state;
    write_build(s, "fast", FITS, METADATA);
    fake_repo *repo = map_kind(s, KN_REPO_LOCAL, scratch_path(&s->scratch, "fast"));
    repo->info.backend = "cuda";
    expect_missing(s, KN_ERR_VALUE, "Invalid backend 'cuda', system supported backends: cpu");
    s->fx.host->system.backend = "cu130";
    repo->info.backend = "rocm";
    expect_missing(s, KN_ERR_VALUE, "Invalid backend 'rocm', system supported backends: cpu, cuda");
}

static void test_the_backend_chooses_the_variant(void **state) {
    scene *s = *state;
    write_build(s, "fast", FITS, METADATA);
    write_build(s, "fast", "torch-stable-abi210-cu130-x86_64-linux", METADATA);
    s->fx.host->system.backend = "cu130";
    fake_repo *repo = map_kind(s, KN_REPO_LOCAL, scratch_path(&s->scratch, "fast"));
    kn_request request = inference();
    /* The model is on the CPU: its own builds come before those of the system's GPU. */
    static const char *const rows[][2] = {
        {NULL, FITS}, {"cpu", FITS}, {"cuda", "torch-stable-abi210-cu130-x86_64-linux"}};
    for (size_t i = 0; i < 3; i++) {
        repo->info.backend = rows[i][0];
        kn_plan *plan = make_plan(&s->fx, s->model, &request);
        kn_decision d = {.size = sizeof d};
        kn_plan_get(plan, 0, &d);
        assert_string_equal(d.variant, rows[i][1]);
        kn_plan_release(plan);
    }
}

/* ---- kernels without a model ---- */

/* The variant that a plan for a device resolves to. */
static void expect_variant(scene *s, const kn_device *device, const char *variant) {
    kn_request request = inference();
    request.device = device;
    request.capability = 90;
    kn_plan *plan = make_plan(&s->fx, s->model, &request);
    kn_decision d = {.size = sizeof d};
    kn_plan_get(plan, 0, &d);
    assert_string_equal(d.variant, variant);
    kn_plan_release(plan);
}

#define CUDA_BUILD "torch-stable-abi210-cu130-x86_64-linux"

static void test_a_gpu_build_of_the_framework_finds_cpu_kernels(void **state) {
    scene *s = *state;
    s->fx.host->system.backend = "cu130";
    write_build(s, "builtin/fast", FITS, METADATA);
    fake_repo *repo = map_kind(s, KN_REPO_HUB, "builtin/fast");
    map_cuda(&s->fx, "Norm", 0, KN_CAPABILITY_MAX, repo);
    kn_device cpu = fake_cpu(), cuda = fake_cuda(0, 90);
    expect_variant(s, &cpu, FITS);
    expect_variant(s, &cuda, FITS); /* what ships with the library is taken as it is */
    void *kernel;
    kn_repo_info info = repo->info;
    assert_int_equal(kn_engine_get_kernel(s->fx.engine, &s->fx.host->table, &info, &kernel, NULL),
                     KN_OK);
    s->fx.host->table.release(kernel);
}

static void test_a_layer_for_the_cpu_takes_a_gpu_build_only_without_one_of_its_own(void **state) {
    scene *s = *state;
    s->fx.host->system.backend = "cu130";
    write_build(s, "fast", CUDA_BUILD, METADATA);
    fake_repo *repo = map_kind(s, KN_REPO_LOCAL, scratch_path(&s->scratch, "fast"));
    map_cuda(&s->fx, "Norm", 0, KN_CAPABILITY_MAX, repo);
    kn_device cpu = fake_cpu(), cuda = fake_cuda(0, 90);
    expect_variant(s, &cpu, CUDA_BUILD);
    expect_variant(s, &cuda, CUDA_BUILD);
}

static void test_a_layer_for_a_gpu_does_not_take_a_cpu_build(void **state) {
    scene *s = *state;
    s->fx.host->system.backend = "cu130";
    write_build(s, "fast", FITS, METADATA);
    fake_repo *repo = map_kind(s, KN_REPO_LOCAL, scratch_path(&s->scratch, "fast"));
    map_cuda(&s->fx, "Norm", 0, KN_CAPABILITY_MAX, repo);
    kn_device cuda = fake_cuda(0, 90);
    kn_request request = inference();
    request.device = &cuda;
    request.capability = 90;
    kernelize_fails(&s->fx, s->model, &request, KN_ERR_NOT_FOUND,
                    "does not match selected backend (cu130)");
    assert_forwards(s->model, "norm=original");
}

static void test_a_kernel_and_a_layer_are_given_with_a_reference(void **state) {
    scene *s = *state;
    write_build(s, "fast", FITS, METADATA);
    const kn_host *host = &s->fx.host->table;
    const kn_repo_info info = {.size = sizeof info,
                               .kind = KN_REPO_LOCAL,
                               .id = scratch_path(&s->scratch, "fast"),
                               .layer_name = "Fast"};
    void *kernel = NULL, *again = NULL;
    assert_int_equal(kn_engine_get_kernel(s->fx.engine, host, &info, &kernel, NULL), KN_OK);
    assert_int_equal(kn_engine_get_kernel(s->fx.engine, host, &info, &again, NULL), KN_OK);
    assert_ptr_equal(kernel, again);
    assert_int_equal(((fake_object *)kernel)->references, 3);
    fake_release(kernel);
    fake_release(again);
    kn_layer layer;
    assert_int_equal(kn_engine_get_layer(s->fx.engine, host, &info, &layer, NULL), KN_OK);
    assert_string_equal(((fake_layer *)layer.handle)->name, "Fast");
    assert_true(layer.has_backward);
    fake_release(layer.handle);
    assert_int_equal(s->fx.host->calls[FAKE_CALL_IMPORT], 1);
}

static void test_a_kernel_that_is_not_there_gives_nothing(void **state) {
    scene *s = *state;
    const kn_host *host = &s->fx.host->table;
    const kn_repo_info info = {
        .size = sizeof info, .kind = KN_REPO_HUB, .id = "org/gone", .layer_name = "Fast"};
    void *kernel = s;
    kn_layer layer = {.handle = s};
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_engine_get_kernel(s->fx.engine, host, &info, &kernel, &err),
                     KN_ERR_NOT_FOUND);
    assert_null(kernel);
    assert_contains(err.message, "Cannot find a local snapshot for org/gone");
    assert_int_equal(kn_engine_get_layer(s->fx.engine, host, &info, &layer, NULL),
                     KN_ERR_NOT_FOUND);
    assert_null(layer.handle);
}

#define kernel_test(test) cmocka_unit_test_setup_teardown(test, set_scene, clear_scene)

int main(void) {
    const struct CMUnitTest tests[] = {
        kernel_test(test_a_local_kernel_is_found_loaded_and_put_in_place),
        kernel_test(test_a_plan_that_resolved_is_applied_without_looking_again),
        kernel_test(test_one_kernel_is_imported_once_by_whatever_name),
        kernel_test(test_a_repository_is_found_through_local_kernels),
        kernel_test(test_local_kernels_comes_before_the_first_party_ones),
        kernel_test(test_a_first_party_kernel_is_found_in_the_builtin_folder),
        kernel_test(test_on_free_threaded_python_only_first_party_kernels_run_builds_for_an_arch),
        kernel_test(test_a_first_party_kernel_that_is_not_there_is_told),
        kernel_test(test_a_repository_that_only_the_hub_has_says_where_was_looked),
        kernel_test(test_a_plan_does_not_mind_what_only_the_hub_has),
        kernel_test(test_broken_local_kernels_is_an_error),
        kernel_test(test_a_path_that_is_not_there_is_told),
        kernel_test(test_a_kernel_without_a_variant_for_this_machine_is_told),
        kernel_test(test_broken_metadata_is_an_error_whatever_is_allowed),
        kernel_test(test_a_kernel_without_metadata_or_module_is_not_there),
        kernel_test(test_what_was_missing_is_found_once_it_is_there),
        kernel_test(test_an_import_that_misses_a_file_is_no_reason_to_fall_back),
        kernel_test(test_a_layer_that_the_kernel_lacks_is_an_error),
        kernel_test(test_a_backend_that_is_not_the_systems_is_an_error),
        kernel_test(test_the_backend_chooses_the_variant),
        kernel_test(test_a_gpu_build_of_the_framework_finds_cpu_kernels),
        kernel_test(test_a_layer_for_the_cpu_takes_a_gpu_build_only_without_one_of_its_own),
        kernel_test(test_a_layer_for_a_gpu_does_not_take_a_cpu_build),
        kernel_test(test_a_kernel_and_a_layer_are_given_with_a_reference),
        kernel_test(test_a_kernel_that_is_not_there_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
