/* SPDX-License-Identifier: Apache-2.0 */
#include "rotary_math.h"

rotary_row rotary_row_get(kb_isa isa) {
    static const rotary_row *const rows[KB_ISA_COUNT] = {
        &rotary_serial,
#ifdef KB_HAS_X86
        &rotary_avx2,
        &rotary_avx512,
        &rotary_avx512_bf16,
#endif
    };
    return *rows[isa];
}
