/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_lanes_avx512.h"
/* after the lanes */
#include "rotary_lanes.h"

const rotary_row rotary_avx512 = turn_row;
