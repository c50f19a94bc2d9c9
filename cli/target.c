/* SPDX-License-Identifier: Apache-2.0 */
/* The machine that a command is about, where it is not this one. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define ARCHS_MAX 64

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

static int refuse_value(cli *c, const char *option, const char *value, const char *expected) {
    cli_error(c, "%s is '%s': expected %s", option, value, expected);
    return CLI_USAGE;
}

/* "9.0" or "90"; KN_CAPABILITY_UNKNOWN where the option is not given. */
static bool parse_capability(const char *text, int64_t *out) {
    *out = KN_CAPABILITY_UNKNOWN;
    if (!text) return true;
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

int cli_target(cli *c, kn_gpu *gpu) {
    const char *torch = cli_value(c, "--torch"), *tvm_ffi = cli_value(c, "--tvm-ffi");
    const char *abi = cli_value(c, "--cxx11-abi"), *capability = cli_value(c, "--capability");
    kn_system *s = &c->system;
    if (torch && !parse_pair(torch, &s->torch_major, &s->torch_minor))
        return refuse_value(c, "--torch", torch, "a version such as 2.10, or none");
    if (tvm_ffi && !parse_pair(tvm_ffi, &s->tvm_ffi_major, &s->tvm_ffi_minor))
        return refuse_value(c, "--tvm-ffi", tvm_ffi, "a version such as 0.1, or none");
    if (abi && strcmp(abi, "0") != 0 && strcmp(abi, "1") != 0)
        return refuse_value(c, "--cxx11-abi", abi, "0 or 1");
    if (!parse_capability(capability, &gpu->capability))
        return refuse_value(c, "--capability", capability, "a compute capability such as 9.0");
    if (torch) s->torch_cxx11_abi = s->torch_major < 0 ? -1 : 1; /* all wheels since 2.7 */
    if (abi) s->torch_cxx11_abi = abi[0] - '0';
    if (cli_value(c, "--backend")) s->backend = cli_value(c, "--backend");
    if (cli_value(c, "--arch")) s->arch = cli_value(c, "--arch");
    if (cli_value(c, "--os")) s->os = cli_value(c, "--os");
    return CLI_OK;
}

bool cli_is_elsewhere(const cli *c) {
    static const char *const names[] = {"--torch", "--tvm-ffi", "--backend", "--arch", "--os"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (cli_value(c, names[i])) return true;
    }
    return false;
}

bool cli_supports_gpu(const kn_about_info *about, const kn_variant *best, const kn_gpu *gpu,
                      char *archs, size_t size) {
    const char *names[ARCHS_MAX];
    size_t count = 0, length = 0;
    const kn_metadata *metadata = about->metadata;
    archs[0] = '\0';
    if (!metadata || !best->accepted || !about->variant || strcmp(about->variant, best->name) != 0)
        return true;
    for (; count < ARCHS_MAX && count < kn_metadata_archs_count(metadata); count++)
        names[count] = kn_metadata_archs(metadata, count);
    for (size_t i = 0; i < count && length < size; i++)
        length += (size_t)snprintf(archs + length, size - length, "%s%s", i ? ", " : "", names[i]);
    return kn_archs_support(best->backend, names, count, gpu);
}
