/* SPDX-License-Identifier: Apache-2.0 */
/* The machine that a command is about, where it is not this one. */
#include <string.h>

#include "cli.h"

#define ARCHS_MAX 64

int cli_target(cli *c, kn_gpu *gpu) {
    gpu->capability = KN_CAPABILITY_UNKNOWN;
    for (size_t i = 0; cli_machine_keys[i]; i++) {
        char option[32];
        snprintf(option, sizeof option, "--%s", cli_machine_keys[i]);
        const char *value = cli_value(c, option);
        const char *expected =
            value ? cli_machine_set(&c->system, &gpu->capability, cli_machine_keys[i], value)
                  : NULL;
        if (!expected) continue;
        cli_error(c, "%s is '%s': expected %s", option, value, expected);
        return CLI_USAGE;
    }
    int status = cli_machine(c);
    if (status) return status;
    c->system.elsewhere = cli_is_elsewhere(c);
    if (gpu->capability == KN_CAPABILITY_UNKNOWN && !c->system.elsewhere)
        gpu->capability = cli_own_capability(c);
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
