/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels that a project's pyproject.toml names:
 *
 *   [tool.kernels.dependencies]
 *   "org/name" = 1
 *
 * Pure: TOML is read by the network's module, which gives it as JSON. */
#ifndef KNI_TRUST_PROJECT_H
#define KNI_TRUST_PROJECT_H

#include <kernels/common.h>

typedef struct kni_project_kernel {
    char *repo_id;
    int64_t version;
} kni_project_kernel;

typedef struct kni_project {
    const kn_alloc *alloc;
    kni_project_kernel *kernels;
    size_t count, capacity;
} kni_project;

#define KNI_PROJECT_LIMIT ((size_t)1 << 20) /* bytes of a pyproject.toml */

/* `origin` names the file in messages. KN_ERR_VALUE where there is no such table, nothing in it, or
 * a version that is no whole number. `out` is cleared by the caller, also after a failure. */
kn_status kni_project_parse(const kn_alloc *alloc, const char *json, size_t length,
                            const char *origin, kni_project *out, kn_error *err);
void kni_project_clear(kni_project *project);

#endif
