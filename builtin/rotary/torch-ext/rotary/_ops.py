# SPDX-License-Identifier: Apache-2.0
"""The op of this kernel for torch: fake implementation and gradient of the C function."""

import torch

from . import _rotary_kern
from ._build import BUILD_ID
from ._glue import backward_through, define_gradient, direct_or_op, register_ops

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
    # q and k are turned back by the angles alone.
    given = (q, k) if any(ctx.needs_input_grad[2:4]) else (None, None)
    ctx.save_for_backward(*given, cos, sin)


def _grads(ctx, q_grad, k_grad):
    q, k, cos, sin = ctx.saved_tensors
    if any(ctx.needs_input_grad[2:4]):
        inputs = (q, k, cos, sin, *ctx.options)
        return backward_through(apply_reference, inputs, (q_grad, k_grad))
    *options, transposed = ctx.options
    turn_back = apply_reference if torch.is_grad_enabled() else _turn_back
    dq, dk = turn_back(q_grad, k_grad, cos, sin, *options, not transposed)
    return dq, dk, None, None, None, None, None, None


_turn_back = direct_or_op(_rotary_kern.apply, _apply)
_call = define_gradient(_rotary_kern, "apply", _apply, _setup, _grads)


def apply_op(q, k, cos, sin, dim, turned, interleaved):
    """The op, for arguments that `takes_op` accepted."""
    if cos.dtype not in (q.dtype, torch.float32) or sin.dtype != cos.dtype:
        cos, sin = cos.float(), sin.float()
    return _call(q, k, cos, sin, dim, turned, interleaved, False)
