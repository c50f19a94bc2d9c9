/* SPDX-License-Identifier: Apache-2.0 */
/* What a Hub answers, without the network: a request in, a reply out. It reads a folder and never
 * writes. Repositories lie in it in one of two forms, side by side if need be:
 *
 *   plain   kernels/<org>/<name>/repo.json, kernels/<org>/<name>/commits/<40 hex digits>/...
 *           and models/ the same; organizations/<org>.json, users/<name>.json
 *   cache   kernels--<org>--<name>/refs/<branch or tag>, .../snapshots/<40 hex digits>/...
 *           and models--: huggingface_hub's cache
 *
 * Descriptions are read again for each request. What is known of a commit's files is kept, and
 * read again when the files have changed. A hub may be asked by several threads. */
#ifndef KNI_SERVE_HUB_H
#define KNI_SERVE_HUB_H

#include <pthread.h>

#include "codec/json.h"
#include "os/lock.h"
#include "os/store.h"
#include "serve/scratch.h"

#define KNI_SERVE_DATE "2026-01-01T00:00:00.000Z" /* what nobody dated is from */

struct kni_commit_tree;

typedef struct kni_hub {
    const kn_alloc *alloc;
    int folder;               /* open; the caller's */
    const char *trusted;      /* names of publishers, with commas between; NULL: none */
    bool believes_folder;     /* organizations/<org>.json may call its publisher trusted */
    kni_lock *lock;           /* guards `trees` */
    pthread_mutex_t building; /* held while files are hashed */
    struct kni_commit_tree *trees;
} kni_hub;

/* The fields above `lock` are the caller's to fill first. */
kn_status kni_hub_init(kni_hub *hub, kn_error *err);
void kni_hub_clear(kni_hub *hub); /* no request may be under way */

/* A request. Texts are the caller's. */
typedef struct kni_ask {
    kni_hub *hub;
    kni_scratch *scratch;
    const char *method;
    const char *target; /* "/path?query", escaped as it came */
    const char *base;   /* "http://host:port" by which the client knows this Hub */
    const char *token;  /* NULL: anonymous */
    bool token_is_valid;
    bool require_token; /* nothing for the anonymous */
    const char *range, *if_range;
    int64_t page_size;     /* entries in a page of a listing */
    int64_t lfs_threshold; /* files of so many bytes are LFS files, unless the folder knows it */

    const char *path, *query; /* of `target`; set by kni_hub_answer */
} kni_ask;

#define KNI_REPLY_HEADERS 16

typedef struct kni_header {
    const char *name, *value;
} kni_header;

/* A file that was found, for those who send it from somewhere else. */
typedef struct kni_found {
    const char *type, *id, *commit, *path; /* "kernels", "org/name"; `path` NULL: none was found */
    const char *etag;                      /* without quotes */
    int64_t size;
    bool lfs;
} kni_found;

/* It owns its text and its file; the rest lives in the request's scratch. */
typedef struct kni_reply {
    int status;
    size_t header_count;
    kni_header headers[KNI_REPLY_HEADERS];
    kni_text text;
    int file;               /* -1: the body is `text` */
    int64_t offset, length; /* of the file's part */
    kni_found found;
} kni_reply;

/* The answer to a request; always one. */
void kni_hub_answer(kni_ask *ask, kni_reply *out);
void kni_reply_clear(kni_reply *reply);
/* NULL: it has no such header. */
const char *kni_reply_header(const kni_reply *reply, const char *name);

#endif
