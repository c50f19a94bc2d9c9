/* SPDX-License-Identifier: Apache-2.0 */
#include "norm_math.h"

const norm_table *norm_table_get(kb_isa isa) {
    static const norm_table *const tables[KB_ISA_COUNT] = {
        &norm_serial,
#ifdef KB_HAS_X86
        &norm_avx2,
        &norm_avx512,
        &norm_avx512_bf16,
#endif
    };
    return tables[isa];
}
