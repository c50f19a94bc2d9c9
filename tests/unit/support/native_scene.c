/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L

#include "support/native_scene.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/unit.h"

void native_scene_name_tvm_ffi(const char *path) {
    if (path)
        setenv("KERNELS_TVM_FFI_LIBRARY", path, 1);
    else
        unsetenv("KERNELS_TVM_FFI_LIBRARY");
}

int native_scene_setup(void **state) {
    native_scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scratch_folder_make(&scene->scratch);
    setenv("PATH", "/no/such/folder", 1);
    unsetenv("VIRTUAL_ENV");
    unsetenv("CONDA_PREFIX");
    unsetenv("LOCAL_KERNELS");
    unsetenv("KERNELS_BACKEND");
    native_scene_name_tvm_ffi(NULL);
    failing_alloc_init(&scene->memory, SIZE_MAX);
    const kn_engine_options options = {.size = sizeof options, .alloc = &scene->memory.alloc};
    kn_error err = KN_ERROR_INIT;
    if (kn_engine_new(&options, &scene->engine, &err)) fail_msg("%s", err.message);
    *state = scene;
    return 0;
}

int native_scene_teardown(void **state) {
    native_scene *scene = *state;
    kn_engine_free(scene->engine, NULL);
    assert_int_equal(scene->memory.live, 0);
    scratch_folder_remove(&scene->scratch);
    free(scene);
    return 0;
}

void native_scene_write(native_scene *scene, const char *name, const char *variant,
                        const char *library) {
    char path[300], metadata[200];
    snprintf(path, sizeof path, "%s/build/%s/__init__.py", name, variant);
    scratch_file(&scene->scratch, path, "import tvm_ffi\n");
    snprintf(metadata, sizeof metadata, "{\"id\": \"_%s_cpu_1\", \"name\": \"%s\"}", name, name);
    snprintf(path, sizeof path, "%s/build/%s/metadata.json", name, variant);
    scratch_file(&scene->scratch, path, metadata);
    if (!library) return;
    snprintf(path, sizeof path, "%s/build/%s/_%s_cpu_1.so", name, variant, name);
    scratch_link(&scene->scratch, path, library);
}

static kn_status open_kernel(native_scene *scene, const char *name, kn_native **out,
                             kn_error *err) {
    const kn_repo_info info = {
        .size = sizeof info, .kind = KN_REPO_LOCAL, .id = scratch_path(&scene->scratch, name)};
    return kn_engine_get_native(scene->engine, NULL, &info, out, err);
}

kn_native *native_scene_open(native_scene *scene, const char *name) {
    kn_native *native;
    kn_error err = KN_ERROR_INIT;
    if (open_kernel(scene, name, &native, &err)) fail_msg("%s", err.message);
    assert_non_null(native);
    return native;
}

void native_scene_open_fails(native_scene *scene, const char *name, kn_status status,
                             const char *part) {
    kn_native *native;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(open_kernel(scene, name, &native, &err), status);
    assert_null(native);
    assert_contains(err.message, part);
}

const kn_function *native_scene_find(kn_native *native, const char *name) {
    const kn_function *function;
    kn_error err = KN_ERROR_INIT;
    if (kn_native_find(native, name, &function, &err)) fail_msg("%s", err.message);
    return function;
}
