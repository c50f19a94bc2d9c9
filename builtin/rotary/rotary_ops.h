/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROTARY_OPS_H
#define ROTARY_OPS_H

#include "kb_tensor.h"
#include "rotary_run.h"

enum { ROTARY_OP_COUNT = 1 };

extern const kb_op rotary_ops[ROTARY_OP_COUNT];

#endif
