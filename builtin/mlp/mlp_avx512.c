/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_lanes_avx512.h"
/* after the lanes */
#include "mlp_lanes.h"

const mlp_table mlp_avx512 = {multiply};
