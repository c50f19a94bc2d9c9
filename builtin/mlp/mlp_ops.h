/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MLP_OPS_H
#define MLP_OPS_H

#include "activation_run.h"
#include "kb_tensor.h"

enum { MLP_OP_COUNT = 6 };

extern const kb_op mlp_ops[MLP_OP_COUNT];

#endif
