/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_lanes_avx512.h"
/* after the lanes */
#include "norm_lanes.h"

const norm_table norm_avx512 = {rms_forward, rms_backward, layer_forward, layer_backward};
