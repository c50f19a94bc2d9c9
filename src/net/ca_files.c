/* SPDX-License-Identifier: Apache-2.0 */
#include "net/ca_files.h"

#include "base/error.h"
#include "os/files.h"
#include "os/library.h"

kn_status kni_ca_choose(const kni_ca_candidate *candidates, size_t count, const char *folder,
                        kni_ca *out, kn_error *err) {
    *out = (kni_ca){.folder = folder};
    for (size_t i = 0; i < count; i++) {
        const kni_ca_candidate *one = &candidates[i];
        if (!one->path) continue;
        if (one->found == KNI_CA_FILE) {
            out->file = one->path;
            return KN_OK;
        }
        if (one->found == KNI_CA_FOLDER) {
            out->folder = one->path;
            return KN_OK;
        }
        if (one->variable) {
            *out = (kni_ca){0};
            return kni_fail(err, KN_ERR_NETWORK,
                            "%s is '%s', but nothing is there: expected a file (PEM) or folder of "
                            "certificate authorities; correct it, or unset it to use the system's",
                            one->variable, one->path);
        }
    }
    if (folder) return KN_OK;
    return kni_fail(err, KN_ERR_NETWORK,
                    "there are no certificate authorities on this machine by which an HTTPS server "
                    "could be checked: set SSL_CERT_FILE or REQUESTS_CA_BUNDLE to a file of them "
                    "(PEM), or install the system's ca-certificates or the Python package certifi");
}

kn_status kni_ca_find(const char *certifi, kni_ca *out, kn_error *err) {
    kni_ca_candidate candidates[] = {
        {.variable = "SSL_CERT_FILE"},
        {.variable = "REQUESTS_CA_BUNDLE"},
        {.variable = "CURL_CA_BUNDLE"},
        {.path = certifi},
        {.path = "/etc/ssl/certs/ca-certificates.crt"}, /* Debian, Ubuntu, Arch, Alpine */
        {.path = "/etc/pki/tls/certs/ca-bundle.crt"},   /* Fedora and its kin */
        {.path = "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"}, /* the same, newer */
        {.path = "/etc/ssl/ca-bundle.pem"},                            /* SUSE */
        {.path = "/etc/ssl/cert.pem"},                                 /* Alpine */
    };
    size_t count = sizeof candidates / sizeof *candidates, i = 0;
    for (bool is_known = false; i < count && !is_known; i++) {
        kni_ca_candidate *one = &candidates[i];
        if (one->variable) one->path = kni_environment(one->variable);
        if (!one->path) continue;
        if (kni_path_is_file(one->path))
            one->found = KNI_CA_FILE;
        else if (kni_path_is_directory(one->path))
            one->found = KNI_CA_FOLDER;
        is_known = one->found || one->variable;
    }
    return kni_ca_choose(candidates, i, kni_environment("SSL_CERT_DIR"), out, err);
}

kn_status kni_ca_certifi(const kn_alloc *alloc, char **out, kn_error *err) {
    char *folder;
    *out = NULL;
    kn_status status = kni_library_folder(alloc, (kni_function)kni_ca_certifi, &folder, err);
    if (status) return status;
    *out = kni_path_join(alloc, folder, "../certifi/cacert.pem");
    kni_free(alloc, folder);
    return *out ? KN_OK : kni_no_memory(err, "looking for certificate authorities");
}
