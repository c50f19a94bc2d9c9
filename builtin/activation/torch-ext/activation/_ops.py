# SPDX-License-Identifier: Apache-2.0
"""The ops of this kernel for torch: fake implementations and gradients of the C functions."""

import torch
import torch.nn.functional as F

from . import _activation_kern
from ._build import BUILD_ID
from ._glue import (
    backward_through,
    define_gradient,
    direct_or_op,
    register_ops,
    register_vmap,
)

ops = register_ops(_activation_kern, BUILD_ID, "silu")


def gelu_tanh_reference(x):
    """The formula in torch's own ops."""
    return F.gelu(x, approximate="tanh")


def quick_gelu_reference(x):
    """The formula in torch's own ops."""
    return x * torch.sigmoid(1.702 * x)


def _gated(activate):
    def reference(x):
        half = x.shape[-1] // 2
        return activate(x[..., :half]) * x[..., half:]

    return reference


# The formulas in torch's own ops, by name of the op.
FLAT = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": gelu_tanh_reference,
    "quick_gelu": quick_gelu_reference,
}
GATED = {
    "silu_and_mul": _gated(F.silu),
    "gelu_and_mul": _gated(F.gelu),
    "gelu_tanh_and_mul": _gated(gelu_tanh_reference),
}
REFERENCES = FLAT | GATED


def _define(name, reference):
    """Gives a pair of C ops their fake implementations and the gradient; returns a function that
    takes the op or, where only a gradient is asked for, the shorter way."""
    forward = getattr(ops, name).default
    backward = getattr(ops, f"{name}_backward").default
    gradient = direct_or_op(getattr(_activation_kern, f"{name}_backward"), backward)

    def setup(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    def grads(ctx, grad):
        (x,) = ctx.saved_tensors
        if torch.is_grad_enabled():
            return backward_through(reference, (x,), grad)[0]
        return gradient(grad, x)

    def gated_fake(x):
        return x.new_empty((*x.shape[:-1], x.shape[-1] // 2))

    def backward_fake(grad, x):
        # a gated function's gradient is contiguous, as its result
        return x.new_empty(x.shape) if name in GATED else torch.empty_like(x)

    torch.library.register_fake(forward, gated_fake if name in GATED else torch.empty_like)
    torch.library.register_fake(backward, backward_fake)
    register_vmap(backward)
    return define_gradient(_activation_kern, name, forward, setup, grads)


OPS = {name: _define(name, reference) for name, reference in REFERENCES.items()}
