/* SPDX-License-Identifier: Apache-2.0 */
#include "norm_math.h"

const norm_table *norm_table_get(kb_isa isa) {
#ifdef KB_HAS_AVX2
    if (isa == KB_ISA_AVX2) return &norm_avx2;
#endif
    (void)isa;
    return &norm_serial;
}
