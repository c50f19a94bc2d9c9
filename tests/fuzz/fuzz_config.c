/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a repository id, a line break, a kernels.toml. What is refused is told with its place. */
#include "engine/config.h"
#include "fuzz_target.h"
#include "net/net_parts.h"

static void ask(const kni_policy *policy, const char *repo_id) {
    const kni_pin *pin = kni_policy_pin(policy, repo_id);
    FUZZ_CHECK(!pin || (pin->version != NULL) != (pin->revision != NULL));
    const kni_deny *open, *deny = kni_policy_deny(policy, repo_id, "v1.2", NULL, &open);
    FUZZ_CHECK(!deny || deny->target[0]);
    FUZZ_CHECK(!open); /* the version is known */
    kni_policy_deny(policy, repo_id, NULL, NULL, &open);
    FUZZ_CHECK(!open || open->specifier);
    const kni_trusted *rule = kni_policy_trusts(policy, repo_id);
    FUZZ_CHECK(!rule || rule->kind != KNI_TRUST_DIGEST);
    FUZZ_CHECK(!kni_policy_asks(policy, KNI_PROVIDER_HUB) ||
               kni_policy_asks(policy, KNI_PROVIDER_CACHE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *repo_id = fuzz_text(data, size), *toml = fuzz_second_part(repo_id), *json;
    const kn_alloc *alloc = kni_alloc_or_default(NULL);
    kni_json *document = NULL;
    kn_error err = KN_ERROR_INIT;
    if (kni_toml_to_places(NULL, toml, strlen(toml), "k.toml", &json, &err) == KN_OK) {
        /* Twice as deep as the TOML, which may be deeper than what is read as JSON. */
        if (kni_json_parse(json, strlen(json), "k.toml", &document, &err) != KN_OK) document = NULL;
        kni_free(alloc, json);
    }
    if (document) {
        kni_config config;
        kni_config_init(&config, alloc);
        kn_status status = kni_config_parse(&config, document, "k.toml", &err);
        FUZZ_CHECK(status == KN_OK || status == KN_ERR_VALUE);
        if (status) FUZZ_CHECK(strncmp(err.message, "k.toml:", 7) == 0);
        if (!status) ask(&config.policy, repo_id);
        for (size_t i = 0; !status && i < config.sources.count; i++)
            FUZZ_CHECK(strstr(config.sources.items[i].address, "://"));
        kni_config_clear(&config);
    }
    kni_json_free(document);
    free(repo_id);
    return 0;
}
