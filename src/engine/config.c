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
    kn_status status = folder ? KN_OK : kni_path_expand(config->alloc, "~/.config", &home, err);
    if (status == KN_ERR_NOT_FOUND) return KN_OK;
    if (status) return status;
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
    return status;
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
