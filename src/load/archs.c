/* SPDX-License-Identifier: Apache-2.0 */
#include "load/archs.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "load/metadata_fields.h"

#define NAME_MAX_SHOWN 200

static void add_device(kni_text *text, const kn_metadata *metadata, const kn_gpu *gpu) {
    if (strcmp(metadata->backend, "rocm") == 0) {
        kni_text_addf(text, "ROCm arch %.*s", (int)strcspn(gpu->gcn_arch, ":"), gpu->gcn_arch);
    } else {
        kni_text_addf(text, "CUDA capability %d.%d", (int)(gpu->capability / 10),
                      (int)(gpu->capability % 10));
    }
}

static kn_status fail_device(const kn_alloc *alloc, const kn_metadata *metadata,
                             const char *variant, const kn_gpu *gpu, kn_error *err) {
    kni_text reason;
    kni_text_init(&reason, alloc);
    add_device(&reason, metadata, gpu);
    kni_text_add(&reason,
                 " of the current device is not supported by the architectures of the build: ");
    const kni_text_list *archs = &metadata->archs;
    for (size_t i = 0; i < archs->count && reason.length < KN_ERROR_TEXT_MAX; i++)
        kni_text_addf(&reason, "%s%s", i ? ", " : "", archs->items[i]);
    char *text = kni_text_take(&reason), shown[KN_ERROR_TEXT_MAX / 2];
    if (!text) return kni_no_memory(err, "checking a kernel's architectures");
    kn_status status = kni_fail(
        err, KN_ERR_RUNTIME,
        "Kernel '%.*s' variant '%.*s' does not support the current device: %s. The declared "
        "architectures can be incomplete (e.g. when a kernel has a Triton fallback), pass "
        "`check_arch=False` to skip this check. Warning: the kernel may fail or crash the process at "
        "run time when it does not support the device.",
        NAME_MAX_SHOWN, metadata->name, NAME_MAX_SHOWN, variant,
        kni_text_shown(text, shown, sizeof shown));
    kni_free(alloc, text);
    return status;
}

kn_status kni_archs_check(const kn_alloc *alloc, const kn_metadata *metadata, const char *variant,
                          const kn_gpu *gpu, kn_error *err) {
    const kni_text_list *archs = &metadata->archs;
    if (!gpu || !metadata->backend) return KN_OK;
    if (kn_archs_support(metadata->backend, (const char *const *)archs->items, archs->count, gpu))
        return KN_OK;
    return fail_device(kni_alloc_or_default(alloc), metadata, variant, gpu, err);
}
