/* SPDX-License-Identifier: Apache-2.0 */
/* The served Hub is the network module's; these are the doors to it. */
#include "base/error.h"
#include "load/net_library.h"
#include "os/files.h"

static const kni_serve *module_of(const kn_server *server) {
    return ((const kni_server_head *)(const void *)server)->module;
}

kn_status kn_server_start(const kn_serve_options *options, kn_server **out, kn_error *err) {
    char *path;
    const kni_serve *serve;
    *out = NULL;
    if (options->size < sizeof *options)
        return kni_fail(err, KN_ERR_VALUE, "the options of a server are of another version");
    const kn_alloc *alloc = kni_alloc_or_default(options->alloc);
    const char *chosen = kni_environment("KERNELS_NET_LIBRARY");
    kn_status status = kni_net_path(alloc, chosen ? chosen : options->net_library, &path, err);
    if (status) return status;
    status = kni_serve_load(path, &serve, err);
    kni_free(alloc, path);
    return status ? status : serve->start(options, out, err);
}

const char *kn_server_url(const kn_server *server) { return module_of(server)->url(server); }

int kn_server_port(const kn_server *server) { return module_of(server)->port(server); }

void kn_server_stop(kn_server *server, int seconds) {
    if (server) module_of(server)->stop(server, seconds);
}
