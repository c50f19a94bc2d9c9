/* SPDX-License-Identifier: Apache-2.0 */
/* Builds whose shared objects cannot be loaded here are passed over for the next best one. */
#define _POSIX_C_SOURCE 200809L

#include <kernels/hub.h>
#include <kernels/native.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/elf_image.h"
#include "support/engine_fixture.h"
#include "support/failing_alloc.h"
#include "support/scratch_folder.h"
#include "support/unit.h"

#define BEST "torch-stable-abi210-cpu-x86_64-linux"
#define NEXT "torch-cpu"
#define LAST "torch-universal"
#define SASS 2

typedef struct scene {
    engine_fixture fx;
    scratch_folder scratch;
    char path[SCRATCH_PATH_MAX + 16];
    fake_module *model;
    kn_repo_info info;
} scene;

static int set_scene(void **state) {
    scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    unsetenv("LOCAL_KERNELS");
    scratch_folder_make(&s->scratch);
    engine_fixture_open(&s->fx);
    s->model = fake_model_new(s->fx.host, NULL);
    fake_module_add(s->model, "norm", fake_class_new(s->fx.host, "LlamaNorm", "Norm"));
    fake_module_put_on(s->model, fake_cpu());
    fake_layer_new(s->fx.host, "Fast");
    snprintf(s->path, sizeof s->path, "%s/fast", s->scratch.path);
    s->info = (kn_repo_info){.size = sizeof s->info, .kind = KN_REPO_LOCAL, .id = s->path};
    map_cpu(&s->fx, "Norm", KN_MODE_FALLBACK,
            fake_repo_of_kind(s->fx.host, KN_REPO_LOCAL, s->info.id, "Fast"));
    *state = s;
    return 0;
}

static int clear_scene(void **state) {
    scene *s = *state;
    engine_fixture_close(&s->fx);
    scratch_folder_remove(&s->scratch);
    free(s);
    return 0;
}

/* A build of the kernel "fast"; `object` NULL: without a shared object. */
static void write_build(scene *s, const char *variant, const elf_recipe *object) {
    char path[300];
    snprintf(path, sizeof path, "fast/build/%s/metadata.json", variant);
    scratch_file(&s->scratch, path, "{\"id\": \"_fast_1\", \"name\": \"fast\", \"version\": 1}");
    snprintf(path, sizeof path, "fast/build/%s/__init__.py", variant);
    scratch_file(&s->scratch, path, "");
    if (!object) return;
    elf_image image;
    elf_image_make(&image, object);
    snprintf(path, sizeof path, "fast/build/%s/_fast_1.so", variant);
    elf_image_write(&image, &s->scratch, path);
}

static const elf_recipe newer = {.needs = {{"libc.so.6", "GLIBC_2.999", false}}};
static const elf_recipe other = {.machine = 183};
static const elf_recipe sm80 = {.code = {{SASS, 80, 0}}};

static void expect_variant(scene *s, const char *expected) {
    void *kernel;
    kn_error err = KN_ERROR_INIT;
    const kn_host *host = &s->fx.host->table;
    if (kn_engine_get_kernel(s->fx.engine, host, &s->info, &kernel, &err))
        fail_msg("%s", err.message);
    fake_release(kernel);
    assert_string_equal(strrchr(s->fx.host->imported, '/') + 1, expected);
}

static void expect_failure(scene *s, kn_status expected, const char *part) {
    void *kernel;
    kn_error err = KN_ERROR_INIT;
    const kn_host *host = &s->fx.host->table;
    assert_int_equal(kn_engine_get_kernel(s->fx.engine, host, &s->info, &kernel, &err), expected);
    assert_contains(err.message, part);
    assert_int_equal(s->fx.host->calls[FAKE_CALL_IMPORT], 0);
}

static void test_the_next_best_build_is_taken_and_told_once(void **state) {
    scene *s = *state;
    write_build(s, BEST, &newer);
    write_build(s, NEXT, &other);
    write_build(s, LAST, &(elf_recipe){0});
    kn_request request = inference();
    kn_plan *plan = kernelize_plan(&s->fx, s->model, &request);
    kn_decision d = {.size = sizeof d};
    kn_plan_get(plan, 0, &d);
    assert_string_equal(d.variant, LAST);
    assert_contains(d.message, "; '" BEST "' is passed over: its shared object '_fast_1.so' needs "
                               "glibc 2.999 or newer");
    assert_contains(d.message, "; '" NEXT "' is passed over: its shared object '_fast_1.so' was "
                               "built for aarch64");
    kn_plan_release(plan);
    assert_forwards(s->model, "norm=Fast");
    expect_variant(s, LAST);
    assert_int_equal(fake_host_logged(s->fx.host, "'" LAST "' is taken, since '" BEST "'"), 1);
    assert_int_equal(s->fx.host->calls[FAKE_CALL_IMPORT], 1);
    assert_int_equal(s->fx.host->left, 0);
}

static void test_a_failure_tells_each_build_with_its_reason(void **state) {
    scene *s = *state;
    write_build(s, BEST, &newer);
    write_build(s, NEXT, &other);
    expect_failure(s, KN_ERR_NOT_FOUND, "\n  " BEST ": its shared object '_fast_1.so' needs glibc");
    expect_failure(s, KN_ERR_NOT_FOUND, "\n  " NEXT ": its shared object '_fast_1.so' was built");
}

static char *installed(scene *s) {
    char *folder;
    kn_error err = KN_ERROR_INIT;
    const kn_host *host = &s->fx.host->table;
    if (kn_engine_install(s->fx.engine, host, &s->info, &folder, &err)) fail_msg("%s", err.message);
    return folder;
}

static void test_damage_is_told_whatever_other_builds_there_are(void **state) {
    scene *s = *state;
    write_build(s, BEST, NULL);
    scratch_file(&s->scratch, "fast/build/" BEST "/_fast_1.so", "no shared object");
    write_build(s, NEXT, NULL);
    expect_failure(s, KN_ERR_INTEGRITY,
                   "kernel 'fast' variant '" BEST "' cannot be loaded here: its shared object");
    char *folder = installed(s); /* which loads nothing */
    assert_string_equal(strrchr(folder, '/') + 1, BEST);
    kn_text_free(s->fx.engine, folder);
}

static void test_a_gpu_without_code_is_a_reason_unless_that_does_not_matter(void **state) {
    scene *s = *state;
    write_build(s, BEST, &sm80);
    s->fx.host->gpu.capability = 90;
    expect_failure(s, KN_ERR_RUNTIME, "no code for a GPU of compute capability 9.0");
    write_build(s, NEXT, NULL);
    expect_variant(s, NEXT);
    s->info.any_arch = true;
    expect_variant(s, BEST);
}

static void test_unlike_gpus_pass_nothing_over(void **state) {
    scene *s = *state;
    write_build(s, BEST, &sm80);
    write_build(s, NEXT, NULL);
    s->fx.host->gpu.capability = 90;
    s->fx.host->has_unlike_devices = true;
    expect_variant(s, BEST);
}

static void test_a_host_that_cannot_tell_its_gpu_fails_the_call(void **state) {
    scene *s = *state;
    write_build(s, BEST, &sm80);
    write_build(s, NEXT, NULL);
    fake_host_fail(s->fx.host, FAKE_CALL_GPU, 1, KN_ERR_RUNTIME);
    expect_failure(s, KN_ERR_RUNTIME, "");
}

static void test_what_is_only_fetched_may_be_for_another_system(void **state) {
    scene *s = *state;
    write_build(s, BEST, &newer);
    char *folder = installed(s);
    assert_string_equal(strrchr(folder, '/') + 1, BEST);
    kn_text_free(s->fx.engine, folder);
    assert_int_equal(fake_host_logged(s->fx.host, "none of its builds can be loaded here"), 1);
    write_build(s, NEXT, NULL);
    folder = installed(s);
    assert_string_equal(strrchr(folder, '/') + 1, NEXT);
    kn_text_free(s->fx.engine, folder);
}

static void expect_about(scene *s, bool accepted, const char *reason) {
    kn_about *about;
    kn_error err = KN_ERROR_INIT;
    const kn_host *host = &s->fx.host->table;
    if (kn_engine_about(s->fx.engine, host, &s->info, &about, &err)) fail_msg("%s", err.message);
    kn_about_info told = {.size = sizeof told};
    kn_variant best = {.size = sizeof best}, passed = {.size = sizeof passed};
    kn_about_get(about, &told);
    kn_variants_get(told.variants, 0, &best);
    kn_variants_get(told.variants, 1, &passed);
    assert_string_equal(accepted ? passed.name : best.name, BEST);
    assert_int_equal(passed.is_passed_over, accepted);
    if (accepted) assert_contains(passed.reason, reason);
    kn_about_free(about);
}

static void test_a_kernel_tells_what_would_be_passed_over_on_this_machine_only(void **state) {
    scene *s = *state;
    write_build(s, BEST, &newer);
    write_build(s, NEXT, NULL);
    expect_about(s, true, "its shared object '_fast_1.so' needs glibc 2.999");
    s->fx.host->system.elsewhere = true;
    expect_about(s, false, NULL);
    char *folder = installed(s);
    assert_string_equal(strrchr(folder, '/') + 1, BEST);
    kn_text_free(s->fx.engine, folder);
}

/* Native builds for CUDA 12.9, 12.8 and 12.6 on a machine with 12.9 and a driver that nobody asks.
 */
static void test_a_native_kernel_takes_the_next_best_native_build(void **state) {
    scene *s = *state;
    static const kn_system cuda = {.size = sizeof cuda,
                                   .torch_major = -1,
                                   .tvm_ffi_minor = 1,
                                   .backend = "cu129",
                                   .arch = "x86_64",
                                   .os = "linux"};
    const kn_engine_options options = {.size = sizeof options, .system = &cuda};
    kn_engine *engine;
    kn_native *native;
    kn_error err = KN_ERROR_INIT;
    write_build(s, "tvm-ffi01-cu129-x86_64-linux", &newer);
    write_build(s, "tvm-ffi01-cu128-x86_64-linux", NULL);
    write_build(s, "tvm-ffi01-cu126-x86_64-linux", NULL);
    scratch_link(&s->scratch, "fast/build/tvm-ffi01-cu128-x86_64-linux/_fast_1.so", KN_NET_LIBRARY);
    scratch_link(&s->scratch, "fast/build/tvm-ffi01-cu126-x86_64-linux/_fast_1.so", KN_NET_LIBRARY);
    assert_int_equal(kn_engine_new(&options, &engine, &err), KN_OK);
    if (kn_engine_get_native(engine, NULL, &s->info, &native, &err)) fail_msg("%s", err.message);
    kn_native_info told = {.size = sizeof told};
    kn_native_get(native, &told);
    assert_string_equal(told.variant, "tvm-ffi01-cu128-x86_64-linux");
    kn_engine_free(engine, NULL);
}

static kn_status get_anew(const kn_alloc *alloc, void *ctx, kn_error *err) {
    scene *s = ctx;
    const kn_engine_options options = {.size = sizeof options, .alloc = alloc};
    kn_engine *engine;
    void *kernel = NULL;
    kn_status status = kn_engine_new(&options, &engine, err);
    if (status) return status;
    status = kn_engine_get_kernel(engine, &s->fx.host->table, &s->info, &kernel, err);
    if (kernel) fake_release(kernel);
    kn_engine_free(engine, &s->fx.host->table);
    return status;
}

static kn_status about_anew(const kn_alloc *alloc, void *ctx, kn_error *err) {
    scene *s = ctx;
    const kn_engine_options options = {.size = sizeof options, .alloc = alloc};
    kn_engine *engine;
    kn_about *about = NULL;
    kn_status status = kn_engine_new(&options, &engine, err);
    if (status) return status;
    status = kn_engine_about(engine, &s->fx.host->table, &s->info, &about, err);
    kn_about_free(about);
    kn_engine_free(engine, &s->fx.host->table);
    return status;
}

static void test_memory_that_runs_out_is_told(void **state) {
    scene *s = *state;
    write_build(s, BEST, &newer);
    write_build(s, NEXT, &other);
    assert_true(fault_sweep_expecting(get_anew, s, KN_ERR_NOT_FOUND) > 60);
    write_build(s, LAST, NULL);
    assert_true(fault_sweep(about_anew, s) > 40);
    /* What cannot be noted as told is told again, and no failure. */
    bool failed = true;
    for (size_t n = 0; failed; n++) {
        failing_alloc failing;
        failing_alloc_init(&failing, n);
        kn_error err = KN_ERROR_INIT;
        kn_status status = get_anew(&failing.alloc, s, &err);
        assert_int_equal(failing.live, 0);
        failed = failing.failed;
        assert_true(status == KN_OK || (failed && status == KN_ERR_NOMEM));
    }
}

#define build_test(test) cmocka_unit_test_setup_teardown(test, set_scene, clear_scene)

int main(void) {
    const struct CMUnitTest tests[] = {
        build_test(test_the_next_best_build_is_taken_and_told_once),
        build_test(test_a_failure_tells_each_build_with_its_reason),
        build_test(test_damage_is_told_whatever_other_builds_there_are),
        build_test(test_a_gpu_without_code_is_a_reason_unless_that_does_not_matter),
        build_test(test_unlike_gpus_pass_nothing_over),
        build_test(test_a_host_that_cannot_tell_its_gpu_fails_the_call),
        build_test(test_what_is_only_fetched_may_be_for_another_system),
        build_test(test_a_kernel_tells_what_would_be_passed_over_on_this_machine_only),
        build_test(test_a_native_kernel_takes_the_next_best_native_build),
        build_test(test_memory_that_runs_out_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
