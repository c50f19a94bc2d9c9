/* SPDX-License-Identifier: Apache-2.0 */
#include "activation_math.h"

const activation_table *activation_table_get(kb_isa isa) {
#ifdef KB_HAS_AVX2
    if (isa == KB_ISA_AVX2) return &activation_avx2;
#endif
    (void)isa;
    return &activation_serial;
}
