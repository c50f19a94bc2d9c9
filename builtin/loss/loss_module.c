/* SPDX-License-Identifier: Apache-2.0 */
/* The Python module _loss_kern: registration of the ops. A loss takes so long that there is no
 * direct call. */
#include "kb_module.h"
#include "loss_ops.h"

static const kb_kernel kernel = {.name = "loss", .ops = loss_ops, .op_count = LOSS_OP_COUNT};

static PyMethodDef module_methods[] = {
    KB_MODULE_METHODS,
};

KB_DEFINE_MODULE(loss)
