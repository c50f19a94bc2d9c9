/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_isa.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__) && defined(KB_HAS_X86)
#include <cpuid.h>

/* Not every compiler knows this one by name in __builtin_cpu_supports. */
static bool has_f16c(void) {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
}

static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

bool kb_isa_is_available(kb_isa isa) {
    __builtin_cpu_init();
    if (isa == KB_ISA_AVX2) return has_avx2();
    if (isa == KB_ISA_AVX512) return has_avx512();
    if (isa == KB_ISA_AVX512_BF16) return has_avx512() && __builtin_cpu_supports("avx512bf16");
    return isa == KB_ISA_SERIAL;
}
#else
bool kb_isa_is_available(kb_isa isa) { return isa == KB_ISA_SERIAL; }
#endif

static const char *const names[KB_ISA_COUNT] = {"serial", "avx2", "avx512", "avx512_bf16"};

const char *kb_isa_name(kb_isa isa) { return names[isa]; }

bool kb_isa_find(const char *name, kb_isa *isa) {
    for (int i = 0; i < KB_ISA_COUNT; i++) {
        if (strcmp(name, names[i]) != 0) continue;
        *isa = (kb_isa)i;
        return true;
    }
    return false;
}

static kb_isa active = KB_ISA_SERIAL;

kb_isa kb_isa_active(void) { return active; }

void kb_isa_select(kb_isa isa) { active = isa; }

const char *kb_isa_choose(void) {
    const char *wanted = getenv("KERNELS_CPU_ISA");
    kb_isa best = (kb_isa)(KB_ISA_COUNT - 1);
    if (wanted && *wanted && !kb_isa_find(wanted, &best)) return wanted;
    while (!kb_isa_is_available(best)) best = (kb_isa)(best - 1);
    kb_isa_select(best);
    return NULL;
}

/* What the outermost cache holds, or a usual size of it where the system does not say. */
static int64_t cache_bytes(void) {
    long size = 0;
#ifdef _SC_LEVEL3_CACHE_SIZE
    size = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
    return size > 0 ? size : (int64_t)32 << 20;
}

bool kb_streams(int64_t output_bytes) {
    static int64_t limit; /* the same whoever computes it */
    int64_t known = __atomic_load_n(&limit, __ATOMIC_RELAXED);
    if (known == 0) {
        /* Input and output together, so that what the caller reads next may still be there. */
        known = cache_bytes() / 2;
        __atomic_store_n(&limit, known, __ATOMIC_RELAXED);
    }
    return output_bytes > known;
}
