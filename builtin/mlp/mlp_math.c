/* SPDX-License-Identifier: Apache-2.0 */
#include "mlp_math.h"

const mlp_table *mlp_table_get(kb_isa isa) {
    static const mlp_table *const tables[KB_ISA_COUNT] = {
        &mlp_serial,
#ifdef KB_HAS_X86
        &mlp_avx2,
        &mlp_avx512,
        &mlp_avx512_bf16,
#endif
    };
    return tables[isa];
}
