/* SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE

#include "os/expand.h"

#include <stdlib.h>
#include <unistd.h>

#include "support/failing_alloc.h"
#include "support/scratch_folder.h"
#include "support/unit.h"

static int set_environment(void **state) {
    (void)state;
    setenv("HOME", "/home/me/", 1);
    setenv("A", "/a", 1);
    setenv("a-b", "dash", 1);
    setenv("EMPTY", "", 1);
    setenv("NESTED", "$A", 1);
    unsetenv("UNSET");
    return 0;
}

static void assert_expands(const char *path, const char *expected) {
    char *found;
    kn_error err = KN_ERROR_INIT;
    if (kni_path_expand(NULL, path, &found, &err)) fail_msg("%s", err.message);
    assert_string_equal(found, expected);
    kni_free(kni_alloc_or_default(NULL), found);
}

static void test_the_home_of_this_user(void **state) {
    (void)state;
    assert_expands("~", "/home/me");
    assert_expands("~/x y", "/home/me/x y");
    assert_expands("a/~/b", "a/~/b");
    setenv("HOME", "/", 1);
    assert_expands("~", "/");
    assert_expands("~/x", "/x");
}

static void test_homes_of_the_password_database(void **state) {
    (void)state;
    char *home;
    assert_expands("~root/x", "/root/x");
    unsetenv("HOME");
    if (getuid() == 0) assert_expands("~/x", "/root/x");
    assert_int_equal(kni_path_expand(NULL, "~", &home, NULL), KN_OK);
    assert_true(home[0] == '/');
    kni_free(kni_alloc_or_default(NULL), home);
}

static void test_a_user_that_is_not_there(void **state) {
    (void)state;
    kn_error err = KN_ERROR_INIT;
    char *home;
    assert_int_equal(kni_path_expand(NULL, "~no-such-user/x", &home, &err), KN_ERR_NOT_FOUND);
    assert_string_equal(err.message, "there is no user 'no-such-user'");
    assert_null(home);
}

static void test_variables(void **state) {
    (void)state;
    assert_expands("$A/${A}x$EMPTY!", "/a//ax!");
    assert_expands("${a-b}$", "dash$");
    assert_expands("$UNSET/${UNSET}/${A", "$UNSET/${UNSET}/${A");
    assert_expands("${x$A}$A", "${x$A}/a"); /* to the first brace */
    assert_expands("$NESTED", "$A");
    assert_expands("$$A${}", "$/a${}");
    assert_expands("", "");
}

static void test_a_path_from_the_root(void **state) {
    (void)state;
    scratch_folder scratch;
    scratch_folder_make(&scratch);
    char *before = getcwd(NULL, 0), *path;
    assert_int_equal(chdir(scratch_path(&scratch, ".")), 0);
    char *here = getcwd(NULL, 0);
    assert_int_equal(kni_path_absolute(NULL, "a", &path, NULL), KN_OK);
    assert_int_equal(strncmp(path, here, strlen(here)), 0);
    assert_string_equal(path + strlen(here), "/a");
    kni_free(kni_alloc_or_default(NULL), path);
    assert_int_equal(kni_path_absolute(NULL, "/a/../b", &path, NULL), KN_OK);
    assert_string_equal(path, "/a/../b");
    kni_free(kni_alloc_or_default(NULL), path);

    assert_int_equal(rmdir(here), 0);
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_path_absolute(NULL, "a", &path, &err), KN_ERR_OS);
    assert_contains(err.message, "working directory");
    assert_null(path);
    assert_int_equal(chdir(before), 0);
    free(before);
    free(here);
}

static kn_status expand_once(const kn_alloc *alloc, void *ctx, kn_error *err) {
    char *path;
    kn_status status = kni_path_expand(alloc, ctx, &path, err);
    if (!status) kni_free(alloc, path);
    return status;
}

static void test_every_allocation_may_fail(void **state) {
    (void)state;
    char own[] = "~/$A/${A}", other[] = "~root/$A";
    assert_true(fault_sweep(expand_once, own) >= 4);
    assert_true(fault_sweep(expand_once, other) >= 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_the_home_of_this_user, set_environment),
        cmocka_unit_test_setup(test_homes_of_the_password_database, set_environment),
        cmocka_unit_test_setup(test_a_user_that_is_not_there, set_environment),
        cmocka_unit_test_setup(test_variables, set_environment),
        cmocka_unit_test_setup(test_a_path_from_the_root, set_environment),
        cmocka_unit_test_setup(test_every_allocation_may_fail, set_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
