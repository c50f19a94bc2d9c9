/* SPDX-License-Identifier: Apache-2.0 */
/* Where the certificate authorities are by which a server's certificate is checked. */
#ifndef KNI_NET_CA_FILES_H
#define KNI_NET_CA_FILES_H

#include "base/alloc.h"

typedef enum kni_ca_kind { KNI_CA_NOTHING, KNI_CA_FILE, KNI_CA_FOLDER } kni_ca_kind;

typedef struct kni_ca_candidate {
    const char *variable; /* whose value `path` is; NULL for a place where they may be */
    const char *path;     /* NULL: there is none */
    kni_ca_kind found;    /* what is at `path` */
} kni_ca_candidate;

typedef struct kni_ca {
    const char *file, *folder; /* NULL: none; borrowed from the candidates */
} kni_ca;

/* Pure: the first variable that is set or place that exists. `folder` (SSL_CERT_DIR, or NULL) goes
 * with a file, or stands alone where there is none. KN_ERR_NETWORK where a variable names nothing,
 * and where there are none at all. */
kn_status kni_ca_choose(const kni_ca_candidate *candidates, size_t count, const char *folder,
                        kni_ca *out, kn_error *err);

/* What this process is to use: SSL_CERT_FILE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, `certifi` (its
 * file, which need not be there; or NULL), then the places of the distributions. The result is
 * valid until the environment changes. */
kn_status kni_ca_find(const char *certifi, kni_ca *out, kn_error *err);

/* The path of certifi's file, where it is installed beside the package that this module lies in.
 * The caller frees *out with kni_free. */
kn_status kni_ca_certifi(const kn_alloc *alloc, char **out, kn_error *err);

#endif
