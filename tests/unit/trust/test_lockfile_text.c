/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/lockfile_text.h"

#include "support/unit.h"

#define COMMIT "94986c119039ea0cb65592c210c57255de1089eb"

/* As kernels 0.17.2 writes the same locks. */
static const char expected[] =
    "[\n  {\n    \"dependency\": {\n      \"repo-id\": \"Z/a\",\n      \"version\": 1\n    },\n"
    "    \"lock\": {\n      \"commit\": \"" COMMIT "\"\n    }\n  },\n"
    "  {\n    \"dependency\": {\n      \"repo-id\": \"z/a\",\n      \"version\": 9\n    },\n"
    "    \"lock\": {\n      \"commit\": \"" COMMIT "\"\n    }\n  },\n"
    "  {\n    \"dependency\": {\n      \"repo-id\": \"z/a\",\n      \"version\": 10\n    },\n"
    "    \"lock\": {\n      \"commit\": \"" COMMIT "\"\n    }\n  },\n"
    "  {\n    \"dependency\": {\n      \"repo-id\": \"z/a\",\n      \"revision\": \"\xc3\xa9\\\"\\n\"\n"
    "    },\n    \"lock\": {\n      \"commit\": \"" COMMIT "\"\n    }\n  }\n]";

static void assert_text(kni_lock_entry *entries, size_t count, const char *text) {
    kni_text out;
    kni_text_init(&out, kni_alloc_or_default(NULL));
    kni_lockfile_text(entries, count, &out);
    assert_string_equal(out.bytes, text);
    kni_text_clear(&out);
}

static void test_a_lock_file_is_laid_out_and_ordered_as_upstream_does(void **state) {
    (void)state;
    kni_lock_entry entries[] = {{"z/a", -1, "\xc3\xa9\"\n", COMMIT},
                                {"z/a", 10, NULL, COMMIT},
                                {"z/a", 9, NULL, COMMIT},
                                {"Z/a", 1, NULL, COMMIT}};
    assert_text(entries, 4, expected);
    assert_text(NULL, 0, "[]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_lock_file_is_laid_out_and_ordered_as_upstream_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
