/* SPDX-License-Identifier: Apache-2.0 */
#include "variant/variant_name.h"

#include <stdio.h>
#include <string.h>

#define NUMBER_MAX 999999999

static const struct {
    const char *prefix, *noarch_name;
    bool has_version;
} backends[] = {
    [KNI_BACKEND_CPU] = {"cpu", "cpu", false},
    [KNI_BACKEND_METAL] = {"metal", "metal", false},
    [KNI_BACKEND_NEURON] = {"neuron", "neuron", false},
    [KNI_BACKEND_TPU] = {"tpu", "tpu", false},
    [KNI_BACKEND_CUDA] = {"cu", "cuda", true},
    [KNI_BACKEND_ROCM] = {"rocm", "rocm", true},
    [KNI_BACKEND_XPU] = {"xpu", "xpu", true},
    [KNI_BACKEND_CANN] = {"cann", "npu", true},
};

bool kni_part_is(kni_part part, const char *text) {
    return strlen(text) == part.length && memcmp(part.at, text, part.length) == 0;
}

/* What follows `prefix` in `part`; false when it does not begin so. */
static bool drop_prefix(kni_part part, const char *prefix, kni_part *rest) {
    size_t length = strlen(prefix);
    if (part.length < length || memcmp(part.at, prefix, length) != 0) return false;
    *rest = (kni_part){part.at + length, part.length - length};
    return true;
}

/* Takes what stands before the first '-' off `*rest`, and the '-'; false when nothing is left to
 * take. */
static bool take_part(kni_part *rest, kni_part *out) {
    if (!rest->at) return false;
    const char *dash = rest->length ? memchr(rest->at, '-', rest->length) : NULL;
    if (!dash) {
        *out = *rest;
        *rest = (kni_part){NULL, 0};
        return true;
    }
    *out = (kni_part){rest->at, (size_t)(dash - rest->at)};
    *rest = (kni_part){dash + 1, rest->length - out->length - 1};
    return true;
}

static bool parse_number(kni_part digits, int *out) {
    int number = 0;
    for (size_t i = 0; i < digits.length; i++) {
        char c = digits.at[i];
        if (c < '0' || c > '9' || number > (NUMBER_MAX - (c - '0')) / 10) return false;
        number = number * 10 + (c - '0');
    }
    *out = number;
    return digits.length > 0;
}

/* Digits whose first `major_length` are the major version and the others, at least one, the minor
 * version. */
static bool parse_version(kni_part digits, size_t major_length, kni_version_pair *out) {
    if (digits.length <= major_length) return false;
    kni_part major = {digits.at, major_length};
    kni_part minor = {digits.at + major_length, digits.length - major_length};
    return parse_number(major, &out->major) && parse_number(minor, &out->minor);
}

bool kni_backend_parse(const char *text, size_t length, kni_backend *out) {
    kni_part part = {text, length}, digits;
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        *out = (kni_backend){.kind = (kni_backend_kind)i};
        if (!backends[i].has_version) {
            if (kni_part_is(part, backends[i].prefix)) return true;
        } else if (drop_prefix(part, backends[i].prefix, &digits) && digits.length >= 2) {
            return parse_version(digits, digits.length - 1, &out->version);
        }
    }
    return false;
}

const char *kni_backend_noarch_name(kni_backend_kind kind) { return backends[kind].noarch_name; }

char *kni_backend_text(kni_backend backend, char out[KNI_BACKEND_TEXT_MAX]) {
    if (backends[backend.kind].has_version) {
        snprintf(out, KNI_BACKEND_TEXT_MAX, "%s%d%d", backends[backend.kind].prefix,
                 backend.version.major, backend.version.minor);
    } else {
        snprintf(out, KNI_BACKEND_TEXT_MAX, "%s", backends[backend.kind].prefix);
    }
    return out;
}

/* <backend>-<arch>-<os>, and nothing behind it. */
static bool parse_arch(kni_part rest, kni_variant_name *out) {
    kni_part backend;
    return take_part(&rest, &backend) && take_part(&rest, &out->arch) &&
           take_part(&rest, &out->os) && !rest.at &&
           kni_backend_parse(backend.at, backend.length, &out->backend);
}

static bool parse_torch(kni_part digits, kni_part rest, kni_variant_name *out) {
    out->framework = KNI_FRAMEWORK_TORCH;
    kni_part after = rest, tag;
    if (take_part(&after, &tag) && (kni_part_is(tag, "cxx11") || kni_part_is(tag, "cxx98"))) {
        out->cxx11_abi = kni_part_is(tag, "cxx11");
        rest = after;
    }
    return parse_version(digits, 1, &out->version) && parse_arch(rest, out);
}

bool kni_variant_name_parse(const char *name, kni_variant_name *out) {
    kni_part rest = {name, strlen(name)}, first, second, digits;
    *out = (kni_variant_name){.cxx11_abi = -1};

    if (drop_prefix(rest, "torch-stable-abi", &rest)) {
        out->framework = KNI_FRAMEWORK_STABLE_ABI;
        return take_part(&rest, &digits) && parse_version(digits, 1, &out->version) &&
               parse_arch(rest, out);
    }
    take_part(&rest, &first);
    if (kni_part_is(first, "torch")) {
        out->framework = KNI_FRAMEWORK_NOARCH;
        out->noarch_backend = rest.at ? rest : (kni_part){"", 0};
        return true;
    }
    if (drop_prefix(first, "torch", &digits)) return parse_torch(digits, rest, out);
    if (!kni_part_is(first, "tvm") || !take_part(&rest, &second)) return false;
    out->framework = KNI_FRAMEWORK_TVM_FFI;
    return drop_prefix(second, "ffi", &digits) && parse_version(digits, 1, &out->version) &&
           parse_arch(rest, out);
}
