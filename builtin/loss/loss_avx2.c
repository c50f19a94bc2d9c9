/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_lanes_avx2.h"
/* after the lanes */
#include "loss_lanes.h"

const loss_rows loss_avx2 = rows;
