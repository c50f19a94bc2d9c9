/* SPDX-License-Identifier: Apache-2.0 */
/* A small Hub in memory, behind a kn_transport: publishers, repositories of both types, branches,
 * tags, listings in pages, files. It notes what it is asked, and any request can be made to fail.
 * Several transports may be used at once, by a thread each. */
#ifndef TEST_MEMORY_HUB_H
#define TEST_MEMORY_HUB_H

#include <kernels/transport.h>
#include <pthread.h>

#define HUB_ENDPOINT "http://hub.test"
#define HUB_STORE "http://store.test" /* where large files are */

typedef enum hub_fault {
    HUB_FAULT_NONE,
    HUB_FAULT_REFUSED,  /* no connection */
    HUB_FAULT_BROKEN,   /* the connection ends in the middle of the body */
    HUB_FAULT_STATUS,   /* `fault_status` and nothing else */
    HUB_FAULT_GARBAGE,  /* a success whose bytes mean nothing */
    HUB_FAULT_SILENT,   /* nothing ever comes */
    HUB_FAULT_NO_START, /* the transport does not take the request */
    HUB_FAULT_NO_POLL   /* nor does it go on after it */
} hub_fault;

typedef enum hub_standing { HUB_TRUSTED, HUB_UNTRUSTED, HUB_NOBODY } hub_standing;

typedef struct hub_file {
    char commit[65];
    char path[128];
    char oid[65]; /* what the listing says */
    char *bytes;  /* what is sent */
    size_t length;
    bool is_large;
} hub_file;

typedef struct hub_ref {
    char name[64]; /* "refs/pr/1" for what is no branch or tag */
    char commit[65];
    bool is_tag;
} hub_ref;

typedef struct hub_repo {
    char id[64];
    bool is_model;         /* of the older type */
    hub_standing standing; /* of its publisher */
    hub_ref refs[16];
    size_t ref_count;
    hub_file *files;
    size_t file_count;
} hub_repo;

typedef struct memory_hub {
    pthread_mutex_t lock;
    hub_repo *repos[16];
    size_t repo_count;
    size_t page;        /* files on a page of a listing; 0: all */
    int64_t latency_ms; /* before each response */

    char asked[2048][200]; /* the address of each request, without the endpoint */
    size_t count;
    bool told_store; /* a token was sent to where the large files are */

    hub_fault fault;
    int fault_status;
    const char *fault_on; /* requests with this in their address count; NULL: all */
    size_t fault_at;      /* the number, from 1, of the first of them that fails */
    size_t fault_many;    /* how many fail from then on */
    size_t fault_seen, faults;
} memory_hub;

void memory_hub_open(memory_hub *hub);
void memory_hub_close(memory_hub *hub);
/* kn_engine_options.transport_new; `ctx` is the Hub. */
kn_status memory_hub_transport(void *ctx, kn_transport *out, kn_error *err);

/* Forgets what was asked, and all faults. */
void memory_hub_calm(memory_hub *hub);
void memory_hub_fail(memory_hub *hub, hub_fault fault, size_t at, size_t many);
/* How many requests had `part` in their address ("": all). */
size_t memory_hub_asked(const memory_hub *hub, const char *part);

/* The repository, made when it is new: of type kernel, from a trusted publisher. */
hub_repo *memory_hub_repo(memory_hub *hub, const char *id);
/* A branch, or a tag, which moves where it is there; "refs/pr/1" is neither. */
void hub_repo_branch(hub_repo *repo, const char *name, const char *commit);
void hub_repo_tag(hub_repo *repo, const char *name, const char *commit);
void hub_repo_drop(hub_repo *repo, const char *name);
/* A file of a commit; a large one is known by its SHA-256 and served from elsewhere. */
hub_file *hub_repo_put(hub_repo *repo, const char *commit, const char *path, const char *text);
hub_file *hub_repo_put_large(hub_repo *repo, const char *commit, const char *path,
                             const char *text);
/* Sends other bytes of the same length from now on. */
void hub_file_spoil(hub_file *file);

#endif
