/* SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "os/store.h"

/* Folders that wait, so that no depth of them costs stack. */
typedef struct walk {
    const kn_alloc *alloc;
    const char *top;
    size_t limit;
    size_t seen;
    kni_names folders; /* relative to `top`; "" for itself */
    kni_names *files;
    kn_error *err;
} walk;

static kn_status no_memory(walk *w) { return kni_no_memory(w->err, "listing a folder"); }

/* Adds `name`, which becomes the list's. */
static bool take_name(kni_names *names, char *name) {
    if (name && kni_reserve(names->alloc, &names->items, &names->capacity, names->count + 1,
                            sizeof *names->items)) {
        names->items[names->count++] = name;
        return true;
    }
    kni_free(names->alloc, name);
    return false;
}

static kn_status add_entry(walk *w, int directory, const char *folder, const char *name) {
    struct stat about;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return KN_OK;
    if (fstatat(directory, name, &about, AT_SYMLINK_NOFOLLOW)) return KN_OK; /* gone again */
    if (!S_ISDIR(about.st_mode) && !S_ISREG(about.st_mode)) return KN_OK;
    if (++w->seen > w->limit) {
        return kni_fail(w->err, KN_ERR_VALUE,
                        "'%s' has more than %zu files and folders, the most allowed here; remove "
                        "the folder",
                        w->top, w->limit);
    }
    char *path = kni_path_join(w->alloc, folder, name);
    if (path && !kni_path_stays_inside(path)) {
        kni_free(w->alloc, path); /* deeper than any name that we would write */
        return KN_OK;
    }
    return take_name(S_ISDIR(about.st_mode) ? &w->folders : w->files, path) ? KN_OK : no_memory(w);
}

static kn_status list_one(walk *w, const char *folder) {
    char *path =
        *folder ? kni_path_join(w->alloc, w->top, folder) : kni_text_copy(w->alloc, w->top);
    if (!path) return no_memory(w);
    DIR *directory = opendir(path);
    kni_free(w->alloc, path);
    if (!directory && errno == ENOMEM) return no_memory(w);
    if (!directory) return KN_OK; /* not there, or not for us to see */

    kn_status status = KN_OK;
    struct dirent *entry = readdir(directory);
    while (!status && entry) {
        status = add_entry(w, dirfd(directory), folder, entry->d_name);
        entry = readdir(directory);
    }
    closedir(directory);
    return status;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static kn_status walk_all(walk *w) {
    if (!take_name(&w->folders, kni_text_copy(w->alloc, ""))) return no_memory(w);
    kn_status status = KN_OK;
    while (!status && w->folders.count) {
        char *folder = w->folders.items[--w->folders.count];
        status = list_one(w, folder);
        kni_free(w->alloc, folder);
    }
    return status;
}

kn_status kni_store_files(const kn_alloc *alloc, const char *base, const char *name, size_t limit,
                          kni_names *out, kn_error *err) {
    alloc = kni_alloc_or_default(alloc);
    *out = (kni_names){.alloc = alloc};
    char *top = kni_path_join(alloc, base, name);
    if (!top) return kni_no_memory(err, "listing a folder");

    walk w = {.alloc = alloc, .top = top, .limit = limit, .files = out, .err = err};
    w.folders.alloc = alloc;
    kn_status status = walk_all(&w);
    kni_names_clear(&w.folders);
    kni_free(alloc, top);
    if (status) {
        kni_names_clear(out);
    } else if (out->count) {
        qsort(out->items, out->count, sizeof *out->items, compare_names);
    }
    return status;
}
