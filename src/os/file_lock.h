/* SPDX-License-Identifier: Apache-2.0 */
/* Locks between processes: flock(2) on a file, as Python's filelock takes them. The lock goes with
 * the descriptor, so with the process, too. A child that is forked has none of them. */
#ifndef KNI_OS_FILE_LOCK_H
#define KNI_OS_FILE_LOCK_H

#include "base/alloc.h"

/* Takes `folder`/`name` if nobody holds it; *fd is -1 when it is held, or for an error. Folder and
 * file are made. What is locked is what is under the name, whoever removes the file meanwhile; we
 * never do. On a file system without locks it is as if nobody held it, and no file stays. KN_ERR_OS
 * when the file cannot be made or locked. */
kn_status kni_file_lock_try(const char *folder, const char *name, int *fd, kn_error *err);
/* -1 is fine. */
void kni_file_lock_drop(int fd);
/* Sets the file's time to now, for others to see that its holder is at work; -1 is fine. */
void kni_file_lock_touch(int fd);

#endif
