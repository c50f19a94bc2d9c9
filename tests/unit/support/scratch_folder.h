/* SPDX-License-Identifier: Apache-2.0 */
/* A temporary directory for tests. Every failure is an assertion of cmocka. */
#ifndef TEST_SCRATCH_FOLDER_H
#define TEST_SCRATCH_FOLDER_H

#define SCRATCH_PATH_MAX 1024

typedef struct scratch_folder {
    char path[SCRATCH_PATH_MAX]; /* absolute, without links */
} scratch_folder;

void scratch_folder_make(scratch_folder *scratch);
void scratch_folder_remove(scratch_folder *scratch);

/* `relative` below the folder, in one of a few static buffers: good for some calls. */
const char *scratch_path(const scratch_folder *scratch, const char *relative);

/* Makes the directory, or the file with `text`, and all directories above it. */
void scratch_directory(const scratch_folder *scratch, const char *relative);
void scratch_file(const scratch_folder *scratch, const char *relative, const char *text);
void scratch_link(const scratch_folder *scratch, const char *relative, const char *target);

#endif
