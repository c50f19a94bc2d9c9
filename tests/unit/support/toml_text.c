/* SPDX-License-Identifier: Apache-2.0 */
#include "support/toml_text.h"

#include "load/net_library.h"
#include "support/unit.h"

kni_json *toml_document(const char *toml, const char *file) {
    const kni_net *net;
    kni_json *document;
    char *json;
    kn_error err = KN_ERROR_INIT;
    if (kni_net_load(KN_NET_LIBRARY, &net, &err) ||
        net->toml_to_places(NULL, toml, strlen(toml), file, &json, &err) ||
        kni_json_parse(json, strlen(json), file, &document, &err))
        fail_msg("%s", err.message);
    kni_free(kni_alloc_or_default(NULL), json);
    return document;
}
