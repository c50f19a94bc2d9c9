/* SPDX-License-Identifier: Apache-2.0 */
/* The shared objects of a build that is about to be loaded, and the machine's GPU. */
#include "load/objects.h"

#include "engine/state.h"

/* Where GPUs are unlike, which one a kernel will run on is not known. */
static kn_status current_gpu(void *ctx, kn_gpu *out, bool *known, kn_error *err) {
    kni_run *run = ctx;
    bool unlike = false;
    kn_status status = run->host->gpu(run->host->ctx, out, err);
    if (!status && out->capability >= 0)
        status = run->host->has_unlike_devices(run->host->ctx, KN_DEVICE_CUDA, &unlike, err);
    *known = !status && !unlike;
    return status;
}

kn_status kni_engine_check_objects(kni_run *run, const kni_kernel_source *source, bool any_arch,
                                   kn_error *err) {
    kn_metadata_info info = {.size = sizeof info};
    kn_metadata_get(source->metadata, &info);
    /* What the metadata says of architectures has been checked, and counts: the build may have
     * other code than that in its shared objects. */
    bool asks_gpu = !any_arch && run->host->gpu && !kn_metadata_archs_count(source->metadata);
    kni_objects_ask ask = {
        .name = info.name,
        .variant = source->variant,
        .folder = source->folder,
        .gpu = asks_gpu ? current_gpu : NULL,
        .ctx = run,
    };
    return kni_objects_check(run->engine->alloc, &ask, err);
}
