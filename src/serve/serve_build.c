/* SPDX-License-Identifier: Apache-2.0 */
/* What a commit has, read from the disk. Object ids are git's. In a cache a file is a link to
 * blobs/<id>, which is believed: clients verify what they get. Elsewhere files are hashed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "net/net_parts.h"
#include "serve/serve_parts.h"

#define DEPTH_MAX 64
#define FILES_MAX 200000
#define SHA1_SIZE 20
#define PIECE ((size_t)1 << 18)
#define SETTLED_NS 100000000 /* a change this soon after another one may not show in the times */
#define AHEAD_NS 1000000000  /* times beyond are of another clock, and say nothing */

typedef struct builder {
    kni_ask *ask;
    const kni_shelf *shelf;
    kni_commit_tree *tree;
    const kni_commit_tree *before;
    const kni_json *lfs; /* patterns */
    char *buffer;
    int64_t now_ns;
    const char *problem;
} builder;

static bool fail(builder *b, const char *problem) {
    if (!b->problem) b->problem = problem;
    return false;
}

static bool no_memory(builder *b) { return fail(b, "out of memory"); }

static bool is_recent(const builder *b, const kni_file_facts *facts) {
    int64_t age = b->now_ns - facts->mtime_ns;
    return age < SETTLED_NS && age > -AHEAD_NS;
}

static void note_change(builder *b, const kni_file_facts *facts) {
    if (is_recent(b, facts)) b->tree->is_unsettled = true;
}

/* ---- digests ---- */

static void hex_encode(const unsigned char *bytes, size_t count, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * count] = '\0';
}

static kni_digest *digest_begin(builder *b, kni_digest_kind kind, const char *head,
                                size_t head_length) {
    kni_digest *digest = kni_digest_new(b->ask->hub->alloc, kind);
    if (!digest || !kni_digest_add(digest, head, head_length)) no_memory(b);
    return digest;
}

static void digest_end(builder *b, kni_digest *digest, char *hex) {
    unsigned char bytes[KNI_DIGEST_MAX];
    size_t length = digest ? kni_digest_finish(digest, bytes) : 0;
    if (length)
        hex_encode(bytes, length, hex);
    else
        no_memory(b);
    kni_digest_free(digest);
}

static void digest_object(builder *b, const char *kind, const char *bytes, size_t length,
                          char *hex) {
    char head[64];
    int head_length = snprintf(head, sizeof head, "%s %zu", kind, length);
    kni_digest *digest = digest_begin(b, KNI_SHA1, head, (size_t)head_length + 1);
    if (digest) kni_digest_add(digest, bytes, length);
    digest_end(b, digest, hex);
}

static void digest_file(builder *b, kni_digest *digest, int file, char *hex) {
    ssize_t got = 1;
    while (digest && got > 0) {
        got = read(file, b->buffer, PIECE);
        if (got > 0) kni_digest_add(digest, b->buffer, (size_t)got);
    }
    if (got < 0) fail(b, "a file cannot be read");
    digest_end(b, digest, hex);
}

/* An LFS file's object id is that of the pointer that git holds in its place. */
static void identify_pointer(builder *b, kni_commit_file *file) {
    char pointer[192];
    int length = snprintf(pointer, sizeof pointer,
                          "version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %lld\n",
                          file->sha256, (long long)file->size);
    file->lfs = true;
    file->pointer_size = length;
    digest_object(b, "blob", pointer, (size_t)length, file->oid);
}

static bool is_lfs(const builder *b, const kni_commit_file *file) {
    if (b->ask->lfs_threshold >= 0 && file->size >= b->ask->lfs_threshold) return true;
    for (size_t at = 0; at < kni_json_length(b->lfs); at++) {
        const char *pattern = kni_json_text(kni_json_item(b->lfs, at));
        if (!pattern) continue;
        if (kni_glob_match(pattern, file->path) || kni_glob_match(pattern, file->name)) return true;
    }
    return false;
}

static void identify_content(builder *b, kni_commit_file *out, int file) {
    char head[64];
    if (is_lfs(b, out)) {
        digest_file(b, digest_begin(b, KNI_SHA256, "", 0), file, out->sha256);
        identify_pointer(b, out);
    } else {
        int length = snprintf(head, sizeof head, "blob %lld", (long long)out->size);
        digest_file(b, digest_begin(b, KNI_SHA1, head, (size_t)length + 1), file, out->oid);
    }
}

/* Takes the ids over from what was known of the same file; false: it is another. */
static bool is_known(const builder *b, kni_commit_file *file) {
    const kni_commit_file *known = b->before ? kni_tree_find(b->before, file->path) : NULL;
    if (!known || known->directory || !kni_file_facts_equal(&known->facts, &file->facts) ||
        b->before->is_unsettled) {
        return false;
    }
    memcpy(file->oid, known->oid, sizeof file->oid);
    memcpy(file->sha256, known->sha256, sizeof file->sha256);
    file->lfs = known->lfs;
    file->pointer_size = known->pointer_size;
    return true;
}

/* Whether a link in a cache's snapshot names the blob. */
static bool is_named(builder *b, int folder, kni_commit_file *file) {
    char target[512];
    ssize_t length = readlinkat(folder, file->name, target, sizeof target - 1);
    if (!b->shelf->is_cache || length <= 0 || (size_t)length >= sizeof target) return false;
    target[length] = '\0';
    const char *oid = strrchr(target, '/');
    if (!oid || oid - target < 5 || strncmp(oid - 5, "blobs", 5) != 0 || !kni_is_commit(oid + 1))
        return false;
    if (strlen(oid + 1) == 64) {
        memcpy(file->sha256, oid + 1, 65);
        identify_pointer(b, file);
    } else {
        memcpy(file->oid, oid + 1, 41);
    }
    return true;
}

/* ---- the walk ---- */

/* The folder that is read. */
typedef struct level {
    builder *b;
    const char *inside; /* its path in the commit, "" or "build" */
    const char *on_disk;
    int folder; /* open */
} level;

static bool add_file(level *at, const char *name, bool directory) {
    builder *b = at->b;
    kni_commit_tree *tree = b->tree;
    kni_commit_file file = {.directory = directory};
    file.path =
        kni_scratch_format(&tree->scratch, "%s%s%s", at->inside, at->inside[0] ? "/" : "", name);
    file.name = file.path + strlen(file.path) - strlen(name);
    if (tree->scratch.failed) return no_memory(b);
    if (!kni_path_stays_inside(file.path)) return true; /* no client could have it */

    const char *path = kni_scratch_format(b->ask->scratch, "%s/%s", at->on_disk, name);
    int open = directory ? -1 : kni_beneath_file(b->ask->hub->folder, path, &file.facts);
    if (!directory && open < 0) return true; /* a link to nothing, or to the outside */
    file.size = directory ? 0 : file.facts.size;
    if (!directory && !is_named(b, at->folder, &file) && !is_known(b, &file))
        identify_content(b, &file, open);
    if (!directory) note_change(b, &file.facts);
    kni_beneath_close(open);
    if (tree->count >= FILES_MAX) return fail(b, "the commit has too many files");
    if (!kni_reserve(b->ask->hub->alloc, &tree->files, &tree->capacity, tree->count + 1,
                     sizeof *tree->files)) {
        return no_memory(b);
    }
    tree->files[tree->count++] = file;
    return !b->problem;
}

static bool take_entry(level *at, const char *name) {
    struct stat about;
    if (fstatat(at->folder, name, &about, AT_SYMLINK_NOFOLLOW)) return true;
    if (S_ISDIR(about.st_mode)) return add_file(at, name, true);
    if (S_ISREG(about.st_mode) || S_ISLNK(about.st_mode)) return add_file(at, name, false);
    return true;
}

static bool take_name(void *ctx, const char *name) { return take_entry(ctx, name); }

static int compare_in_listing(const void *left, const void *right) {
    const kni_commit_file *a = left, *b = right;
    if (a->directory != b->directory) return a->directory ? -1 : 1;
    return strcmp(a->path, b->path);
}

/* Adds what is in a folder: its folders, then its files. */
static void read_level(builder *b, const char *inside, kni_file_facts *facts) {
    kni_commit_tree *tree = b->tree;
    size_t first = tree->count;
    level at = {.b = b, .inside = inside};
    at.on_disk =
        kni_scratch_format(b->ask->scratch, "%s%s%s", tree->folder, inside[0] ? "/" : "", inside);
    at.folder = kni_beneath_folder(b->ask->hub->folder, at.on_disk, facts);
    if (at.folder < 0 || !kni_beneath_each(b->ask->hub->folder, at.on_disk, take_name, &at)) {
        fail(b, "a folder cannot be read");
    }
    kni_beneath_close(at.folder);
    note_change(b, facts);
    if (tree->count > first)
        qsort(tree->files + first, tree->count - first, sizeof *tree->files, compare_in_listing);
}

static int depth_of(const char *path) {
    int depth = 0;
    for (; *path; path++) depth += *path == '/';
    return depth;
}

/* Folder after folder, each behind the one that it is in. */
static void walk(builder *b) {
    kni_commit_tree *tree = b->tree;
    read_level(b, "", &tree->facts);
    for (size_t at = 0; at < tree->count && !b->problem; at++) {
        if (!tree->files[at].directory) continue;
        size_t first = tree->count;
        kni_file_facts facts = {0};
        if (depth_of(tree->files[at].path) >= DEPTH_MAX) continue;
        read_level(b, tree->files[at].path, &facts);
        /* Reading may have moved the entries. */
        tree->files[at].facts = facts;
        tree->files[at].first_child = first;
        tree->files[at].child_count = tree->count - first;
    }
}

/* ---- the ids of folders ---- */

static int compare_as_git(const void *left, const void *right) {
    const kni_commit_file *a = *(const kni_commit_file *const *)left,
                          *b = *(const kni_commit_file *const *)right;
    for (size_t i = 0;; i++) {
        int one = (unsigned char)a->name[i], two = (unsigned char)b->name[i];
        if (!one && a->directory) one = '/';
        if (!two && b->directory) two = '/';
        if (one != two) return one - two;
        if (!a->name[i] || !b->name[i]) return 0;
    }
}

static void add_oid(kni_text *out, const char *oid) {
    char bytes[SHA1_SIZE];
    for (size_t i = 0; i < SHA1_SIZE; i++) {
        const char pair[3] = {oid[2 * i], oid[2 * i + 1], '\0'};
        bytes[i] = (char)strtoul(pair, NULL, 16);
    }
    kni_text_add_n(out, bytes, sizeof bytes);
}

/* `sorted` has room for the children. */
static void identify_folder(builder *b, kni_commit_file *folder, const kni_commit_file **sorted) {
    kni_text object;
    kni_text_init(&object, b->ask->hub->alloc);
    for (size_t i = 0; i < folder->child_count; i++)
        sorted[i] = &b->tree->files[folder->first_child + i];
    qsort(sorted, folder->child_count, sizeof *sorted, compare_as_git);
    for (size_t i = 0; i < folder->child_count; i++) {
        kni_text_addf(&object, "%s %s", sorted[i]->directory ? "40000" : "100644", sorted[i]->name);
        kni_text_add_n(&object, "", 1);
        add_oid(&object, sorted[i]->oid);
    }
    if (object.failed) no_memory(b);
    digest_object(b, "tree", object.bytes ? object.bytes : "", object.length, folder->oid);
    kni_text_clear(&object);
}

static int compare_paths(const void *left, const void *right) {
    const kni_commit_file *const *a = left, *const *b = right;
    return strcmp((*a)->path, (*b)->path);
}

static void finish(builder *b) {
    kni_commit_tree *tree = b->tree;
    if (b->problem) return;
    tree->by_path = kni_new(b->ask->hub->alloc, (tree->count + 1) * sizeof *tree->by_path);
    if (!tree->by_path) {
        no_memory(b);
        return;
    }
    for (size_t at = tree->count; at-- > 0;) {
        if (tree->files[at].directory) identify_folder(b, &tree->files[at], tree->by_path);
    }
    for (size_t at = 0; at < tree->count; at++) tree->by_path[at] = &tree->files[at];
    qsort(tree->by_path, tree->count, sizeof *tree->by_path, compare_paths);
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

kni_commit_tree *kni_tree_build(kni_ask *ask, const kni_shelf *shelf, const char *folder,
                                const char *key, const kni_commit_tree *before,
                                const char **problem) {
    const kn_alloc *alloc = ask->hub->alloc;
    builder b = {.ask = ask, .shelf = shelf, .before = before, .now_ns = now_ns()};
    b.lfs = kni_json_member(shelf->about, "lfs");
    b.tree = kni_new(alloc, sizeof *b.tree);
    b.buffer = kni_new(alloc, PIECE);
    if (b.tree) {
        kni_scratch_init(&b.tree->scratch, alloc);
        b.tree->folder = kni_scratch_copy(&b.tree->scratch, folder, strlen(folder));
        b.tree->key = kni_scratch_copy(&b.tree->scratch, key, strlen(key));
        kni_count_add(&b.tree->references);
    }
    if (!b.tree || !b.buffer || b.tree->scratch.failed) no_memory(&b);
    if (!b.problem) walk(&b);
    finish(&b);
    kni_free(alloc, b.buffer);
    *problem = b.problem;
    if (b.problem && b.tree) kni_tree_drop(b.tree);
    return b.problem ? NULL : b.tree;
}
