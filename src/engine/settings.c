/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "os/files.h"

#define DEFAULT_ENDPOINT "https://huggingface.co"
#define DEFAULT_TIMEOUT_S 60
#define DEFAULT_REF_AGE_S 600
#define DEFAULT_VERSION_AGE_S 86400
#define TOKEN_FILE_LIMIT 4096
#define SECONDS_MAX (INT64_C(1) << 40)

/* The values that huggingface_hub takes for true. */
static bool is_true(const char *name) {
    const char *value = kni_environment(name);
    if (!value) return false;
    static const char *const words[] = {"1", "ON", "YES", "TRUE"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (kni_text_is_same_word(value, words[i])) return true;
    }
    return false;
}

/* A path from the environment: "~" at its beginning is the home, $NAME and ${NAME} are variables,
 * as in huggingface_hub. NULL: no memory. */
static char *expanded(const kn_alloc *alloc, const char *path) {
    kni_text text;
    kni_text_init(&text, alloc);
    const char *home = kni_environment("HOME");
    if (path[0] == '~' && (path[1] == '/' || !path[1]) && home) {
        kni_text_add(&text, home);
        path++;
    }
    while (*path) {
        size_t plain = strcspn(path, "$");
        kni_text_add_n(&text, path, plain);
        path += plain;
        if (!*path) break;
        bool braced = path[1] == '{';
        const char *name = path + 1 + braced;
        size_t length =
            strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
        char variable[128];
        const char *value = NULL;
        bool closed = !braced || name[length] == '}';
        if (length && closed && length < sizeof variable) {
            memcpy(variable, name, length);
            variable[length] = '\0';
            value = kni_environment(variable);
        }
        if (value) {
            kni_text_add(&text, value);
            path = name + length + braced;
        } else { /* what is not set stays as it stands */
            kni_text_add_n(&text, path, 1);
            path++;
        }
    }
    if (!text.length) kni_text_add(&text, ".");
    return kni_text_take(&text);
}

/* `variable`, else `name` in `folder` (which may be NULL: then NULL). *failed: no memory. */
static char *path_or(const kn_alloc *alloc, const char *variable, const char *folder,
                     const char *name, bool *failed) {
    const char *value = variable ? kni_environment(variable) : NULL;
    if (!value && !folder) return NULL;
    char *path = value ? expanded(alloc, value) : kni_path_join(alloc, folder, name);
    if (!path) *failed = true;
    return path;
}

static kn_status read_paths(kni_settings *s, kn_error *err) {
    const kn_alloc *alloc = s->alloc;
    bool failed = false;
    char *home = path_or(alloc, "HOME", NULL, NULL, &failed);
    char *user_cache = path_or(alloc, "XDG_CACHE_HOME", home, ".cache", &failed);
    char *hf_home = path_or(alloc, "HF_HOME", user_cache, "huggingface", &failed);
    s->user_folder = path_or(alloc, NULL, user_cache, "kernels", &failed);
    s->token_path = path_or(alloc, "HF_TOKEN_PATH", hf_home, "token", &failed);
    s->cache = path_or(alloc, kni_environment("KERNELS_CACHE") ? "KERNELS_CACHE" : "HF_HUB_CACHE",
                       hf_home, "hub", &failed);
    kni_free(alloc, home);
    kni_free(alloc, user_cache);
    kni_free(alloc, hf_home);
    if (failed) return kni_no_memory(err, "reading the environment");
    if (s->cache) return KN_OK;
    return kni_fail(err, KN_ERR_VALUE,
                    "there is no place for the cache: HOME is not set; set it, or KERNELS_CACHE");
}

static kn_status read_endpoint(kni_settings *s, kn_error *err) {
    const char *value = kni_environment("HF_ENDPOINT");
    if (!value) value = DEFAULT_ENDPOINT;
    size_t length = strlen(value);
    while (length && value[length - 1] == '/') length--;
    bool is_http = strncmp(value, "http://", 7) == 0 || strncmp(value, "https://", 8) == 0;
    if (!is_http || strpbrk(value, " \t\r\n?#@")) {
        return kni_fail(err, KN_ERR_VALUE,
                        "HF_ENDPOINT is '%s': expected an address such as " DEFAULT_ENDPOINT
                        " (http or https, without user, query or fragment)",
                        value);
    }
    s->endpoint = kni_text_copy_n(s->alloc, value, length);
    return s->endpoint ? KN_OK : kni_no_memory(err, "reading the environment");
}

/* Seconds, with a fraction, from the environment into *ms; as it was where it is not set. */
static kn_status read_seconds(const char *name, int64_t *ms, kn_error *err) {
    const char *value = kni_environment(name);
    if (!value) return KN_OK;
    char *end;
    double seconds = strtod(value, &end);
    bool is_plain = strspn(value, "0123456789.") == strlen(value);
    if (*end || end == value || !is_plain || !(seconds >= 0 && seconds < (double)SECONDS_MAX)) {
        return kni_fail(err, KN_ERR_VALUE,
                        "%s is '%s': expected a number of seconds, such as 60 or 0.5", name, value);
    }
    *ms = (int64_t)(seconds * 1000.0);
    return KN_OK;
}

static kn_status read_ages(kni_settings *s, kn_error *err) {
    s->timeout_ms = INT64_C(1000) * DEFAULT_TIMEOUT_S;
    s->ref_age_s = DEFAULT_REF_AGE_S;
    s->version_age_s = DEFAULT_VERSION_AGE_S;
    kn_status status = read_seconds("KERNELS_TIMEOUT", &s->timeout_ms, err);
    if (!status && s->timeout_ms == 0) {
        status = kni_fail(err, KN_ERR_VALUE,
                          "KERNELS_TIMEOUT is 0: expected how many seconds without a byte received "
                          "are waited for; set HF_HUB_OFFLINE=1 to use no network");
    }
    int64_t age_ms = -1;
    if (!status) status = read_seconds("KERNELS_REFRESH_AFTER", &age_ms, err);
    if (age_ms >= 0) s->ref_age_s = s->version_age_s = age_ms / 1000;
    return status;
}

static bool holds_word(const char *value, const char *word) {
    return value && strstr(value, word) != NULL;
}

static kn_status read_choices(kni_settings *s, kn_error *err) {
    s->local_kernels = kni_environment("LOCAL_KERNELS");
    s->token = kni_environment("HF_TOKEN");
    s->use_token = !is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN");
    s->offline = is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE");
    s->telemetry = !is_true("HF_HUB_DISABLE_TELEMETRY") && !is_true("DISABLE_TELEMETRY") &&
                   !is_true("DO_NOT_TRACK");
    s->trace_http = holds_word(kni_environment("KERNELS_TRACE"), "http");
    const char *trust = kni_environment("KERNELS_TRUST");
    const char *verify = kni_environment("KERNELS_VERIFY");
    s->strict_trust = trust && strcmp(trust, "strict") == 0;
    s->always_verify = verify && strcmp(verify, "always") == 0;
    if (trust && !s->strict_trust && strcmp(trust, "default") != 0)
        return kni_fail(err, KN_ERR_VALUE, "KERNELS_TRUST is '%s': expected 'strict' or 'default'",
                        trust);
    if (verify && !s->always_verify && strcmp(verify, "once") != 0)
        return kni_fail(err, KN_ERR_VALUE, "KERNELS_VERIFY is '%s': expected 'always' or 'once'",
                        verify);
    return KN_OK;
}

kn_status kni_settings_read(const kn_alloc *alloc, kni_settings *out, kn_error *err) {
    *out = (kni_settings){.alloc = kni_alloc_or_default(alloc)};
    kn_status status = read_choices(out, err);
    if (!status) status = read_endpoint(out, err);
    if (!status) status = read_paths(out, err);
    if (!status) status = read_ages(out, err);
    return status;
}

void kni_settings_clear(kni_settings *settings) {
    if (!settings->alloc) return;
    kni_free(settings->alloc, settings->endpoint);
    kni_free(settings->alloc, settings->cache);
    kni_free(settings->alloc, settings->user_folder);
    kni_free(settings->alloc, settings->token_path);
    *settings = (kni_settings){0};
}

/* Without white space around it; one with any inside, or with control characters, is none that
 * could be sent. */
static kn_status copy_token(const kni_settings *s, const char *text, const char *origin, char **out,
                            kn_error *err) {
    text += strspn(text, " \t\r\n");
    size_t length = strcspn(text, " \t\r\n");
    if (!length) return KN_OK;
    bool is_plain = text[length + strspn(text + length, " \t\r\n")] == '\0';
    for (size_t i = 0; i < length && is_plain; i++) is_plain = text[i] > 0x20 && text[i] < 0x7F;
    if (!is_plain) {
        return kni_fail(err, KN_ERR_VALUE,
                        "the token in %s is malformed: it has characters that no token has; log in "
                        "again, or correct it",
                        origin);
    }
    *out = kni_text_copy_n(s->alloc, text, length);
    return *out ? KN_OK : kni_no_memory(err, "reading the token");
}

kn_status kni_settings_token(const kni_settings *s, char **out, kn_error *err) {
    *out = NULL;
    if (!s->use_token) return KN_OK;
    if (s->token) return copy_token(s, s->token, "HF_TOKEN", out, err);
    if (!s->token_path || !kni_path_is_file(s->token_path)) return KN_OK;
    char *bytes;
    size_t length;
    kn_status status =
        kni_file_read(s->alloc, s->token_path, TOKEN_FILE_LIMIT, &bytes, &length, err);
    if (status) return status;
    status = copy_token(s, bytes, s->token_path, out, err);
    kni_free(s->alloc, bytes);
    return status;
}
