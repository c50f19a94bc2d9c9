/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/project.h"

#include "base/error.h"
#include "base/text.h"
#include "codec/json.h"

#define KERNELS_MAX 1000
#define SHOWN 101
#define TABLE "[tool.kernels.dependencies]"
#define EXAMPLE "\"org/name\" = 1"

void kni_project_clear(kni_project *project) {
    for (size_t i = 0; i < project->count; i++)
        kni_free(project->alloc, project->kernels[i].repo_id);
    kni_free(project->alloc, project->kernels);
    *project = (kni_project){0};
}

static kn_status add_kernel(kni_project *project, const char *name, const kni_json *value,
                            const char *origin, kn_error *err) {
    char shown[SHOWN];
    int64_t version;
    kni_text_shown(name, shown, sizeof shown);
    if (!kni_json_integer(value, &version) || version < 0) {
        return kni_fail(err, KN_ERR_VALUE,
                        "%s: " TABLE ": '%s' has to be the number of a version, as in " EXAMPLE
                        "; version specifiers, branches and commits cannot be locked",
                        origin, shown);
    }
    if (project->count >= KERNELS_MAX)
        return kni_fail(err, KN_ERR_VALUE, "%s: " TABLE " names more than %d kernels", origin,
                        KERNELS_MAX);
    if (!kni_reserve(project->alloc, &project->kernels, &project->capacity, project->count + 1,
                     sizeof *project->kernels))
        return kni_no_memory(err, "reading a project");
    kni_project_kernel *made = &project->kernels[project->count++];
    *made = (kni_project_kernel){kni_text_copy(project->alloc, name), version};
    return made->repo_id ? KN_OK : kni_no_memory(err, "reading a project");
}

static kn_status read_table(kni_project *project, const kni_json *document, const char *origin,
                            kn_error *err) {
    const kni_json *kernels = kni_json_member(kni_json_member(document, "tool"), "kernels");
    const kni_json *table = kni_json_member(kernels, "dependencies"), *value;
    if (!kni_json_is_object(table))
        return kni_fail(err, KN_ERR_VALUE,
                        "%s: there is no table " TABLE
                        "; name the kernels that the project needs there: " EXAMPLE,
                        origin);
    kn_status status = KN_OK;
    for (const char *name = kni_json_next(table, NULL, &value); name && !status;
         name = kni_json_next(table, name, &value)) {
        status = add_kernel(project, name, value, origin, err);
    }
    if (!status && !project->count)
        status = kni_fail(err, KN_ERR_VALUE,
                          "%s: No kernels found to lock: " TABLE
                          " is empty; name a kernel there: " EXAMPLE,
                          origin);
    return status;
}

kn_status kni_project_parse(const kn_alloc *alloc, const char *json, size_t length,
                            const char *origin, kni_project *out, kn_error *err) {
    *out = (kni_project){.alloc = alloc};
    kni_json *document;
    kn_status status = kni_json_parse(json, length, origin, &document, err);
    if (status) return status;
    status = read_table(out, document, origin, err);
    kni_json_free(document);
    return status;
}
