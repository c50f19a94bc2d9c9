/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_lanes_avx2.h"
/* after the lanes */
#include "activation_lanes.h"

const activation_table activation_avx2 = {forward, backward, gated_forward, gated_backward};
