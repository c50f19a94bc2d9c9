/* SPDX-License-Identifier: Apache-2.0 */
/* Input: the value of a header; it is taken for each that is read. */
#include "fuzz_target.h"
#include "hub/response_head.h"
#include "hub/retry.h"

#define DAY_MS 86400000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = fuzz_text(data, size), *next, *rest = fuzz_second_part(text);
    const kn_http_header header = {"link", text};
    bool found;
    FUZZ_CHECK(kni_head_next(kni_alloc_or_default(NULL), &header, 1, &next, &found) == KN_OK);
    FUZZ_CHECK(found == (next != NULL));
    if (next) FUZZ_CHECK(strstr(text, next) && !strchr(next, '>'));
    kni_free(kni_alloc_or_default(NULL), next);

    FUZZ_CHECK(kni_head_range_start(text) >= -1);
    FUZZ_CHECK(kni_head_length(text) >= -1);
    const int64_t asked[] = {
        kni_retry_asked_ms(text, rest, NULL, NULL),
        kni_retry_asked_ms(NULL, NULL, text, NULL),
        kni_retry_asked_ms(NULL, NULL, NULL, text),
    };
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
        FUZZ_CHECK(asked[i] == KNI_RETRY_NOT_ASKED || (asked[i] >= 0 && asked[i] <= DAY_MS));
    free(text);
    return 0;
}
