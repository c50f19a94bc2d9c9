/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_isa.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(KB_HAS_AVX2)
#include <cpuid.h>

/* Not every compiler knows this one by name in __builtin_cpu_supports. */
static int has_f16c(void) {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
}
#endif

int kb_isa_is_available(kb_isa isa) {
    if (isa == KB_ISA_SERIAL) return 1;
#if defined(__x86_64__) && defined(KB_HAS_AVX2)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
#else
    return 0;
#endif
}

const char *kb_isa_name(kb_isa isa) { return isa == KB_ISA_AVX2 ? "avx2" : "serial"; }

kb_isa kb_isa_choose(void) {
    const char *wanted = getenv("KERNELS_CPU_ISA");
    if (wanted && strcmp(wanted, "serial") == 0) return KB_ISA_SERIAL;
    return kb_isa_is_available(KB_ISA_AVX2) ? KB_ISA_AVX2 : KB_ISA_SERIAL;
}
