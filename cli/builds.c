/* SPDX-License-Identifier: Apache-2.0 */
/* What the shared objects of a kernel's builds need, as far as the builds are on this machine. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

/* A build that is here. */
typedef struct build {
    kn_variant variant;
    kn_objects *objects;
    kn_error problem; /* its status: KN_OK where nothing is known against it */
} build;

/* Its metadata.json alone is here where something else was asked of it. */
static bool is_here(const char *folder) {
    DIR *directory = opendir(folder);
    bool found = false;
    if (!directory) return false;
    for (const struct dirent *entry = readdir(directory); entry && !found;
         entry = readdir(directory))
        found = entry->d_name[0] != '.' && strcmp(entry->d_name, "metadata.json") != 0;
    closedir(directory);
    return found;
}

/* This machine's GPU, which is asked for once, and only where a build has code for one; NULL: this
 * one has none. */
static const kn_gpu *gpu_for(const cli *c, const kn_objects *objects, kn_gpu *gpu) {
    bool has_code = false;
    for (size_t i = 0; i < kn_objects_count(objects); i++) {
        kn_object_info info = {.size = sizeof info};
        kn_objects_get(objects, i, &info);
        has_code = has_code || info.arch_count;
    }
    if (has_code && !gpu->size)
        *gpu = (kn_gpu){.size = sizeof *gpu, .capability = cli_own_capability(c)};
    return has_code ? gpu : NULL;
}

/* False where it is not here. `gpu`: see gpu_for. */
static bool open_build(const cli *c, const kn_about_info *about, size_t index, kn_gpu *gpu,
                       build *out) {
    *out = (build){.variant = {.size = sizeof out->variant}};
    kn_error_init(&out->problem);
    kn_variants_get(about->variants, index, &out->variant);
    const char *name = out->variant.name;
    char folder[4096];
    int length = snprintf(folder, sizeof folder, "%s/%s", about->builds, name);
    bool is_cut = length < 0 || (size_t)length >= sizeof folder;
    if (is_cut || !is_here(folder) || kn_objects_read(NULL, folder, &out->objects, NULL))
        return false;
    kn_objects_check(NULL, folder, about->repo ? about->repo : about->path, name,
                     gpu_for(c, out->objects, gpu), &out->problem);
    return true;
}

/* Why this system does not take it; NULL: it does, as far as is known. */
static const char *refusal(const build *b) {
    if (b->variant.reason) return b->variant.reason;
    return b->problem.status ? b->problem.message : NULL;
}

static void print_object(const build *b, size_t index) {
    kn_object_info info = {.size = sizeof info};
    kn_objects_get(b->objects, index, &info);
    printf("  %s: %s", info.path, info.machine ? info.machine : "unknown machine");
    if (info.glibc_major >= 0) printf(", glibc %d.%d", info.glibc_major, info.glibc_minor);
    if (info.arch_count) printf(", CUDA");
    for (size_t i = 0; i < info.arch_count; i++)
        printf(" %s", kn_objects_arch(b->objects, index, i));
    for (size_t i = 0; i < info.needed_count; i++)
        printf("%s%s", i ? " " : ", needs ", kn_objects_needed(b->objects, index, i));
    printf("\n");
}

void cli_print_builds(const cli *c, const kn_about_info *about) {
    kn_gpu gpu = {0};
    size_t missing = 0, count = kn_variants_count(about->variants);
    for (size_t i = 0; i < count; i++) {
        build b;
        if (!open_build(c, about, i, &gpu, &b)) {
            missing++;
            continue;
        }
        size_t objects = kn_objects_count(b.objects);
        const char *why = refusal(&b);
        if (objects)
            printf("Build: %s (%s%s)\n", b.variant.name,
                   why ? "not for this system: " : "can be loaded here", why ? why : "");
        for (size_t k = 0; k < objects; k++) print_object(&b, k);
        kn_objects_free(b.objects);
    }
    if (missing && about->repo)
        printf("Shared objects: not known of %zu of %zu builds, which are not in the cache\n",
               missing, count);
}

static void json_texts(cli_json *json, const char *key, const build *b, size_t index, size_t count,
                       const char *(*get)(const kn_objects *, size_t, size_t)) {
    cli_json_key(json, key);
    cli_json_open(json, '[');
    for (size_t i = 0; i < count; i++) cli_json_text(json, get(b->objects, index, i));
    cli_json_close(json, ']');
}

static void json_object(cli_json *json, const build *b, size_t index) {
    char glibc[32] = "";
    kn_object_info info = {.size = sizeof info};
    kn_objects_get(b->objects, index, &info);
    if (info.glibc_major >= 0)
        snprintf(glibc, sizeof glibc, "%d.%d", info.glibc_major, info.glibc_minor);
    cli_json_open(json, '{');
    cli_json_text_of(json, "path", info.path);
    cli_json_text_of(json, "machine", info.machine);
    cli_json_text_of(json, "glibc", glibc[0] ? glibc : NULL);
    json_texts(json, "needed", b, index, info.needed_count, kn_objects_needed);
    json_texts(json, "cuda_archs", b, index, info.arch_count, kn_objects_arch);
    cli_json_text_of(json, "problem", info.problem);
    cli_json_close(json, '}');
}

void cli_json_builds(const cli *c, cli_json *json, const kn_about_info *about) {
    kn_gpu gpu = {0};
    cli_json_open(json, '[');
    for (size_t i = 0; i < kn_variants_count(about->variants); i++) {
        build b;
        bool here = open_build(c, about, i, &gpu, &b);
        cli_json_open(json, '{');
        cli_json_text_of(json, "name", b.variant.name);
        cli_json_boolean_of(json, "is_here", here);
        if (here) {
            cli_json_boolean_of(json, "loads", !refusal(&b));
            cli_json_text_of(json, "reason", refusal(&b));
            cli_json_key(json, "objects");
            cli_json_open(json, '[');
            for (size_t k = 0; k < kn_objects_count(b.objects); k++) json_object(json, &b, k);
            cli_json_close(json, ']');
            kn_objects_free(b.objects);
        }
        cli_json_close(json, '}');
    }
    cli_json_close(json, ']');
}
