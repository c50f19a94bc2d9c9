/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACTIVATION_OPS_H
#define ACTIVATION_OPS_H

#include "activation_run.h"
#include "kb_tensor.h"

enum { ACTIVATION_OP_COUNT = 14 };

extern const kb_op activation_ops[ACTIVATION_OP_COUNT];

#endif
