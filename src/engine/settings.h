/* SPDX-License-Identifier: Apache-2.0 */
/* What the environment says about the Hub and the cache, as huggingface_hub reads it; a variable
 * that is empty counts as not set. It is read at the beginning of each call, so that a change
 * counts from the next one on. */
#ifndef KNI_ENGINE_SETTINGS_H
#define KNI_ENGINE_SETTINGS_H

#include <kernels/common.h>

typedef struct kni_settings {
    const kn_alloc *alloc;
    char *endpoint;         /* HF_ENDPOINT, without slashes at its end */
    bool endpoint_is_named; /* HF_ENDPOINT is set */
    char *cache;            /* KERNELS_CACHE, HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub,
                               XDG_CACHE_HOME/huggingface/hub or ~/.cache/huggingface/hub; absolute */
    char *user_folder;      /* XDG_CACHE_HOME/kernels or ~/.cache/kernels; NULL: there is no home */
    char *token_path;       /* HF_TOKEN_PATH or HF_HOME/token */
    const char *local_kernels;  /* borrowed from the environment, as is `token` */
    const char *token;          /* HF_TOKEN, else HUGGING_FACE_HUB_TOKEN, as it stands */
    const char *token_variable; /* which of them */
    bool use_token;             /* not HF_HUB_DISABLE_IMPLICIT_TOKEN */
    bool offline;               /* HF_HUB_OFFLINE; where it is not set TRANSFORMERS_OFFLINE */
    bool no_links;              /* HF_HUB_DISABLE_SYMLINKS */
    bool telemetry;             /* not HF_HUB_DISABLE_TELEMETRY, DISABLE_TELEMETRY, DO_NOT_TRACK */
    bool strict_trust;          /* KERNELS_TRUST=strict */
    bool always_verify;         /* KERNELS_VERIFY=always */
    bool trace_http;            /* KERNELS_TRACE holds "http" */
    int64_t timeout_ms;         /* KERNELS_TIMEOUT */
    int64_t ref_age_s;          /* how long a branch or tag is believed, KERNELS_REFRESH_AFTER */
    int64_t version_age_s;      /* and a version */
} kni_settings;

/* KN_ERR_VALUE for a variable that cannot be understood, by name. Cleared by the caller, also after
 * a failure. */
kn_status kni_settings_read(const kn_alloc *alloc, kni_settings *out, kn_error *err);
void kni_settings_clear(kni_settings *settings);

/* The token to send, as a copy: the environment's, or where that is blank the file's. *out NULL:
 * none. */
kn_status kni_settings_token(const kni_settings *settings, char **out, kn_error *err);
/* The same of a token as it is given, or, where that is NULL, in a file, whose path is expanded;
 * `origin` names it in messages. */
kn_status kni_token_read(const kni_settings *settings, const char *text, const char *file,
                         const char *origin, char **out, kn_error *err);

#endif
