/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a TOML document. What is accepted is JSON, and within its limits. */
#include "codec/json.h"
#include "fuzz_target.h"
#include "net/net_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *json;
    kn_error err = KN_ERROR_INIT;
    kn_status status = kni_toml_to_json(NULL, (const char *)data, size, "x.toml", &json, &err);
    FUZZ_CHECK(status == KN_OK || status == KN_ERR_VALUE);
    FUZZ_CHECK((status == KN_OK) == (json != NULL));
    if (status) {
        FUZZ_CHECK(strncmp(err.message, "x.toml: ", 8) == 0);
        for (const char *at = err.message; *at; at++)
            FUZZ_CHECK((unsigned char)*at >= 0x20 && *at != 0x7F);
        return 0;
    }
    kni_json *document;
    status = kni_json_parse(json, strlen(json), "json", &document, &err);
    if (status) fprintf(stderr, "%s\n%s\n", err.message, json);
    FUZZ_CHECK(status == KN_OK && kni_json_is_object(document));
    kni_json_free(document);
    kni_free(kni_alloc_or_default(NULL), json);
    return 0;
}
