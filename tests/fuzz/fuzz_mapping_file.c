/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a mapping in TOML. What is refused is told with its place. */
#include "fuzz_target.h"
#include "layers/mapping_file.h"
#include "net/net_parts.h"

static bool check_entry(void *ctx, const kn_mapping_entry *entry) {
    (void)ctx;
    for (size_t i = 0; i < entry->mode_count; i++) {
        kn_repo_info info;
        FUZZ_CHECK(kn_repo_describe(entry->modes[i].repo, &info, NULL) == KN_OK);
        FUZZ_CHECK(info.id && info.layer_name && !(info.version && info.revision));
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *json;
    kni_json *document = NULL;
    kn_mapping *mapping;
    kn_error err = KN_ERROR_INIT;
    if (kni_toml_to_places(NULL, (const char *)data, size, "m.toml", &json, &err)) return 0;
    kn_status status = kni_json_parse(json, strlen(json), "m.toml", &document, &err);
    kni_free(kni_alloc_or_default(NULL), json);
    if (status) return 0; /* deeper than what is read as JSON */
    status = kni_mapping_parse(NULL, document, "m.toml", &mapping, &err);
    FUZZ_CHECK(status == KN_OK || status == KN_ERR_VALUE);
    FUZZ_CHECK((status == KN_OK) == (mapping != NULL));
    if (status) FUZZ_CHECK(strncmp(err.message, "m.toml:", 7) == 0);
    if (mapping) kn_mapping_each(mapping, check_entry, NULL);
    kn_mapping_release(mapping);
    kni_json_free(document);
    return 0;
}
