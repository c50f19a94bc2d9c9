/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MLP_OPS_H
#define MLP_OPS_H

#include "activation_run.h"
#include "kb_tensor.h"
#include "mlp_run.h"

enum { MLP_OP_COUNT = 8 };

extern const kb_op mlp_ops[MLP_OP_COUNT];

#endif
