/* SPDX-License-Identifier: Apache-2.0 */
/* Revisions of a repository in huggingface_hub's cache: refs/<name> holds the commit. The cache
 * does not say what is a branch and what a tag: names that look like versions, v1.2 and 1.2.3rc1,
 * are tags. */
#include <string.h>

#include "serve/serve_parts.h"

#define DEPTH_MAX 4 /* of a name with slashes */
#define REFS_MAX 10000

static const char *read_ref(kni_ask *ask, const kni_shelf *shelf, const char *name) {
    const char *file = kni_scratch_format(ask->scratch, "%s/refs/%s", shelf->folder, name);
    const char *commit = NULL;
    char *text;
    size_t length;
    if (!kni_beneath_read(ask->hub->alloc, ask->hub->folder, file, 128, &text, &length))
        ask->scratch->failed = true;
    if (text) {
        text[strcspn(text, " \t\r\n")] = '\0';
        if (kni_is_commit(text)) commit = kni_scratch_copy(ask->scratch, text, strlen(text));
    }
    kni_free(ask->hub->alloc, text);
    return commit;
}

const char *kni_cached_ref(kni_ask *ask, const kni_shelf *shelf, const char *revision) {
    static const char *const prefixes[] = {"refs/heads/", "refs/tags/"};
    if (!kni_path_stays_inside(revision)) return NULL;
    const char *commit = read_ref(ask, shelf, revision);
    for (size_t i = 0; !commit && i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t length = strlen(prefixes[i]);
        if (strncmp(revision, prefixes[i], length) == 0)
            commit = read_ref(ask, shelf, revision + length);
    }
    return commit;
}

static void name_ref(kni_served_ref *ref, const char *name) {
    static const struct {
        const char *prefix, *kind;
    } kinds[] = {{"refs/heads/", "branches"},
                 {"refs/tags/", "tags"},
                 {"refs/pr/", "pulls"},
                 {"refs/convert/", "converts"}};
    ref->name = name;
    ref->kind = kni_text_is_version(name) ? "tags" : "branches";
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t length = strlen(kinds[i].prefix);
        if (strncmp(name, kinds[i].prefix, length) != 0) continue;
        ref->name = name + length;
        ref->kind = kinds[i].kind;
    }
}

/* The folders below refs that are still to be read, and what was found in them. */
typedef struct ref_walk {
    kni_ask *ask;
    const kni_shelf *shelf;
    const char *folder; /* the one that is read: "" or "feature/" */
    int depth;
    size_t count;
    kni_served_ref *first;
    struct ref_folder {
        const char *name;
        int depth;
        struct ref_folder *next;
    } *folders;
} ref_walk;

static void insert(ref_walk *walk, kni_served_ref *added) {
    kni_served_ref **at = &walk->first;
    while (*at && strcmp((*at)->name, added->name) < 0) at = &(*at)->next;
    added->next = *at;
    *at = added;
    walk->count++;
}

static bool take_name(void *ctx, const char *name) {
    ref_walk *walk = ctx;
    kni_scratch *scratch = walk->ask->scratch;
    const char *path = kni_scratch_format(scratch, "%s%s", walk->folder, name);
    if (!kni_path_stays_inside(path)) return true;
    const char *commit = read_ref(walk->ask, walk->shelf, path);
    if (commit) {
        kni_served_ref *added = kni_scratch_take(scratch, sizeof *added);
        if (!added) return false;
        *added = (kni_served_ref){.commit = commit};
        name_ref(added, path);
        insert(walk, added);
    } else if (walk->depth < DEPTH_MAX) {
        struct ref_folder *folder = kni_scratch_take(scratch, sizeof *folder);
        if (!folder) return false;
        *folder = (struct ref_folder){path, walk->depth + 1, walk->folders};
        walk->folders = folder;
    }
    return walk->count < REFS_MAX;
}

const kni_served_ref *kni_cached_refs(kni_ask *ask, const kni_shelf *shelf) {
    ref_walk walk = {.ask = ask, .shelf = shelf, .folder = ""};
    const char *folder = kni_scratch_format(ask->scratch, "%s/refs", shelf->folder);
    kni_beneath_each(ask->hub->folder, folder, take_name, &walk);
    while (walk.folders) {
        struct ref_folder *next = walk.folders;
        walk.folders = next->next;
        walk.depth = next->depth;
        walk.folder = kni_scratch_format(ask->scratch, "%s/", next->name);
        kni_beneath_each(ask->hub->folder,
                         kni_scratch_format(ask->scratch, "%s/%s", folder, next->name), take_name,
                         &walk);
    }
    return walk.first;
}
