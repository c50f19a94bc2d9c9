/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a version specifier, then tags, one a line. */
#include <kernels/version.h>

#include "fuzz_target.h"

#define TAGS_MAX 32

static int order_of(const char *a, const char *b) {
    int order = 7;
    FUZZ_CHECK(kn_version_compare(a, b, &order, NULL) == KN_OK);
    FUZZ_CHECK(order >= -1 && order <= 1);
    return order;
}

/* Whether `tag` is a version; then its normalized text is one too, and the same. */
static bool check_version(const char *tag) {
    kn_version_info info = {.size = sizeof info}, again = info;
    kn_error err = KN_ERROR_INIT;
    kn_status status = kn_version_parse(tag, &info, &err);
    FUZZ_CHECK(status == KN_OK || (status == KN_ERR_VALUE && err.message[0] && !info.text[0]));
    if (status) return false;
    FUZZ_CHECK(strlen(info.text) < KN_VERSION_TEXT_MAX);
    FUZZ_CHECK(info.release.length > 0);
    if (strlen(info.text) > KN_VERSION_LENGTH_MAX) return true;
    FUZZ_CHECK(kn_version_parse(info.text, &again, NULL) == KN_OK);
    FUZZ_CHECK(memcmp(&info, &again, sizeof info) == 0);
    FUZZ_CHECK(order_of(tag, info.text) == 0);
    return true;
}

static void check_order(const char *const *versions, size_t count) {
    for (size_t i = 0; i + 2 < count; i++) {
        int ab = order_of(versions[i], versions[i + 1]),
            bc = order_of(versions[i + 1], versions[i + 2]),
            ac = order_of(versions[i], versions[i + 2]);
        FUZZ_CHECK(order_of(versions[i + 1], versions[i]) == -ab);
        FUZZ_CHECK(ab < 0 || bc < 0 || ac >= 0);
        FUZZ_CHECK(ab > 0 || bc > 0 || ac <= 0);
    }
}

static void check_selection(const char *specifier, const char *const *versions, size_t count) {
    const char *reversed[TAGS_MAX];
    for (size_t i = 0; i < count; i++) reversed[i] = versions[count - 1 - i];
    size_t best = 0, same = 0, alone;
    kn_error err = KN_ERROR_INIT;
    kn_status status = kn_specifier_select(specifier, versions, count, &best, &err);
    FUZZ_CHECK(status == KN_OK || (status == KN_ERR_VALUE && err.message[0] && best == SIZE_MAX));
    FUZZ_CHECK(kn_specifier_check(specifier, NULL) == status);
    if (status) return;
    kn_specifier_select(specifier, reversed, count, &same, NULL);
    FUZZ_CHECK((best == SIZE_MAX) == (same == SIZE_MAX));
    if (best == SIZE_MAX) return;
    FUZZ_CHECK(strcmp(versions[best], reversed[same]) == 0);
    kn_specifier_select(specifier, &versions[best], 1, &alone, NULL);
    FUZZ_CHECK(alone == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *specifier = fuzz_text(data, size);
    const char *versions[TAGS_MAX];
    size_t count = 0;
    for (char *tag = fuzz_second_part(specifier); *tag && count < TAGS_MAX;) {
        char *next = fuzz_second_part(tag);
        if (check_version(tag)) versions[count++] = tag;
        tag = next;
    }
    check_order(versions, count);
    check_selection(specifier, versions, count);
    free(specifier);
    return 0;
}
