/* SPDX-License-Identifier: Apache-2.0 */
#include "load/net_library.h"

#include "base/error.h"
#include "os/files.h"
#include "os/library.h"

kn_status kni_net_path(const kn_alloc *alloc, const char *chosen, char **out, kn_error *err) {
    *out = NULL;
    alloc = kni_alloc_or_default(alloc);
    char *folder = NULL;
    if (!chosen) {
        kn_status status = kni_library_folder(alloc, (kni_function)kni_net_path, &folder, err);
        if (status) return status;
    }
    *out =
        chosen ? kni_text_copy(alloc, chosen) : kni_path_join(alloc, folder, KNI_NET_LIBRARY_NAME);
    kni_free(alloc, folder);
    return *out ? KN_OK : kni_no_memory(err, "looking for the network module");
}

/* NULL: it could not be found, as err says. */
static kni_function find_entry(const char *path, const char *symbol, kn_error *err) {
    kni_library *library;
    kni_function entry = NULL;
    kn_error cause;
    kn_error_init(&cause);
    if (!kni_library_open(path, &library, &cause) &&
        !kni_library_function(library, path, symbol, &entry, &cause)) {
        return entry;
    }
    kni_fail(err, KN_ERR_RUNTIME,
             "the network module is needed here: %s; install kernels again, or unset "
             "KERNELS_NET_LIBRARY if it is set",
             cause.message);
    return NULL;
}

static kn_status fail_other_build(const char *path, kn_error *err) {
    return kni_fail(err, KN_ERR_RUNTIME,
                    "the network module '%s' belongs to another build of kernels: install "
                    "kernels again, or unset KERNELS_NET_LIBRARY if it is set",
                    path);
}

kn_status kni_net_load(const char *path, const kni_net **out, kn_error *err) {
    *out = NULL;
    kni_function entry = find_entry(path, KNI_NET_SYMBOL, err);
    if (!entry) return KN_ERR_RUNTIME;
    const kni_net *net = ((kni_net_entry)entry)();
    if (!net || net->size != sizeof *net) return fail_other_build(path, err);
    *out = net;
    return KN_OK;
}

kn_status kni_serve_load(const char *path, const kni_serve **out, kn_error *err) {
    *out = NULL;
    kni_function entry = find_entry(path, KNI_SERVE_SYMBOL, err);
    if (!entry) return KN_ERR_RUNTIME;
    const kni_serve *serve = ((kni_serve_entry)entry)();
    if (!serve || serve->size != sizeof *serve) return fail_other_build(path, err);
    *out = serve;
    return KN_OK;
}
