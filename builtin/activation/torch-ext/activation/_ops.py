# SPDX-License-Identifier: Apache-2.0
"""The ops of this kernel for torch: fake implementations and gradients of the C functions."""

import torch
import torch.nn.functional as F

from . import _activation_kern
from ._build import BUILD_ID
from ._glue import (
    backward_through,
    direct_function,
    register_ops,
    register_vmap,
    wants_direct_grad,
)

ops = register_ops(_activation_kern, BUILD_ID, "silu")


def gelu_tanh_reference(x):
    """The formula in torch's own ops."""
    return F.gelu(x, approximate="tanh")


def silu_and_mul_reference(x):
    """The formula in torch's own ops."""
    half = x.shape[-1] // 2
    return F.silu(x[..., :half]) * x[..., half:]


def _silu_and_mul_shape(x):
    return (*x.shape[:-1], x.shape[-1] // 2)


def _define(name, reference, fake):
    """Gives a pair of C ops their fake implementations and the gradient; returns a function that
    takes the op or, where only a gradient is asked for, the shorter way."""
    forward = getattr(ops, name).default
    backward = getattr(ops, f"{name}_backward").default

    def setup(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    def grads(ctx, grad):
        (x,) = ctx.saved_tensors
        if torch.is_grad_enabled():
            return backward_through(reference, (x,), grad)[0]
        return backward(grad, x)

    def backward_fake(grad, x):
        # silu_and_mul's gradient is contiguous, as its result
        return x.new_empty(x.shape) if name == "silu_and_mul" else torch.empty_like(x)

    torch.library.register_fake(forward, fake)
    torch.library.register_fake(backward, backward_fake)
    torch.library.register_autograd(forward, grads, setup_context=setup)
    register_vmap(forward)
    register_vmap(backward)
    direct = getattr(_activation_kern, name)
    function = direct_function(f"Direct_{name}", direct, forward, setup, grads)

    def call(x):
        return function.apply(x) if wants_direct_grad(_activation_kern, x) else forward(x)

    return call


silu_op = _define("silu", F.silu, torch.empty_like)
gelu_op = _define("gelu", F.gelu, torch.empty_like)
gelu_tanh_op = _define("gelu_tanh", gelu_tanh_reference, torch.empty_like)
silu_and_mul_op = _define(
    "silu_and_mul", silu_and_mul_reference, lambda x: x.new_empty(_silu_and_mul_shape(x))
)
