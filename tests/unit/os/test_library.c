/* SPDX-License-Identifier: Apache-2.0 */
#include "os/library.h"

#include "base/error.h"
#include "codec/net.h"
#include "support/failing_alloc.h"
#include "support/scratch_folder.h"
#include "support/unit.h"

static void test_a_function_of_a_library_is_found(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    kni_library *library;
    kni_function function;
    assert_int_equal(kni_library_open(KN_NET_LIBRARY, &library, &err), KN_OK);
    assert_int_equal(kni_library_function(library, KN_NET_LIBRARY, KNI_NET_SYMBOL, &function, &err),
                     KN_OK);
    assert_non_null(function);

    assert_int_equal(kni_library_function(library, KN_NET_LIBRARY, "nowhere", &function, &err),
                     KN_ERR_NOT_FOUND);
    assert_contains(err.message, "has no symbol 'nowhere'");
    assert_null(function);
}

static void test_what_is_no_library_is_told(void **state) {
    (void)state;
    scratch_folder scratch;
    scratch_folder_make(&scratch);
    scratch_file(&scratch, "text.so", "not a library");
    kn_error err = KN_ERROR_INIT;
    kni_library *library;
    assert_int_equal(kni_library_open(scratch_path(&scratch, "none.so"), &library, &err),
                     KN_ERR_NOT_FOUND);
    assert_contains(err.message, "none.so");
    assert_int_equal(kni_library_open(scratch_path(&scratch, "text.so"), &library, &err),
                     KN_ERR_OS);
    assert_contains(err.message, "text.so");
    assert_null(library);
    scratch_folder_remove(&scratch);
}

static void test_a_name_without_a_folder_is_not_searched_for(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    kni_library *library;
    assert_int_equal(kni_library_open("libc.so.6", &library, &err), KN_ERR_VALUE);
    assert_contains(err.message, "not searched for");
}

static void test_the_folder_of_a_function_is_that_of_its_object(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    kni_library *library;
    kni_function function;
    char *folder;
    assert_int_equal(kni_library_open(KN_NET_LIBRARY, &library, &err), KN_OK);
    assert_int_equal(kni_library_function(library, KN_NET_LIBRARY, KNI_NET_SYMBOL, &function, &err),
                     KN_OK);
    assert_int_equal(kni_library_folder(NULL, function, &folder, &err), KN_OK);
    char expected[] = KN_NET_LIBRARY;
    *strrchr(expected, '/') = '\0';
    assert_string_equal(folder, expected);
    kni_free(kni_alloc_or_default(NULL), folder);
}

static kn_status find_own_folder(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    char *folder;
    kn_status status = kni_library_folder(alloc, (kni_function)find_own_folder, &folder, err);
    kni_free(alloc, folder);
    return status;
}

static void test_a_folder_needs_memory(void **state) {
    (void)state;
    assert_int_equal(fault_sweep(find_own_folder, NULL), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_function_of_a_library_is_found),
        cmocka_unit_test(test_what_is_no_library_is_told),
        cmocka_unit_test(test_a_name_without_a_folder_is_not_searched_for),
        cmocka_unit_test(test_the_folder_of_a_function_is_that_of_its_object),
        cmocka_unit_test(test_a_folder_needs_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
