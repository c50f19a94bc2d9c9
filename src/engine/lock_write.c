/* SPDX-License-Identifier: Apache-2.0 */
/* The lock file of a project: read before it is made anew, and written whole. */
#include <string.h>

#include "base/error.h"
#include "codec/json.h"
#include "engine/lock_project.h"
#include "os/files.h"
#include "os/store.h"

#define LOCK_FILE "kernels.lock"

/* None is fine. One that cannot be read is not written over: it may be of a newer version. */
static kn_status read_before(kn_lock *lock, kn_error *err) {
    kn_error cause;
    kn_error_init(&cause);
    kn_status status = kn_lockfile_read(lock->alloc, lock->path, &lock->before, &cause);
    if (!status || status == KN_ERR_NOT_FOUND) return KN_OK;
    return kni_fail(err, status, "%s%s", cause.message,
                    status == KN_ERR_VALUE ? "; remove the file to have it made from nothing" : "");
}

kn_status kni_lock_open(const kn_alloc *alloc, const char *project, kn_lock **out, kn_error *err) {
    kn_lock *lock = kni_new(alloc, sizeof *lock);
    if (!lock) return kni_no_memory(err, "locking kernels");
    lock->alloc = alloc;
    lock->path = kni_path_join(alloc, project, LOCK_FILE);
    kn_status status = lock->path ? read_before(lock, err) : kni_no_memory(err, "locking kernels");
    if (status)
        kn_lock_free(lock);
    else
        *out = lock;
    return status;
}

void kn_lock_get(const kn_lock *lock, kn_lock_info *out) {
    kn_lock_info made = {out->size, lock->path, lock->text, lock->before, lock->after};
    memcpy(out, &made, out->size < sizeof made ? out->size : sizeof made);
}

void kn_lock_free(kn_lock *lock) {
    if (!lock) return;
    kn_lockfile_free(lock->before);
    kn_lockfile_free(lock->after);
    kni_free(lock->alloc, lock->path);
    kni_free(lock->alloc, lock->text);
    kni_free(lock->alloc, lock);
}

/* Whether the file has this content; one that cannot be read has not. */
static kn_status look_at_file(const kn_lock *lock, bool *written, kn_error *err) {
    char *bytes;
    size_t length;
    *written = false;
    kn_status status =
        kni_file_read(lock->alloc, lock->path, KNI_JSON_LIMIT, &bytes, &length, NULL);
    if (status == KN_ERR_NOMEM) return kni_no_memory(err, "writing a lock file");
    if (status) return KN_OK;
    *written = length == strlen(lock->text) && memcmp(bytes, lock->text, length) == 0;
    kni_free(lock->alloc, bytes);
    return KN_OK;
}

/* The path of what is to be replaced: behind a link the file that it leads to. */
static kn_status target_path(const kn_lock *lock, char **out, kn_error *err) {
    kn_error cause;
    kn_error_init(&cause);
    kn_status status = kni_path_resolve(lock->alloc, lock->path, out, &cause);
    if (!status) return KN_OK;
    if (status != KN_ERR_NOT_FOUND) return kni_fail(err, status, "%s", cause.message);
    *out = kni_text_copy(lock->alloc, lock->path);
    return *out ? KN_OK : kni_no_memory(err, "writing a lock file");
}

kn_status kn_lock_write(const kn_lock *lock, kn_error *err) {
    bool written;
    char *path;
    kn_status status = look_at_file(lock, &written, err);
    if (status || written) return status;
    status = target_path(lock, &path, err);
    if (status) return status;
    char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path, *folder = slash == path ? "/" : path;
    if (slash) *slash = '\0';
    status = kni_store_write(slash ? folder : ".", name, lock->text, strlen(lock->text), err);
    kni_free(lock->alloc, path);
    return status;
}
