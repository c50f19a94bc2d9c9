/* SPDX-License-Identifier: Apache-2.0 */
/* A libtvm_ffi of a version that is not known here. It stays in the process, so the program has no
 * other tests. */
#include <kernels/native.h>

#include "support/native_scene.h"
#include "support/unit.h"

static void test_kernels_of_another_abi_are_not_called(void **state) {
    native_scene *scene = *state;
    native_scene_name_tvm_ffi(KN_FAKE_TVM_FFI_LATER);
    kn_system system;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_engine_native_system(scene->engine, &system, &err), KN_OK);
    assert_int_equal(system.tvm_ffi_minor, 9); /* the library says so */
    native_scene_write(scene, "linked", "tvm-ffi09-cpu-x86_64-linux", KN_FIXTURE_LINKED);
    native_scene_open_fails(scene, "linked", KN_ERR_UNSUPPORTED,
                            "the libtvm_ffi here is of tvm-ffi 0.9.7, and native kernels are "
                            "called by the ABI of 0.1");
    const kn_tensor_device device = {KN_TENSOR_CUDA, 0};
    assert_int_equal(kn_engine_set_stream(scene->engine, device, NULL, NULL, &err),
                     KN_ERR_UNSUPPORTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {native_test(test_kernels_of_another_abi_are_not_called)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
