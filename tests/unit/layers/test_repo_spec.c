/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/repo.h>
#include <string.h>

#include "support/unit.h"

static void assert_reads(const char *spec, const char *id, const char *revision,
                         const char *version) {
    kn_repo_info info = {.size = sizeof info};
    kn_error err = KN_ERROR_INIT;
    if (kn_repo_parse(spec, &info, &err)) fail_msg("%s", err.message);
    assert_int_equal(info.kind, KN_REPO_HUB);
    assert_string_equal(info.id, id);
    assert_int_equal(info.revision != NULL, revision != NULL);
    assert_int_equal(info.version != NULL, version != NULL);
    if (revision) assert_string_equal(info.revision, revision);
    if (version) assert_string_equal(info.version, version);
}

static void test_a_spec_is_a_repository_with_what_is_wanted_of_it(void **state) {
    (void)state;
    assert_reads("org/name", "org/name", NULL, NULL);
    assert_reads("org/name@v1", "org/name", NULL, "1");
    assert_reads("org/name@v0.1.0", "org/name", "v0.1.0", NULL);
    assert_reads("org/name@main", "org/name", "main", NULL);
    assert_reads("org/name@refs/pr/1", "org/name", "refs/pr/1", NULL);
    assert_reads("org/name@>=0.1,<0.2", "org/name", NULL, ">=0.1,<0.2");
    assert_reads("org/name@~=0.1", "org/name", NULL, "~=0.1");
    assert_reads("org/name@a@b", "org/name", "a@b", NULL);
}

static void test_what_is_no_spec_is_refused_with_the_forms_there_are(void **state) {
    (void)state;
    char long_one[300];
    memset(long_one, 'a', sizeof long_one - 1);
    long_one[sizeof long_one - 1] = '\0';
    const char *const wrong[] = {"", "@v1", "org/name@", long_one};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        kn_repo_info info = {.size = sizeof info};
        kn_error err = KN_ERROR_INIT;
        assert_int_equal(kn_repo_parse(wrong[i], &info, &err), KN_ERR_VALUE);
        assert_contains(err.message, "names no kernel: expected 'org/name', 'org/name@REVISION'");
        assert_null(info.id);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_spec_is_a_repository_with_what_is_wanted_of_it),
        cmocka_unit_test(test_what_is_no_spec_is_refused_with_the_forms_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
