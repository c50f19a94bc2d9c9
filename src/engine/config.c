/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/config.h"

#include <string.h>

#include "base/error.h"
#include "codec/net.h"
#include "engine/state.h"
#include "os/expand.h"
#include "os/files.h"

#define MACHINE_FILE "/etc/kernels/" KNI_CONFIG_NAME
#define NO_FILE "/dev/null" /* for KERNELS_CONFIG: the user has none */
#define FILE_LIMIT ((size_t)1 << 20)
#define KEYS KNI_POLICY_KEYS " " KNI_SOURCES_KEYS

void kni_config_init(kni_config *config, const kn_alloc *alloc) {
    *config = (kni_config){.alloc = alloc, .policy = {.alloc = alloc}, .sources = {.alloc = alloc}};
}

void kni_config_clear(kni_config *config) {
    kni_policy_clear(&config->policy);
    kni_sources_clear(&config->sources);
    kni_free(config->alloc, config->order_text);
    for (size_t i = 0; i < config->file_count; i++) kni_free(config->alloc, config->files[i]);
}

void kni_config_free(kni_config *config) {
    if (!config) return;
    kni_config_clear(config);
    kni_free(config->alloc, config);
}

/* ---- where they are ---- */

/* Takes `path` over, NULL among it: no memory. */
static kn_status add_file(kni_config *config, char *path, kn_error *err) {
    if (!path) return kni_no_memory(err, "reading kernels.toml");
    config->files[config->file_count++] = path;
    return KN_OK;
}

/* The same, unless nothing is there. */
static kn_status add_if_there(kni_config *config, char *path, kn_error *err) {
    if (!path || kni_path_is_file(path)) return add_file(config, path, err);
    kni_free(config->alloc, path);
    return KN_OK;
}

/* What KERNELS_CONFIG names has to be there. */
static kn_status add_named(kni_config *config, const char *named, kn_error *err) {
    if (strcmp(named, NO_FILE) == 0) return KN_OK;
    char *path;
    kn_status status = kni_path_expand(config->alloc, named, &path, err);
    if (status) return status;
    if (kni_path_is_file(path)) return add_file(config, path, err);
    kni_free(config->alloc, path);
    return kni_fail(err, KN_ERR_VALUE,
                    "KERNELS_CONFIG is '%s': there is no such file; name a kernels.toml, or unset "
                    "it",
                    named);
}

/* $XDG_CONFIG_HOME/kernels/kernels.toml, or ~/.config/kernels/kernels.toml. */
static kn_status add_users(kni_config *config, kn_error *err) {
    const char *named = kni_environment("KERNELS_CONFIG");
    const char *folder = kni_environment("XDG_CONFIG_HOME");
    if (named) return add_named(config, named, err);
    if (folder && folder[0] != '/') folder = NULL; /* as the XDG specification has it */
    char *home = NULL;
    kn_error cause;
    kn_error_init(&cause);
    kn_status status = folder ? KN_OK : kni_path_expand(config->alloc, "~/.config", &home, &cause);
    if (status == KN_ERR_NOT_FOUND) return KN_OK; /* this user has no home */
    if (status) return kni_fail(err, status, "%s", cause.message);
    char *path = kni_path_join(config->alloc, folder ? folder : home, "kernels/" KNI_CONFIG_NAME);
    kni_free(config->alloc, home);
    return add_if_there(config, path, err);
}

static kn_status find_files(const kn_engine *engine, kni_config *config, kn_error *err) {
    kn_status status = add_users(config, err);
    if (!status && engine->site_config)
        status = add_if_there(config, kni_text_copy(config->alloc, engine->site_config), err);
    if (!status) status = add_if_there(config, kni_text_copy(config->alloc, MACHINE_FILE), err);
    return status;
}

/* ---- what they say ---- */

kn_status kni_config_parse(kni_config *config, const kni_json *document, const char *file,
                           kn_error *err) {
    kni_placed table = kni_placed_document(document, file), value;
    kn_status status = KN_OK;
    for (const char *key = kni_placed_next(&table, NULL, &value); key && !status;
         key = kni_placed_next(&table, key, &value)) {
        if (kni_placed_is_key(KNI_POLICY_KEYS, key))
            status = kni_policy_read(&config->policy, key, &value, err);
        else if (kni_placed_is_key(KNI_SOURCES_KEYS, key))
            status = kni_sources_read(&config->sources, &value, err);
        else
            status = kni_placed_fail_key(&value.at, key, KNI_CONFIG_NAME, KEYS, err);
    }
    return status;
}

static kn_status read_file(kni_config *config, const char *file, const kni_net *net,
                           kn_error *err) {
    char *bytes, *json = NULL;
    size_t length;
    kni_json *document = NULL;
    kn_status status = kni_file_read(config->alloc, file, FILE_LIMIT, &bytes, &length, err);
    if (!status) status = net->toml_to_places(config->alloc, bytes, length, file, &json, err);
    if (!status) status = kni_json_parse(json, strlen(json), file, &document, err);
    if (!status) status = kni_config_parse(config, document, file, err);
    kni_json_free(document);
    kni_free(config->alloc, json);
    kni_free(config->alloc, bytes);
    return status;
}

static kn_status write_order(kni_config *config, kn_error *err) {
    const kni_policy *policy = &config->policy;
    if (!policy->order_said.file) return KN_OK;
    kni_text text;
    kni_text_init(&text, config->alloc);
    for (size_t i = 0; i < policy->order_count; i++)
        kni_text_addf(&text, "%s%s", i ? ", " : "", kni_provider_text(policy->order[i]));
    config->order_text = kni_text_take(&text);
    return config->order_text ? KN_OK : kni_no_memory(err, "reading kernels.toml");
}

static kn_status make(kn_engine *engine, kni_config **out, kn_error *err) {
    kni_config *config = kni_new(engine->alloc, sizeof *config);
    *out = config;
    if (!config) return kni_no_memory(err, "reading kernels.toml");
    kni_config_init(config, engine->alloc);
    const kni_net *net = NULL;
    kn_status status = find_files(engine, config, err);
    if (!status && config->file_count) status = kni_engine_net(engine, &net, err);
    for (size_t i = 0; i < config->file_count && !status; i++)
        status = read_file(config, config->files[i], net, err);
    return status ? status : write_order(config, err);
}

kn_status kni_engine_config(kn_engine *engine, const kni_config **out, kn_error *err) {
    kni_lock_take(engine->lock);
    *out = engine->config;
    kni_lock_drop(engine->lock);
    if (*out) return KN_OK;
    kni_config *made;
    kn_status status = make(engine, &made, err);
    if (!status) {
        kni_lock_take(engine->lock);
        if (!engine->config) {
            engine->config = made;
            made = NULL;
        }
        *out = engine->config;
        kni_lock_drop(engine->lock);
    }
    kni_config_free(made);
    return status;
}

/* ---- as it is told ---- */

kn_status kn_engine_read_config(kn_engine *engine, const kn_config **out, kn_error *err) {
    return kni_engine_config(engine, out, err);
}

size_t kn_config_file_count(const kn_config *config) { return config->file_count; }

const char *kn_config_file(const kn_config *config, size_t index) { return config->files[index]; }

size_t kn_config_rule_count(const kn_config *config) {
    const kni_policy *p = &config->policy;
    return config->sources.count + p->pin_count + p->deny_count + p->trusted_count +
           (config->order_text ? 1 : 0);
}

static kn_config_rule rule_at(const kni_place *said, const char *kind, const char *subject,
                              const char *value) {
    return (kn_config_rule){
        .kind = kind, .subject = subject, .value = value, .file = said->file, .line = said->line};
}

static kn_config_rule rule_of_source(const kni_source *source) {
    bool is_directory = kni_url_is_directory(source->address);
    kn_config_rule rule =
        rule_at(&source->said, "source", source->address,
                is_directory ? "directory" : (source->is_mirror ? "mirror" : "hub"));
    rule.token_variable = source->token_variable;
    rule.token_file = source->token_file;
    return rule;
}

static kn_config_rule find_rule(const kn_config *config, size_t index) {
    static const char *const kinds[] = {[KNI_TRUST_ORGANIZATION] = "organization",
                                        [KNI_TRUST_REPOSITORY] = "repository",
                                        [KNI_TRUST_DIGEST] = "digest"};
    const kni_policy *p = &config->policy;
    if (index < config->sources.count) return rule_of_source(&config->sources.items[index]);
    index -= config->sources.count;
    if (index < p->pin_count) {
        const kni_pin *pin = &p->pins[index];
        return rule_at(&pin->said, "pin", pin->repo_id,
                       pin->version ? pin->version : pin->revision);
    }
    index -= p->pin_count;
    if (index < p->deny_count)
        return rule_at(&p->denies[index].said, "deny", p->denies[index].text, NULL);
    index -= p->deny_count;
    if (index < p->trusted_count) {
        const kni_trusted *trusted = &p->trusted[index];
        return rule_at(&trusted->said, "trust", trusted->name, kinds[trusted->kind]);
    }
    return rule_at(&p->order_said, "order", config->order_text, NULL);
}

void kn_config_rule_get(const kn_config *config, size_t index, kn_config_rule *out) {
    kn_config_rule rule = find_rule(config, index);
    rule.size = out->size;
    memcpy(out, &rule, out->size < sizeof rule ? out->size : sizeof rule);
}
