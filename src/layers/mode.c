/* SPDX-License-Identifier: Apache-2.0 */
#include <kernels/mode.h>

#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define KNOWN_FLAGS \
    (KN_MODE_FALLBACK | KN_MODE_TRAINING | KN_MODE_INFERENCE | KN_MODE_TORCH_COMPILE)

kn_status kn_mode_check(kn_mode mode, kn_error *err) {
    if (mode == 0 || (mode & ~KNOWN_FLAGS)) {
        return kni_fail(err, KN_ERR_VALUE,
                        "mode %u is none of INFERENCE, TRAINING (each with or without "
                        "TORCH_COMPILE) and FALLBACK",
                        (unsigned)mode);
    }
    if ((mode & KN_MODE_INFERENCE) && (mode & KN_MODE_TRAINING)) {
        return kni_fail(err, KN_ERR_VALUE,
                        "Mode.INFERENCE and Mode.TRAINING are mutually exclusive.");
    }
    if ((mode & KN_MODE_FALLBACK) && mode != KN_MODE_FALLBACK) {
        return kni_fail(err, KN_ERR_VALUE, "Mode.FALLBACK cannot be combined with other modes.");
    }
    return KN_OK;
}

kn_status kn_mode_check_request(kn_mode mode, kn_error *err) {
    if (mode == KN_MODE_FALLBACK) {
        return kni_fail(err, KN_ERR_VALUE,
                        "Mode.FALLBACK can only be used to register kernel mappings.");
    }
    if (!(mode & (KN_MODE_INFERENCE | KN_MODE_TRAINING))) {
        return kni_fail(err, KN_ERR_VALUE,
                        "kernelize mode must contain Mode.INFERENCE or Mode.TRAINING.");
    }
    return kn_mode_check(mode, err);
}

size_t kn_mode_candidates(kn_mode mode, kn_mode out[KN_MODE_CANDIDATES_MAX]) {
    enum {
        I = KN_MODE_INFERENCE,
        T = KN_MODE_TRAINING,
        C = KN_MODE_TORCH_COMPILE,
        F = KN_MODE_FALLBACK
    };
    static const struct {
        kn_mode requested;
        kn_mode tried[KN_MODE_CANDIDATES_MAX];
    } rows[] = {
        {I, {I, I | C, T, T | C, F}},
        {I | C, {I | C, T | C, F}},
        {T, {T, T | C, F}},
        {T | C, {T | C, F}},
    };
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        if (rows[row].requested != mode) continue;
        size_t count = 0;
        while (count < KN_MODE_CANDIDATES_MAX && rows[row].tried[count]) {
            out[count] = rows[row].tried[count];
            count++;
        }
        return count;
    }
    return 0;
}

char *kn_mode_text(kn_mode mode, char out[KN_MODE_TEXT_MAX]) {
    static const struct {
        kn_mode flag;
        const char *name;
    } names[] = {
        {KN_MODE_FALLBACK, "FALLBACK"},
        {KN_MODE_TRAINING, "TRAINING"},
        {KN_MODE_INFERENCE, "INFERENCE"},
        {KN_MODE_TORCH_COMPILE, "TORCH_COMPILE"},
    };
    size_t length = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!(mode & names[i].flag)) continue;
        length += (size_t)snprintf(out + length, KN_MODE_TEXT_MAX - length, "%s%s",
                                   length ? "|" : "", names[i].name);
    }
    return out;
}
