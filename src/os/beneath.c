/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "os/beneath.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"

#define TRIES 8 /* the system gives up when a folder is renamed meanwhile */

/* A pipe or a device is opened without waiting, and found out by its kind. */
static int open_beneath(int folder, const char *path, uint64_t flags) {
    const struct open_how how = {
        .flags = flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    long file = -1;
    for (int turn = 0; turn < TRIES; turn++) {
        file = syscall(SYS_openat2, folder, path, &how, sizeof how);
        if (file >= 0 || (errno != EAGAIN && errno != EINTR)) break;
    }
    return (int)file;
}

static int open_kind(int folder, const char *path, mode_t kind, kni_file_facts *facts) {
    struct stat about;
    int file = open_beneath(folder, path, kind == S_IFDIR ? O_DIRECTORY : 0);
    if (file < 0) {
        if (errno == EXDEV || errno == ELOOP || errno == ENOTDIR || errno == ENAMETOOLONG)
            errno = ENOENT;
        return -1;
    }
    if (kind == S_IFDIR && !facts) return file; /* it was asked for as such */
    if (fstat(file, &about) || (about.st_mode & S_IFMT) != kind) {
        close(file);
        errno = ENOENT;
        return -1;
    }
    if (facts) {
        *facts = (kni_file_facts){
            .there = true,
            .regular = kind == S_IFREG,
            .size = about.st_size,
            .mtime_ns = (int64_t)about.st_mtim.tv_sec * 1000000000 + about.st_mtim.tv_nsec,
            .inode = (int64_t)about.st_ino,
        };
    }
    return file;
}

kn_status kni_beneath_check(int folder, kn_error *err) {
    int file = open_beneath(folder, ".", O_DIRECTORY);
    if (file >= 0) {
        close(file);
        return KN_OK;
    }
    if (errno == ENOSYS || errno == EPERM)
        return kni_fail(err, KN_ERR_OS,
                        "this system has no openat2, which keeps paths inside the folder: Linux "
                        "5.6 or newer is needed, in a container that allows it");
    return kni_fail_errno(err, "reading", ".", NULL);
}

int kni_beneath_file(int folder, const char *path, kni_file_facts *facts) {
    return open_kind(folder, path, S_IFREG, facts);
}

int kni_beneath_folder(int folder, const char *path, kni_file_facts *facts) {
    return open_kind(folder, path, S_IFDIR, facts);
}

void kni_beneath_close(int file) {
    if (file >= 0) close(file);
}

/* Up to `length` bytes; fewer where the file has become shorter. */
static size_t read_all(int file, char *out, size_t length) {
    size_t done = 0;
    while (done < length) {
        ssize_t got = read(file, out + done, length - done);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        done += (size_t)got;
    }
    return done;
}

bool kni_beneath_read(const kn_alloc *alloc, int folder, const char *path, size_t limit, char **out,
                      size_t *length) {
    *out = NULL;
    *length = 0;
    kni_file_facts facts;
    int file = kni_beneath_file(folder, path, &facts);
    if (file < 0) return true;
    bool fits = (uint64_t)facts.size <= limit;
    if (fits) *out = kni_new(alloc, (size_t)facts.size + 1);
    if (*out) *length = read_all(file, *out, (size_t)facts.size);
    close(file);
    return *out || !fits;
}

bool kni_beneath_each(int folder, const char *path, bool (*each)(void *ctx, const char *name),
                      void *ctx) {
    int file = kni_beneath_folder(folder, path, NULL);
    DIR *list = file < 0 ? NULL : fdopendir(file);
    if (!list) {
        kni_beneath_close(file);
        return false;
    }
    bool good = true;
    for (const struct dirent *at = readdir(list); at && good; at = readdir(list)) {
        if (strcmp(at->d_name, ".") != 0 && strcmp(at->d_name, "..") != 0)
            good = each(ctx, at->d_name);
    }
    closedir(list);
    return good;
}

bool kni_file_facts_equal(const kni_file_facts *a, const kni_file_facts *b) {
    return a->size == b->size && a->mtime_ns == b->mtime_ns && a->inode == b->inode &&
           a->regular == b->regular;
}
