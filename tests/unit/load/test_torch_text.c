/* SPDX-License-Identifier: Apache-2.0 */
#include "load/torch_text.h"

#include "support/unit.h"

static kni_torch_text read_text(const char *text) {
    kni_torch_text out;
    kni_torch_text_read(text, strlen(text), &out);
    return out;
}

static void assert_backend(const char *text, const char *expected) {
    kni_torch_text torch = read_text(text);
    char backend[KNI_TORCH_TEXT_MAX];
    kni_torch_backend(&torch, backend);
    assert_string_equal(backend, expected);
}

static void test_what_torch_writes_is_read(void **state) {
    (void)state;
    kni_torch_text torch = read_text("from typing import Optional\n\n"
                                     "__all__ = ['__version__', 'cuda']\n"
                                     "__version__ = '2.13.0+cu130'\ndebug = False\n"
                                     "cuda: Optional[str] = '13.0'\n"
                                     "hip: Optional[str] = None\nxpu: Optional[str] = None\n");
    assert_string_equal(torch.version, "2.13.0+cu130");
    assert_string_equal(torch.cuda, "13.0");
    assert_string_equal(torch.hip, "");
    assert_string_equal(torch.xpu, "");
}

static void test_other_spellings_of_an_assignment(void **state) {
    (void)state;
    assert_string_equal(read_text("__version__=\"2.9\"").version, "2.9");
    assert_string_equal(read_text("cuda : str  =  '12.8'  # comment\r\n").cuda, "12.8");
    assert_string_equal(read_text("cuda = '11.8'\ncuda = '12.8'\n").cuda, "12.8");
    assert_string_equal(read_text("cuda = '11.8'\ncuda = None\n").cuda, "");
}

static void test_what_is_no_plain_string_is_left_out(void **state) {
    (void)state;
    static const char *const lines[] = {
        "cuda = '13.0",
        "cuda = 13.0",
        "cuda = '13.0\"",
        "cuda = f('13.0')",
        " cuda = '13.0'",
        "cuda_x = '13.0'",
        "cuda == '13.0'",
        "cuda = '13' + '.0'",
        "cuda = '1\\x33'",
        "cuda = '13.0' '.1'",
        "xcuda = '13.0'",
        "cuda = '\x01'",
        "# cuda = '13.0'",
        "cuda = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        if (read_text(lines[i]).cuda[0]) fail_msg("%s", lines[i]);
    }
}

static void test_the_backend_is_named_as_variants_name_it(void **state) {
    (void)state;
    assert_backend("cuda = '13.0'", "cu130");
    assert_backend("cuda = '12.8'\nhip = None", "cu128");
    assert_backend("cuda = None\nhip = '6.4.43482-0f2d60242'", "rocm64");
    assert_backend("xpu = '20250302'", "xpu20253");
    assert_backend("xpu = '2025'", "cpu");
    assert_backend("cuda = 'new'", "cpu");
    assert_backend("", "cpu");
}

static void test_the_abi_of_its_flags(void **state) {
    (void)state;
    static const char with[] = "set(TORCH_CXX_FLAGS \"-D_GLIBCXX_USE_CXX11_ABI=1\")";
    static const char without[] = "set(TORCH_CXX_FLAGS \"-D_GLIBCXX_USE_CXX11_ABI=0\")";
    static const char cut[] = "-D_GLIBCXX_USE_CXX11_ABI=";
    assert_int_equal(kni_torch_cxx11_abi(with, strlen(with)), 1);
    assert_int_equal(kni_torch_cxx11_abi(without, strlen(without)), 0);
    assert_int_equal(kni_torch_cxx11_abi(cut, strlen(cut)), -1);
    assert_int_equal(kni_torch_cxx11_abi("", 0), -1);
}

static void test_major_and_minor(void **state) {
    (void)state;
    int major, minor;
    assert_true(kni_major_minor("2.13.0+cpu", &major, &minor));
    assert_int_equal(major, 2);
    assert_int_equal(minor, 13);
    static const char *const none[] = {"", "2", "2.", ".1", "x2.1", "9999999.1", "1.9999999"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_false(kni_major_minor(none[i], &major, &minor));
        assert_int_equal(major, -1);
        assert_int_equal(minor, -1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_torch_writes_is_read),
        cmocka_unit_test(test_other_spellings_of_an_assignment),
        cmocka_unit_test(test_what_is_no_plain_string_is_left_out),
        cmocka_unit_test(test_the_backend_is_named_as_variants_name_it),
        cmocka_unit_test(test_the_abi_of_its_flags),
        cmocka_unit_test(test_major_and_minor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
