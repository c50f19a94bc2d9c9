/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NORM_OPS_H
#define NORM_OPS_H

#include "kb_tensor.h"
#include "norm_run.h"

enum { NORM_OP_COUNT = 8 };

extern const kb_op norm_ops[NORM_OP_COUNT];

#endif
