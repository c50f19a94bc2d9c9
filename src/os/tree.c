/* SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700

#include "os/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "os/store.h"

/* A walk: what was found, and the folders that are still to be read. */
typedef struct tree_walk {
    const kn_alloc *alloc;
    size_t limit;
    kni_names files, folders;
    kn_error *err;
} tree_walk;

/* Takes `path` over, also when it fails. */
static kn_status add_path(tree_walk *walk, kni_names *to, char *path) {
    bool room = path && kni_reserve(walk->alloc, &to->items, &to->capacity, to->count + 1,
                                    sizeof *to->items);
    if (!room) {
        kni_free(walk->alloc, path);
        return kni_no_memory(walk->err, "listing a directory");
    }
    to->items[to->count++] = path;
    if (to->count <= walk->limit) return KN_OK;
    return kni_fail(walk->err, KN_ERR_VALUE,
                    "cannot list the files of a kernel: more than %zu, the most allowed",
                    walk->limit);
}

/* Where an entry belongs; NULL: nowhere. What vanishes meanwhile counts as a
 * file: who reads it learns that it is gone. */
static kni_names *place_of(tree_walk *walk, int directory, const char *name) {
    struct stat about;
    if (directory < 0 || fstatat(directory, name, &about, AT_SYMLINK_NOFOLLOW)) return &walk->files;
    if (S_ISDIR(about.st_mode)) return &walk->folders;
    if (S_ISREG(about.st_mode)) return &walk->files;
    if (!S_ISLNK(about.st_mode)) return NULL;
    if (fstatat(directory, name, &about, 0)) return &walk->files;
    return S_ISREG(about.st_mode) ? &walk->files : NULL;
}

static kn_status read_entries(tree_walk *walk, DIR *directory, const char *path,
                              const char *relative) {
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (!entry) return errno ? kni_fail_errno(walk->err, "list", path, NULL) : KN_OK;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        kni_names *to = place_of(walk, dirfd(directory), entry->d_name);
        if (!to) continue;
        kn_status status = add_path(walk, to, kni_path_join(walk->alloc, relative, entry->d_name));
        if (status) return status;
    }
}

/* Reads one folder, `relative` to `root`. */
static kn_status read_folder(tree_walk *walk, const char *root, const char *relative) {
    char *path =
        *relative ? kni_path_join(walk->alloc, root, relative) : kni_text_copy(walk->alloc, root);
    if (!path) return kni_no_memory(walk->err, "listing a directory");
    DIR *directory = opendir(path);
    kn_status status = directory ? read_entries(walk, directory, path, relative)
                                 : kni_fail_errno(walk->err, "list", path, NULL);
    if (directory) closedir(directory);
    kni_free(walk->alloc, path);
    return status;
}

static int compare_paths(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

kn_status kni_tree_files(const kn_alloc *alloc, const char *folder, size_t limit, kni_names *out,
                         kn_error *err) {
    alloc = kni_alloc_or_default(alloc);
    tree_walk walk = {.alloc = alloc,
                      .limit = limit,
                      .files = {.alloc = alloc},
                      .folders = {.alloc = alloc},
                      .err = err};
    *out = walk.files;

    kn_status status = read_folder(&walk, folder, "");
    /* Those that are added while one is read lie behind it. */
    for (size_t i = 0; i < walk.folders.count && !status; i++)
        status = read_folder(&walk, folder, walk.folders.items[i]);
    kni_names_clear(&walk.folders);
    if (status) {
        kni_names_clear(&walk.files);
        return status;
    }
    if (walk.files.count > 1)
        qsort(walk.files.items, walk.files.count, sizeof *walk.files.items, compare_paths);
    *out = walk.files;
    return KN_OK;
}
