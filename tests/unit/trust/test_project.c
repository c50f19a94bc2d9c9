/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/project.h"

#include "base/alloc.h"
#include "support/failing_alloc.h"
#include "support/unit.h"

static const char two[] =
    "{\"project\": {\"name\": \"p\"}, \"tool\": {\"kernels\": {\"dependencies\": "
    "{\"o/second\": 0, \"o/first\": 12}}, \"other\": {\"x\": 1.5}}}";

static kn_status parse(const kn_alloc *alloc, const char *json, kni_project *out, kn_error *err) {
    return kni_project_parse(alloc, json, strlen(json), "pyproject.toml", out, err);
}

static void assert_refused(const char *json, const char *part) {
    kni_project project;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(parse(kni_alloc_or_default(NULL), json, &project, &err), KN_ERR_VALUE);
    assert_contains(err.message, "pyproject.toml: ");
    assert_contains(err.message, part);
    kni_project_clear(&project);
}

static void test_the_kernels_and_versions_of_a_project_are_read(void **state) {
    (void)state;
    kni_project project;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(parse(kni_alloc_or_default(NULL), two, &project, &err), KN_OK);
    assert_int_equal(project.count, 2);
    assert_string_equal(project.kernels[0].repo_id, "o/second");
    assert_int_equal(project.kernels[0].version, 0);
    assert_string_equal(project.kernels[1].repo_id, "o/first");
    assert_int_equal(project.kernels[1].version, 12);
    kni_project_clear(&project);
}

static void test_a_project_without_kernels_is_told_where_to_name_them(void **state) {
    (void)state;
    const char *part = "there is no table [tool.kernels.dependencies]; name the kernels";
    assert_refused("{}", part);
    assert_refused("{\"tool\": 1}", part);
    assert_refused("{\"tool\": {\"kernels\": {\"dependencies\": []}}}", part);
    assert_refused("{\"tool\": {\"kernels\": {\"dependencies\": {}}}}", "No kernels found to lock");
}

static void test_a_version_is_a_whole_number(void **state) {
    (void)state;
    static const char *const values[] = {"\">=1\"", "-1", "1.0", "{\"version\": 1}", "null"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char text[200] = "{\"tool\": {\"kernels\": {\"dependencies\": {\"o/n\": ";
        strncat(text, values[i], 50);
        strncat(text, "}}}}", 8);
        assert_refused(text, "'o/n' has to be the number of a version, as in \"org/name\" = 1");
    }
}

static kn_status parse_once(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    kni_project project;
    kn_status status = parse(alloc, two, &project, err);
    kni_project_clear(&project);
    return status;
}

static void test_no_memory_leaves_nothing_behind(void **state) {
    (void)state;
    assert_true(fault_sweep(parse_once, NULL) >= 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_kernels_and_versions_of_a_project_are_read),
        cmocka_unit_test(test_a_project_without_kernels_is_told_where_to_name_them),
        cmocka_unit_test(test_a_version_is_a_whole_number),
        cmocka_unit_test(test_no_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
