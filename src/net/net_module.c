/* SPDX-License-Identifier: Apache-2.0 */
#include "net/net_parts.h"

static const kni_net table = {
    .size = sizeof(kni_net),
    .digest_new = kni_digest_new,
    .digest_add = kni_digest_add,
    .digest_finish = kni_digest_finish,
    .digest_free = kni_digest_free,
    .toml_to_json = kni_toml_to_json,
    .toml_to_places = kni_toml_to_places,
    .transport_new = kni_curl_transport_new,
};

const kni_net *kni_net_table(void) { return &table; }
