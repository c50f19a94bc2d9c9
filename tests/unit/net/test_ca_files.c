/* SPDX-License-Identifier: Apache-2.0 */
#include "net/ca_files.h"

#include <stdlib.h>

#include "support/scratch_folder.h"
#include "support/unit.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void test_the_first_variable_that_is_set_wins(void **state) {
    (void)state;
    const kni_ca_candidate candidates[] = {
        {"SSL_CERT_FILE", NULL, KNI_CA_NOTHING},
        {"REQUESTS_CA_BUNDLE", "/a/requests.pem", KNI_CA_FILE},
        {"CURL_CA_BUNDLE", "/a/curl.pem", KNI_CA_FILE},
        {NULL, "/etc/system.crt", KNI_CA_FILE},
    };
    kn_error err = KN_ERROR_INIT;
    kni_ca ca;
    assert_int_equal(kni_ca_choose(candidates, COUNT(candidates), NULL, &ca, &err), KN_OK);
    assert_string_equal(ca.file, "/a/requests.pem");
    assert_null(ca.folder);
}

static void test_places_that_do_not_exist_are_passed_over(void **state) {
    (void)state;
    const kni_ca_candidate candidates[] = {
        {"SSL_CERT_FILE", NULL, KNI_CA_NOTHING},
        {NULL, NULL, KNI_CA_NOTHING},
        {NULL, "/site/certifi/cacert.pem", KNI_CA_NOTHING},
        {NULL, "/etc/first.crt", KNI_CA_NOTHING},
        {NULL, "/etc/second.crt", KNI_CA_FILE},
        {NULL, "/etc/third.crt", KNI_CA_FILE},
    };
    kn_error err = KN_ERROR_INIT;
    kni_ca ca;
    assert_int_equal(kni_ca_choose(candidates, COUNT(candidates), NULL, &ca, &err), KN_OK);
    assert_string_equal(ca.file, "/etc/second.crt");
}

static void test_a_variable_may_name_a_folder(void **state) {
    (void)state;
    const kni_ca_candidate candidates[] = {
        {"REQUESTS_CA_BUNDLE", "/a/certs", KNI_CA_FOLDER},
        {NULL, "/etc/system.crt", KNI_CA_FILE},
    };
    kn_error err = KN_ERROR_INIT;
    kni_ca ca;
    assert_int_equal(kni_ca_choose(candidates, COUNT(candidates), NULL, &ca, &err), KN_OK);
    assert_null(ca.file);
    assert_string_equal(ca.folder, "/a/certs");
}

static void test_the_folder_goes_with_a_file_or_stands_alone(void **state) {
    (void)state;
    const kni_ca_candidate candidates[] = {{NULL, "/etc/system.crt", KNI_CA_FILE}};
    kn_error err = KN_ERROR_INIT;
    kni_ca ca;
    assert_int_equal(kni_ca_choose(candidates, 1, "/more", &ca, &err), KN_OK);
    assert_string_equal(ca.file, "/etc/system.crt");
    assert_string_equal(ca.folder, "/more");
    assert_int_equal(kni_ca_choose(candidates, 0, "/more", &ca, &err), KN_OK);
    assert_null(ca.file);
    assert_string_equal(ca.folder, "/more");
}

static void test_a_variable_that_names_nothing_is_an_error_with_its_name(void **state) {
    (void)state;
    const kni_ca_candidate candidates[] = {
        {"REQUESTS_CA_BUNDLE", "/gone.pem", KNI_CA_NOTHING},
        {NULL, "/etc/system.crt", KNI_CA_FILE},
    };
    kn_error err = KN_ERROR_INIT;
    kni_ca ca;
    assert_int_equal(kni_ca_choose(candidates, COUNT(candidates), "/more", &ca, &err),
                     KN_ERR_NETWORK);
    assert_contains(err.message, "REQUESTS_CA_BUNDLE is '/gone.pem', but nothing is there");
    assert_null(ca.file);
    assert_null(ca.folder);
}

static void test_none_at_all_is_an_error_that_says_what_to_set(void **state) {
    (void)state;
    const kni_ca_candidate candidates[] = {
        {"SSL_CERT_FILE", NULL, KNI_CA_NOTHING},
        {NULL, "/etc/system.crt", KNI_CA_NOTHING},
    };
    kn_error err = KN_ERROR_INIT;
    kni_ca ca;
    assert_int_equal(kni_ca_choose(candidates, COUNT(candidates), NULL, &ca, &err), KN_ERR_NETWORK);
    assert_contains(err.message, "set SSL_CERT_FILE or REQUESTS_CA_BUNDLE");
    assert_contains(err.message, "certifi");
}

/* ---- over this process's environment and files ---- */

static void clear_variables(void) {
    static const char *const names[] = {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
                                        "SSL_CERT_DIR"};
    for (size_t i = 0; i < COUNT(names); i++) unsetenv(names[i]);
}

static void test_the_order_is_ssl_cert_file_requests_curl_certifi(void **state) {
    (void)state;
    scratch_folder scratch;
    scratch_folder_make(&scratch);
    static const char *const names[] = {"ssl.pem", "requests.pem", "curl.pem", "certifi.pem"};
    char *paths[COUNT(names)];
    for (size_t i = 0; i < COUNT(names); i++) {
        scratch_file(&scratch, names[i], "");
        paths[i] = strdup(scratch_path(&scratch, names[i]));
        assert_non_null(paths[i]);
    }
    kn_error err = KN_ERROR_INIT;
    kni_ca ca;
    clear_variables();
    assert_int_equal(kni_ca_find(paths[3], &ca, &err), KN_OK);
    assert_string_equal(ca.file, paths[3]);
    setenv("CURL_CA_BUNDLE", paths[2], 1);
    assert_int_equal(kni_ca_find(paths[3], &ca, &err), KN_OK);
    assert_string_equal(ca.file, paths[2]);
    setenv("REQUESTS_CA_BUNDLE", paths[1], 1);
    assert_int_equal(kni_ca_find(paths[3], &ca, &err), KN_OK);
    assert_string_equal(ca.file, paths[1]);
    setenv("SSL_CERT_FILE", paths[0], 1);
    setenv("SSL_CERT_DIR", "/more", 1);
    assert_int_equal(kni_ca_find(paths[3], &ca, &err), KN_OK);
    assert_string_equal(ca.file, paths[0]);
    assert_string_equal(ca.folder, "/more");
    clear_variables();
    for (size_t i = 0; i < COUNT(names); i++) free(paths[i]);
    scratch_folder_remove(&scratch);
}

static void test_a_variable_that_names_nothing_does_not_fall_back(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    kni_ca ca;
    clear_variables();
    setenv("REQUESTS_CA_BUNDLE", "/no/such/file.pem", 1);
    assert_int_equal(kni_ca_find(NULL, &ca, &err), KN_ERR_NETWORK);
    assert_contains(err.message, "REQUESTS_CA_BUNDLE is '/no/such/file.pem'");
    clear_variables();
}

static void test_certifi_is_looked_for_beside_the_package(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    char *path;
    assert_int_equal(kni_ca_certifi(kni_alloc_or_default(NULL), &path, &err), KN_OK);
    assert_int_equal(path[0], '/');
    assert_contains(path, "/../certifi/cacert.pem");
    kni_free(kni_alloc_or_default(NULL), path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_variable_that_is_set_wins),
        cmocka_unit_test(test_places_that_do_not_exist_are_passed_over),
        cmocka_unit_test(test_a_variable_may_name_a_folder),
        cmocka_unit_test(test_the_folder_goes_with_a_file_or_stands_alone),
        cmocka_unit_test(test_a_variable_that_names_nothing_is_an_error_with_its_name),
        cmocka_unit_test(test_none_at_all_is_an_error_that_says_what_to_set),
        cmocka_unit_test(test_the_order_is_ssl_cert_file_requests_curl_certifi),
        cmocka_unit_test(test_a_variable_that_names_nothing_does_not_fall_back),
        cmocka_unit_test(test_certifi_is_looked_for_beside_the_package),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
