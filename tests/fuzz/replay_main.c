/* SPDX-License-Identifier: Apache-2.0 */
/* usage: fuzz_<name> [-m MUTATIONS] PATH...
 * Runs a fuzz target over files, and over those in directories: each as it is, each cut off at
 * every place, and mutations of it, the same ones in every run. It stands in for libFuzzer where
 * the compiler is gcc. */
#define _XOPEN_SOURCE 700

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_target.h"

#define INPUT_MAX ((size_t)1 << 20)
#define CUTS_MAX 2048

static uint64_t random_state = 0x9E3779B97F4A7C15u;

static size_t random_below(size_t limit) { /* xorshift64 */
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state % limit);
}

/* A block of just this size, so that the sanitizer sees every read beyond it. */
static void run_exact(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) abort();
    if (size) memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* Changes one place of the `size` bytes in `data`, which has room for one more; returns the new
 * size. */
static size_t mutate(uint8_t *data, size_t size) {
    static const char likely[] = "-=:[]{}\"\\*?!0129a_/.\n\x00\xFF\xC3";
    uint8_t byte = (uint8_t)likely[random_below(sizeof likely - 1)];
    size_t at = size ? random_below(size) : 0;
    switch (size ? random_below(4) : 0) {
    case 0: /* insert */
        memmove(data + at + 1, data + at, size - at);
        data[at] = byte;
        return size + 1;
    case 1: /* remove */
        memmove(data + at, data + at + 1, size - at - 1);
        return size - 1;
    case 2:
        data[at] = byte;
        return size;
    default:
        data[at] ^= (uint8_t)(1u << random_below(8));
        return size;
    }
}

static void run_mutations(const uint8_t *data, size_t size, size_t count) {
    enum { steps = 4 };
    uint8_t *changed = malloc(size + steps);
    if (!changed) abort();
    for (size_t i = 0; i < count; i++) {
        size_t length = size;
        if (size) memcpy(changed, data, size);
        for (size_t step = 1 + random_below(steps); step > 0; step--)
            length = mutate(changed, length);
        run_exact(changed, length);
    }
    free(changed);
}

static int run_file(const char *path, size_t mutations) {
    static uint8_t data[INPUT_MAX];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    size_t size = fread(data, 1, sizeof data, file);
    int failed = ferror(file);
    fclose(file);
    if (failed || size == sizeof data) {
        fprintf(stderr, "%s: cannot be read, or has more than %zu bytes\n", path, INPUT_MAX - 1);
        return 1;
    }
    run_exact(data, size);
    for (size_t cut = 0; cut < size && cut < CUTS_MAX; cut++) run_exact(data, cut);
    run_mutations(data, size, mutations);
    return 0;
}

/* Runs the files of a directory in the order of their names; returns how many, or -1. */
static int run_directory(const char *path, size_t mutations) {
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort), ran = 0;
    for (int i = 0; i < count; i++) {
        char file[4096];
        int length = snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && length > 0 && (size_t)length < sizeof file &&
            ran >= 0) {
            ran = run_file(file, mutations) ? -1 : ran + 1;
        }
        free(entries[i]);
    }
    if (count >= 0) free(entries);
    return count < 0 ? -1 : ran;
}

int main(int argc, char **argv) {
    size_t mutations = 1000;
    int first = 1, total = 0;
    if (argc > 2 && strcmp(argv[1], "-m") == 0) {
        mutations = (size_t)strtoul(argv[2], NULL, 10);
        first = 3;
    }
    for (int i = first; i < argc; i++) {
        DIR *directory = opendir(argv[i]);
        if (directory) closedir(directory);
        int ran = directory                      ? run_directory(argv[i], mutations)
                  : run_file(argv[i], mutations) ? -1
                                                 : 1;
        if (ran < 0) return 1;
        total += ran;
    }
    printf("%d files\n", total);
    return total ? 0 : 1; /* an empty corpus tests nothing */
}
