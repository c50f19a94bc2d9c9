/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/tar.h"

#include "support/unit.h"

static void test_a_header_is_what_tar_writes(void **state) {
    (void)state;
    unsigned char block[KNI_TAR_BLOCK];
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_tar_write("blobs/a", 513, block, &err), KN_OK);
    assert_string_equal((char *)block, "blobs/a");
    assert_string_equal((char *)block + 100, "0000644");
    assert_string_equal((char *)block + 108, "0000000");
    assert_string_equal((char *)block + 124, "00000001001");
    assert_string_equal((char *)block + 136, "00000000000");
    assert_memory_equal(block + 148, "007201\0 ", 8);
    assert_memory_equal(block + 156, "0\0", 2);
    assert_memory_equal(block + 257,
                        "ustar\0"
                        "00",
                        8);
    assert_int_equal(kni_tar_padding(513), 511);
    assert_int_equal(kni_tar_padding(512), 0);
    assert_int_equal(kni_tar_padding(0), 0);
}

static void test_what_is_written_is_read(void **state) {
    (void)state;
    unsigned char block[KNI_TAR_BLOCK];
    kni_tar_entry entry;
    bool end;
    kn_error err = KN_ERROR_INIT;
    char name[KNI_TAR_NAME_MAX + 2];
    memset(name, 'n', sizeof name);
    name[KNI_TAR_NAME_MAX] = '\0';
    assert_int_equal(kni_tar_write(name, KNI_TAR_SIZE_MAX, block, &err), KN_OK);
    assert_int_equal(kni_tar_read(block, &entry, &end, &err), KN_OK);
    assert_false(end);
    assert_string_equal(entry.name, name);
    assert_true(entry.size == KNI_TAR_SIZE_MAX);
    memset(block, 0, sizeof block);
    assert_int_equal(kni_tar_read(block, &entry, &end, &err), KN_OK);
    assert_true(end);
    name[KNI_TAR_NAME_MAX] = 'n';
    name[KNI_TAR_NAME_MAX + 1] = '\0';
    assert_int_equal(kni_tar_write(name, 1, block, &err), KN_ERR_UNSUPPORTED);
    assert_int_equal(kni_tar_write("", 1, block, &err), KN_ERR_UNSUPPORTED);
    assert_int_equal(kni_tar_write("a", -1, block, &err), KN_ERR_UNSUPPORTED);
    assert_int_equal(kni_tar_write("a", KNI_TAR_SIZE_MAX + 1, block, &err), KN_ERR_UNSUPPORTED);
}

static void test_any_changed_byte_of_a_header_is_seen(void **state) {
    (void)state;
    unsigned char block[KNI_TAR_BLOCK];
    kni_tar_entry entry;
    bool end;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_tar_write("blobs/a", 513, block, &err), KN_OK);
    for (size_t i = 0; i < KNI_TAR_BLOCK; i++) {
        if (i >= 154 && i < 156) continue; /* what ends the sum may be a blank or a NUL */
        block[i] ^= 4;
        assert_int_not_equal(kni_tar_read(block, &entry, &end, &err), KN_OK);
        block[i] ^= 4;
    }
}

/* A header that tar itself would take, with another byte in it. */
static void assert_refuses(size_t at, unsigned char value, const char *part) {
    unsigned char block[KNI_TAR_BLOCK];
    kni_tar_entry entry;
    bool end;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kni_tar_write("a", 8, block, &err), KN_OK);
    unsigned sum = 0;
    block[at] = value;
    memset(block + 148, ' ', 8);
    for (size_t i = 0; i < KNI_TAR_BLOCK; i++) sum += block[i];
    for (int i = 5; i >= 0; i--, sum >>= 3) block[148 + i] = (unsigned char)('0' + (sum & 7));
    block[154] = '\0';
    assert_int_equal(kni_tar_read(block, &entry, &end, &err), KN_ERR_VALUE);
    assert_contains(err.message, part);
}

static void test_only_plain_files_are_taken(void **state) {
    (void)state;
    const char types[] = {'1', '2', '5', 'x', 'L', '\0'};
    for (size_t i = 0; i < sizeof types; i++)
        assert_refuses(156, (unsigned char)types[i], "'a' in it is no plain file");
    assert_refuses(157, 'b', "no plain file");         /* where a link leads */
    assert_refuses(345, 'b', "no plain file");         /* the start of a long name */
    assert_refuses(0, '\0', "no plain file");          /* no name */
    assert_refuses(124, 0x80, "has a malformed size"); /* in base 256 */
    assert_refuses(130, '8', "has a malformed size");
    assert_refuses(257, 'v', "no tar archive of the form ustar");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_header_is_what_tar_writes),
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_any_changed_byte_of_a_header_is_seen),
        cmocka_unit_test(test_only_plain_files_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
