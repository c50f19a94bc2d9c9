/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/source_list.h"

#include <stdio.h>

#include "support/failing_alloc.h"
#include "support/toml_text.h"
#include "support/unit.h"

static kn_status read(const kn_alloc *alloc, const kni_json *document, kni_sources *out,
                      kn_error *err) {
    kni_placed table = kni_placed_document(document, "k.toml"), list;
    *out = (kni_sources){.alloc = alloc};
    assert_non_null(kni_placed_next(&table, NULL, &list));
    return kni_sources_read(out, &list, err);
}

static void test_sources_stand_in_the_order_of_the_file(void **state) {
    (void)state;
    kni_sources s;
    kn_error err = KN_ERROR_INIT;
    kni_json *document = toml_document(
        "[[source]]\nhub = \"https://hub.example.com/\"\ntoken-variable = \"MINE\"\n"
        "[[source]]\ndirectory = \"/srv/kernels/\"\n[[source]]\ndirectory = \"file:///other\"\n"
        "[[source]]\nmirror = \"http://static.example.com:8080/k\"\ntoken-file = \"~/t\"\n",
        "k.toml");
    if (read(kni_alloc_or_default(NULL), document, &s, &err)) fail_msg("%s", err.message);
    assert_int_equal(s.count, 4);
    assert_string_equal(s.items[0].address, "https://hub.example.com");
    assert_false(s.items[0].is_mirror);
    assert_string_equal(s.items[0].token_variable, "MINE");
    assert_int_equal(s.items[0].said.line, 1);
    assert_string_equal(s.items[1].address, "file:///srv/kernels");
    assert_true(s.items[1].is_mirror);
    assert_true(kni_url_is_directory(s.items[1].address));
    assert_string_equal(s.items[2].address, "file:///other");
    assert_string_equal(s.items[3].address, "http://static.example.com:8080/k");
    assert_true(s.items[3].is_mirror);
    assert_false(kni_url_is_directory(s.items[3].address));
    assert_string_equal(s.items[3].token_file, "~/t");
    assert_int_equal(s.items[3].said.line, 8);
    kni_sources_clear(&s);
    kni_json_free(document);
}

static void assert_refused(const char *toml, const char *expected) {
    kni_sources s;
    kn_error err = KN_ERROR_INIT;
    kni_json *document = toml_document(toml, "k.toml");
    assert_int_equal(read(kni_alloc_or_default(NULL), document, &s, &err), KN_ERR_VALUE);
    assert_contains(err.message, expected);
    kni_sources_clear(&s);
    kni_json_free(document);
}

static void test_what_makes_no_sense_is_told_with_its_place(void **state) {
    (void)state;
    assert_refused("source = \"https://x\"\n", "k.toml:1:1: source: expected tables, [[source]]");
    assert_refused("source = [1]\n", "k.toml:1:11: source: expected tables, [[source]]");
    assert_refused("[[source]]\n", "k.toml:1:1: a source without an address");
    assert_refused("[[source]]\nhubs = \"https://x\"\n",
                   "k.toml:2:1: unknown key 'hubs' in [[source]]; did you mean 'hub'?");
    assert_refused("[[source]]\nhub = \"x\"\n", "k.toml:2:1: hub is 'x': expected an address");
    assert_refused("[[source]]\nhub = \"https://user@x\"\n", "expected an address");
    assert_refused("[[source]]\nmirror = \"/srv\"\n", "k.toml:2:1: mirror is '/srv': expected");
    assert_refused("[[source]]\ndirectory = \"srv\"\n",
                   "k.toml:2:1: directory is 'srv': expected an absolute path");
    assert_refused("[[source]]\nhub = \"https://x\"\nmirror = \"https://y\"\n",
                   "k.toml:3:1: a source is one of hub, mirror and directory");
    assert_refused("[[source]]\nhub = 7\n", "k.toml:2:1: hub: expected a text");
    assert_refused("[[source]]\nhub = \"https://x\"\ntoken-file = \"a\"\ntoken-variable = \"b\"\n",
                   "k.toml:1:1: a source with both token-variable and token-file");
    assert_refused("[[source]]\ndirectory = \"/x\"\ntoken-file = \"a\"\n",
                   "k.toml:1:1: a directory needs no token");
}

static void test_there_is_a_limit(void **state) {
    (void)state;
    char toml[2000] = "";
    for (int i = 0; i < KNI_SOURCES_MAX + 1; i++) {
        size_t used = strlen(toml);
        snprintf(toml + used, sizeof toml - used, "[[source]]\nhub = \"https://h%d\"\n", i);
    }
    assert_refused(toml, "k.toml:33:1: more than 16 sources");
}

static void test_addresses_in_a_mirror_are_those_of_a_cache(void **state) {
    (void)state;
    const kn_alloc *alloc = kni_alloc_or_default(NULL);
    char *url = kni_url_mirror(alloc, "https://x.test/k", KNI_REPO_KERNEL, "org/name",
                               "snapshots/1/build/a b+c.so");
    assert_string_equal(url, "https://x.test/k/kernels--org--name/snapshots/1/build/a%20b%2Bc.so");
    kni_free(alloc, url);
    url = kni_url_mirror(alloc, "file:///srv", KNI_REPO_MODEL, "org/name", "refs/a b");
    assert_string_equal(url, "file:///srv/models--org--name/refs/a b");
    kni_free(alloc, url);
}

static void test_a_ref_of_a_mirror_is_a_commit(void **state) {
    (void)state;
    char commit[KNI_COMMIT_MAX];
    kn_error err = KN_ERROR_INIT;
    const char *text = "94986c119039ea0cb65592c210c57255de1089eb\n";
    assert_int_equal(kni_mirror_ref_parse(text, strlen(text), "x", commit, &err), KN_OK);
    assert_string_equal(commit, "94986c119039ea0cb65592c210c57255de1089eb");
    const char *const wrong[] = {"", "\n", "main", "<html>",
                                 "94986c119039ea0cb65592c210c57255de1089eb 1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(kni_mirror_ref_parse(wrong[i], strlen(wrong[i]), "x", commit, &err),
                         KN_ERR_NETWORK);
        assert_string_equal(commit, "");
        assert_string_equal(err.message, "x: expected the id of a commit in the mirror's file");
    }
}

static kn_status read_and_clear(const kn_alloc *alloc, void *document, kn_error *err) {
    kni_sources s;
    kn_status status = read(alloc, document, &s, err);
    kni_sources_clear(&s);
    return status;
}

static void test_lack_of_memory_is_told(void **state) {
    (void)state;
    kni_json *document = toml_document("[[source]]\nhub = \"https://x\"\ntoken-file = \"a\"\n"
                                       "[[source]]\ndirectory = \"/x\"\n",
                                       "k.toml");
    assert_true(fault_sweep(read_and_clear, document) > 3);
    kni_json_free(document);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources_stand_in_the_order_of_the_file),
        cmocka_unit_test(test_what_makes_no_sense_is_told_with_its_place),
        cmocka_unit_test(test_there_is_a_limit),
        cmocka_unit_test(test_addresses_in_a_mirror_are_those_of_a_cache),
        cmocka_unit_test(test_a_ref_of_a_mirror_is_a_commit),
        cmocka_unit_test(test_lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
