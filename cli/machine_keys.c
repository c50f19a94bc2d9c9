/* SPDX-License-Identifier: Apache-2.0 */
/* Machines as the command line describes them: option by option, or as one target. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

const char *const cli_machine_keys[] = {"torch",     "backend", "arch",       "os",
                                        "cxx11-abi", "tvm-ffi", "capability", NULL};

/* "2.10" or "none"; false for other text. */
static bool parse_pair(const char *text, int *major, int *minor) {
    *major = *minor = -1;
    if (strcmp(text, "none") == 0) return true;
    char *end;
    long first = strtol(text, &end, 10);
    if (end == text || *end != '.' || first < 0 || first > 999) return false;
    const char *rest = end + 1;
    long second = strtol(rest, &end, 10);
    if (end == rest || (*end && *end != '.' && *end != '+') || second < 0 || second > 999)
        return false;
    *major = (int)first;
    *minor = (int)second;
    return true;
}

/* "9.0" or "90". */
static bool parse_capability(const char *text, int64_t *out) {
    int major, minor;
    if (strchr(text, '.')) {
        if (!parse_pair(text, &major, &minor) || minor > 9) return false;
        *out = (int64_t)major * 10 + minor;
        return true;
    }
    char *end;
    long value = strtol(text, &end, 10);
    *out = value;
    return end != text && !*end && value >= 10 && value <= 9999;
}

static bool parse_flag(const char *text, int *out) {
    *out = text[0] - '0';
    return strcmp(text, "0") == 0 || strcmp(text, "1") == 0;
}

static bool is_backend(const char *value) {
    const kn_system system = {
        .size = sizeof system, .backend = value, .arch = "x86_64", .os = "linux"};
    kn_variants *none;
    kn_status status = kn_variants_rank(NULL, NULL, 0, &system, &none, NULL);
    kn_variants_free(none);
    return status == KN_OK;
}

const char *cli_machine_set(kn_system *s, int64_t *capability, const char *key, const char *value) {
    if (strcmp(key, "torch") == 0) {
        if (!parse_pair(value, &s->torch_major, &s->torch_minor))
            return "a version such as 2.10, or none";
        s->torch_cxx11_abi = s->torch_major < 0 ? -1 : 1; /* all wheels since 2.7 */
    } else if (strcmp(key, "tvm-ffi") == 0) {
        if (!parse_pair(value, &s->tvm_ffi_major, &s->tvm_ffi_minor))
            return "a version such as 0.1, or none";
    } else if (strcmp(key, "cxx11-abi") == 0) {
        if (!parse_flag(value, &s->torch_cxx11_abi)) return "0 or 1";
    } else if (strcmp(key, "capability") == 0) {
        if (!parse_capability(value, capability)) return "a compute capability such as 9.0";
    } else if (strcmp(key, "backend") == 0) {
        if (!is_backend(value)) return "cpu, cuNNN, rocmNN, xpuNNNNN, cannNN, metal, neuron or tpu";
        s->backend = value;
    } else if (strcmp(key, "arch") == 0) {
        s->arch = value;
    } else {
        s->os = value;
    }
    return NULL;
}
