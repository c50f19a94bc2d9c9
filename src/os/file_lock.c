/* SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE /* flock */

#include "os/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "os/fork.h"
#include "os/store.h"

#define LOCK_FLAGS (O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
#define TRIES 100

/* Another user's lock file may be readable only: that is enough for flock. */
static int open_file(int folder, const char *name) {
    int fd = openat(folder, name, O_RDWR | O_CREAT | LOCK_FLAGS, 0666);
    if (fd < 0 && (errno == EACCES || errno == EPERM || errno == EROFS)) {
        int number = errno;
        fd = openat(folder, name, O_RDONLY | LOCK_FLAGS);
        if (fd < 0) errno = number;
    }
    return fd;
}

/* The same, for this process alone: a child with the descriptor would keep the lock. */
static int open_lock(int folder, const char *name) {
    kni_fork_block();
    int fd = open_file(folder, name);
    if (fd >= 0 && !kni_fork_own(fd)) {
        close(fd);
        fd = -1;
        errno = ENOMEM;
    }
    int number = errno;
    kni_fork_unblock();
    errno = number;
    return fd;
}

/* Whether `name` is still the file that `fd` is: it may have been removed before we had it. */
static bool is_current(int folder, const char *name, int fd) {
    struct stat held, named;
    return fstat(fd, &held) == 0 && fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

/* Where the file system has no locks. */
static bool is_unsupported(int number) {
    return number == ENOSYS || number == EOPNOTSUPP || number == ENOLCK;
}

/* There the file itself is a lock to Python's filelock: an empty one, which is nobody's, must not
 * stay. */
static void remove_empty(int folder, const char *name, int fd) {
    struct stat about;
    if (fstat(fd, &about) == 0 && about.st_size == 0) unlinkat(folder, name, 0);
}

/* The descriptor, or -1: errno is 0 when another holds it, EAGAIN when the file was replaced. */
static int lock_once(int folder, const char *name) {
    int fd = open_lock(folder, name);
    if (fd < 0) return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        if (is_current(folder, name, fd)) return fd;
        errno = EAGAIN;
    } else if (is_unsupported(errno)) {
        remove_empty(folder, name, fd);
        return fd;
    } else if (errno == EWOULDBLOCK || errno == EACCES) {
        errno = 0;
    }
    int number = errno;
    kni_fork_close(fd);
    errno = number;
    return -1;
}

kn_status kni_file_lock_try(const char *folder, const char *name, int *fd, kn_error *err) {
    *fd = -1;
    if (!kni_path_stays_inside(name)) {
        return kni_fail(err, KN_ERR_VALUE, "no lock in '%s' can have the name that was asked for",
                        folder);
    }
    int directory = kni_folder_open(folder, true);
    if (directory < 0) return kni_fail_errno(err, "make the lock", folder, name);

    kn_status status = KN_OK;
    for (int i = 0; i < TRIES && *fd < 0; i++) {
        *fd = lock_once(directory, name);
        if (*fd >= 0 || errno == 0) break;
        if (errno == EAGAIN) continue;
        status = kni_fail_errno(err, "take the lock", folder, name);
        break;
    }
    kni_folder_close(directory);
    return status;
}

void kni_file_lock_drop(int fd) {
    if (fd < 0 || !kni_fork_owns(fd)) return; /* in a child it is another file by now */
    flock(fd, LOCK_UN); /* a child that was made in another way has the descriptor, too */
    kni_fork_close(fd);
}

void kni_file_lock_touch(int fd) {
    if (fd >= 0 && kni_fork_owns(fd)) (void)futimens(fd, NULL);
}
