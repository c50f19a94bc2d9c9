/* SPDX-License-Identifier: Apache-2.0 */
#include "activation_math.h"

const activation_table *activation_table_get(kb_isa isa) {
    static const activation_table *const tables[KB_ISA_COUNT] = {
        &activation_serial,
#ifdef KB_HAS_X86
        &activation_avx2,
        &activation_avx512,
        &activation_avx512_bf16,
#endif
    };
    return tables[isa];
}
