# SPDX-License-Identifier: Apache-2.0
"""The ops of this kernel for torch: fake implementations and gradients of the C functions."""

import torch
import torch.nn.functional as F

from . import _activation_kern
from ._build import BUILD_ID
from ._glue import backward_through, register_ops

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


def _define(forward, backward, reference, fake):
    """Gives a pair of C ops their fake implementations and the gradient."""

    def setup(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    def grads(ctx, grad):
        (x,) = ctx.saved_tensors
        if torch.is_grad_enabled():
            return backward_through(reference, (x,), grad)[0]
        return backward(grad, x)

    def backward_fake(grad, x):
        return fake(x) if forward is not ops.silu_and_mul.default else x.new_empty(x.shape)

    torch.library.register_fake(forward, fake)
    torch.library.register_fake(backward, backward_fake)
    torch.library.register_autograd(forward, grads, setup_context=setup)
    return forward


silu_op = _define(ops.silu.default, ops.silu_backward.default, F.silu, torch.empty_like)
gelu_op = _define(ops.gelu.default, ops.gelu_backward.default, F.gelu, torch.empty_like)
gelu_tanh_op = _define(
    ops.gelu_tanh.default, ops.gelu_tanh_backward.default, gelu_tanh_reference, torch.empty_like
)
silu_and_mul_op = _define(
    ops.silu_and_mul.default,
    ops.silu_and_mul_backward.default,
    silu_and_mul_reference,
    lambda x: x.new_empty(_silu_and_mul_shape(x)),
)
