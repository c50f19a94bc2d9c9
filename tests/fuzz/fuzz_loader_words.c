/* SPDX-License-Identifier: Apache-2.0 */
/* Input: what a loader may say. */
#include <kernels/object.h>

#include "fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *words = fuzz_text(data, size);
    const char *advice = kn_loader_advice(words);
    FUZZ_CHECK(!advice || (strlen(advice) > 20 && !strchr(advice, '\n')));
    free(words);
    return 0;
}
