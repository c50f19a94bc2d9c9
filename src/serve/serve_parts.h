/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share. */
#ifndef KNI_SERVE_PARTS_H
#define KNI_SERVE_PARTS_H

#include "os/beneath.h"
#include "serve/hub.h"

/* ---- serve_address.c: pure ---- */

#define KNI_PARTS_MAX 64

/* A path between its slashes, still escaped. */
typedef struct kni_parts {
    const char *items[KNI_PARTS_MAX];
    size_t count;
} kni_parts;

/* None for a path of more parts. */
void kni_parts_of(kni_scratch *scratch, const char *path, kni_parts *out);
kni_parts kni_parts_after(const kni_parts *parts, size_t count);
bool kni_parts_is(const kni_parts *parts, size_t at, const char *text);
/* NULL for what would have a NUL in it. */
const char *kni_unescape(kni_scratch *scratch, const char *text, size_t length);
const char *kni_escape(kni_scratch *scratch, const char *text, bool keep_slashes);
/* The value of a query's field, unescaped; NULL: it is not there. */
const char *kni_query_get(kni_scratch *scratch, const char *query, const char *name);
/* A revision is one escaped part, or refs/pr/1 and the like unescaped; *used tells how many. NULL:
 * none that could be. */
const char *kni_revision_of(kni_scratch *scratch, const kni_parts *parts, size_t *used);
/* The path that the parts name, "" for none; NULL when it leads outside. */
const char *kni_path_of_parts(kni_scratch *scratch, const kni_parts *parts);
/* A part of a repository's id, or a publisher's name: the letters that the Hub allows. */
bool kni_is_served_name(const char *text);

/* A range of bytes. */
typedef struct kni_byte_range {
    bool asked, wrong; /* neither: the whole */
    int64_t first, count;
} kni_byte_range;

/* "bytes=0-9", "bytes=10-", "bytes=-5"; others, with several parts among them, ask for the whole.
 */
kni_byte_range kni_range_parse(const char *text, int64_t size);

/* ---- serve_reply.c ---- */

void kni_reply_init(kni_ask *ask, kni_reply *out, int status);
void kni_reply_add(kni_reply *out, const char *name, const char *value);
void kni_reply_text(kni_ask *ask, kni_reply *out, int status, const char *text);
/* An empty body of JSON, to be written into out->text. */
void kni_reply_json(kni_ask *ask, kni_reply *out, int status);
/* As the Hub reports a problem; `code` (its X-Error-Code) may be NULL. */
void kni_reply_error(kni_ask *ask, kni_reply *out, int status, const char *code,
                     const char *message);
/* The same with a body of plain text, as for files. */
void kni_reply_file_error(kni_ask *ask, kni_reply *out, const char *code, const char *message);

/* An object that is written; members of `over` take the place of those of the same name. */
typedef struct kni_json_object {
    kni_text *out;
    const kni_json *over;
    bool has_member;
} kni_json_object;

kni_json_object kni_object_open(kni_text *out, const kni_json *over);
/* Whether the member is to be written, behind this. */
bool kni_object_key(kni_json_object *object, const char *key);
void kni_object_text(kni_json_object *object, const char *key, const char *value);
void kni_object_integer(kni_json_object *object, const char *key, int64_t value);
void kni_object_boolean(kni_json_object *object, const char *key, bool value);
/* Adds the members of `over`, but for one. */
void kni_object_close(kni_json_object *object, const char *hidden);

/* ---- serve_shelf.c: repositories ---- */

/* A repository as it lies on the disk. */
typedef struct kni_shelf {
    const char *type; /* "kernels" or "models" */
    const char *id, *organization;
    const char *folder; /* below the hub's */
    bool exists, is_cache;
    kni_json *about; /* repo.json; NULL in a cache */
} kni_shelf;

/* *out is to be closed, whatever came of it. */
void kni_shelf_open(kni_ask *ask, const char *type, const char *organization, const char *name,
                    kni_shelf *out);
void kni_shelf_close(kni_shelf *shelf);
/* The commit that a branch, tag, refs/... or commit id names; NULL without one. */
const char *kni_shelf_resolve(kni_ask *ask, const kni_shelf *shelf, const char *revision);
/* The commit that is meant where no revision is given: that of main, else of the last branch. */
const char *kni_shelf_default(kni_ask *ask, const kni_shelf *shelf);
const char *kni_shelf_commit_folder(kni_ask *ask, const kni_shelf *shelf, const char *commit);
/* What repo.json says of a commit. */
const char *kni_shelf_commit_text(const kni_shelf *shelf, const char *commit, const char *key,
                                  const char *otherwise);
/* Whether the folder has any repository of a publisher. */
bool kni_shelf_has_publisher(kni_ask *ask, const char *organization);

typedef struct kni_served_ref {
    const char *kind; /* "branches", "tags", "pulls", "converts" */
    const char *name, *commit;
    struct kni_served_ref *next;
} kni_served_ref;

/* By name. */
const kni_served_ref *kni_shelf_refs(kni_ask *ask, const kni_shelf *shelf);

/* ---- serve_cache.c: the same in a cache ---- */

const char *kni_cached_ref(kni_ask *ask, const kni_shelf *shelf, const char *revision);
const kni_served_ref *kni_cached_refs(kni_ask *ask, const kni_shelf *shelf);

/* ---- serve_tree.c, serve_build.c: a commit's files ---- */

typedef struct kni_commit_file {
    const char *path, *name; /* the last part of the path */
    bool directory, lfs;
    int64_t size;
    char oid[41];    /* the blob's, the pointer's, or the tree's */
    char sha256[65]; /* of an LFS file */
    int pointer_size;
    size_t first_child, child_count; /* of a directory */
    kni_file_facts facts;
} kni_commit_file;

typedef struct kni_commit_tree {
    kni_count references;
    kni_scratch scratch;
    const char *folder, *key;
    bool is_unsettled; /* it had changed just when it was read: there may be more */
    kni_file_facts facts;
    kni_commit_file *files; /* in the order of a listing */
    size_t count, capacity;
    const kni_commit_file **by_path; /* sorted */
    struct kni_commit_tree *next;
} kni_commit_tree;

/* What a commit has now; NULL with out->status set where it cannot be told. Dropped by
 * kni_tree_drop. */
kni_commit_tree *kni_tree_get(kni_ask *ask, const kni_shelf *shelf, const char *commit,
                              kni_reply *out);
/* Opens a file: its descriptor, and what is known of it, which is borrowed from *tree, to be
 * dropped unless it is NULL. -1: there is none, or, with out->status set, it cannot be told. */
int kni_tree_open(kni_ask *ask, const kni_shelf *shelf, const char *commit, const char *path,
                  kni_commit_tree **tree, const kni_commit_file **file, kni_reply *out);
void kni_tree_drop(kni_commit_tree *tree);
const kni_commit_file *kni_tree_find(const kni_commit_tree *tree, const char *path);
/* Hashes what is new against `before` (NULL: nothing is known). NULL: no memory, or `*problem`. */
kni_commit_tree *kni_tree_build(kni_ask *ask, const kni_shelf *shelf, const char *folder,
                                const char *key, const kni_commit_tree *before,
                                const char **problem);

/* ---- answers ---- */

/* serve_access.c. The answer for a repository that is missing or not for this client: true, with
 * `out` set. */
bool kni_access_refused(kni_ask *ask, const kni_shelf *shelf, bool files, kni_reply *out);
bool kni_token_refused(kni_ask *ask, kni_reply *out);
/* serve_api.c. `parts` follow /api/. */
void kni_answer_api(kni_ask *ask, const kni_parts *parts, kni_reply *out);
/* serve_listing.c. `parts` name the folder to list; none: the whole. */
void kni_answer_tree(kni_ask *ask, const kni_shelf *shelf, const char *commit,
                     const kni_parts *parts, kni_reply *out);
void kni_add_lfs(kni_text *out, const kni_commit_file *file, const char *digest_name);
/* serve_files.c. `parts`: <org>/<name>/resolve/<revision>/<path>. */
void kni_answer_resolve(kni_ask *ask, const char *type, const kni_parts *parts, kni_reply *out);
/* A file that is open, or the part of it that is asked for; `etag` without quotes. Takes the
 * file. */
void kni_answer_file(kni_ask *ask, const kni_commit_file *what, int file, const char *etag,
                     kni_reply *out);

#endif
