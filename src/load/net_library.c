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

kn_status kni_net_load(const char *path, const kni_net **out, kn_error *err) {
    *out = NULL;
    kni_library *library;
    kni_function entry;
    kn_error cause;
    kn_error_init(&cause);
    if (kni_library_open(path, &library, &cause) ||
        kni_library_function(library, path, KNI_NET_SYMBOL, &entry, &cause)) {
        return kni_fail(err, KN_ERR_RUNTIME,
                        "the network module is needed here: %s; install kernels again, or unset "
                        "KERNELS_NET_LIBRARY if it is set",
                        cause.message);
    }
    const kni_net *net = ((kni_net_entry)entry)();
    if (!net || net->size != sizeof *net) {
        return kni_fail(err, KN_ERR_RUNTIME,
                        "the network module '%s' belongs to another build of kernels: install "
                        "kernels again, or unset KERNELS_NET_LIBRARY if it is set",
                        path);
    }
    *out = net;
    return KN_OK;
}
