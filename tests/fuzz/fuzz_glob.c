/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a pattern, a line break, a text. */
#include "base/text.h"
#include "fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 4096) return 0;
    char *pattern = fuzz_text(data, size), *text = fuzz_second_part(pattern);
    bool matches = kni_glob_match(pattern, text);
    if (strcspn(pattern, "*?[") == strlen(pattern))
        FUZZ_CHECK(matches == (strcmp(pattern, text) == 0));

    /* A star more matches the same and everything longer. */
    char *longer = malloc(2 * size + 4);
    if (!longer) abort();
    char *more_text = longer + size + 2;
    snprintf(longer, size + 2, "%s*", pattern);
    snprintf(more_text, size + 2, "%sx", text);
    if (matches) FUZZ_CHECK(kni_glob_match(longer, text) && kni_glob_match(longer, more_text));
    free(longer);
    free(pattern);
    return 0;
}
