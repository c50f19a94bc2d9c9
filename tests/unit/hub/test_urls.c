/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "hub/endpoint.h"
#include "support/failing_alloc.h"
#include "support/unit.h"

#define HUB "https://huggingface.co"
#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static const kn_alloc *memory(void) { return kni_alloc_or_default(NULL); }

static void assert_url(char *url, const char *expected) {
    assert_non_null(url);
    assert_string_equal(url, expected);
    kni_free(memory(), url);
}

static void assert_joined(const char *base, const char *location, const char *expected) {
    assert_url(kni_url_join(memory(), base, location), expected);
}

static void assert_no_url(const char *base, const char *location) {
    char *url = kni_url_join(memory(), base, location);
    if (url) fail_msg("'%s' at '%s' became '%s'", location, base, url);
}

static void test_addresses_of_the_api(void **state) {
    (void)state;
    assert_url(kni_url_publisher(memory(), HUB, "org/name"),
               "https://huggingface.co/api/organizations/org/overview");
    assert_url(kni_url_refs(memory(), HUB, KNI_REPO_KERNEL, "org/name"),
               "https://huggingface.co/api/kernels/org/name/refs");
    assert_url(kni_url_refs(memory(), HUB, KNI_REPO_MODEL, "org/name"),
               "https://huggingface.co/api/models/org/name/refs");
    assert_url(kni_url_revision(memory(), HUB, KNI_REPO_KERNEL, "org/name", "main"),
               "https://huggingface.co/api/kernels/org/name/revision/main");
    assert_url(kni_url_tree(memory(), HUB, KNI_REPO_KERNEL, "org/name", COMMIT),
               "https://huggingface.co/api/kernels/org/name/tree/" COMMIT
               "?recursive=true&expand=false");
    assert_url(kni_url_refs(memory(), "http://127.0.0.1:8080/mirror", KNI_REPO_MODEL, "o/n"),
               "http://127.0.0.1:8080/mirror/api/models/o/n/refs");
}

static void test_addresses_of_files(void **state) {
    (void)state;
    assert_url(kni_url_file(memory(), HUB, KNI_REPO_KERNEL, "org/name", COMMIT,
                            "build/torch-cpu/__init__.py"),
               "https://huggingface.co/kernels/org/name/resolve/" COMMIT
               "/build/torch-cpu/__init__.py");
    assert_url(kni_url_file(memory(), HUB, KNI_REPO_MODEL, "org/name", COMMIT, "README.md"),
               "https://huggingface.co/org/name/resolve/" COMMIT "/README.md");
}

static void test_names_are_percent_encoded(void **state) {
    (void)state;
    assert_url(kni_url_file(memory(), HUB, KNI_REPO_MODEL, "o/n", COMMIT,
                            "a b/c?d#e%20f&g=h+i/\xC3\xA9~-._"),
               "https://huggingface.co/o/n/resolve/" COMMIT
               "/a%20b/c%3Fd%23e%2520f%26g%3Dh%2Bi/%C3%A9~-._");
    assert_url(kni_url_revision(memory(), HUB, KNI_REPO_KERNEL, "o/n", "refs/pr/1"),
               "https://huggingface.co/api/kernels/o/n/revision/refs%2Fpr%2F1");
    assert_url(kni_url_revision(memory(), HUB, KNI_REPO_KERNEL, "o/n", "v1?\r\nX: y"),
               "https://huggingface.co/api/kernels/o/n/revision/v1%3F%0D%0AX%3A%20y");
    assert_url(kni_url_publisher(memory(), HUB, "a b?/n"),
               "https://huggingface.co/api/organizations/a%20b%3F/overview");
    assert_url(kni_url_refs(memory(), HUB, KNI_REPO_KERNEL, "o?/n#"),
               "https://huggingface.co/api/kernels/o%3F/n%23/refs");
}

/* The examples of RFC 3986, sections 5.4.1 and 5.4.2, as far as they stay with http. */
static void test_references_are_resolved_as_the_rfc_says(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"http:g", NULL},
        {"g:h", NULL},
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g/"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"#s", "http://a/b/c/d;p?q"},
        {"g#s", "http://a/b/c/g"},
        {"g?y#s", "http://a/b/c/g?y"},
        {";x", "http://a/b/c/;x"},
        {"g;x", "http://a/b/c/g;x"},
        {"g;x?y#s", "http://a/b/c/g;x?y"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../", "http://a/"},
        {"../../g", "http://a/g"},
        {"../../../g", "http://a/g"},
        {"../../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {".g", "http://a/b/c/.g"},
        {"g..", "http://a/b/c/g.."},
        {"..g", "http://a/b/c/..g"},
        {"./../g", "http://a/b/g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/./h", "http://a/b/c/g/h"},
        {"g/../h", "http://a/b/c/h"},
        {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
        {"g;x=1/../y", "http://a/b/c/y"},
        {"g?y/./x", "http://a/b/c/g?y/./x"},
        {"g?y/../x", "http://a/b/c/g?y/../x"},
        {"g#s/../x", "http://a/b/c/g"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (cases[i][1])
            assert_joined("http://a/b/c/d;p?q", cases[i][0], cases[i][1]);
        else
            assert_no_url("http://a/b/c/d;p?q", cases[i][0]);
    }
}

static void test_what_hubs_answer_with_is_joined(void **state) {
    (void)state;
    const char *base = HUB "/kernels/org/name/resolve/main/x.so";
    assert_joined(base, "/api/resolve-cache/kernels/org/name/" COMMIT "/x.so?etag=%22a%22",
                  HUB "/api/resolve-cache/kernels/org/name/" COMMIT "/x.so?etag=%22a%22");
    assert_joined(base, "https://cas-bridge.xethub.hf.co/a?X-Sig=b%2Fc&d=e~f",
                  "https://cas-bridge.xethub.hf.co/a?X-Sig=b%2Fc&d=e~f");
    assert_joined(base, "HTTP://Example.org:80/A", "http://Example.org/A");
    assert_joined("https://h", "a", "https://h/a");
    assert_joined("https://h?q", "?r", "https://h/?r");
    assert_joined("https://h:8443/a/b", "c", "https://h:8443/a/c");
    assert_joined("https://h:443/a/b", "c", "https://h/a/c");
    assert_joined("http://[::1]:8080/a", "b", "http://[::1]:8080/b");
    assert_joined(base, "//other.org:/x", "https://other.org/x");
}

static void test_blanks_and_utf8_in_a_location_are_encoded(void **state) {
    (void)state;
    assert_joined(HUB "/a/b", "c d/\xC3\xA9?f=\xC3\xA9 g", HUB "/a/c%20d/%C3%A9?f=%C3%A9%20g");
}

static void test_what_must_not_be_asked_is_no_address(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "file:///etc/passwd",
        "ftp://h/a",
        "javascript:alert(1)",
        "https:/h/a",
        "https://",
        "https:///a",
        "http://?q",
        "https://user@h/a",
        "https://user:pass@h/a",
        "//user@h/a",
        "https://h\\@evil.org/",
        "/a\\b",
        "/a\r\nX-Token: b",
        "/a\tb",
        "/a\x7F",
        "https://h:0/",
        "https://h:65536/",
        "https://h:123456/",
        "https://h:8a/",
        "https://h:-1/",
        "https://h h/",
        "https://h%41/",
        "https://\xC3\xA9/",
        "https://[::1/",
        "https://[]/",
        "https://[::1]x/",
        "https://[g]/",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_no_url(HUB "/a/b", bad[i]);
        if (*bad[i] != '/') assert_no_url(bad[i], "https://h/");
    }
}

static void test_an_address_has_at_most_16384_bytes(void **state) {
    (void)state;
    char *location = malloc(16386);
    assert_non_null(location);
    memset(location, 'a', 16385);
    location[0] = '/';
    location[16384] = '\0';
    char *url = kni_url_join(memory(), HUB, location);
    assert_non_null(url);
    assert_int_equal(strlen(url), 22 + 16384);
    kni_free(memory(), url);
    location[16384] = 'a';
    location[16385] = '\0';
    assert_no_url(HUB, location);
    free(location);
}

static void test_an_origin_is_scheme_host_and_port(void **state) {
    (void)state;
    assert_true(kni_url_same_origin(HUB, HUB "/a?b#c"));
    assert_true(kni_url_same_origin(HUB "/x", "HTTPS://HuggingFace.co:443/y"));
    assert_true(kni_url_same_origin("http://h:80", "http://h"));
    assert_true(kni_url_same_origin("http://[::1]:8080/a", "http://[::1]:8080/b"));
    assert_false(kni_url_same_origin(HUB, "http://huggingface.co"));
    assert_false(kni_url_same_origin(HUB, "http://huggingface.co:443"));
    assert_false(kni_url_same_origin(HUB, "https://huggingface.co:8443"));
    assert_false(kni_url_same_origin(HUB, "https://cdn.huggingface.co"));
    assert_false(kni_url_same_origin(HUB, "https://huggingface.co.evil.org"));
    assert_false(kni_url_same_origin(HUB, "https://huggingface.co@evil.org/"));
    assert_false(kni_url_same_origin(HUB, "https://huggingface.co:pass@evil.org/"));
    assert_false(kni_url_same_origin(HUB, "/a"));
    assert_false(kni_url_same_origin("", ""));
    assert_false(kni_url_same_origin("file:///a", "file:///a"));
}

static kn_status make_addresses(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    char *urls[] = {
        kni_url_publisher(alloc, HUB, "org/name"),
        kni_url_refs(alloc, HUB, KNI_REPO_KERNEL, "org/name"),
        kni_url_revision(alloc, HUB, KNI_REPO_MODEL, "org/name", "main"),
        kni_url_tree(alloc, HUB, KNI_REPO_KERNEL, "org/name", COMMIT),
        kni_url_file(alloc, HUB, KNI_REPO_KERNEL, "org/name", COMMIT, "a/b c"),
        kni_url_join(alloc, HUB ":8080/a", "b/../c d?e"),
    };
    bool complete = true;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        if (!urls[i]) complete = false;
        kni_free(alloc, urls[i]);
    }
    if (complete) return KN_OK;
    kn_error none = {sizeof none, KN_ERR_NOMEM, "no memory"};
    *err = none;
    return KN_ERR_NOMEM;
}

static void test_addresses_without_memory_are_null(void **state) {
    (void)state;
    assert_true(fault_sweep(make_addresses, NULL) >= 12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_of_the_api),
        cmocka_unit_test(test_addresses_of_files),
        cmocka_unit_test(test_names_are_percent_encoded),
        cmocka_unit_test(test_references_are_resolved_as_the_rfc_says),
        cmocka_unit_test(test_what_hubs_answer_with_is_joined),
        cmocka_unit_test(test_blanks_and_utf8_in_a_location_are_encoded),
        cmocka_unit_test(test_what_must_not_be_asked_is_no_address),
        cmocka_unit_test(test_an_address_has_at_most_16384_bytes),
        cmocka_unit_test(test_an_origin_is_scheme_host_and_port),
        cmocka_unit_test(test_addresses_without_memory_are_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
