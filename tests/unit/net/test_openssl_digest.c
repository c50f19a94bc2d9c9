/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "net/net_parts.h"
#include "support/failing_alloc.h"
#include "support/unit.h"

static void assert_digest(kni_digest_kind kind, const char *text, const char *expected) {
    failing_alloc counting;
    failing_alloc_init(&counting, SIZE_MAX);
    kni_digest *digest = kni_digest_new(&counting.alloc, kind);
    assert_non_null(digest);
    for (; *text; text++) assert_true(kni_digest_add(digest, text, 1));
    unsigned char bytes[KNI_DIGEST_MAX];
    size_t length = kni_digest_finish(digest, bytes);
    kni_digest_free(digest);
    assert_int_equal(counting.live, 0);

    char hex[2 * KNI_DIGEST_MAX + 1] = "";
    for (size_t i = 0; i < length; i++) snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    assert_string_equal(hex, expected);
}

static void test_digests_are_those_of_the_standards(void **state) {
    (void)state;
    assert_digest(KNI_SHA1, "", "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    assert_digest(KNI_SHA1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_digest(KNI_SHA256, "",
                  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_digest(KNI_SHA256, "abc",
                  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_digest(KNI_SHA512, "abc",
                  "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                  "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

static void test_a_digest_needs_memory(void **state) {
    (void)state;
    failing_alloc failing;
    failing_alloc_init(&failing, 0);
    assert_null(kni_digest_new(&failing.alloc, KNI_SHA256));
    kni_digest_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests_are_those_of_the_standards),
        cmocka_unit_test(test_a_digest_needs_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
