/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels with native builds in a scratch folder, and an engine that opens them, whose memory is
 * counted. No Python environment is found, and libtvm_ffi is where a test says. */
#ifndef TEST_NATIVE_SCENE_H
#define TEST_NATIVE_SCENE_H

#include <kernels/native.h>

#include "support/failing_alloc.h"
#include "support/scratch_folder.h"

#define NATIVE_VARIANT "tvm-ffi01-cpu-x86_64-linux"

typedef struct native_scene {
    failing_alloc memory; /* the engine's */
    scratch_folder scratch;
    kn_engine *engine;
} native_scene;

/* For cmocka: *state is a native_scene. The teardown asserts that no memory was leaked. */
int native_scene_setup(void **state);
int native_scene_teardown(void **state);

#define native_test(test) \
    cmocka_unit_test_setup_teardown(test, native_scene_setup, native_scene_teardown)

/* Where KERNELS_TVM_FFI_LIBRARY says that libtvm_ffi is; NULL: it is not set. */
void native_scene_name_tvm_ffi(const char *path);

/* The kernel `name` with a build for `variant`, whose library is a link to `library`. */
void native_scene_write(native_scene *scene, const char *name, const char *variant,
                        const char *library);

/* Asserts that it opens, or does not. */
kn_native *native_scene_open(native_scene *scene, const char *name);
void native_scene_open_fails(native_scene *scene, const char *name, kn_status status,
                             const char *part);
const kn_function *native_scene_find(kn_native *native, const char *name);

#endif
