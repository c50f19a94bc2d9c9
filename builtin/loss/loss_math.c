/* SPDX-License-Identifier: Apache-2.0 */
#include "loss_math.h"

loss_rows loss_rows_get(kb_isa isa) {
    static const loss_rows *const rows[KB_ISA_COUNT] = {
        &loss_serial,
#ifdef KB_HAS_X86
        &loss_avx2,
        &loss_avx512,
        &loss_avx512_bf16,
#endif
    };
    return *rows[isa];
}
