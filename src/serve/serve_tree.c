/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of commits: built once, shared by requests, built anew when the files changed. */
#include <stdlib.h>
#include <string.h>

#include "serve/serve_parts.h"

#define KEPT_MAX 256 /* commits */

void kni_tree_drop(kni_commit_tree *tree) {
    if (!tree || !kni_count_drop(&tree->references)) return;
    const kn_alloc *alloc = tree->scratch.alloc;
    kni_scratch_clear(&tree->scratch);
    kni_free(alloc, tree->files);
    kni_free(alloc, (void *)(uintptr_t)tree->by_path);
    kni_free(alloc, tree);
}

static int compare_path(const void *key, const void *item) {
    const kni_commit_file *const *file = item;
    return strcmp(key, (*file)->path);
}

const kni_commit_file *kni_tree_find(const kni_commit_tree *tree, const char *path) {
    if (!tree->count) return NULL;
    const kni_commit_file **found =
        bsearch(path, tree->by_path, tree->count, sizeof *tree->by_path, compare_path);
    return found ? *found : NULL;
}

/* With a reference for the caller; NULL: not known. */
static kni_commit_tree *find_kept(kni_hub *hub, const char *key) {
    kni_lock_take(hub->lock);
    kni_commit_tree *tree = hub->trees;
    while (tree && strcmp(tree->key, key) != 0) tree = tree->next;
    if (tree) kni_count_add(&tree->references);
    kni_lock_drop(hub->lock);
    return tree;
}

/* Takes out the one with the key of `tree`, and the last of too many; NULL: none. */
static kni_commit_tree *take_out(kni_hub *hub, const kni_commit_tree *tree) {
    size_t count = 1;
    kni_commit_tree **at = &hub->trees;
    while (*at && strcmp((*at)->key, tree->key) != 0 && count < KEPT_MAX) {
        at = &(*at)->next;
        count++;
    }
    kni_commit_tree *gone = *at;
    if (gone) *at = gone->next;
    return gone;
}

static void keep(kni_hub *hub, kni_commit_tree *tree) {
    kni_lock_take(hub->lock);
    kni_commit_tree *gone = take_out(hub, tree);
    tree->next = hub->trees;
    hub->trees = tree;
    kni_count_add(&tree->references);
    kni_lock_drop(hub->lock);
    kni_tree_drop(gone);
}

static bool folder_is_same(const kni_ask *ask, const char *path, const kni_file_facts *known) {
    kni_file_facts facts;
    int folder = kni_beneath_folder(ask->hub->folder, path, &facts);
    kni_beneath_close(folder);
    return folder >= 0 && kni_file_facts_equal(&facts, known);
}

/* A file that is added or taken away changes its folder; one that is replaced is found out when it
 * is opened. */
static bool is_current(kni_ask *ask, const kni_commit_tree *tree) {
    if (tree->is_unsettled || !folder_is_same(ask, tree->folder, &tree->facts)) return false;
    for (size_t i = 0; i < tree->count; i++) {
        const kni_commit_file *file = &tree->files[i];
        if (file->directory &&
            !folder_is_same(ask,
                            kni_scratch_format(ask->scratch, "%s/%s", tree->folder, file->path),
                            &file->facts)) {
            return false;
        }
    }
    return true;
}

static void fail_tree(kni_ask *ask, const kni_shelf *shelf, const char *problem, kni_reply *out) {
    kni_reply_error(ask, out, 500, NULL,
                    kni_scratch_format(ask->scratch, "%s cannot be read on the server: %s",
                                       shelf->id, problem));
}

/* One thread reads a commit, the others wait for it. `stale` is what the caller found wanting. */
static kni_commit_tree *renew(kni_ask *ask, const kni_shelf *shelf, const char *folder,
                              const char *key, const kni_commit_tree *stale, kni_reply *out) {
    const char *problem = NULL;
    pthread_mutex_lock(&ask->hub->building);
    kni_commit_tree *tree = find_kept(ask->hub, key);
    if (!tree || tree == stale || !is_current(ask, tree)) {
        kni_commit_tree *built = kni_tree_build(ask, shelf, folder, key, tree, &problem);
        if (built) keep(ask->hub, built);
        kni_tree_drop(tree);
        tree = built;
    }
    pthread_mutex_unlock(&ask->hub->building);
    if (!tree) fail_tree(ask, shelf, problem, out);
    return tree;
}

/* What decides about a commit's ids, but for its files. */
static const char *key_of(kni_ask *ask, const kni_shelf *shelf, const char *folder) {
    kni_text patterns;
    kni_text_init(&patterns, ask->hub->alloc);
    kni_json_add(&patterns, kni_json_member(shelf->about, "lfs"));
    const char *key =
        kni_scratch_format(ask->scratch, "%s %lld %s", folder, (long long)ask->lfs_threshold,
                           patterns.bytes ? patterns.bytes : "");
    if (patterns.failed) ask->scratch->failed = true;
    kni_text_clear(&patterns);
    return key;
}

kni_commit_tree *kni_tree_get(kni_ask *ask, const kni_shelf *shelf, const char *commit,
                              kni_reply *out) {
    const char *folder = kni_shelf_commit_folder(ask, shelf, commit);
    const char *key = key_of(ask, shelf, folder);
    kni_commit_tree *tree = find_kept(ask->hub, key);
    if (tree && is_current(ask, tree)) return tree;
    kni_commit_tree *renewed = renew(ask, shelf, folder, key, tree, out);
    kni_tree_drop(tree);
    return renewed;
}

/* The file, if it is the one that is known. */
static int open_known(kni_ask *ask, const kni_commit_tree *tree, const char *path,
                      const kni_commit_file **file) {
    kni_file_facts facts;
    *file = kni_tree_find(tree, path);
    if (!*file || (*file)->directory) return -1;
    int open = kni_beneath_file(
        ask->hub->folder, kni_scratch_format(ask->scratch, "%s/%s", tree->folder, path), &facts);
    if (open < 0 || kni_file_facts_equal(&facts, &(*file)->facts)) return open;
    kni_beneath_close(open);
    return -1;
}

int kni_tree_open(kni_ask *ask, const kni_shelf *shelf, const char *commit, const char *path,
                  kni_commit_tree **tree, const kni_commit_file **file, kni_reply *out) {
    const char *folder = kni_shelf_commit_folder(ask, shelf, commit);
    const char *key = key_of(ask, shelf, folder);
    *file = NULL;
    *tree = find_kept(ask->hub, key);
    int open = *tree ? open_known(ask, *tree, path, file) : -1;
    bool has_none = *tree && (!*file || (*file)->directory);
    if (open >= 0 || (has_none && is_current(ask, *tree))) return open;
    kni_commit_tree *renewed = renew(ask, shelf, folder, key, *tree, out);
    kni_tree_drop(*tree);
    *tree = renewed;
    open = renewed ? open_known(ask, renewed, path, file) : -1;
    if (open < 0 && *file && !(*file)->directory) {
        kni_reply_error(ask, out, 503, NULL, "The file is changing: ask again");
        kni_reply_add(out, "Retry-After", "1");
    }
    return open;
}
