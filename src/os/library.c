/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* dladdr */

#include "os/library.h"

#ifndef __linux__
#error \
    "libkernels runs on Linux only: port src/os/ (files, locks) before building it for another system"
#endif

#include <dlfcn.h>
#include <string.h>

#include "base/error.h"
#include "os/files.h"

/* The loader's last error of this thread; there is one whenever a call has failed. */
static const char *reason(void) {
    const char *text = dlerror();
    return text ? text : "the loader gives no reason";
}

static kn_status open_at(const char *path, int flags, kni_library **out, kn_error *err) {
    *out = NULL;
    if (!strchr(path, '/')) {
        return kni_fail(err, KN_ERR_VALUE,
                        "cannot load '%s': a path with a '/' is needed, names are not searched for",
                        path);
    }
    if (!kni_path_is_file(path)) {
        return kni_fail(err, KN_ERR_NOT_FOUND, "cannot load '%s': there is no file at this path",
                        path);
    }
    void *handle = dlopen(path, RTLD_NOW | RTLD_NODELETE | flags);
    if (!handle) return kni_fail(err, KN_ERR_OS, "cannot load '%s': %s", path, reason());
    *out = (kni_library *)handle;
    return KN_OK;
}

kn_status kni_library_open(const char *path, kni_library **out, kn_error *err) {
    return open_at(path, RTLD_LOCAL, out, err);
}

kn_status kni_library_open_shared(const char *path, kni_library **out, kn_error *err) {
    return open_at(path, RTLD_GLOBAL, out, err);
}

kn_status kni_library_search(const char *name, kni_library **out, kn_error *err) {
    void *handle = dlopen(name, RTLD_NOW | RTLD_NODELETE | RTLD_GLOBAL);
    *out = (kni_library *)handle;
    return handle ? KN_OK : kni_fail(err, KN_ERR_NOT_FOUND, "%s", reason());
}

kni_library *kni_library_loaded(const char *name) {
    return (kni_library *)dlopen(name, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE | RTLD_GLOBAL);
}

kn_status kni_library_function(kni_library *library, const char *path, const char *name,
                               kni_function *out, kn_error *err) {
    *out = NULL;
    void *symbol = dlsym(library, name);
    if (!symbol) {
        return kni_fail(err, KN_ERR_NOT_FOUND, "'%s' has no symbol '%s'", path, name);
    }
    memcpy(out, &symbol, sizeof *out); /* ISO C does not turn one into the other; POSIX does */
    return KN_OK;
}

kn_status kni_library_folder(const kn_alloc *alloc, kni_function function, char **out,
                             kn_error *err) {
    *out = NULL;
    alloc = kni_alloc_or_default(alloc);
    const void *address;
    memcpy(&address, &function, sizeof address);
    Dl_info about;
    if (!dladdr(address, &about) || !about.dli_fname) {
        return kni_fail(err, KN_ERR_OS, "cannot find the file that this library was loaded from");
    }
    kn_status status = kni_path_resolve(alloc, about.dli_fname, out, err);
    if (status) return status;
    char *slash = strrchr(*out, '/');
    if (slash == *out) slash++; /* right below the root */
    *slash = '\0';
    return KN_OK;
}
