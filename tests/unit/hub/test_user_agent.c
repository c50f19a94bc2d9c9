/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/user_agent.h"

#include "support/unit.h"

/* All that can be known. */
static const kni_user_agent full = {
    .version = "0.17.2",
    .own = "transformers/5.0; session_id/7",
    .python = "3.11",
    .backend = "cu130",
    .arch = "x86_64",
    .os = "linux",
    .glibc = "2.39",
    .torch_major = 2,
    .torch_minor = 13,
    .tvm_ffi_major = 0,
    .tvm_ffi_minor = 1,
};

static void assert_written(kni_user_agent agent, const char *expected) {
    char out[KNI_USER_AGENT_MAX];
    assert_ptr_equal(kni_user_agent_write(&agent, out), out);
    assert_string_equal(out, expected);
}

static void test_the_callers_parts_come_first(void **state) {
    (void)state;
    assert_written(full, "transformers/5.0; session_id/7; kernels/0.17.2; python/3.11; "
                         "backend/cu130; platform/x86_64-linux; file_type/kernel; torch/2.13; "
                         "tvm-ffi/0.1; glibc/2.39");
}

static void test_what_is_not_known_is_left_out(void **state) {
    (void)state;
    kni_user_agent agent = {.version = "0.17.2", .torch_major = -1, .tvm_ffi_major = -1};
    assert_written(agent, "kernels/0.17.2; file_type/kernel");
    agent.arch = "x86_64";
    agent.own = "";
    assert_written(agent, "kernels/0.17.2; file_type/kernel");
}

static void test_without_telemetry_only_the_library_is_named(void **state) {
    (void)state;
    kni_user_agent agent = full;
    agent.telemetry_disabled = true;
    assert_written(agent, "kernels/0.17.2");
}

static void test_no_header_can_be_put_in(void **state) {
    (void)state;
    kni_user_agent agent = {.version = "0.17.2\r\n",
                            .own = "a\r\nAuthorization: b\x01\x7F\xC3\xA9\tc",
                            .python = "3\n.11",
                            .torch_major = -1,
                            .tvm_ffi_major = -1};
    assert_written(agent, "aAuthorization: bc; kernels/0.17.2; python/3.11; file_type/kernel");
    agent.telemetry_disabled = true;
    assert_written(agent, "kernels/0.17.2");
}

static void test_long_texts_are_cut_so_that_all_parts_stay(void **state) {
    (void)state;
    char text[3000], out[KNI_USER_AGENT_MAX];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    kni_user_agent agent = {text, text,      text,      text,      text,      text,
                            text, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, false};
    size_t length = strlen(kni_user_agent_write(&agent, out));
    assert_true(length < 1024);
    assert_int_equal(strspn(out, "x"), 480);
    const char *const parts[] = {"; kernels/xxx",
                                 "; python/xxx",
                                 "; backend/xxx",
                                 "; platform/xxx",
                                 "-xxx",
                                 "; file_type/kernel; torch/2147483647.2147483647; ",
                                 "; tvm-ffi/2147483647.2147483647; ",
                                 "; glibc/xxx"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) assert_contains(out, parts[i]);
    assert_int_equal(strspn(strstr(out, "glibc/") + 6, "x"), 48);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_callers_parts_come_first),
        cmocka_unit_test(test_what_is_not_known_is_left_out),
        cmocka_unit_test(test_without_telemetry_only_the_library_is_named),
        cmocka_unit_test(test_no_header_can_be_put_in),
        cmocka_unit_test(test_long_texts_are_cut_so_that_all_parts_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
