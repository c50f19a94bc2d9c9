/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/settings.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "hub/endpoint.h"
#include "os/expand.h"
#include "os/files.h"

#define DEFAULT_ENDPOINT "https://huggingface.co"
#define DEFAULT_TIMEOUT_S 60
#define DEFAULT_REF_AGE_S 600
#define DEFAULT_VERSION_AGE_S 86400
#define TOKEN_FILE_LIMIT 4096
#define SECONDS_MAX (INT64_C(1) << 40)
#define BLANKS " \t\r\n\v\f\x1c\x1d\x1e\x1f" /* what Python's strip() removes */

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

/* The name of the first variable that is set, with its *value; where none is, the first one's, and
 * NULL. */
static const char *first_set(const char *const *names, size_t count, const char **value) {
    size_t i = 0;
    *value = NULL;
    for (; i < count && !*value; i++) *value = kni_environment(names[i]);
    return names[*value ? i - 1 : 0];
}

/* The path that the first of `variables` to be set has, else `name` in `folder`, expanded; *out
 * NULL where none is set and there is no folder. */
static kn_status read_path(const kn_alloc *alloc, const char *const *variables, size_t count,
                           const char *folder, const char *name, char **out, kn_error *err) {
    const char *value, *variable = first_set(variables, count, &value);
    *out = NULL;
    if (!value && !folder) return KN_OK;
    char *path = value ? kni_text_copy(alloc, value) : kni_path_join(alloc, folder, name);
    if (!path) return kni_no_memory(err, "reading the environment");
    kn_error cause;
    kn_error_init(&cause);
    kn_status status = kni_path_expand(alloc, path, out, &cause);
    if (status == KN_ERR_NOT_FOUND)
        status = kni_fail(err, KN_ERR_VALUE, "%s is '%s': %s; name an absolute path", variable,
                          path, cause.message);
    else if (status)
        kni_fail(err, status, "%s", cause.message);
    kni_free(alloc, path);
    return status;
}

/* ~/.cache, or XDG_CACHE_HOME as it stands; NULL: there is no home. */
static kn_status read_user_cache(const kn_alloc *alloc, char **out, kn_error *err) {
    const char *named = kni_environment("XDG_CACHE_HOME");
    char *home = NULL;
    *out = NULL;
    kn_status status = named ? KN_OK : kni_path_expand(alloc, "~", &home, err);
    if (status == KN_ERR_NOT_FOUND) return KN_OK;
    if (status) return status;
    *out = named ? kni_text_copy(alloc, named) : kni_path_join(alloc, home, ".cache");
    kni_free(alloc, home);
    return *out ? KN_OK : kni_no_memory(err, "reading the environment");
}

/* Each path is expanded once more where another begins with it, as in huggingface_hub. */
static kn_status read_paths(kni_settings *s, kn_error *err) {
    static const char *const user[] = {"XDG_CACHE_HOME"}, *const home[] = {"HF_HOME"},
                             *const token[] = {"HF_TOKEN_PATH"},
                             *const hub[] = {"KERNELS_CACHE", "HF_HUB_CACHE",
                                             "HUGGINGFACE_HUB_CACHE"};
    const kn_alloc *alloc = s->alloc;
    char *user_cache, *hf_home = NULL, *cache = NULL;
    kn_status status = read_user_cache(alloc, &user_cache, err);
    if (!status && user_cache)
        status = read_path(alloc, user, 0, user_cache, "kernels", &s->user_folder, err);
    if (!status) status = read_path(alloc, home, 1, user_cache, "huggingface", &hf_home, err);
    if (!status) status = read_path(alloc, token, 1, hf_home, "token", &s->token_path, err);
    if (!status) status = read_path(alloc, hub, 3, hf_home, "hub", &cache, err);
    if (!status && !cache)
        status = kni_fail(err, KN_ERR_VALUE,
                          "there is no place for the cache: HOME is not set, and this user has no "
                          "home; set it, or KERNELS_CACHE");
    if (!status) status = kni_path_absolute(alloc, cache, &s->cache, err);
    kni_free(alloc, user_cache);
    kni_free(alloc, hf_home);
    kni_free(alloc, cache);
    return status;
}

static kn_status read_endpoint(kni_settings *s, kn_error *err) {
    const char *value = kni_environment("HF_ENDPOINT");
    s->endpoint_is_named = value != NULL;
    if (!value) value = DEFAULT_ENDPOINT;
    size_t length = strlen(value);
    while (length && value[length - 1] == '/') length--;
    if (!kni_url_is_endpoint(value)) {
        return kni_fail(err, KN_ERR_VALUE,
                        "HF_ENDPOINT is '%s': expected an address such as " DEFAULT_ENDPOINT
                        " (http or https and a host, without user, query or fragment)",
                        value);
    }
    s->endpoint = kni_text_copy_n(s->alloc, value, length);
    return s->endpoint ? KN_OK : kni_no_memory(err, "reading the environment");
}

/* Milliseconds of "60" or "0.5", whatever the locale; -1 for what is no such number. */
static int64_t parse_seconds(const char *text) {
    int64_t ms = 0, unit = 1000;
    bool fraction = false, digits = false;
    for (; *text; text++) {
        if (*text == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (*text < '0' || *text > '9') return -1;
        digits = true;
        if (fraction) {
            unit /= 10;
            ms += (*text - '0') * unit;
        } else {
            ms = ms * 10 + (*text - '0') * unit;
        }
        if (ms > SECONDS_MAX * 1000) return -1;
    }
    return digits ? ms : -1;
}

/* Seconds, with a fraction, from the environment into *ms; as it was where it is not set. */
static kn_status read_seconds(const char *name, int64_t *ms, kn_error *err) {
    const char *value = kni_environment(name);
    if (!value) return KN_OK;
    int64_t read = parse_seconds(value);
    if (read < 0) {
        return kni_fail(err, KN_ERR_VALUE,
                        "%s is '%s': expected a number of seconds, such as 60 or 0.5", name, value);
    }
    *ms = read;
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
    static const char *const tokens[] = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"};
    static const char *const offline[] = {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"};
    const char *value;
    s->local_kernels = kni_environment("LOCAL_KERNELS");
    s->token_variable = first_set(tokens, 2, &s->token);
    s->use_token = !is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN");
    s->offline = is_true(first_set(offline, 2, &value));
    s->no_links = is_true("HF_HUB_DISABLE_SYMLINKS");
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

/* Without line ends, and without white space around it; one with any inside, or with control
 * characters, is none that could be sent. *out NULL: nothing is left. */
static kn_status copy_token(const kni_settings *s, const char *text, const char *origin, char **out,
                            kn_error *err) {
    kni_text token;
    kni_text_init(&token, s->alloc);
    for (text += strspn(text, BLANKS); *text; text += strspn(text, "\r\n")) {
        size_t length = strcspn(text, "\r\n");
        kni_text_add_n(&token, text, length);
        text += length;
    }
    while (token.length && strchr(BLANKS, token.bytes[token.length - 1])) token.length--;
    bool is_plain = true, is_blank = !token.length && !token.failed;
    for (size_t i = 0; i < token.length && is_plain; i++)
        is_plain = token.bytes[i] > 0x20 && token.bytes[i] < 0x7F;
    if (!is_plain || is_blank) kni_text_clear(&token);
    if (is_blank) return KN_OK;
    if (!is_plain) {
        return kni_fail(err, KN_ERR_VALUE,
                        "the token in %s is malformed: it has characters that no token has; log in "
                        "again, or correct it",
                        origin);
    }
    *out = kni_text_take(&token);
    return *out ? KN_OK : kni_no_memory(err, "reading the token");
}

static kn_status read_token_file(const kni_settings *s, const char *path, char **out,
                                 kn_error *err) {
    char *bytes;
    size_t length;
    kn_status status = kni_file_read(s->alloc, path, TOKEN_FILE_LIMIT, &bytes, &length, err);
    if (status) return status;
    status = copy_token(s, bytes, path, out, err);
    kni_free(s->alloc, bytes);
    return status;
}

kn_status kni_settings_token(const kni_settings *s, char **out, kn_error *err) {
    *out = NULL;
    if (!s->use_token) return KN_OK;
    if (s->token) {
        kn_status status = copy_token(s, s->token, s->token_variable, out, err);
        if (status || *out) return status;
    }
    if (!s->token_path || !kni_path_is_file(s->token_path)) return KN_OK;
    return read_token_file(s, s->token_path, out, err);
}

kn_status kni_token_read(const kni_settings *s, const char *text, const char *file,
                         const char *origin, char **out, kn_error *err) {
    *out = NULL;
    if (text) return copy_token(s, text, origin, out, err);
    if (!file) return KN_OK;
    char *path;
    kn_status status = kni_path_expand(s->alloc, file, &path, err);
    if (status) return status;
    status = read_token_file(s, path, out, err);
    kni_free(s->alloc, path);
    return status;
}
