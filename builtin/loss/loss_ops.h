/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOSS_OPS_H
#define LOSS_OPS_H

#include "kb_tensor.h"

enum { LOSS_OP_COUNT = 5 };

extern const kb_op loss_ops[LOSS_OP_COUNT];

#endif
