/* SPDX-License-Identifier: Apache-2.0 */
#include "load/net_library.h"

#include "support/failing_alloc.h"
#include "support/scratch_folder.h"
#include "support/unit.h"

static void test_the_module_is_loaded_and_whole(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    const kni_net *net = NULL, *again = NULL;
    assert_int_equal(kni_net_load(KN_NET_LIBRARY, &net, &err), KN_OK);
    assert_int_equal(net->size, sizeof *net);
    assert_non_null(net->digest_new);
    assert_non_null(net->digest_add);
    assert_non_null(net->digest_finish);
    assert_non_null(net->digest_free);
    assert_non_null(net->toml_to_json);
    assert_non_null(net->transport_new);
    assert_int_equal(kni_net_load(KN_NET_LIBRARY, &again, &err), KN_OK);
    assert_ptr_equal(net, again);

    const kni_serve *serve;
    assert_int_equal(kni_serve_load(KN_NET_LIBRARY, &serve, &err), KN_OK);
    assert_non_null(serve->start);
    assert_non_null(serve->url);
    assert_non_null(serve->port);
    assert_non_null(serve->stop);
}

static void test_a_module_that_is_not_there_says_what_to_do(void **state) {
    (void)state;
    scratch_folder scratch;
    scratch_folder_make(&scratch);
    kn_error err = KN_ERROR_INIT;
    const kni_net *net;
    assert_int_equal(kni_net_load(scratch_path(&scratch, "none.so"), &net, &err), KN_ERR_RUNTIME);
    assert_contains(err.message, "none.so");
    assert_contains(err.message, "install kernels again");
    assert_null(net);
    const kni_serve *serve;
    assert_int_equal(kni_serve_load(scratch_path(&scratch, "none.so"), &serve, &err),
                     KN_ERR_RUNTIME);
    assert_null(serve);
    scratch_folder_remove(&scratch);
}

static void test_the_module_lies_beside_the_library_unless_told_otherwise(void **state) {
    (void)state;
    const kn_alloc *alloc = kni_alloc_or_default(NULL);
    kn_error err = KN_ERROR_INIT;
    char *path;
    assert_int_equal(kni_net_path(NULL, "/elsewhere/net.so", &path, &err), KN_OK);
    assert_string_equal(path, "/elsewhere/net.so");
    kni_free(alloc, path);

    assert_int_equal(kni_net_path(NULL, NULL, &path, &err), KN_OK);
    assert_int_equal(path[0], '/');
    assert_string_equal(strrchr(path, '/'), "/libkernels_net.so");
    kni_free(alloc, path);
}

static kn_status compose(const kn_alloc *alloc, void *ctx, kn_error *err) {
    char *path;
    kn_status status = kni_net_path(alloc, ctx, &path, err);
    kni_free(alloc, path);
    return status;
}

static void test_paths_need_memory(void **state) {
    (void)state;
    char chosen[] = "/x/y.so";
    assert_int_equal(fault_sweep(compose, NULL), 2);
    assert_int_equal(fault_sweep(compose, chosen), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_module_is_loaded_and_whole),
        cmocka_unit_test(test_a_module_that_is_not_there_says_what_to_do),
        cmocka_unit_test(test_the_module_lies_beside_the_library_unless_told_otherwise),
        cmocka_unit_test(test_paths_need_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
