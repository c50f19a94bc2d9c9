# SPDX-License-Identifier: Apache-2.0
"""The ops of this kernel for torch: fake implementations and gradients of the C functions."""

import torch
import torch.nn.functional as F

from . import _mlp_kern
from ._build import BUILD_ID
from ._glue import (
    backward_through,
    direct_function,
    register_ops,
    register_vmap,
    wants_direct_grad,
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

    def setup(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    def grads(ctx, grad):
        if torch.is_grad_enabled():
            return backward_through(reference, ctx.saved_tensors, grad)
        return backward(grad, *ctx.saved_tensors)

    torch.library.register_fake(forward, lambda gate, up: gate.new_empty(gate.shape))
    torch.library.register_fake(
        backward, lambda grad, gate, up: (gate.new_empty(gate.shape), gate.new_empty(gate.shape))
    )
    torch.library.register_autograd(forward, grads, setup_context=setup)
    register_vmap(forward)
    register_vmap(backward)
    direct = getattr(_mlp_kern, name)
    function = direct_function(f"Direct_{name}", direct, forward, setup, grads)

    def call(gate, up):
        wants = wants_direct_grad(_mlp_kern, gate, up)
        return function.apply(gate, up) if wants else forward(gate, up)

    return call


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


gated_mlp = ops.gated_mlp.default


@torch.library.register_fake(gated_mlp)
def _(x, gate, gate_bias, up, up_bias, down, down_bias, kind):
    return x.new_empty((*x.shape[:-1], down.shape[0]))


def _gated_mlp_setup(ctx, inputs, output):
    *tensors, ctx.kind = inputs
    ctx.save_for_backward(*tensors)


def _gated_mlp_grads(ctx, grad):
    return backward_through(gated_mlp_reference, (*ctx.saved_tensors, ctx.kind), grad)


torch.library.register_autograd(gated_mlp, _gated_mlp_grads, setup_context=_gated_mlp_setup)
register_vmap(gated_mlp)
