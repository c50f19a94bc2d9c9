/* SPDX-License-Identifier: Apache-2.0 */
/* The value of a mapping: where a layer comes from. The host's own object stays behind the handle.
 */
#ifndef KERNELS_REPO_H
#define KERNELS_REPO_H

#include <kernels/common.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kn_repo kn_repo;

typedef enum kn_repo_kind {
    KN_REPO_HOST = 0,  /* only the host can load it (an object with its own `load`) */
    KN_REPO_LOCAL = 1, /* a kernel directory: `id` is its path */
    KN_REPO_HUB = 2    /* a repository: `id` is "org/name"; "builtin/name" ships with the library */
} kn_repo_kind;

/* What a repository is. Texts are borrowed: valid until the repository is released or described
 * again, or they stand in `buffer`. */
typedef struct kn_repo_info {
    size_t size; /* sizeof(kn_repo_info), set by the one who provides the memory */
    kn_repo_kind kind;
    const char *id;
    const char *layer_name; /* the layer wanted of the kernel; NULL for KN_REPO_HOST */
    const char *revision;   /* branch, tag or commit; NULL when not given */
    const char *version;    /* a version or a version specifier; NULL when not given */
    const char *backend;    /* "cpu" or the name of the system's own backend; NULL: the latter */
    const char *display;    /* how messages name it; NULL: `id` */
    const char *allowed;    /* whose code may run although its publisher is not trusted: NULL:
                               nobody's,
                               "*": everybody's, else repository ids, one a line */
    const char *user_agent; /* added to what requests say about their sender; NULL: nothing */
    const char *lock;       /* the content of a kernels.lock: the kernel, and those that it depends
                               on, are taken at the commits that it gives, and from nowhere but the
                               Hub and the cache; NULL: nothing is locked */
    bool refresh;           /* ask the Hub, however fresh the last answer is */
    bool cache_only;        /* make no request */
    bool any_arch;          /* load also a build that was not made for this device */
    char buffer[256];       /* room for a text that lives nowhere else, such as `display` */
} kn_repo_info;

/* Reads "org/name", "org/name@REVISION" (a branch, tag or commit), "org/name@v1" (the version 1) or
 * "org/name@>=0.1,<0.2" into `out`, whose size is set and whose texts come to stand in its buffer:
 * a copy of it would point into the original. KN_ERR_VALUE for other text. */
KN_API kn_status kn_repo_parse(const char *spec, kn_repo_info *out, kn_error *err);

/* What the host's object can do. `equal` and `hash` may run the host's user code and are called
 * with no lock held. `describe` fills `out` with texts that live as long as the object, or until it
 * is called again for it. */
typedef struct kn_repo_ops {
    size_t size; /* sizeof(kn_repo_ops) */
    void (*retain)(void *object);
    void (*release)(void *object);
    /* 1 equal, 0 not, -1 failed (the host keeps the cause). */
    int (*equal)(void *a, void *b);
    /* false: failed (the host keeps the cause). */
    bool (*hash)(void *object, uint64_t *out);
    kn_status (*describe)(void *object, kn_repo_info *out, kn_error *err);
} kn_repo_ops;

/* A handle over `object`, which is retained once; `ops` must outlive the handle, `alloc` too (NULL:
 * malloc). The caller owns one reference. */
KN_API kn_status kn_repo_new(const kn_alloc *alloc, void *object, const kn_repo_ops *ops,
                             kn_repo **out, kn_error *err);

/* Thread safe. kn_repo_release(NULL) is fine; the last release releases the object. */
KN_API kn_repo *kn_repo_retain(kn_repo *repo);
KN_API void kn_repo_release(kn_repo *repo);

/* The host's object, borrowed. */
KN_API void *kn_repo_object(const kn_repo *repo);

/* How many references there are: for a host whose collector must know whether it holds the only
 * one. */
KN_API size_t kn_repo_references(const kn_repo *repo);

/* Asks the host's object what it is; see kn_repo_info for how long the texts live. */
KN_API kn_status kn_repo_describe(const kn_repo *repo, kn_repo_info *out, kn_error *err);

#ifdef __cplusplus
}
#endif

#endif
