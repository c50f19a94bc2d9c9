/* SPDX-License-Identifier: Apache-2.0 */
/* What every public header needs: export marks, the version, status values and the allocator. */
#ifndef KERNELS_COMMON_H
#define KERNELS_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Marks of declarations: what the library exports, and whose arguments are a format of printf. */
#if defined(__GNUC__)
#define KN_API __attribute__((visibility("default")))
#define KN_PRINTF(format_index, first_arg) __attribute__((format(printf, format_index, first_arg)))
#else
#define KN_API
#define KN_PRINTF(format_index, first_arg)
#endif

/* The library's version, as in "0.17.2+0.1.0": the API level, then our own version. Static text. */
KN_API const char *kn_version(void);

/* What a call came to. Every value other than KN_OK is something that a caller can act on. */
typedef enum kn_status {
    KN_OK = 0,
    KN_ERR_NOMEM = 1,       /* no memory was left */
    KN_ERR_VALUE = 2,       /* an argument's value, or a file's content, is not acceptable */
    KN_ERR_TYPE = 3,        /* an object is not of the kind that was needed */
    KN_ERR_NOT_FOUND = 4,   /* a file, kernel, variant or layer is not there */
    KN_ERR_OS = 5,          /* the operating system refused */
    KN_ERR_RUNTIME = 6,     /* everything was well formed and still it cannot be done here */
    KN_ERR_UNSUPPORTED = 7, /* this version of the library cannot do it */
    KN_ERR_HOST = 8,        /* a callback of the host failed; the host knows the cause */
    KN_ERR_CANCELLED = 9,   /* the host asked to stop */
    KN_ERR_NETWORK = 10,    /* the Hub could not be reached, or it did not answer as a Hub does */
    KN_ERR_TIMEOUT = 11,    /* nothing arrived for longer than KERNELS_TIMEOUT */
    KN_ERR_REPOSITORY = 12, /* the Hub has no such repository, or not for this token */
    KN_ERR_REVISION = 13,   /* the repository has no such branch, tag or commit */
    KN_ERR_GATED = 14,      /* the repository's owner has to grant access first */
    KN_ERR_INTEGRITY = 15,  /* a file is not what its repository or its metadata says it is */
    KN_ERR_UNTRUSTED = 16,  /* the publisher is not trusted, and nobody said otherwise */
    KN_ERR_DEPENDENCY = 17, /* the kernel needs Python packages that are not installed */
    KN_ERR_DENIED = 18      /* kernels.toml denies the kernel */
} kn_status;

/* A status in a word, "not-found": static, and the same for ever. "unknown" for a value of a newer
 * library. Thread safe. */
KN_API const char *kn_status_text(kn_status status);

#define KN_ERROR_TEXT_MAX 4096

/* The caller owns it; it may be NULL wherever a function takes one. Set by a failing call and left
 * alone by one that succeeds. `message` is one UTF-8 sentence, cut at KN_ERROR_TEXT_MAX - 1 bytes.
 */
typedef struct kn_error {
    size_t size; /* sizeof(kn_error) of the caller */
    kn_status status;
    char message[KN_ERROR_TEXT_MAX];
} kn_error;

/* An error to pass on: `kn_error err = KN_ERROR_INIT;`, or, without clearing the whole text,
 * kn_error_init(&err). */
#define KN_ERROR_INIT {sizeof(kn_error), KN_OK, {0}}

static inline void kn_error_init(kn_error *err) {
    err->size = sizeof *err;
    err->status = KN_OK;
    err->message[0] = '\0';
}

/* Memory. `resize(ctx, NULL, n)` allocates n > 0 bytes, `resize(ctx, p, 0)` frees p and returns
 * NULL, else it behaves like realloc: NULL when there is no memory, and p stays. Called from any
 * thread. */
typedef struct kn_alloc {
    size_t size; /* sizeof(kn_alloc) of the caller */
    void *ctx;
    void *(*resize)(void *ctx, void *ptr, size_t bytes);
} kn_alloc;

#ifdef __cplusplus
}
#endif

#endif
