/* SPDX-License-Identifier: Apache-2.0 */
/* What only this machine can tell: its GPUs, and whether what lies on it can be loaded here. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

int64_t cli_own_capability(const cli *c) {
    kn_gpus *gpus;
    kn_gpu_about about = {.size = sizeof about, .capability = KN_CAPABILITY_UNKNOWN};
    if (strncmp(c->system.backend, "cu", 2) != 0 || kn_gpus_read(NULL, NULL, &gpus, NULL))
        return KN_CAPABILITY_UNKNOWN;
    if (kn_gpus_count(gpus)) kn_gpus_get(gpus, 0, &about);
    kn_gpus_free(gpus);
    return about.capability;
}

bool cli_can_be_loaded(const cli *c, const kn_repo_info *kernel, const kn_variant *best,
                       const kn_gpu *gpu, kn_error *why) {
    kn_repo_info info = *kernel;
    char *folder;
    info.cache_only = true;
    info.refresh = false;
    if (best->is_passed_over) {
        why->status = KN_ERR_NOT_FOUND;
        snprintf(why->message, sizeof why->message, "%s: %s", best->name, best->reason);
        return false;
    }
    if (cli_is_elsewhere(c) || !best->accepted) return true;
    if (kn_engine_install(c->engine, &c->host, &info, &folder, NULL)) return true;
    kn_status status = kn_objects_check(NULL, folder, kernel->id, best->name, gpu, why);
    kn_text_free(c->engine, folder);
    return !status;
}
