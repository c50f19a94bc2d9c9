/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/metadata.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/failing_alloc.h"
#include "support/unit.h"

static kn_status parse_depends(const char *depends, kn_metadata **out, kn_error *err) {
    char text[2000];
    int length = snprintf(text, sizeof text,
                          "{\"id\": \"a_b\", \"name\": \"a-b\", \"kernel-depends\": %s}", depends);
    assert_true(length > 0 && (size_t)length < sizeof text);
    return kn_metadata_parse(NULL, text, (size_t)length, "metadata.json", out, err);
}

static void assert_depend(const char *entry, const char *repo_id, int64_t version,
                          const char *revision) {
    char text[500];
    snprintf(text, sizeof text, "[%s]", entry);
    kn_metadata *metadata;
    kn_error err = KN_ERROR_INIT;
    if (parse_depends(text, &metadata, &err)) fail_msg("%s", err.message);
    assert_int_equal(kn_metadata_kernel_depends_count(metadata), 1);
    kn_kernel_depend depend = {.size = sizeof depend};
    kn_metadata_kernel_depends(metadata, 0, &depend);
    assert_string_equal(depend.repo_id, repo_id);
    assert_int_equal(depend.version, version);
    if (revision)
        assert_string_equal(depend.revision, revision);
    else
        assert_null(depend.revision);
    kn_metadata_free(metadata);
}

static void assert_refused(const char *depends, const char *part) {
    kn_metadata *metadata;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(parse_depends(depends, &metadata, &err), KN_ERR_VALUE);
    assert_null(metadata);
    assert_contains(err.message, "metadata.json: 'kernel-depends'");
    assert_contains(err.message, part);
}

static void test_a_version_or_a_revision_is_taken(void **state) {
    (void)state;
    assert_depend("{\"repo-id\": \"o/n\", \"version\": 3}", "o/n", 3, NULL);
    assert_depend("{\"version\": 0, \"repo-id\": \"o/n\"}", "o/n", 0, NULL);
    assert_depend("{\"repo-id\": \"o/n\", \"revision\": \"main\"}", "o/n", -1, "main");
    assert_depend("{\"repo-id\": \"o/n\", \"version\": null, \"revision\": \"v1\"}", "o/n", -1,
                  "v1");
    assert_depend("{\"repo-id\": \"o/n\", \"version\": 2, \"revision\": null}", "o/n", 2, NULL);
}

static void test_a_malformed_entry_is_refused_and_named(void **state) {
    (void)state;
    assert_refused("{}", "is no list");
    assert_refused("null", "is no list");
    assert_refused("\"o/n\"", "is no list");
    assert_refused("[\"o/n\"]", "entry 1 has no text 'repo-id'");
    assert_refused("[{}]", "entry 1 has no text 'repo-id'");
    assert_refused("[{\"repo-id\": \"\", \"version\": 1}]", "entry 1 has no text 'repo-id'");
    assert_refused("[{\"repo-id\": 1, \"version\": 1}]", "entry 1 has no text 'repo-id'");
    assert_refused("[{\"repo-id\": \"o/n\"}]", "entry 1 needs either a 'version' or a 'revision'");
    assert_refused("[{\"repo-id\": \"o/n\", \"version\": 1}, {\"repo-id\": \"o/m\"}]",
                   "entry 2 needs either");
    assert_refused("[{\"repo-id\": \"o/n\", \"version\": 1, \"revision\": \"x\"}]",
                   "mutually exclusive");
    assert_refused("[{\"repo-id\": \"o/n\", \"version\": \"1\"}]", "'version' that is no whole");
    assert_refused("[{\"repo-id\": \"o/n\", \"version\": -1}]", "'version' that is no whole");
    assert_refused("[{\"repo-id\": \"o/n\", \"version\": 1.0}]", "'version' that is no whole");
    assert_refused("[{\"repo-id\": \"o/n\", \"revision\": 5}]", "'revision' that is no text");
    assert_refused("[{\"repo-id\": \"o/n\", \"revision\": \"\"}]", "'revision' that is no text");
}

static void test_a_field_that_may_change_what_is_loaded_is_not_passed_over(void **state) {
    (void)state;
    assert_refused("[{\"repo-id\": \"o/n\", \"version\": 1, \"commit\": \"abc\"}]",
                   "entry 1 has a field 'commit' that this version does not know");
    assert_refused("[{\"repo_id\": \"o/n\", \"version\": 1}]", "has a field 'repo_id'");
}

static kn_status parse_many(size_t count, kn_metadata **out, kn_error *err) {
    static const char head[] = "{\"id\": \"a_b\", \"name\": \"a-b\", \"kernel-depends\": [";
    static const char entry[] = "{\"repo-id\": \"o/n\", \"version\": 1},";
    char *text = malloc(sizeof head + count * sizeof entry + 8);
    assert_non_null(text);
    memcpy(text, head, sizeof head);
    char *at = text + sizeof head - 1;
    for (size_t i = 0; i < count; i++, at += sizeof entry - 1) memcpy(at, entry, sizeof entry);
    memcpy(at - 1, "]}", 3); /* over the last comma */
    kn_status status = kn_metadata_parse(NULL, text, strlen(text), "m", out, err);
    free(text);
    return status;
}

static void test_a_thousand_are_read_and_no_more(void **state) {
    (void)state;
    kn_metadata *metadata;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(parse_many(1000, &metadata, &err), KN_OK);
    assert_int_equal(kn_metadata_kernel_depends_count(metadata), 1000);
    kn_metadata_free(metadata);
    assert_int_equal(parse_many(1001, &metadata, &err), KN_ERR_VALUE);
    assert_contains(err.message, "'kernel-depends' has 1001 entries, at most 1000 are read");
}

static void test_a_caller_of_an_older_version_gets_the_fields_that_it_knows(void **state) {
    (void)state;
    kn_metadata *metadata;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(
        parse_depends("[{\"repo-id\": \"o/n\", \"revision\": \"main\"}]", &metadata, &err), KN_OK);
    kn_kernel_depend depend = {.size = offsetof(kn_kernel_depend, revision),
                               .revision = "untouched"};
    kn_metadata_kernel_depends(metadata, 0, &depend);
    assert_string_equal(depend.repo_id, "o/n");
    assert_string_equal(depend.revision, "untouched");
    kn_metadata_free(metadata);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_version_or_a_revision_is_taken),
        cmocka_unit_test(test_a_malformed_entry_is_refused_and_named),
        cmocka_unit_test(test_a_field_that_may_change_what_is_loaded_is_not_passed_over),
        cmocka_unit_test(test_a_thousand_are_read_and_no_more),
        cmocka_unit_test(test_a_caller_of_an_older_version_gets_the_fields_that_it_knows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
