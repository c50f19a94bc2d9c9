/* SPDX-License-Identifier: Apache-2.0 */
#include "load/python_depends.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "load/metadata_fields.h"

/* The names that kernel-builder has for Python packages. */
static const kni_python_package packages[] = {
    {"einops", NULL, "einops", "einops"},
    {"helion", NULL, "helion", "helion"},
    {"tvm-ffi", NULL, "apache-tvm-ffi", "tvm_ffi"},
    {"nvidia-cutlass-dsl", "cuda", "nvidia-cutlass-dsl", "cutlass"},
    {"nki", "neuron", "nki", "nki"},
    {"onednn", "xpu", "onednn-devel", NULL}, /* libraries only */
};

#define PACKAGES (sizeof packages / sizeof *packages)

const kni_python_package *kni_python_package_find(const char *depend, const char *backend) {
    for (size_t i = 0; i < PACKAGES; i++) {
        if (strcmp(packages[i].depend, depend) != 0) continue;
        if (!packages[i].backend || strcmp(packages[i].backend, backend) == 0) return &packages[i];
    }
    return NULL;
}

/* Sets `needed` for the packages that are to be looked for. */
static kn_status find_needed(const kn_metadata *metadata, const char *module, const char *backend,
                             bool needed[PACKAGES], kn_error *err) {
    for (size_t i = 0; i < kn_metadata_python_depends_count(metadata); i++) {
        const char *depend = kn_metadata_python_depends(metadata, i);
        const kni_python_package *package = kni_python_package_find(depend, backend);
        if (!package) {
            char shown[KNI_METADATA_SHOWN];
            return kni_fail(
                err, KN_ERR_VALUE,
                "Kernel module `%.200s` uses unsupported kernel dependency: %s (for the backend %s); "
                "upgrade the package kernels, or build the kernel without it",
                module, kni_text_shown(depend, shown, sizeof shown), backend);
        }
        needed[package - packages] = package->import_name != NULL;
    }
    return KN_OK;
}

#define LIST_MAX 256 /* all packages of the table fit */

/* Appends to a list in a caller's buffer. */
static void append(char list[LIST_MAX], const char *separator, const char *name, const char *end) {
    size_t length = strlen(list);
    snprintf(list + length, LIST_MAX - length, "%s%s%s", separator, name, end);
}

kn_status kni_python_depends_check(const kn_metadata *metadata, const char *backend,
                                   bool (*can_import)(void *ctx, const char *import_name),
                                   void *ctx, kn_error *err) {
    kn_metadata_info info = {.size = sizeof info};
    kn_metadata_get(metadata, &info);
    bool needed[PACKAGES] = {false};
    kn_status status = find_needed(metadata, info.module_name, backend, needed, err);
    if (status) return status;

    char names[LIST_MAX] = "", command[LIST_MAX] = "";
    size_t missing = 0;
    for (size_t i = 0; i < PACKAGES; i++) {
        if (!needed[i] || can_import(ctx, packages[i].import_name)) continue;
        append(names, missing ? ", `" : "`", packages[i].package, "`");
        append(command, " ", packages[i].package, "");
        missing++;
    }
    if (!missing) return KN_OK;
    return kni_fail(
        err, KN_ERR_DEPENDENCY,
        "Kernel module `%.200s` requires Python %s %s. Please install with: pip install%s",
        info.module_name, missing > 1 ? "dependencies" : "dependency", names, command);
}
