/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/base64.h"

#include "support/unit.h"

static void assert_decodes(const char *text, const char *expected) {
    unsigned char out[64];
    size_t length = 99;
    assert_true(kni_base64_decode(text, out, sizeof out, &length));
    assert_int_equal(length, strlen(expected));
    assert_memory_equal(out, expected, length);
}

static void assert_refused(const char *text) {
    unsigned char out[64];
    size_t length = 99;
    if (kni_base64_decode(text, out, sizeof out, &length)) fail_msg("'%s' was decoded", text);
    assert_int_equal(length, 0);
}

/* RFC 4648, section 10. */
static void test_the_examples_of_the_standard_decode(void **state) {
    (void)state;
    assert_decodes("", "");
    assert_decodes("Zg==", "f");
    assert_decodes("Zm8=", "fo");
    assert_decodes("Zm9v", "foo");
    assert_decodes("Zm9vYg==", "foob");
    assert_decodes("Zm9vYmE=", "fooba");
    assert_decodes("Zm9vYmFy", "foobar");
}

static void assert_encodes(const char *bytes, const char *expected) {
    char out[KNI_BASE64_SIZE(64)];
    kni_base64_encode((const unsigned char *)bytes, strlen(bytes), out);
    assert_string_equal(out, expected);
}

static void test_the_examples_of_the_standard_encode(void **state) {
    (void)state;
    assert_encodes("", "");
    assert_encodes("f", "Zg==");
    assert_encodes("fo", "Zm8=");
    assert_encodes("foo", "Zm9v");
    assert_encodes("foob", "Zm9vYg==");
    assert_encodes("fooba", "Zm9vYmE=");
    assert_encodes("\xFF\xEF\xBE", "/+++");
}

static void test_all_characters_have_their_bits(void **state) {
    (void)state;
    unsigned char out[48];
    size_t length;
    assert_true(
        kni_base64_decode("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", out,
                          sizeof out, &length));
    assert_int_equal(length, 48);
    static const unsigned char expected[48] = {
        0x00, 0x10, 0x83, 0x10, 0x51, 0x87, 0x20, 0x92, 0x8b, 0x30, 0xd3, 0x8f,
        0x41, 0x14, 0x93, 0x51, 0x55, 0x97, 0x61, 0x96, 0x9b, 0x71, 0xd7, 0x9f,
        0x82, 0x18, 0xa3, 0x92, 0x59, 0xa7, 0xa2, 0x9a, 0xab, 0xb2, 0xdb, 0xaf,
        0xc3, 0x1c, 0xb3, 0xd3, 0x5d, 0xb7, 0xe3, 0x9e, 0xbb, 0xf3, 0xdf, 0xbf};
    assert_memory_equal(out, expected, 48);
}

static void test_what_no_encoder_writes_is_refused(void **state) {
    (void)state;
    const char *const bad[] = {
        "Z",        "Zg",   "Zg=",   "Zh==", "Zm9=", "=",     "====",         "Z===",
        "Zg==Zg==", "Zm=v", "Zm9v ", "Zm 9", "Zm-_", "Zm\n9", "Zm9v\n\n\n\n", "\xC3\xA9\xC3\xA9",
        "Zg=A"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_refused(bad[i]);
}

static void test_no_more_is_written_than_there_is_room_for(void **state) {
    (void)state;
    unsigned char out[5] = {0, 0, 0, 0, 0xAA};
    size_t length;
    assert_true(kni_base64_decode("Zm9vYg==", out, 4, &length));
    assert_int_equal(length, 4);
    assert_false(kni_base64_decode("Zm9vYmE=", out, 4, &length));
    assert_int_equal(length, 0);
    assert_false(kni_base64_decode("Zm9v", out, 0, &length));
    assert_int_equal(out[4], 0xAA);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_examples_of_the_standard_decode),
        cmocka_unit_test(test_the_examples_of_the_standard_encode),
        cmocka_unit_test(test_all_characters_have_their_bits),
        cmocka_unit_test(test_what_no_encoder_writes_is_refused),
        cmocka_unit_test(test_no_more_is_written_than_there_is_room_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
