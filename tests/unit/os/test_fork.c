/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/file_lock.h"
#include "os/fork.h"
#include "os/lock.h"
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

static int try_lock(void) {
    int fd;
    assert_int_equal(kni_file_lock_try(scratch.path, "a.lock", &fd, NULL), KN_OK);
    return fd;
}

static int exit_status(pid_t child) {
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The process that holds the lock ends; its child lives on. */
static void test_a_child_does_not_keep_its_parents_locks(void **state) {
    (void)state;
    int told[2];
    assert_int_equal(pipe(told), 0);
    pid_t parent = fork();
    assert_true(parent >= 0);
    if (!parent) {
        if (try_lock() < 0) _exit(1);
        if (fork()) _exit(0);
        pid_t own = getpid();
        if (write(told[1], &own, sizeof own) != sizeof own) _exit(1);
        for (;;) pause();
    }
    pid_t child;
    assert_int_equal(read(told[0], &child, sizeof child), (ssize_t)sizeof child);
    assert_int_equal(exit_status(parent), 0);
    int fd = try_lock();
    kill(child, SIGKILL);
    assert_true(fd >= 0);
    kni_file_lock_drop(fd);
    close(told[0]);
    close(told[1]);
}

/* Dropped in the child, or by its end, the lock stays its parent's. */
static void test_a_child_does_not_take_its_parents_locks_away(void **state) {
    (void)state;
    int fd = try_lock();
    pid_t child = fork();
    if (!child) {
        kni_file_lock_drop(fd);
        _exit(try_lock() < 0 ? 0 : 1);
    }
    assert_int_equal(exit_status(child), 0);
    assert_int_equal(try_lock(), -1);
    kni_file_lock_drop(fd);
    fd = try_lock();
    assert_true(fd >= 0);
    kni_file_lock_drop(fd);
}

/* A number that the child uses for a file of its own is no lock there any more. */
static void test_a_child_closes_no_file_of_its_own(void **state) {
    (void)state;
    int fd = try_lock();
    pid_t child = fork();
    if (!child) {
        int own = dup(0);
        if (own != fd && dup2(own, fd) != fd) _exit(1);
        kni_file_lock_drop(fd);
        _exit(fcntl(fd, F_GETFD) >= 0 ? 0 : 2);
    }
    assert_int_equal(exit_status(child), 0);
    kni_file_lock_drop(fd);
}

typedef struct holder {
    kni_lock *lock;
    int told[2];
} holder;

static void *hold(void *ctx) {
    holder *h = ctx;
    kni_lock_take(h->lock);
    if (write(h->told[1], "x", 1) != 1) abort();
    kni_sleep_ms(200);
    kni_lock_drop(h->lock);
    return NULL;
}

static void test_a_child_finds_every_mutex_free(void **state) {
    (void)state;
    holder h = {.lock = kni_lock_new(NULL)};
    kni_lock *other = kni_lock_new(NULL), *gone = kni_lock_new(NULL);
    kni_lock_free(gone);
    assert_int_equal(pipe(h.told), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, hold, &h), 0);
    char byte;
    assert_int_equal(read(h.told[0], &byte, 1), 1);
    pid_t child = fork(); /* while the thread, which the child has not got, holds it */
    if (!child) {
        alarm(20);
        kni_lock_take(h.lock);
        kni_lock_take(other);
        _exit(0);
    }
    assert_int_equal(exit_status(child), 0);
    pthread_join(thread, NULL);
    kni_lock_take(h.lock);
    kni_lock_drop(h.lock);
    kni_lock_free(h.lock);
    kni_lock_free(other);
    close(h.told[0]);
    close(h.told[1]);
}

static void test_descriptors_are_owned_until_they_are_closed(void **state) {
    (void)state;
    int told[2];
    assert_int_equal(pipe(told), 0);
    kni_fork_block();
    assert_true(kni_fork_own(told[0]));
    kni_fork_unblock();
    assert_true(kni_fork_owns(told[0]));
    assert_false(kni_fork_owns(told[1]));
    kni_fork_close(told[1]); /* not handed over: it stays open */
    assert_true(fcntl(told[1], F_GETFD) >= 0);
    pid_t child = fork();
    if (!child) _exit(fcntl(told[0], F_GETFD) < 0 && !kni_fork_owns(told[0]) ? 0 : 1);
    assert_int_equal(exit_status(child), 0);
    kni_fork_close(told[0]);
    assert_false(kni_fork_owns(told[0]));
    assert_true(fcntl(told[0], F_GETFD) < 0);
    close(told[1]);
}

#define fork_test(test) cmocka_unit_test_setup_teardown(test, make_scratch, remove_scratch)

int main(void) {
    const struct CMUnitTest tests[] = {
        fork_test(test_a_child_does_not_keep_its_parents_locks),
        fork_test(test_a_child_does_not_take_its_parents_locks_away),
        fork_test(test_a_child_closes_no_file_of_its_own),
        fork_test(test_a_child_finds_every_mutex_free),
        fork_test(test_descriptors_are_owned_until_they_are_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
