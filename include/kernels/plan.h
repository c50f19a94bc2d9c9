/* SPDX-License-Identifier: Apache-2.0 */
/* A plan: one decision for each group of extensible modules that are decided alike. Immutable;
 * retain and release are thread safe as far as the host's release is. What a plan returns is
 * borrowed until its last release. */
#ifndef KERNELS_PLAN_H
#define KERNELS_PLAN_H

#include <kernels/device.h>
#include <kernels/mode.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kn_plan kn_plan;

/* How far a decision has come. */
typedef enum kn_stage {
    KN_STAGE_SELECT = 0,  /* the mapping's answer */
    KN_STAGE_RESOLVE = 1, /* the kernel's commit and variant are known */
    KN_STAGE_SETTLE = 2,  /* it is loaded and fits the classes that it replaces */
    KN_STAGE_APPLY = 3    /* it is in place */
} kn_stage;

typedef enum kn_action { KN_ACTION_KEEP = 0, KN_ACTION_REPLACE = 1 } kn_action;

/* Why. The texts (kn_reason_text) are stable: "mapped", "no-layer", ... */
typedef enum kn_reason {
    KN_REASON_MAPPED = 0,           /* the mapping gives a repository */
    KN_REASON_NO_LAYER = 1,         /* the layer name is not mapped */
    KN_REASON_NO_DEVICE = 2,        /* not for this device type */
    KN_REASON_NO_PROPERTIES = 3,    /* "no-compatible-properties": not for this capability */
    KN_REASON_NO_MODE = 4,          /* "no-compatible-mode": not for this mode */
    KN_REASON_MODE_UNSUPPORTED = 5, /* "mode-unsupported": the layer itself cannot do this mode */
    KN_REASON_CANNOT_LOAD = 6,      /* "cannot-load": the kernel is not there */
    KN_REASON_CONDITION = 7,        /* the class's condition said no */
    KN_REASON_EXCLUDED = 8,         /* the caller's include or exclude said no */
    KN_REASON_FOREIGN_FORWARD = 9,  /* "foreign-forward": somebody else's forward stands there */
    KN_REASON_SHARED_CONFLICT = 10, /* "shared-conflict": models that share a function want it
                                       differently */
    KN_REASON_DISABLED = 11,        /* DISABLE_KERNEL_MAPPING is set */
    KN_REASON_NOT_APPLIED = 12, /* "not-applied": described but not in place, as after unpickling */
    KN_REASON_NOT_KERNELIZED = 13, /* "not-kernelized": nothing was decided for it */
    KN_REASON_NUMERICS = 14,       /* "numerics-differ": the kernel was taken out for its results */
    KN_REASON_DENIED = 15          /* kernels.toml denies the kernel */
} kn_reason;

#define KN_REASONS 16

/* Static texts, the same for ever: "mapped", "settle", "replace". */
KN_API const char *kn_reason_text(kn_reason reason);
KN_API const char *kn_stage_text(kn_stage stage);
KN_API const char *kn_action_text(kn_action action);

/* Which kinds of "there is no kernel" keep the original forward instead of failing. */
#define KN_FALLBACK_NONE 0u
#define KN_FALLBACK_NO_LAYER 1u
#define KN_FALLBACK_NO_DEVICE 2u
#define KN_FALLBACK_NO_COMPATIBLE_PROPERTIES 4u
#define KN_FALLBACK_NO_COMPATIBLE_MODE 8u
#define KN_FALLBACK_CANNOT_LOAD 16u
#define KN_FALLBACK_DEFAULT 15u
#define KN_FALLBACK_ALL 31u

typedef struct kn_decision {
    size_t size;              /* sizeof(kn_decision) of the caller */
    const char *layer_name;   /* as the class names it */
    const char *module_class; /* the class's name */
    void *class_handle;       /* the host's class, borrowed */
    const char *device;       /* "cuda", "meta", ... */
    int64_t capability;       /* KN_CAPABILITY_UNKNOWN where the device has none */
    kn_stage stage;
    kn_action action;
    kn_reason reason;
    const char *message; /* a sentence */
    const char *repo;    /* NULL from here on: unknown or none */
    void *repo_object;   /* the host's object, borrowed */
    kn_mode repo_mode;   /* 0: none */
    const char *repo_layer;
    const char *commit;
    const char *variant;
    bool applied;        /* explain: the forward is in place */
    size_t module_count; /* how many modules are decided so */
} kn_decision;

/* One more reference, and one less: the last one frees it. NULL is fine for the latter. */
KN_API kn_plan *kn_plan_retain(kn_plan *plan);
KN_API void kn_plan_release(kn_plan *plan);

/* The request that it answers. */
KN_API kn_mode kn_plan_mode(const kn_plan *plan);

/* Its decisions; `index` < count. */
KN_API size_t kn_plan_count(const kn_plan *plan);
KN_API void kn_plan_get(const kn_plan *plan, size_t index, kn_decision *out);

/* Calls `visit` with the path of each module of decision `index`, "" for the model itself, until it
 * returns false. The path is borrowed for the call. */
typedef bool (*kn_path_visit)(void *ctx, const char *path, size_t length);
KN_API kn_status kn_plan_each_path(const kn_plan *plan, size_t index, kn_path_visit visit,
                                   void *ctx, kn_error *err);

/* The plan as a table for people and as a JSON document (docs/plan.md has the schema). Freed with
 * kn_plan_text_free. */
KN_API kn_status kn_plan_table(const kn_plan *plan, char **out, kn_error *err);
KN_API kn_status kn_plan_json(const kn_plan *plan, char **out, kn_error *err);
KN_API void kn_plan_text_free(const kn_plan *plan, char *text);

#ifdef __cplusplus
}
#endif

#endif
