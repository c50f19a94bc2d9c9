# SPDX-License-Identifier: Apache-2.0
"""The op of this kernel for torch: fake implementation and gradient of the C function."""

import torch

from . import _rotary_kern
from ._build import BUILD_ID
from ._glue import (
    backward_through,
    direct_function,
    register_ops,
    register_vmap,
    wants_direct_grad,
)

ops = register_ops(_rotary_kern, BUILD_ID, "apply")
_apply = ops.apply.default


def _swap(x, interleaved):
    """The second of each pair, negated, in the place of the first, and the first in its place."""
    if interleaved:
        return torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


def _turn(x, cos, sin, turned, interleaved, transposed):
    head, rest = x[..., :turned], x[..., turned:]
    if transposed:
        out = head * cos - _swap(head * sin, interleaved)
    else:
        out = head * cos + _swap(head, interleaved) * sin
    out = out.to(x.dtype)
    return out if turned == x.shape[-1] else torch.cat((out, rest), dim=-1)


def apply_reference(q, k, cos, sin, dim, turned, interleaved, transposed=False):
    """The formula in torch's own ops."""
    if cos.shape[-1] * 2 == turned:
        cos, sin = (
            a.repeat_interleave(2, dim=-1) if interleaved else torch.cat((a, a), dim=-1)
            for a in (cos, sin)
        )
    cos, sin = cos.unsqueeze(dim), sin.unsqueeze(dim)
    return tuple(_turn(x, cos, sin, turned, interleaved, transposed) for x in (q, k))


@torch.library.register_fake(_apply)
def _(q, k, cos, sin, dim, turned, interleaved, transposed):
    def like(x):
        x = x.contiguous() if x.stride(-1) != 1 and x.shape[-1] != 1 else x
        return torch.empty_like(x)

    return like(q), like(k)


def _setup(ctx, inputs, output):
    q, k, cos, sin, *ctx.options = inputs
    ctx.save_for_backward(q, k, cos, sin)


def _grads(ctx, q_grad, k_grad):
    q, k, cos, sin = ctx.saved_tensors
    if torch.is_grad_enabled() or any(ctx.needs_input_grad[2:4]):
        inputs = (q, k, cos, sin, *ctx.options)
        return backward_through(apply_reference, inputs, (q_grad, k_grad))
    *options, transposed = ctx.options
    dq, dk = _apply(q_grad, k_grad, cos, sin, *options, not transposed)
    return dq, dk, None, None, None, None, None, None


torch.library.register_autograd(_apply, _grads, setup_context=_setup)
register_vmap(_apply)


def _direct(q, k, cos, sin, dim, turned, interleaved, transposed):
    return _rotary_kern.apply(q, k, cos, sin, dim, turned, interleaved)


_Direct = direct_function("DirectRotary", _direct, _apply, _setup, _grads)


def apply_op(q, k, cos, sin, dim, turned, interleaved):
    """The op, for arguments that `takes_op` accepted."""
    if cos.dtype not in (q.dtype, torch.float32) or sin.dtype != cos.dtype:
        cos, sin = cos.float(), sin.float()
    arguments = (q, k, cos, sin, dim, turned, interleaved, False)
    if wants_direct_grad(_rotary_kern, q, k, cos, sin):
        return _Direct.apply(*arguments)
    return _apply(*arguments)
