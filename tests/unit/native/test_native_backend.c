/* SPDX-License-Identifier: Apache-2.0 */
/* Which build a program without Python gets by default, on machines with and without GPUs. */
#define _POSIX_C_SOURCE 200809L

#include <dlfcn.h>
#include <kernels/native.h>
#include <stdlib.h>

#include "support/native_scene.h"
#include "support/unit.h"

#define CUDA_VARIANT "tvm-ffi01-cu126-x86_64-linux"

/* A machine whose CUDA driver, of 12.8, has those devices, and what KERNELS_BACKEND is there. */
static void set_machine(const char *devices, const char *backend) {
    setenv("FAKE_CUDA", devices, 1);
    setenv("FAKE_CUDA_INIT", "0", 1);
    if (backend)
        setenv("KERNELS_BACKEND", backend, 1);
    else
        unsetenv("KERNELS_BACKEND");
}

static void assert_backend(const char *option, const char *expected) {
    const kn_engine_options options = {.size = sizeof options, .backend = option};
    kn_engine *engine;
    kn_system system;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_engine_new(&options, &engine, &err), KN_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kn_engine_native_system(engine, &system, &err), KN_OK);
        assert_string_equal(system.backend, expected);
        assert_int_equal(system.torch_major, -1);
    }
    kn_engine_free(engine, NULL);
}

static void test_where_the_driver_has_a_device_the_default_is_cuda(void **state) {
    (void)state;
    set_machine("80 90", NULL);
    assert_backend(NULL, "cu128");
}

static void test_where_it_has_none_or_does_not_start_the_default_is_the_cpu(void **state) {
    (void)state;
    set_machine("", NULL);
    assert_backend(NULL, "cpu");
    set_machine("80", NULL);
    setenv("FAKE_CUDA_INIT", "100", 1); /* CUDA_ERROR_NO_DEVICE */
    assert_backend(NULL, "cpu");
    setenv("FAKE_CUDA_INIT", "999", 1); /* CUDA_ERROR_UNKNOWN */
    assert_backend(NULL, "cpu");
}

static void test_the_environment_and_before_it_the_program_name_another_backend(void **state) {
    (void)state;
    set_machine("80", "cpu");
    assert_backend(NULL, "cpu");
    assert_backend("cu126", "cu126");
    set_machine("", "rocm64");
    assert_backend(NULL, "rocm64");
}

static void test_a_name_that_is_no_backend_is_an_error_that_says_where_it_stands(void **state) {
    native_scene *scene = *state;
    kn_system system;
    kn_engine *engine;
    kn_error err = KN_ERROR_INIT;
    set_machine("80", "cuda");
    assert_int_equal(kn_engine_native_system(scene->engine, &system, &err), KN_ERR_VALUE);
    assert_contains(err.message, "KERNELS_BACKEND names the backend 'cuda': expected cpu, cuNNN");
    const kn_engine_options options = {.size = sizeof options, .backend = ""};
    assert_int_equal(kn_engine_new(&options, &engine, &err), KN_ERR_VALUE);
    assert_null(engine);
    assert_contains(err.message, "kn_engine_options names the backend '': expected cpu, cuNNN");
    set_machine("80", NULL);
    assert_int_equal(kn_engine_native_system(scene->engine, &system, &err), KN_OK);
    assert_string_equal(system.backend, "cu128");
}

/* Opens it for a backend; NULL: the default. */
static kn_status open_for(native_scene *scene, const char *backend, kn_native **out,
                          kn_error *err) {
    const kn_repo_info info = {.size = sizeof info,
                               .kind = KN_REPO_LOCAL,
                               .id = scratch_path(&scene->scratch, "plain"),
                               .backend = backend};
    return kn_engine_get_native(scene->engine, NULL, &info, out, err);
}

static void assert_variant(native_scene *scene, const char *backend, const char *variant) {
    kn_native *native;
    kn_native_info info = {.size = sizeof info};
    kn_error err = KN_ERROR_INIT;
    if (open_for(scene, backend, &native, &err)) fail_msg("%s", err.message);
    kn_native_get(native, &info);
    assert_string_equal(info.variant, variant);
}

static void test_a_gpu_gets_the_build_for_it_and_the_cpus_when_that_is_named(void **state) {
    native_scene *scene = *state;
    set_machine("80", NULL);
    native_scene_write(scene, "plain", NATIVE_VARIANT, KN_FIXTURE_PLAIN);
    native_scene_write(scene, "plain", CUDA_VARIANT, KN_FIXTURE_PLAIN);
    assert_variant(scene, NULL, CUDA_VARIANT);
    assert_variant(scene, "cuda", CUDA_VARIANT);
    assert_variant(scene, "cpu", NATIVE_VARIANT);
}

/* Its functions would be given tensors of the GPU. */
static void test_a_gpu_does_not_get_the_cpus_build_unasked(void **state) {
    native_scene *scene = *state;
    kn_native *native;
    kn_error err = KN_ERROR_INIT;
    set_machine("80", NULL);
    native_scene_write(scene, "plain", NATIVE_VARIANT, KN_FIXTURE_PLAIN);
    assert_int_equal(open_for(scene, NULL, &native, &err), KN_ERR_NOT_FOUND);
    assert_contains(err.message, "this is no torch, tvm-ffi 0.1, cu128, x86_64-linux");
    assert_contains(err.message, "backend (cpu) does not match selected backend (cu128)");
    assert_variant(scene, "cpu", NATIVE_VARIANT);
}

static void test_a_build_without_code_for_the_drivers_gpu_is_refused(void **state) {
    native_scene *scene = *state;
    kn_native *native;
    kn_error err = KN_ERROR_INIT;
    native_scene_write(scene, "plain", CUDA_VARIANT, KN_FIXTURE_PLAIN);
    scratch_file(&scene->scratch, "plain/build/" CUDA_VARIANT "/metadata.json",
                 "{\"id\": \"_plain_cpu_1\", \"name\": \"plain\", "
                 "\"backend\": {\"type\": \"cuda\", \"archs\": [\"9.0\"]}}");
    set_machine("80", NULL);
    assert_int_equal(open_for(scene, NULL, &native, &err), KN_ERR_RUNTIME);
    assert_contains(err.message, "9.0");
    set_machine("90", NULL);
    assert_variant(scene, NULL, CUDA_VARIANT);
}

int main(void) {
    /* From now on it is what is loaded under the name libcuda.so.1. */
    if (!dlopen(KN_FAKE_CUDA, RTLD_NOW | RTLD_NODELETE)) return 1;
    const struct CMUnitTest tests[] = {
        native_test(test_where_the_driver_has_a_device_the_default_is_cuda),
        native_test(test_where_it_has_none_or_does_not_start_the_default_is_the_cpu),
        native_test(test_the_environment_and_before_it_the_program_name_another_backend),
        native_test(test_a_name_that_is_no_backend_is_an_error_that_says_where_it_stands),
        native_test(test_a_gpu_gets_the_build_for_it_and_the_cpus_when_that_is_named),
        native_test(test_a_gpu_does_not_get_the_cpus_build_unasked),
        native_test(test_a_build_without_code_for_the_drivers_gpu_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
