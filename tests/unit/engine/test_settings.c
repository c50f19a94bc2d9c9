/* SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE

#include "engine/settings.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "support/failing_alloc.h"
#include "support/scratch_folder.h"
#include "support/unit.h"

static const char *const names[] = {"HOME",
                                    "XDG_CACHE_HOME",
                                    "HF_HOME",
                                    "HF_HUB_CACHE",
                                    "HUGGINGFACE_HUB_CACHE",
                                    "KERNELS_CACHE",
                                    "HF_ENDPOINT",
                                    "HF_TOKEN",
                                    "HUGGING_FACE_HUB_TOKEN",
                                    "HF_TOKEN_PATH",
                                    "HF_HUB_OFFLINE",
                                    "TRANSFORMERS_OFFLINE",
                                    "KERNELS_TIMEOUT",
                                    "KERNELS_REFRESH_AFTER",
                                    "KERNELS_TRUST",
                                    "KERNELS_VERIFY",
                                    "KERNELS_TRACE",
                                    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
                                    "DO_NOT_TRACK",
                                    "DISABLE_TELEMETRY",
                                    "HF_HUB_DISABLE_TELEMETRY"};

static int clear_environment(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
    setenv("HOME", "/home/me", 1);
    return 0;
}

static kni_settings read_settings(void) {
    kni_settings s;
    kn_error err = KN_ERROR_INIT;
    if (kni_settings_read(NULL, &s, &err)) fail_msg("%s", err.message);
    return s;
}

static void test_defaults(void **state) {
    (void)state;
    kni_settings s = read_settings();
    assert_string_equal(s.endpoint, "https://huggingface.co");
    assert_string_equal(s.cache, "/home/me/.cache/huggingface/hub");
    assert_string_equal(s.user_folder, "/home/me/.cache/kernels");
    assert_string_equal(s.token_path, "/home/me/.cache/huggingface/token");
    assert_int_equal(s.timeout_ms, 60000);
    assert_int_equal(s.ref_age_s, 600);
    assert_int_equal(s.version_age_s, 86400);
    assert_true(s.telemetry && s.use_token);
    assert_false(s.offline || s.strict_trust || s.always_verify || s.trace_http);
    kni_settings_clear(&s);
}

static void assert_cache(const char *expected) {
    kni_settings s = read_settings();
    assert_string_equal(s.cache, expected);
    kni_settings_clear(&s);
}

static void test_the_nearest_variable_says_where_the_cache_is(void **state) {
    (void)state;
    setenv("XDG_CACHE_HOME", "/xdg", 1);
    assert_cache("/xdg/huggingface/hub");
    setenv("HF_HOME", "$HOME/hf", 1);
    assert_cache("/home/me/hf/hub");
    setenv("HUGGINGFACE_HUB_CACHE", "~root/older", 1);
    assert_cache("/root/older");
    setenv("HF_HUB_CACHE", "~/cache", 1);
    assert_cache("/home/me/cache");
    setenv("KERNELS_CACHE", "${HOME}/$UNKNOWN_THING/${x", 1);
    assert_cache("/home/me/$UNKNOWN_THING/${x");
}

static void test_the_cache_of_a_user_without_home_is_the_password_databases(void **state) {
    (void)state;
    unsetenv("HOME");
    setenv("KERNELS_CACHE", "~/x", 1);
    kni_settings s = read_settings();
    assert_true(s.cache[0] == '/');
    assert_null(strchr(s.cache, '~'));
    kni_settings_clear(&s);
}

static void test_a_relative_cache_stays_where_it_was(void **state) {
    (void)state;
    char here[4096];
    assert_non_null(getcwd(here, sizeof here));
    setenv("KERNELS_CACHE", "a cache", 1);
    kni_settings s = read_settings();
    assert_int_equal(strncmp(s.cache, here, strlen(here)), 0);
    assert_string_equal(s.cache + strlen(here), "/a cache");
    kni_settings_clear(&s);
}

static void assert_offline(const char *hub, const char *transformers, bool expected) {
    setenv("HF_HUB_OFFLINE", hub, 1);
    setenv("TRANSFORMERS_OFFLINE", transformers, 1);
    kni_settings s = read_settings();
    assert_int_equal(s.offline, expected);
    kni_settings_clear(&s);
}

static void test_the_first_variable_that_is_set_says_whether_it_is_offline(void **state) {
    (void)state;
    assert_offline("1", "", true);
    assert_offline("", "yes", true);
    assert_offline("0", "1", false);
    assert_offline("on", "0", true);
    assert_offline("", "2", false);
}

static void test_seconds_are_plain_decimal_numbers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {{"60", 60000}, {"0.5", 500}, {".25", 250}, {"5.", 5000}, {"1.23456", 1234}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv("KERNELS_TIMEOUT", cases[i].text, 1);
        kni_settings s = read_settings();
        assert_int_equal(s.timeout_ms, cases[i].ms);
        kni_settings_clear(&s);
    }
}

static void test_switches(void **state) {
    (void)state;
    setenv("HF_HUB_OFFLINE", "yes", 1);
    setenv("DO_NOT_TRACK", "true", 1);
    setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "On", 1);
    setenv("KERNELS_TRUST", "strict", 1);
    setenv("KERNELS_VERIFY", "always", 1);
    setenv("KERNELS_TRACE", "http", 1);
    setenv("KERNELS_TIMEOUT", "0.5", 1);
    setenv("KERNELS_REFRESH_AFTER", "7", 1);
    setenv("HF_ENDPOINT", "http://127.0.0.1:8080//", 1);
    kni_settings s = read_settings();
    assert_true(s.offline && s.strict_trust && s.always_verify && s.trace_http);
    assert_false(s.telemetry || s.use_token);
    assert_int_equal(s.timeout_ms, 500);
    assert_int_equal(s.ref_age_s, 7);
    assert_int_equal(s.version_age_s, 7);
    assert_string_equal(s.endpoint, "http://127.0.0.1:8080");
    kni_settings_clear(&s);
}

static void test_what_makes_no_sense_is_named(void **state) {
    (void)state;
    static const char *const bad[][2] = {{"KERNELS_TIMEOUT", "soon"},
                                         {"KERNELS_TIMEOUT", "0"},
                                         {"KERNELS_TIMEOUT", "-1"},
                                         {"KERNELS_TIMEOUT", "1e9"},
                                         {"KERNELS_TIMEOUT", "9999999999999999999"},
                                         {"KERNELS_TIMEOUT", "1,5"},
                                         {"KERNELS_TIMEOUT", "1.5.2"},
                                         {"KERNELS_TIMEOUT", "."},
                                         {"KERNELS_REFRESH_AFTER", "nan"},
                                         {"KERNELS_CACHE", "~no-such-user/x"},
                                         {"HF_HOME", "~no-such-user"},
                                         {"KERNELS_TRUST", "all"},
                                         {"KERNELS_VERIFY", "no"},
                                         {"HF_ENDPOINT", "huggingface.co"},
                                         {"HF_ENDPOINT", "https://a b"},
                                         {"HF_ENDPOINT", "https://"},
                                         {"HF_ENDPOINT", "https:///"},
                                         {"HF_ENDPOINT", "http:///path"},
                                         {"HF_ENDPOINT", "http://:80"},
                                         {"HF_ENDPOINT", "http://host:port"},
                                         {"HF_ENDPOINT", "https://me@host"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        clear_environment(NULL);
        setenv(bad[i][0], bad[i][1], 1);
        kni_settings s;
        kn_error err = KN_ERROR_INIT;
        assert_int_equal(kni_settings_read(NULL, &s, &err), KN_ERR_VALUE);
        assert_contains(err.message, bad[i][0]);
        kni_settings_clear(&s);
    }
}

/* In a child: as a user whom the password database does not have. */
static void read_without_home(void) {
    clear_environment(NULL);
    unsetenv("HOME");
    if (setuid(4000000001U)) _exit(0); /* only root can */
    static const char *const bad[][2] = {{"KERNELS_CACHE", ""}, {"KERNELS_CACHE", "~/x"}};
    for (size_t i = 0; i < 2; i++) {
        setenv(bad[i][0], bad[i][1], 1);
        kni_settings s;
        kn_error err = KN_ERROR_INIT;
        if (kni_settings_read(NULL, &s, &err) != KN_ERR_VALUE) _exit(1);
        if (!strstr(err.message, "HOME is not set") || !strstr(err.message, "KERNELS_CACHE"))
            _exit(2);
        kni_settings_clear(&s);
    }
    setenv("KERNELS_CACHE", "/cache", 1);
    kni_settings s = read_settings();
    if (strcmp(s.cache, "/cache") != 0 || s.user_folder || s.token_path) _exit(3);
    kni_settings_clear(&s);
    _exit(0);
}

static void test_without_any_home_a_cache_has_to_be_named(void **state) {
    (void)state;
    int result;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) read_without_home();
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
}

static void assert_token(const char *expected) {
    kni_settings s = read_settings();
    kn_error err = KN_ERROR_INIT;
    char *token = NULL;
    if (kni_settings_token(&s, &token, &err)) fail_msg("%s", err.message);
    if (expected)
        assert_string_equal(token, expected);
    else
        assert_null(token);
    kni_free(kni_alloc_or_default(NULL), token);
    kni_settings_clear(&s);
}

static void test_the_token(void **state) {
    (void)state;
    scratch_folder scratch;
    scratch_folder_make(&scratch);
    setenv("HF_TOKEN_PATH", scratch_path(&scratch, "token"), 1);
    assert_token(NULL);
    scratch_file(&scratch, "token", " hf_file \n");
    assert_token("hf_file");
    setenv("HUGGING_FACE_HUB_TOKEN", "hf_older", 1);
    assert_token("hf_older");
    setenv("HF_TOKEN", " \n\t", 1);
    assert_token("hf_file");
    setenv("HF_TOKEN", "\t hf_vari\r\nable\n ", 1);
    assert_token("hf_variable");
    setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1", 1);
    assert_token(NULL);
    unsetenv("HF_HUB_DISABLE_IMPLICIT_TOKEN");
    setenv("HF_TOKEN", "two words", 1);
    kni_settings s = read_settings();
    kn_error err = KN_ERROR_INIT;
    char *token;
    assert_int_equal(kni_settings_token(&s, &token, &err), KN_ERR_VALUE);
    assert_contains(err.message, "HF_TOKEN");
    assert_null(strstr(err.message, "two words"));
    kni_settings_clear(&s);
    scratch_folder_remove(&scratch);
}

static kn_status read_once(const kn_alloc *alloc, void *ctx, kn_error *err) {
    (void)ctx;
    kni_settings s;
    kn_status status = kni_settings_read(alloc, &s, err);
    kni_settings_clear(&s);
    return status;
}

static void test_without_memory(void **state) {
    (void)state;
    setenv("HF_HOME", "~/$HOME/x", 1);
    assert_true(fault_sweep(read_once, NULL) >= 5);
    unsetenv("HOME");
    assert_true(fault_sweep(read_once, NULL) >= 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_defaults, clear_environment),
        cmocka_unit_test_setup(test_the_nearest_variable_says_where_the_cache_is,
                               clear_environment),
        cmocka_unit_test_setup(test_the_cache_of_a_user_without_home_is_the_password_databases,
                               clear_environment),
        cmocka_unit_test_setup(test_a_relative_cache_stays_where_it_was, clear_environment),
        cmocka_unit_test_setup(test_the_first_variable_that_is_set_says_whether_it_is_offline,
                               clear_environment),
        cmocka_unit_test_setup(test_seconds_are_plain_decimal_numbers, clear_environment),
        cmocka_unit_test_setup(test_without_any_home_a_cache_has_to_be_named, clear_environment),
        cmocka_unit_test_setup(test_switches, clear_environment),
        cmocka_unit_test_setup(test_what_makes_no_sense_is_named, clear_environment),
        cmocka_unit_test_setup(test_the_token, clear_environment),
        cmocka_unit_test_setup(test_without_memory, clear_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
