/* SPDX-License-Identifier: Apache-2.0 */
/* Architectures of a build: CUDA's are capabilities, "9.0", with 'a' for that one only, 'f' for its
 * family, "+PTX" for code that newer GPUs compile; ROCm's are names such as "gfx90a". */
#include "variant/gpu_archs.h"

#include <string.h>

/* Larger numbers are as good as this one: no GPU has them. */
#define NUMBER_MAX 100000000

typedef enum answer { NO, YES, UNKNOWN } answer;

static bool drop_end(const char *text, size_t *length, const char *end) {
    size_t end_length = strlen(end);
    if (*length < end_length || memcmp(text + *length - end_length, end, end_length) != 0)
        return false;
    *length -= end_length;
    return true;
}

static bool parse_number(const char *digits, size_t length, int64_t *out) {
    *out = 0;
    for (size_t i = 0; i < length; i++) {
        if (digits[i] < '0' || digits[i] > '9') return false;
        if (*out < NUMBER_MAX) *out = *out * 10 + (digits[i] - '0');
    }
    return length > 0;
}

static answer cuda_arch_supports(const char *arch, int64_t capability) {
    size_t length = strlen(arch);
    int64_t major, minor, have_major = capability / 10, have_minor = capability % 10;
    bool is_ptx = drop_end(arch, &length, "+PTX");
    bool is_specific = drop_end(arch, &length, "a");
    bool is_family = !is_specific && drop_end(arch, &length, "f");

    const char *dot = length ? memchr(arch, '.', length) : NULL;
    if (!dot) return UNKNOWN;
    size_t major_length = (size_t)(dot - arch);
    if (!parse_number(arch, major_length, &major) ||
        !parse_number(dot + 1, length - major_length - 1, &minor))
        return UNKNOWN;

    if (is_specific) return have_major == major && have_minor == minor ? YES : NO;
    if (is_ptx && !is_family && have_major > major) return YES;
    return have_major == major && have_minor >= minor ? YES : NO;
}

/* Where no arch is understood, nothing can be told. */
static bool archs_support_cuda(const char *const *archs, size_t count, int64_t capability) {
    bool all_unknown = true;
    for (size_t i = 0; i < count; i++) {
        answer supports = cuda_arch_supports(archs[i], capability);
        if (supports == YES) return true;
        if (supports == NO) all_unknown = false;
    }
    return all_unknown;
}

/* "gfx90a" of "gfx90a:sramecc+:xnack-" */
static size_t gcn_length(const char *gcn_arch) { return strcspn(gcn_arch, ":"); }

static bool archs_support_rocm(const char *const *archs, size_t count, const char *gcn_arch) {
    size_t length = gcn_length(gcn_arch);
    for (size_t i = 0; i < count; i++) {
        if (strlen(archs[i]) == length && memcmp(archs[i], gcn_arch, length) == 0) return true;
    }
    return false;
}

static bool is_cuda(const char *backend, const kn_gpu *gpu) {
    return strcmp(backend, "cuda") == 0 && gpu->capability >= 0;
}

static bool is_rocm(const char *backend, const kn_gpu *gpu) {
    return strcmp(backend, "rocm") == 0 && gpu->gcn_arch;
}

bool kn_archs_support(const char *backend, const char *const *archs, size_t count,
                      const kn_gpu *gpu) {
    if (!backend || !count || !gpu) return true;
    if (is_cuda(backend, gpu)) return archs_support_cuda(archs, count, gpu->capability);
    if (is_rocm(backend, gpu)) return archs_support_rocm(archs, count, gpu->gcn_arch);
    return true;
}

void kni_archs_refuse(kni_text *reason, const char *backend, const char *const *archs, size_t count,
                      const kn_gpu *gpu) {
    if (kn_archs_support(backend, archs, count, gpu)) return;
    if (is_cuda(backend, gpu)) {
        kni_text_addf(reason, "CUDA capability %lld.%d", (long long)(gpu->capability / 10),
                      (int)(gpu->capability % 10));
    } else {
        kni_text_add(reason, "ROCm arch ");
        kni_text_add_n(reason, gpu->gcn_arch, gcn_length(gpu->gcn_arch));
    }
    kni_text_add(reason, " is not supported by the architectures of the build: ");
    for (size_t i = 0; i < count; i++) {
        if (i) kni_text_add(reason, ", ");
        kni_text_add(reason, archs[i]);
    }
}
