# SPDX-License-Identifier: Apache-2.0
"""The ops of this kernel for torch: fake implementations and gradients of the C functions."""

import torch
import torch.nn.functional as F

from . import _mlp_kern
from ._build import BUILD_ID
from ._glue import (
    backward_through,
    define_gradient,
    direct_or_op,
    register_ops,
    register_vmap,
)

ops = register_ops(_mlp_kern, BUILD_ID, "silu_mul")

# The formulas in torch's own ops, by name of the op.
REFERENCES = {
    "silu_mul": lambda gate, up: F.silu(gate) * up,
    "gelu_mul": lambda gate, up: F.gelu(gate) * up,
    "gelu_tanh_mul": lambda gate, up: F.gelu(gate, approximate="tanh") * up,
}


def _define(name, reference):
    """Gives a pair of C ops their fake implementations and the gradient; returns a function that
    takes the op or, where only a gradient is asked for, the shorter way."""
    forward = getattr(ops, name).default
    backward = getattr(ops, f"{name}_backward").default
    gradients = direct_or_op(getattr(_mlp_kern, f"{name}_backward"), backward)

    def setup(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    def grads(ctx, grad):
        if torch.is_grad_enabled():
            return backward_through(reference, ctx.saved_tensors, grad)
        return gradients(grad, *ctx.saved_tensors)

    torch.library.register_fake(forward, lambda gate, up: gate.new_empty(gate.shape))
    torch.library.register_fake(
        backward, lambda grad, gate, up: (gate.new_empty(gate.shape), gate.new_empty(gate.shape))
    )
    register_vmap(backward)
    return define_gradient(_mlp_kern, name, forward, setup, grads)


OPS = {name: _define(name, reference) for name, reference in REFERENCES.items()}

# Activations, as activation_kind in activation_math.h.
KINDS = {"silu": 0, "gelu": 1, "gelu_tanh": 2}
_PRODUCTS = tuple(REFERENCES.values())


def gated_mlp_reference(x, gate, gate_bias, up, up_bias, down, down_bias, kind):
    """The formula in torch's own ops."""
    product = _PRODUCTS[kind]
    return F.linear(
        product(F.linear(x, gate, gate_bias), F.linear(x, up, up_bias)), down, down_bias
    )


def _define_of_few_rows(name, reference, last_weight):
    """Gives the C op of a product its fake implementation and the reference's gradient, and returns
    it. `last_weight`: which argument has a row for each element of the result."""
    op = getattr(ops, name).default

    def fake(x, *others):
        return x.new_empty((*x.shape[:-1], others[last_weight - 1].shape[0]))

    def setup(ctx, inputs, output):
        ctx.plain = inputs[tensor_count:]
        ctx.save_for_backward(*inputs[:tensor_count])

    def grads(ctx, grad):
        return backward_through(reference, (*ctx.saved_tensors, *ctx.plain), grad)

    tensor_count = sum("Tensor" in str(a.type) for a in op._schema.arguments)
    torch.library.register_fake(op, fake)
    torch.library.register_autograd(op, grads, setup_context=setup)
    register_vmap(op)
    return op


gated_mlp = _define_of_few_rows("gated_mlp", gated_mlp_reference, 5)
linear = _define_of_few_rows("linear", F.linear, 1)
