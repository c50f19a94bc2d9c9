/* SPDX-License-Identifier: Apache-2.0 */
/* The host: the framework whose model is kernelized, as the engine sees it. With Python it is
 * torch; a C program with a graph of its own fills in the same table.
 *
 * Handles (modules, classes, kernels, layers, forwards, undo records) are the host's objects, kept
 * alive by `retain` and `release`. Every callback is made on the thread of the engine's call, with
 * none of the engine's locks held. A callback that fails returns its status and fills `err`, or
 * returns KN_ERR_HOST and keeps the cause to itself; the engine passes both on.
 *
 * A callback may be NULL where its comment says what it is then. One that a call needs all the same
 * (`walk`, `load`, `bind`, `inspect`, `swap` and `restore` to kernelize; `import_kernel` and
 * `find_layer` for layers of kernels) fails that call with KN_ERR_UNSUPPORTED and its name. */
#ifndef KERNELS_HOST_H
#define KERNELS_HOST_H

#include <kernels/device.h>
#include <kernels/mode.h>
#include <kernels/variant.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A device as a host names it. */
typedef struct kn_device {
    size_t size; /* sizeof(kn_device), set by the one who provides the memory */
    kn_device_type type;
    int32_t index;      /* which of its type; -1: the current one */
    int64_t capability; /* KN_CAPABILITY_UNKNOWN where it has none or it cannot be asked */
    char name[32];      /* the type as text, also for KN_DEVICE_OTHER ("meta") */
} kn_device;

/* ---- the walk: filled by the host, once for each engine call ---- */

typedef struct kn_walk kn_walk;

#define KN_NO_PARENT UINT32_MAX

/* 1: `module` is seen for the first time in this walk, 0: it was seen before, -1: no memory. */
KN_API int kn_walk_visit(kn_walk *walk, const void *module);

/* A module on the way to an extensible one, or such a module itself. `name` (`length` bytes,
 * copied) is its name within `parent`, "" for the root. `module` is retained by the walk. Only what
 * leads to a site is needed. */
KN_API kn_status kn_walk_add_node(kn_walk *walk, uint32_t parent, void *module, const char *name,
                                  size_t length, uint32_t *out, kn_error *err);

/* A class of extensible modules: `handle` is retained, the texts are copied. */
typedef struct kn_class {
    size_t size; /* sizeof(kn_class) */
    void *handle;
    const char *name;       /* "LlamaRMSNorm" */
    const char *layer_name; /* the name that a mapping knows it by */
    bool has_condition;     /* ask `condition` for each module */
} kn_class;

/* A class that sites are of; *out is the number that kn_walk_add_site takes. */
KN_API kn_status kn_walk_add_class(kn_walk *walk, const kn_class *cls, uint32_t *out,
                                   kn_error *err);

#define KN_SITE_FOREIGN 1u  /* a forward that the host's user set stands there: it is kept */
#define KN_SITE_FUNCTION 2u /* one object shared by every model that uses it */
#define KN_SITE_NOT_APPLIED \
    4u /* it carries the description of a forward that is not in place (unpickled) */

/* An extensible module. `current` is the forward of ours that stands there, NULL for none. It is
 * compared and, by explain, described; it must stay alive while user code has not run. */
KN_API kn_status kn_walk_add_site(kn_walk *walk, uint32_t node, uint32_t class_id, void *current,
                                  uint32_t flags, kn_error *err);

/* ---- what is loaded ---- */

/* A kernel to import. Texts are borrowed for the call. */
typedef struct kn_kernel_info {
    size_t size;
    const char *folder;      /* absolute path of the variant's folder */
    const char *entry;       /* absolute path of the file to import */
    const char *id;          /* unique name to import it under */
    const char *name;        /* the kernel's name */
    const char *module_name; /* the name as an identifier */
    const char *variant;
    const char *repo;     /* as the user named it */
    const char *repo_id;  /* the repository of the Hub that it came from; NULL: from elsewhere */
    const char *revision; /* the branch, tag or commit that was asked for; a commit for versions */
    const char *commit;
    const char *const *depend_ids; /* the kernels that it depends on, by repository, ... */
    void *const *depends;          /* ... as they were imported */
    size_t depend_count;
} kn_kernel_info;

/* A layer of a kernel. `handle` comes with a reference. */
typedef struct kn_layer {
    size_t size; /* sizeof(kn_layer), set by the engine */
    void *handle;
    bool has_backward;
    bool can_torch_compile;
} kn_layer;

/* Where a forward comes from. Texts are borrowed. */
typedef struct kn_forward_info {
    size_t size;
    const char *repo;        /* as messages name it */
    const char *layer_name;  /* the layer's name in the repository; NULL when only the host knows */
    const char *mapped_name; /* the name that the mapping knows the layer by */
    const char *commit;      /* NULL: unknown */
    const char *variant;     /* NULL: unknown */
} kn_forward_info;

typedef enum kn_log_level { KN_LOG_DEBUG = 10, KN_LOG_INFO = 20, KN_LOG_WARNING = 30 } kn_log_level;

/* What a message is about. */
typedef enum kn_log_topic {
    KN_LOG_LAYERS = 0,    /* which layers keep their forward for want of a kernel */
    KN_LOG_MODEL = 1,     /* modules that are left alone since the user says so */
    KN_LOG_VERSIONS = 2,  /* versions of kernels */
    KN_LOG_HUB = 3,       /* publishers, and a Hub that does not answer */
    KN_LOG_REDIRECTS = 4, /* repositories that have moved */
    KN_LOG_METADATA = 5   /* what the metadata of a kernel says */
} kn_log_topic;

typedef struct kn_host {
    size_t size; /* sizeof(kn_host) */
    void *ctx;   /* first argument of every callback but retain and release */

    /* NULL, both: handles are not counted, and outlive the engine. */
    void (*retain)(void *handle);
    void (*release)(void *handle);

    /* The machine; texts stay valid until the engine's call returns. NULL: what the engine's
     * options say. */
    kn_status (*system)(void *ctx, kn_system *out, kn_error *err);

    /* Hands over every extensible module that is reachable from `model`, each once, with its place.
     * No user code is run. */
    kn_status (*walk)(void *ctx, void *model, kn_walk *walk, kn_error *err);

    /* The device that the model is on, by its first parameter. KN_ERR_VALUE when it has none. NULL:
     * every model is on the processor. */
    kn_status (*model_device)(void *ctx, void *model, kn_device *out, kn_error *err);

    /* The capability of the current device of this type, or KN_CAPABILITY_UNKNOWN. NULL: the CUDA
     * driver is asked in this process (see kn_gpus_read), and its first device counts. */
    kn_status (*capability)(void *ctx, kn_device_type type, int64_t *out, kn_error *err);

    /* Whether this machine has devices of this type with unlike capabilities. NULL: no, or what the
     * driver says, where it is asked for the capability. */
    kn_status (*has_unlike_devices)(void *ctx, kn_device_type type, bool *out, kn_error *err);

    /* The device of the first parameter or buffer of `module` or, failing that, of its descendants;
     * *found false when there is none. NULL: there is none. */
    kn_status (*module_device)(void *ctx, void *module, bool *found, kn_device *out, kn_error *err);

    /* User code: may `module` be replaced? Asked only where the class has a condition. */
    kn_status (*condition)(void *ctx, void *module, void *class_handle, bool *out, kn_error *err);

    /* User code: the predicate of a request. */
    kn_status (*predicate)(void *ctx, void *predicate, const char *path, void *module, bool *out,
                           kn_error *err);

    /* User code: import a kernel, each folder once in a process. *out comes with a reference. */
    kn_status (*import_kernel)(void *ctx, const kn_kernel_info *info, void **out, kn_error *err);

    /* The layer `name` of an imported kernel; KN_ERR_VALUE when it is not there. */
    kn_status (*find_layer)(void *ctx, void *kernel, const char *name, const char *repo,
                            kn_layer *out, kn_error *err);

    /* User code: the layer that a KN_REPO_HOST repository gives. KN_ERR_NOT_FOUND where it says
     * that something is not there. */
    kn_status (*load)(void *ctx, void *repo_object, kn_layer *out, kn_error *err);

    /* Checks that `layer` may stand in for `class_handle` (KN_ERR_TYPE when not) and makes the
     * forward that is put in place; *out comes with a reference. The engine asks once for each
     * pair. */
    kn_status (*bind)(void *ctx, void *layer, void *class_handle, const kn_forward_info *info,
                      void **out, kn_error *err);

    /* What stands at `module` now, as kn_walk_add_site takes it. */
    kn_status (*inspect)(void *ctx, void *module, void **current, uint32_t *flags, kn_error *err);

    /* Puts `forward` in place, or with NULL what stood there before ours. *undo (NULL is a value)
     * comes with a reference and takes `module` back to what it was before the call. A failed call
     * changed nothing. */
    kn_status (*swap)(void *ctx, void *module, void *forward, void **undo, kn_error *err);
    kn_status (*restore)(void *ctx, void *module, void *undo, kn_error *err);

    /* Where a forward comes from; texts live as long as it does. NULL: explain does not tell. */
    kn_status (*describe)(void *ctx, void *forward, kn_forward_info *out, kn_error *err);
    /* The same for a module whose site is KN_SITE_NOT_APPLIED; texts are valid until the next
     * callback. */
    kn_status (*describe_module)(void *ctx, void *module, kn_forward_info *out, kn_error *err);

    /* Asks that kn_engine_forget is called when `object` (a class or a model) goes away; false when
     * that cannot be had, and the engine then remembers nothing about it. NULL: false. */
    bool (*watch)(void *ctx, void *object);

    /* How messages name a model; valid until the next callback. NULL: "the model". */
    const char *(*model_name)(void *ctx, void *model);

    /* NULL: the engine's sink. */
    void (*log)(void *ctx, kn_log_level level, kn_log_topic topic, const char *message);

    /* Around work that waits (files, later the network): between `leave` and `enter` other threads
     * may use the host, and this one does not. `enter` is given what `leave` returned. Both may be
     * NULL. */
    void *(*leave)(void *ctx);
    void (*enter)(void *ctx, void *left);

    /* Whether a module of this name can be imported: what a kernel needs. NULL: it is not asked. */
    kn_status (*can_import)(void *ctx, const char *name, bool *out, kn_error *err);

    /* The current GPU of torch, for a build whose metadata lists architectures. What cannot be
     * asked stays unknown. NULL: it is not asked, or the driver is, as for the capability. */
    kn_status (*gpu)(void *ctx, kn_gpu *out, kn_error *err);

    /* Bytes that were downloaded by this call, and that are to be, at most ten times a second; once
     * more with both alike at the end. NULL: the engine's sink. */
    void (*progress)(void *ctx, int64_t done, int64_t total);

    /* Polled between steps; true stops the call with KN_ERR_CANCELLED. NULL: kn_engine_cancel alone
     * does. */
    bool (*cancelled)(void *ctx);

    /* Lets go of objects that only circles among themselves keep, so that kn_engine_forget is
     * called for those under watch. Asked before a model is said to be in another's way, once for
     * each. User code may run. May be NULL. */
    void (*collect)(void *ctx);
} kn_host;

#ifdef __cplusplus
}
#endif

#endif
