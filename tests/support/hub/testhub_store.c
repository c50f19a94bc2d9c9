/* SPDX-License-Identifier: Apache-2.0 */
/* Repositories on disk. repo.json is
 *   {"branches": {"main": "<commit>"}, "tags": {}, "pulls": {"1": "<commit>"}, "converts": {},
 *    "commits": {"<commit>": {"title": "...", "date": "2026-01-01T00:00:00.000Z"}},
 *    "private": false, "gated": false | "auto" | "manual", "grants": ["token", ...],
 *    "lfs": ["*.so", ...], "info": {fields for the answer of /api/kernels/<id>}}
 * and all of it may be left out. Object ids are git's. */
#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "testhub.h"

enum { DEPTH_MAX = 64, SHA1_SIZE = 20 };

typedef struct builder {
    snapshot *tree;
    const json_t *lfs;
    long long lfs_threshold;
} builder;

static bool is_plain_name(const char *name) {
    return name[0] && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '/');
}

void store_open(repository *repo, const char *root, const char *type, const char *organization,
                const char *name) {
    *repo = (repository){.type = text_copy(type), .organization = text_copy(organization)};
    repo->id = text_format("%s/%s", organization, name);
    repo->folder = text_format("%s/%s/%s", root, type, repo->id);
    if (!is_plain_name(organization) || !is_plain_name(name)) return;

    char *file = text_format("%s/repo.json", repo->folder);
    json_error_t problem;
    repo->about = json_load_file(file, 0, &problem);
    if (!repo->about && access(file, F_OK) == 0) {
        fprintf(stderr, "test_hub: %s:%d: %s\n", file, problem.line, problem.text);
    }
    free(file);
}

void store_close(repository *repo) {
    json_decref(repo->about);
    free(repo->type);
    free(repo->id);
    free(repo->organization);
    free(repo->folder);
}

static bool is_commit_id(const char *text) {
    return strlen(text) == 40 && strspn(text, "0123456789abcdef") == 40;
}

static const char *look_up(const repository *repo, const char *revision) {
    static const struct {
        const char *prefix, *kind;
    } places[] = {{"", "branches"},       {"", "tags"},          {"refs/heads/", "branches"},
                  {"refs/tags/", "tags"}, {"refs/pr/", "pulls"}, {"refs/convert/", "converts"}};

    for (size_t at = 0; at < sizeof places / sizeof places[0]; at++) {
        size_t length = strlen(places[at].prefix);
        if (strncmp(revision, places[at].prefix, length) != 0) continue;
        const char *commit =
            json_text(json_object_get(repo->about, places[at].kind), revision + length);
        if (commit) return commit;
    }
    return NULL;
}

char *store_resolve(const repository *repo, const char *revision) {
    const char *commit = look_up(repo, revision);
    if (!commit && is_commit_id(revision)) commit = revision;
    if (!commit) return NULL;

    char *folder = text_format("%s/commits/%s", repo->folder, commit);
    bool there = access(folder, F_OK) == 0;
    free(folder);
    return there ? text_copy(commit) : NULL;
}

static void digest_finish(EVP_MD_CTX *ctx, char *hex) {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned count = 0;
    EVP_DigestFinal_ex(ctx, bytes, &count);
    EVP_MD_CTX_free(ctx);
    hex_encode(bytes, count, hex);
}

static EVP_MD_CTX *digest_begin(const EVP_MD *kind, const char *prefix, size_t prefix_length) {
    EVP_MD_CTX *ctx = must(EVP_MD_CTX_new());
    EVP_DigestInit_ex(ctx, kind, NULL);
    EVP_DigestUpdate(ctx, prefix, prefix_length);
    return ctx;
}

static void digest_file(EVP_MD_CTX *ctx, const char *file, char *hex) {
    static const size_t piece = 1 << 20;
    char *buffer = must(malloc(piece));
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t got = 0;

    while (fd >= 0 && (got = read(fd, buffer, piece)) > 0) {
        EVP_DigestUpdate(ctx, buffer, (size_t)got);
    }
    if (fd < 0 || got < 0) fprintf(stderr, "test_hub: cannot read %s\n", file);
    if (fd >= 0) close(fd);
    free(buffer);
    digest_finish(ctx, hex);
}

static void digest_object(const char *kind, const char *bytes, size_t length, char *hex) {
    char head[64];
    int head_length = snprintf(head, sizeof head, "%s %zu", kind, length);
    EVP_MD_CTX *ctx = digest_begin(EVP_sha1(), head, (size_t)head_length + 1);
    EVP_DigestUpdate(ctx, bytes, length);
    digest_finish(ctx, hex);
}

static bool is_lfs(const builder *build, const entry *file) {
    const json_t *pattern;
    size_t at;

    if (build->lfs_threshold >= 0 && file->size >= (uint64_t)build->lfs_threshold) return true;
    json_array_foreach(build->lfs, at, pattern) {
        const char *text = json_string_value(pattern);
        if (!text) continue;
        if (fnmatch(text, file->path, 0) == 0 || fnmatch(text, file->name, 0) == 0) return true;
    }
    return false;
}

/* An LFS file's object id is that of the pointer that git holds in its place. */
static void identify(const builder *build, entry *file, const char *on_disk) {
    char head[64];

    file->lfs = is_lfs(build, file);
    if (!file->lfs) {
        int length = snprintf(head, sizeof head, "blob %llu", (unsigned long long)file->size);
        digest_file(digest_begin(EVP_sha1(), head, (size_t)length + 1), on_disk, file->oid);
        return;
    }
    digest_file(digest_begin(EVP_sha256(), "", 0), on_disk, file->sha256);
    char *pointer = text_format("version https://git-lfs.github.com/spec/v1\noid sha256:%s\n"
                                "size %llu\n",
                                file->sha256, (unsigned long long)file->size);
    file->pointer_size = (unsigned)strlen(pointer);
    digest_object("blob", pointer, file->pointer_size, file->oid);
    free(pointer);
}

static void add_entry(builder *build, const char *inside, const char *name, const struct stat *at) {
    snapshot *tree = build->tree;
    if (tree->count == tree->room) {
        tree->room = tree->room ? tree->room * 2 : 64;
        tree->entries = must(realloc(tree->entries, tree->room * sizeof *tree->entries));
    }
    entry *added = &tree->entries[tree->count++];
    *added = (entry){.directory = S_ISDIR(at->st_mode)};
    added->path = text_format("%s%s%s", inside, inside[0] ? "/" : "", name);
    added->name = added->path + strlen(added->path) - strlen(name);
    if (!added->directory) added->size = (uint64_t)at->st_size;
}

/* Adds the directories of a folder, or its files. */
static void add_level(builder *build, const char *on_disk, const char *inside, bool directories) {
    struct dirent **names;
    int count = scandir(on_disk, &names, NULL, alphasort);

    for (int at = 0; at < count; at++) {
        char *path = text_format("%s/%s", on_disk, names[at]->d_name);
        struct stat info;
        if (is_plain_name(names[at]->d_name) && lstat(path, &info) == 0 &&
            (directories ? S_ISDIR(info.st_mode) : S_ISREG(info.st_mode))) {
            add_entry(build, inside, names[at]->d_name, &info);
        }
        free(path);
        free(names[at]);
    }
    if (count >= 0) free(names);
}

static int compare_as_git(const void *left, const void *right) {
    const entry *a = left, *b = right;
    char *one = text_format("%s%s", a->name, a->directory ? "/" : "");
    char *two = text_format("%s%s", b->name, b->directory ? "/" : "");
    int order = strcmp(one, two);
    free(one);
    free(two);
    return order;
}

static void identify_tree(const entry *children, size_t count, char *hex) {
    entry *sorted = must(malloc((count + 1) * sizeof *sorted));
    size_t length = 0, room = 1;

    memcpy(sorted, children, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_as_git);
    for (size_t at = 0; at < count; at++) room += strlen(sorted[at].name) + 8 + SHA1_SIZE;
    char *object = must(malloc(room));
    for (size_t at = 0; at < count; at++) {
        size_t oid_length;
        char *oid = hex_decode(sorted[at].oid, &oid_length);
        length += (size_t)snprintf(object + length, room - length, "%s %s",
                                   sorted[at].directory ? "40000" : "100644", sorted[at].name);
        length++;
        memcpy(object + length, oid, SHA1_SIZE);
        length += SHA1_SIZE;
        free(oid);
    }
    digest_object("tree", object, length, hex);
    free(object);
    free(sorted);
}

/* Directories come first at each level, then files, then what the directories hold. */
static void walk(builder *build, const char *on_disk, const char *inside, int depth, char *oid) {
    size_t first = build->tree->count;
    add_level(build, on_disk, inside, true);
    add_level(build, on_disk, inside, false);
    size_t end = build->tree->count;

    for (size_t at = first; at < end; at++) {
        /* Walking on may move the entries. */
        entry child = build->tree->entries[at];
        char *path = text_format("%s/%s", on_disk, child.name);
        if (!child.directory) {
            identify(build, &child, path);
        } else if (depth < DEPTH_MAX) {
            walk(build, path, child.path, depth + 1, child.oid);
        }
        free(path);
        build->tree->entries[at] = child;
    }
    identify_tree(build->tree->entries + first, end - first, oid);
}

static int compare_paths(const void *left, const void *right) {
    const entry *const *a = left, *const *b = right;
    return strcmp((*a)->path, (*b)->path);
}

static snapshot *build_snapshot(const char *folder, const json_t *lfs, long long lfs_threshold) {
    snapshot *tree = must(calloc(1, sizeof *tree));
    builder build = {tree, lfs, lfs_threshold};
    char oid[41];

    tree->folder = text_copy(folder);
    walk(&build, folder, "", 0, oid);
    tree->by_path = must(malloc((tree->count + 1) * sizeof(entry *)));
    for (size_t at = 0; at < tree->count; at++) tree->by_path[at] = &tree->entries[at];
    qsort(tree->by_path, tree->count, sizeof(entry *), compare_paths);
    return tree;
}

const snapshot *store_snapshot(testhub *hub, const repository *repo, const char *commit,
                               long long lfs_threshold) {
    const json_t *lfs = json_object_get(repo->about, "lfs");
    char *folder = text_format("%s/commits/%s", repo->folder, commit);
    struct stat info;

    if (stat(folder, &info) != 0) {
        free(folder);
        return NULL;
    }
    char *patterns = lfs ? json_dumps(lfs, JSON_COMPACT | JSON_ENCODE_ANY) : text_copy("");
    char *key =
        text_format("%s %llu %lld.%09ld %lld %s", folder, (unsigned long long)info.st_ino,
                    (long long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec, lfs_threshold, patterns);
    free(patterns);

    hub_lock(hub);
    snapshot *tree = hub->snapshots;
    while (tree && strcmp(tree->key, key) != 0) tree = tree->next;
    if (!tree) {
        tree = build_snapshot(folder, lfs, lfs_threshold);
        tree->key = text_copy(key);
        tree->next = hub->snapshots;
        hub->snapshots = tree;
    }
    hub_unlock(hub);
    free(key);
    free(folder);
    return tree;
}

const entry *store_find(const snapshot *tree, const char *path) {
    entry wanted = {.path = (char *)(uintptr_t)path}, *pointer = &wanted;
    entry **found = bsearch(&pointer, tree->by_path, tree->count, sizeof(entry *), compare_paths);
    return found ? *found : NULL;
}
