/* SPDX-License-Identifier: Apache-2.0 */
/* The engine: the one owner of mutable state (the global mapping, what is loaded, what was
 * decided). Its functions may be called from any thread; calls that change one model at the same
 * time are the caller's to avoid.
 *
 * A call that fails leaves model and mapping as they were; code that was loaded stays loaded.
 *
 * `host` is the program's (kernels/host.h). A program without a model needs none: with NULL the
 * engine's own options say what the machine is and who is told. */
#ifndef KERNELS_ENGINE_H
#define KERNELS_ENGINE_H

#include <kernels/host.h>
#include <kernels/mapping.h>
#include <kernels/metadata.h>
#include <kernels/plan.h>
#include <kernels/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kn_engine kn_engine;

typedef struct kn_engine_options {
    size_t size;                /* sizeof(kn_engine_options) */
    const kn_alloc *alloc;      /* must outlive the engine; NULL: malloc */
    const char *builtin_folder; /* holds the first-party kernels, "<folder>/norm/build/..."; NULL:
                                   kernels/builtin beside the library's file; neither need be
                                   there */
    /* Makes the transports that a Hub is asked through, one for each call of the engine that is
     * under way at the same time; they are kept for later calls. NULL: libcurl. */
    kn_status (*transport_new)(void *ctx, kn_transport *out, kn_error *err);
    void *transport_ctx;
    const char *net_library; /* the file of the network module, unless KERNELS_NET_LIBRARY names
                                one; NULL: it lies beside the library */
    const char *site_config; /* the kernels.toml of this environment (docs/configuration.md), beside
                                the user's and the machine's; it need not be there. NULL: none */

    /* For calls without a host, and for hosts that leave these to the engine. */
    const kn_system *system; /* what builds have to fit; it and its texts must outlive the engine.
                                NULL: what kn_engine_native_system tells */
    /* As in kn_host, with `sink_ctx`; NULL: nobody is told. */
    void (*log)(void *ctx, kn_log_level level, kn_log_topic topic, const char *message);
    void (*progress)(void *ctx, int64_t done, int64_t total);
    void *sink_ctx;

    const char *backend; /* of kn_engine_native_system; NULL: it is found out */
} kn_engine_options;

/* An engine that has loaded nothing yet. It opens no file, makes no request and starts no thread
 * until it has to. `options` may be NULL, and its texts are copied. KN_ERR_NOMEM; KN_ERR_OS where
 * the library's own file cannot be found; KN_ERR_VALUE for a backend that is none. */
KN_API kn_status kn_engine_new(const kn_engine_options *options, kn_engine **out, kn_error *err);

/* Releases every handle that it holds; no call may be under way. `host` is the one whose handles
 * they are; NULL where there never was one. NULL for `engine` is fine. */
KN_API void kn_engine_free(kn_engine *engine, const kn_host *host);

/* With true every call that is under way, and every later one, ends with KN_ERR_CANCELLED at its
 * next step, until this is called with false. Thread safe; a signal handler may call it. */
KN_API void kn_engine_cancel(kn_engine *engine, bool cancel);

/* Loads the module for network, digests and TOML now, and not when something is first fetched: for
 * programs that will not be able to open files then, or fork. KN_ERR_RUNTIME, with the file that
 * was tried, where it cannot be loaded. Thread safe. */
KN_API kn_status kn_engine_load_network(kn_engine *engine, kn_error *err);

/* The global mapping, with a reference for the caller. */
KN_API kn_mapping *kn_engine_mapping(kn_engine *engine);

/* Extends the global mapping by `entries`; with `inherit` false it is emptied first. */
KN_API kn_status kn_engine_register(kn_engine *engine, const kn_mapping_entry *entries,
                                    size_t count, bool inherit, kn_error *err);

/* The mapping that a file in TOML describes (docs/cli.md, Plans). KN_ERR_VALUE, with line and
 * column, for one that makes no sense. The caller releases *out. */
KN_API kn_status kn_engine_read_mapping(kn_engine *engine, const char *file, kn_mapping **out,
                                        kn_error *err);

typedef struct kn_request {
    size_t size; /* sizeof(kn_request) */
    kn_mode mode;
    const kn_device *device;    /* NULL: that of the model's first parameter */
    int64_t capability;         /* KN_CAPABILITY_ASK: ask the host */
    uint32_t fallback;          /* KN_FALLBACK_* */
    const char *const *include; /* shell patterns over module paths; NULL: every module, empty: none
                                 */
    size_t include_count;
    const char *const *exclude;
    size_t exclude_count;
    void *include_predicate; /* the host's, called as (path, module); NULL: none */
    void *exclude_predicate;
    bool fetch; /* plan only: load and settle, too */
} kn_request;

/* Decides what kernelize would do with `model`, and changes nothing. `mapping` NULL: the global
 * one. */
KN_API kn_status kn_engine_plan(kn_engine *engine, const kn_host *host, void *model,
                                kn_mapping *mapping, const kn_request *request, kn_plan **out,
                                kn_error *err);

/* Carries `plan` out. KN_ERR_VALUE with the differing paths when the model's extensible modules,
 * their classes or the model's device are not those of the plan. */
KN_API kn_status kn_engine_apply(kn_engine *engine, const kn_host *host, void *model, kn_plan *plan,
                                 kn_error *err);

/* Plans and applies in one walk. `out` (may be NULL) receives the plan. */
KN_API kn_status kn_engine_kernelize(kn_engine *engine, const kn_host *host, void *model,
                                     kn_mapping *mapping, const kn_request *request, kn_plan **out,
                                     kn_error *err);

/* What every extensible module of `model` runs now, and why. */
KN_API kn_status kn_engine_explain(kn_engine *engine, const kn_host *host, void *model,
                                   kn_plan **out, kn_error *err);

/* A kernel whose results were found to be wrong where `module` runs it. */
typedef struct kn_refusal {
    void *module;        /* the host's */
    const char *message; /* why, as explain tells it; copied */
} kn_refusal;

/* Takes the kernels of these modules of `model` out, all of them or none: they run what stood there
 * before until the model is kernelized again, and explain tells why (KN_REASON_NUMERICS).
 * KN_ERR_VALUE where no kernel is in place. Of a shared function the model then wants the original,
 * so that other models run the original, too. */
KN_API kn_status kn_engine_refuse(kn_engine *engine, const kn_host *host, void *model,
                                  const kn_refusal *refusals, size_t count, kn_error *err);

/* Puts back what stood in place of every forward of ours. With `out` the way back is recorded. */
typedef struct kn_undo kn_undo;
KN_API kn_status kn_engine_unkernelize(kn_engine *engine, const kn_host *host, void *model,
                                       kn_undo **out, kn_error *err);

/* Takes the model back to where it was before the call that gave `undo`; the caller still frees it.
 */
KN_API kn_status kn_engine_restore(kn_engine *engine, const kn_host *host, kn_undo *undo,
                                   kn_error *err);
KN_API void kn_undo_free(kn_undo *undo);

/* A kernel as the host imports it: *kernel comes with a reference. `info` describes it as a
 * repository does. */
KN_API kn_status kn_engine_get_kernel(kn_engine *engine, const kn_host *host,
                                      const kn_repo_info *info, void **kernel, kn_error *err);

/* The layer `info->layer_name` of that kernel; its handle comes with a reference. */
KN_API kn_status kn_engine_get_layer(kn_engine *engine, const kn_host *host,
                                     const kn_repo_info *info, kn_layer *out, kn_error *err);

/* Fetches a kernel, with all that it depends on, and imports nothing. *folder is that of the
 * variant for this machine; freed with kn_text_free. */
KN_API kn_status kn_engine_install(kn_engine *engine, const kn_host *host, const kn_repo_info *info,
                                   char **folder, kn_error *err);
KN_API void kn_text_free(kn_engine *engine, char *text);

/* A folder of a repository on this machine; freed with kn_fetched_clear. */
typedef struct kn_fetched {
    char *folder;
    char *repo;   /* whose it is, which a redirect may have led to; NULL: that of a directory */
    char *commit; /* NULL: that of a directory */
} kn_fetched;

/* Fetches the folder `name` of a repository's root ("benchmarks"), verified like a build. Of a
 * publisher that is not trusted nothing is fetched, since such a folder may hold code.
 * KN_ERR_NOT_FOUND where there is none, or where it is not in the cache and nothing may be asked.
 */
KN_API kn_status kn_engine_fetch_folder(kn_engine *engine, const kn_host *host,
                                        const kn_repo_info *info, const char *name, kn_fetched *out,
                                        kn_error *err);
KN_API void kn_fetched_clear(kn_engine *engine, kn_fetched *fetched);

/* The digests of the files of a build in `folder`, as its metadata.json would have them: without
 * metadata.json, its signature and byte code. The caller frees with kn_file_digests_free. KN_ERR_OS
 * or KN_ERR_NOT_FOUND where a file or the folder cannot be read, KN_ERR_VALUE for no algorithm. */
KN_API kn_status kn_engine_digest_folder(kn_engine *engine, const char *folder,
                                         kn_digest_algorithm algorithm, kn_file_digests **out,
                                         kn_error *err);

/* Which commit a kernel's version or revision is: *commit as 40 or 64 hexadecimal digits, freed
 * with kn_text_free. */
KN_API kn_status kn_engine_resolve_commit(kn_engine *engine, const kn_host *host,
                                          const kn_repo_info *info, char **commit, kn_error *err);

/* Whether there is a build for this machine, of the kernel and of all that it depends on. Fetches
 * their metadata and no more. Other failures than that there is none are failures. */
KN_API kn_status kn_engine_has_kernel(kn_engine *engine, const kn_host *host,
                                      const kn_repo_info *info, bool *out, kn_error *err);

/* How each build variant of a kernel fits this machine; the caller frees with kn_variants_free. */
KN_API kn_status kn_engine_variants(kn_engine *engine, const kn_host *host,
                                    const kn_repo_info *info, kn_variants **out, kn_error *err);

/* The kernel in that folder of a variant (NULL: every kernel) counts as never loaded: who asks for
 * it again gets it found and imported anew. What runs its code keeps it. */
KN_API void kn_engine_forget_kernels(kn_engine *engine, const char *folder);

/* `object`, which `watch` was asked about, is about to go. */
KN_API void kn_engine_forget(kn_engine *engine, const kn_host *host, const void *object);

#ifdef __cplusplus
}
#endif

#endif
