/* SPDX-License-Identifier: Apache-2.0 */
/* What there is to know of a repository without loading a kernel: its versions, its builds, what
 * its metadata says; and what the environment sets. Nothing here asks whether a publisher is
 * trusted, since no code is run. */
#ifndef KERNELS_HUB_H
#define KERNELS_HUB_H

#include <kernels/engine.h>
#include <kernels/metadata.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The versions of a repository: its branches "vN", in order. */
typedef struct kn_versions kn_versions;

/* Borrowed, valid until kn_versions_free. */
typedef struct kn_version_entry {
    size_t size; /* sizeof(kn_version_entry) of the caller */
    int64_t version;
    const char *ref; /* the branch, "v1" */
    const char *commit;
    const kn_variants *variants; /* how each build fits this machine; NULL: it cannot be told, */
    const char *message;         /* ... and why */
} kn_version_entry;

/* The versions of `info->id`, with the builds of each where `with_variants` is set; the Hub's
 * answer is believed as long as one about a version is. Offline, and where the network fails: those
 * that the cache knows of. Kernels in directories have none. The caller frees with
 * kn_versions_free. */
KN_API kn_status kn_engine_versions(kn_engine *engine, const kn_host *host,
                                    const kn_repo_info *info, bool with_variants, kn_versions **out,
                                    kn_error *err);
KN_API size_t kn_versions_count(const kn_versions *versions);
KN_API void kn_versions_get(const kn_versions *versions, size_t index, kn_version_entry *out);
KN_API void kn_versions_free(kn_versions *versions);

/* A kernel as it describes itself. */
typedef struct kn_about kn_about;

/* Borrowed, valid until kn_about_free. */
typedef struct kn_about_info {
    size_t size;        /* sizeof(kn_about_info) of the caller */
    const char *repo;   /* the repository, the one that it redirects to if it does; NULL: ... */
    const char *path;   /* ... the kernel is in this directory */
    const char *ref;    /* the branch or tag; NULL: the commit was asked for, or a directory */
    const char *commit; /* NULL for a directory */
    const kn_variants *variants; /* how each build fits this machine, best first */
    const char *variant;         /* whose metadata it is: the one that fits, else any; NULL: none */
    const kn_metadata *metadata; /* NULL: that build has none that can be read */
    const char *note;    /* what kernels.toml changed, and where it says so; NULL: nothing */
    kn_status status;    /* of kn_engine_about_all: why it cannot be described; KN_OK: it is, */
    const char *message; /* ... and in words; NULL: it is */
    const char *builds;  /* the folder of its builds, in the cache perhaps not of all or any */
} kn_about_info;

/* Fetches a listing and one metadata.json at most; a kernel without a build for this machine is
 * described as well. */
KN_API kn_status kn_engine_about(kn_engine *engine, const kn_host *host, const kn_repo_info *info,
                                 kn_about **out, kn_error *err);
KN_API void kn_about_get(const kn_about *about, kn_about_info *out);
KN_API void kn_about_free(kn_about *about);

/* Many kernels as they describe themselves, in the order in which they were asked for. */
typedef struct kn_abouts kn_abouts;

/* kn_engine_about for `count` kernels at the same time. One that cannot be described says so in its
 * status; the call fails for want of memory, when it is cancelled, and where the environment or
 * kernels.toml makes no sense. The caller frees with kn_abouts_free. */
KN_API kn_status kn_engine_about_all(kn_engine *engine, const kn_host *host,
                                     const kn_repo_info *const *infos, size_t count,
                                     kn_abouts **out, kn_error *err);
/* index: below `count`. Borrowed, valid until kn_abouts_free. */
KN_API void kn_abouts_get(const kn_abouts *abouts, size_t index, kn_about_info *out);
KN_API void kn_abouts_free(kn_abouts *abouts);

/* What the files kernels.toml say (docs/configuration.md): immutable, and there as long as the
 * engine. */
typedef struct kn_config kn_config;

/* Borrowed, valid as long as the engine. */
typedef struct kn_config_rule {
    size_t size;         /* sizeof(kn_config_rule) of the caller */
    const char *kind;    /* "source", "pin", "deny", "trust", "order" */
    const char *subject; /* an address, a repository, what is denied, who or what is trusted; of an
                            order "local, builtin, cache, hub" */
    const char *value;   /* "hub", "mirror", "directory"; the version or commit of a pin;
                            "organization", "repository", "digest"; else NULL */
    const char *file;    /* who says so */
    int line;
    const char *token_variable, *token_file; /* where the token of a source is from; both NULL: none
                                                is sent */
} kn_config_rule;

/* The user's file and the site's, read once an engine. KN_ERR_VALUE, with file, line and column,
 * for one that makes no sense. */
KN_API kn_status kn_engine_read_config(kn_engine *engine, const kn_config **out, kn_error *err);
/* The files that there are, the one that counts most first. */
KN_API size_t kn_config_file_count(const kn_config *config);
KN_API const char *kn_config_file(const kn_config *config, size_t index);
/* The sources in their order, then the other rules. */
KN_API size_t kn_config_rule_count(const kn_config *config);
KN_API void kn_config_rule_get(const kn_config *config, size_t index, kn_config_rule *out);

/* What the environment says about the Hub and the cache (docs/hub.md, Environment). */
typedef struct kn_settings kn_settings;

/* Borrowed, valid until kn_settings_free. */
typedef struct kn_settings_info {
    size_t size; /* sizeof(kn_settings_info) of the caller */
    const char *endpoint;
    const char *cache;         /* the cache's folder, absolute; it need not be there */
    const char *local_kernels; /* LOCAL_KERNELS; NULL: not set */
    const char *token_source;  /* the variable or file that the token is from; NULL: none is sent */
    bool offline;
    bool strict_trust;
    bool always_verify;
    int64_t timeout_ms;
    bool endpoint_is_named; /* by HF_ENDPOINT: then it stands before the sources of kernels.toml */
} kn_settings_info;

/* KN_ERR_VALUE for a variable or a token that cannot be understood, by name. */
KN_API kn_status kn_settings_read(const kn_alloc *alloc, kn_settings **out, kn_error *err);
KN_API void kn_settings_get(const kn_settings *settings, kn_settings_info *out);
KN_API void kn_settings_free(kn_settings *settings);

#ifdef __cplusplus
}
#endif

#endif
