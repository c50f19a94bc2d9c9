/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a backend, then names of build variants, one a line. */
#include <kernels/variant.h>

#include "fuzz_target.h"

#define NAMES_MAX 64

static size_t split_lines(char *text, const char *names[NAMES_MAX]) {
    size_t count = 0;
    while (*text && count < NAMES_MAX) {
        names[count++] = text;
        text = fuzz_second_part(text);
    }
    return count;
}

/* NULL where the backend is none. */
static kn_variants *rank(const char *const *names, size_t count, const char *backend) {
    kn_system system = {
        .size = sizeof system,
        .torch_major = 2,
        .torch_minor = 10,
        .torch_cxx11_abi = 1,
        .tvm_ffi_major = 0,
        .tvm_ffi_minor = 1,
        .backend = backend,
        .arch = "x86_64",
        .os = "linux",
    };
    kn_variants *variants;
    kn_error err = KN_ERROR_INIT;
    kn_status status = kn_variants_rank(NULL, names, count, &system, &variants, &err);
    FUZZ_CHECK(status == KN_OK || (status == KN_ERR_VALUE && !variants && err.message[0]));
    return variants;
}

static void check_same(const kn_variants *a, const kn_variants *b) {
    bool accepted = true;
    FUZZ_CHECK(kn_variants_count(a) == kn_variants_count(b));
    for (size_t i = 0; i < kn_variants_count(a); i++) {
        kn_variant x = {.size = sizeof x}, y = {.size = sizeof y};
        kn_variants_get(a, i, &x);
        kn_variants_get(b, i, &y);
        FUZZ_CHECK(strcmp(x.name, y.name) == 0);
        FUZZ_CHECK(kn_variant_name_is_valid(x.name));
        FUZZ_CHECK(x.accepted == y.accepted && x.accepted == !x.reason);
        FUZZ_CHECK(accepted || !x.accepted); /* what fits stands first */
        accepted = x.accepted;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *backend = fuzz_text(data, size);
    const char *names[NAMES_MAX], *reversed[NAMES_MAX];
    size_t count = split_lines(fuzz_second_part(backend), names), valid = 0;
    for (size_t i = 0; i < count; i++) {
        reversed[i] = names[count - 1 - i];
        valid += kn_variant_name_is_valid(names[i]);
    }
    kn_variants *forwards = rank(names, count, backend),
                *backwards = rank(reversed, count, backend);
    FUZZ_CHECK(!forwards == !backwards);
    if (forwards) {
        FUZZ_CHECK(kn_variants_count(forwards) == valid);
        check_same(forwards, backwards);
    }
    kn_variants_free(forwards);
    kn_variants_free(backwards);
    free(backend);
    return 0;
}
