/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's state: the only mutable state of the library. `lock` guards the arrays; the host is
 * never called while it is held, except to retain a handle. */
#ifndef KNI_ENGINE_STATE_H
#define KNI_ENGINE_STATE_H

#include <kernels/native.h>

#include "layers/plan.h"
#include "load/source.h"
#include "native/kernel.h"
#include "native/runtime.h"
#include "os/lock.h"
#include "os/machine.h"
#include "variant/variant_name.h"

/* A layer of an imported kernel. */
typedef struct kni_loaded_layer {
    char *name;
    kn_layer layer;
} kni_loaded_layer;

/* A kernel that was found on disk and, once `handle` is set, imported. Lives as long as the engine.
 * `depends` is there once `is_linked` is set. */
typedef struct kni_kernel {
    kni_kernel_source source;
    char *repo, *revision, *commit; /* of the Hub; NULL for what was found elsewhere */
    struct kni_kernel **depends;    /* in the order of the metadata's */
    size_t depend_count;
    bool is_linked;
    bool is_forgotten; /* not to be found any more: another one takes its place */
    void *handle;
    kn_native *native; /* once it was opened as such */
    kni_loaded_layer *layers;
    size_t count, capacity;
} kni_kernel;

/* Which kernel a request came to: until `valid_until_s`, warm calls look no further. */
typedef struct kni_known_source {
    char *key;
    kni_kernel *kernel;
    int64_t valid_until_s;
    char *note; /* see kni_want; NULL: nothing */
} kni_known_source;

/* A transport between two calls, with its connections, and the process that made them. */
typedef struct kni_idle_transport {
    kn_transport transport;
    int64_t process;
} kni_idle_transport;

/* The layer that a repository of the host's gave. */
typedef struct kni_host_layer {
    kn_repo *repo;
    uint64_t hash;
    kn_layer layer;
} kni_host_layer;

/* The forward for a layer in the place of a class, as it came from one repository. */
typedef struct kni_binding {
    const void *layer;
    const void *class_handle;
    char *repo;
    void *forward;
} kni_binding;

/* What was last decided for a model. */
typedef struct kni_root {
    const void *model;
    kn_plan *plan;
} kni_root;

/* What a model wants of a function that it shares with others. */
typedef struct kni_claim {
    void *function; /* retained */
    const void *root;
    void *forward; /* retained; NULL: the original */
    char *root_name;
    bool is_seen_alive; /* its root has outlived a collection, or is about to be put to one */
} kni_claim;

struct kn_engine {
    const kn_alloc *alloc;
    char *builtin_folder;
    kni_lock *lock;
    kn_mapping *mapping;
    kni_kernel **kernels;
    size_t kernel_count, kernel_capacity;
    kni_known_source *known;
    size_t known_count, known_capacity;
    kni_host_layer *host_layers;
    size_t host_layer_count, host_layer_capacity;
    kni_binding *bindings;
    size_t binding_count, binding_capacity;
    kni_root *roots;
    size_t root_count, root_capacity;
    kni_claim *claims;
    size_t claim_count, claim_capacity;
    kn_status (*transport_new)(void *ctx, kn_transport *out, kn_error *err); /* NULL: libcurl */
    void *transport_ctx;
    char *site_config;        /* NULL: none but the machine's */
    struct kn_config *config; /* once it was needed */
    char *tvm_ffi_library;    /* as the caller says; NULL: it is looked for */
    kni_ffi tvm_ffi;          /* once `has_tvm_ffi` */
    bool has_tvm_ffi;
    char *net_library;         /* NULL: beside the library */
    const struct kni_net *net; /* the network's module, once it was needed */
    kni_idle_transport *idle[4];
    size_t idle_count;
    char **told; /* what has been logged: once is enough */
    size_t told_count, told_capacity;
    const kn_system *system; /* of hosts that tell none; NULL: kn_engine_native_system */
    char arch[KNI_MACHINE_TEXT_MAX], os[KNI_MACHINE_TEXT_MAX];
    char backend[KNI_BACKEND_TEXT_MAX]; /* of programs without Python; "": not asked for yet */
    void (*log)(void *ctx, kn_log_level level, kn_log_topic topic, const char *message);
    void (*progress)(void *ctx, int64_t done, int64_t total);
    void *sink_ctx;
    kni_flag cancelled; /* kn_engine_cancel */
};

/* One call of the engine. */
typedef struct kni_run {
    kn_engine *engine;
    const kn_host *host; /* = &completed: see engine/host.h for what may be called */
    kn_host completed;
    void *model;
    kn_mapping *mapping;
    const kn_request *request;
    kn_plan *plan;
    kn_system system;
    bool has_system;
    bool native;        /* native builds are wanted, and no Python code is run */
    bool user_code_ran; /* the model may have changed since the walk */
    kni_claim *staged;  /* what the model is going to claim of shared functions */
    size_t staged_count, staged_capacity;
} kni_run;

/* ---- pipeline.c ---- */

void kni_run_init(kni_run *run, kn_engine *engine, const kn_host *host, void *model);
void kni_run_clear(kni_run *run);
/* A plan with the walk over the model, and no decisions yet. */
kn_status kni_run_walk(kni_run *run, kn_error *err);

/* ---- kernels.c: resolve and load ---- */

/* Asks the host for its system, once a run. */
kn_status kni_run_system(kni_run *run, kn_error *err);
/* What a request came to, while that is still believed, with a copy of the note about it; NULL:
 * nothing. */
kni_kernel *kni_engine_find_known(kn_engine *engine, const char *key, int64_t *valid_until_s,
                                  char **note);
void kni_engine_free_known(kn_engine *engine);
void kni_kernel_free(const kn_alloc *alloc, kni_kernel *kernel);

/* A kernel to find. */
typedef struct kni_sought {
    kn_repo_info info;
    kn_device_type device;
    kn_status status; /* out, with `err` where it is a failure */
    kn_error err;
    kni_kernel *kernel;
    char *note; /* see kni_want (kni_free); NULL: nothing */
} kni_sought;

/* The kernels that are sought, and those that they depend on: found, not necessarily imported. What
 * was found before is asked for neither on disk nor elsewhere. Without `may_ask` no request is
 * made. Fails as a whole for want of memory and when it is cancelled; else each has its status. */
kn_status kni_engine_resolve(kni_run *run, kni_sought *sought, size_t count, bool may_ask,
                             kn_error *err);
/* The one kernel that `info` names (single.c). */
kn_status kni_engine_resolve_one(kni_run *run, const kn_repo_info *info, kni_kernel **out,
                                 kn_error *err);
/* The engine's kernel in that folder, which is `kernel` (taken over) when it is new. NULL: no
 * memory. */
kni_kernel *kni_engine_keep_kernel(kn_engine *engine, kni_kernel *kernel);
/* The kernel that a decision names as resolved; NULL when it names none. */
kni_kernel *kni_engine_kernel(kn_engine *engine, const void *identity);
/* Everything that can be said against a kernel before its code runs, but what its shared objects
 * say: those were looked at when it was found. */
kn_status kni_engine_check_kernel(kni_run *run, const kni_kernel *kernel, bool any_arch,
                                  kn_error *err);
/* Imports a kernel after those that it depends on, once nothing speaks against any of them.
 * `any_arch`: a build for other devices is imported, too. *refused: something spoke against one,
 * and no import was begun. */
kn_status kni_engine_import(kni_run *run, kni_kernel *kernel, const char *repo, bool any_arch,
                            bool *refused, kn_error *err);
/* KN_ERR_RUNTIME where a build has no code for the current GPU (*refused, in contrast to whatever
 * else may fail). */
kn_status kni_engine_check_gpu(kni_run *run, const kn_metadata *metadata, const char *variant,
                               bool *refused, kn_error *err);
/* A layer of an imported kernel; comes with a reference. */
kn_status kni_engine_layer(kni_run *run, kni_kernel *kernel, const char *name, const char *repo,
                           kn_layer *out, kn_error *err);
/* The layer that a repository of the host's gives; comes with a reference. */
kn_status kni_engine_host_layer(kni_run *run, kn_repo *repo, kn_layer *out, kn_error *err);
/* The forward for `layer` in the place of `class_handle`; comes with a reference. */
kn_status kni_engine_bind(kni_run *run, void *layer, void *class_handle,
                          const kn_forward_info *info, void **out, kn_error *err);

/* Whether two forwards are the same layer in the place of the same class, whichever repositories
 * they came from. Under the lock. */
bool kni_engine_is_same_forward(const kn_engine *engine, const void *a, const void *b);

/* ---- native.c ---- */

/* A backend's name that stands in `by`; KN_ERR_VALUE for what is none. */
kn_status kni_backend_read(const char *text, const char *by, char out[KNI_BACKEND_TEXT_MAX],
                           kn_error *err);

/* The version of the libtvm_ffi that is in this process, that of its package, or, failing that,
 * what the library itself says; 0.1 where there is none. */
kn_status kni_engine_tvm_ffi_version(kn_engine *engine, int *major, int *minor, kn_error *err);

/* ---- settle.c ---- */

/* Finds the kernels of the plan on disk. `must_find` false: what only the Hub has stays as it is.
 */
kn_status kni_run_resolve(kni_run *run, bool must_find, kn_error *err);
/* Loads them and checks that they fit. */
kn_status kni_run_settle(kni_run *run, kn_error *err);
/* Notes what the model wants of a shared function (NULL: the original), to be claimed once
 * everything is in place. */
kn_status kni_run_stage_claim(kni_run *run, void *function, void *forward, kn_error *err);

/* ---- explain.c ---- */

/* A walk over the model, and a plan that says what each module runs now and why. */
kn_status kni_run_account(kni_run *run, kn_error *err);

/* ---- apply.c ---- */

/* Puts the decisions of a settled plan in place: all of them or none. */
kn_status kni_run_apply(kni_run *run, kn_error *err);
/* Gives up what a model that is gone wants of shared functions. */
void kni_engine_release_claims(kn_engine *engine, const kn_host *host, const void *root);

/* ---- claims.c ---- */

/* The name of another live root that wants `function` differently; NULL: none. A copy (kni_free).
 */
kn_status kni_claims_find_conflict(kn_engine *engine, const void *function, const void *root,
                                   const void *forward, char **other, kn_error *err);
/* Whether one of those roots may be gone without our being told: none of them twice. */
bool kni_claims_doubt(kn_engine *engine, const void *function, const void *root,
                      const void *forward);
/* Room for `count` more claims. */
kn_status kni_claims_reserve(kn_engine *engine, size_t count, kn_error *err);
/* Adds or replaces a claim, whose contents are taken over. With room reserved it cannot fail. */
void kni_claims_set(kn_engine *engine, const kn_host *host, kni_claim *claim);
/* What all live roots agree on: a forward with a reference, or NULL for the original. */
void *kni_claims_effective(kn_engine *engine, const kn_host *host, const void *function);
/* The name of a live root that claims `function` with another forward than `root` does; NULL: none,
 * or `root` claims nothing. A copy (kni_free). */
kn_status kni_claims_find_dispute(kn_engine *engine, const void *function, const void *root,
                                  char **other, kn_error *err);
/* The sentence about it. A copy; NULL: no memory. */
char *kni_claims_dispute_text(const kn_alloc *alloc, const char *function, const char *other,
                              const char *root);
/* Removes one claim of `root`, whose handles are then the caller's; false when there is none. */
bool kni_claims_take_one(kn_engine *engine, const void *root, kni_claim *out);
/* Removes the claims of `root` and appends them to *taken, whose handles are then the caller's. */
kn_status kni_claims_take(kn_engine *engine, const void *root, kni_claim **taken, size_t *count,
                          kn_error *err);
void kni_claim_clear(const kn_alloc *alloc, const kn_host *host, kni_claim *claim);

/* ---- online.c ---- */

/* The module for network, digests and TOML, loaded once by the engine. */
kn_status kni_engine_net(kn_engine *engine, const struct kni_net **out, kn_error *err);

/* ---- engine.c ---- */

/* Whether `what` is said for the first time; on lack of memory it is said again. */
bool kni_engine_tell_once(kn_engine *engine, const char *what);
void kni_engine_remember(kni_run *run);
void kni_engine_forget_plan(kn_engine *engine, const void *model);
/* The plan that was last applied to `model`, with a reference; NULL: none. */
kn_plan *kni_engine_recall(kn_engine *engine, const void *model);

#endif
