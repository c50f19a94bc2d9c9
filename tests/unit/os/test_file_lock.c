/* SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE

#include "os/file_lock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/files.h"
#include "support/scratch_folder.h"
#include "support/unit.h"

static scratch_folder scratch;

static int make_scratch(void **state) {
    (void)state;
    scratch_folder_make(&scratch);
    return 0;
}

static int remove_scratch(void **state) {
    (void)state;
    scratch_folder_remove(&scratch);
    return 0;
}

#define lock_test(test) cmocka_unit_test_setup_teardown(test, make_scratch, remove_scratch)

static int try_lock(const char *name) {
    int fd;
    assert_int_equal(kni_file_lock_try(scratch_path(&scratch, "locks/repo"), name, &fd, NULL),
                     KN_OK);
    return fd;
}

static void test_a_lock_is_held_once_and_its_file_stays(void **state) {
    (void)state;
    int first = try_lock("a.lock");
    assert_true(first >= 0);
    assert_int_equal(try_lock("a.lock"), -1);
    int other = try_lock("b.lock");
    assert_true(other >= 0);
    kni_file_lock_drop(first);
    assert_true(kni_path_is_file(scratch_path(&scratch, "locks/repo/a.lock")));
    first = try_lock("a.lock");
    assert_true(first >= 0);
    kni_file_lock_drop(first);
    kni_file_lock_drop(other);
    kni_file_lock_drop(-1);
}

static void test_a_lock_is_closed_on_exec_and_others_may_take_it(void **state) {
    (void)state;
    mode_t before = umask(002);
    int fd = try_lock("a.lock");
    umask(before);
    struct stat about;
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fstat(fd, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0664);
    kni_file_lock_drop(fd);
}

static void test_flock_of_another_program_counts(void **state) {
    (void)state;
    scratch_file(&scratch, "locks/repo/a.lock", "");
    int fd = open(scratch_path(&scratch, "locks/repo/a.lock"), O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(try_lock("a.lock"), -1);
    assert_int_equal(flock(fd, LOCK_UN), 0);
    int ours = try_lock("a.lock");
    assert_true(ours >= 0);
    assert_int_not_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    kni_file_lock_drop(ours);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    close(fd);
}

static void test_a_lock_that_a_fork_has_too_is_dropped(void **state) {
    (void)state;
    int fd = try_lock("a.lock"), hold[2];
    assert_int_equal(pipe(hold), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* keeps its copy of the descriptor until the pipe is closed */
        char byte;
        close(hold[1]);
        _exit(read(hold[0], &byte, 1) == 0 ? 0 : 1);
    }
    kni_file_lock_drop(fd);
    fd = try_lock("a.lock");
    assert_true(fd >= 0);
    kni_file_lock_drop(fd);
    close(hold[0]);
    close(hold[1]);
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
}

/* Another client removes its lock files: what is locked must be the one under the name. */
static void test_of_processes_that_remove_the_file_one_at_a_time_holds_the_lock(void **state) {
    (void)state;
    enum { processes = 16, rounds = 40 };
    scratch_file(&scratch, "count", "0");
    char count[2 * SCRATCH_PATH_MAX], lock[2 * SCRATCH_PATH_MAX];
    snprintf(count, sizeof count, "%s", scratch_path(&scratch, "count"));
    snprintf(lock, sizeof lock, "%s", scratch_path(&scratch, "locks/repo/a.lock"));
    pid_t children[processes];
    for (int i = 0; i < processes; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i]) continue;
        for (int round = 0; round < rounds;) {
            int fd = try_lock("a.lock");
            if (fd < 0) {
                usleep(200);
                continue;
            }
            FILE *file = fopen(count, "r+");
            int number = -1;
            if (!file || fscanf(file, "%d", &number) != 1) _exit(1);
            rewind(file);
            fprintf(file, "%d\n", number + 1);
            fclose(file);
            if (round % 4 == 0) unlink(lock);
            kni_file_lock_drop(fd);
            round++;
        }
        _exit(0);
    }
    for (int i = 0; i < processes; i++) {
        int result;
        assert_int_equal(waitpid(children[i], &result, 0), children[i]);
        assert_int_equal(result, 0);
    }
    char *bytes;
    size_t length;
    assert_int_equal(kni_file_read(NULL, count, 100, &bytes, &length, NULL), KN_OK);
    assert_string_equal(bytes, "640\n");
    free(bytes);
}

static void test_what_cannot_be_locked_is_told(void **state) {
    (void)state;
    int fd;
    kn_error err = KN_ERROR_INIT;
    scratch_file(&scratch, "file", "");
    scratch_directory(&scratch, "locks/folder.lock");
    scratch_link(&scratch, "locks/link.lock", "../file");
    const char *locks = scratch_path(&scratch, "locks");
    assert_int_equal(kni_file_lock_try(scratch_path(&scratch, "file"), "a", &fd, &err), KN_ERR_OS);
    assert_int_equal(kni_file_lock_try(locks, "folder.lock", &fd, &err), KN_ERR_OS);
    assert_int_equal(kni_file_lock_try(locks, "link.lock", &fd, &err), KN_ERR_OS);
    assert_contains(err.message, "link.lock");
    assert_int_equal(kni_file_lock_try(locks, "../x", &fd, &err), KN_ERR_VALUE);
    assert_int_equal(fd, -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        lock_test(test_a_lock_is_held_once_and_its_file_stays),
        lock_test(test_a_lock_is_closed_on_exec_and_others_may_take_it),
        lock_test(test_flock_of_another_program_counts),
        lock_test(test_a_lock_that_a_fork_has_too_is_dropped),
        lock_test(test_of_processes_that_remove_the_file_one_at_a_time_holds_the_lock),
        lock_test(test_what_cannot_be_locked_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
