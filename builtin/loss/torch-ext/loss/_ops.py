# SPDX-License-Identifier: Apache-2.0
"""The ops of this kernel for torch: fake implementations and gradients of the C functions."""

import torch
import torch.nn.functional as F

from . import _loss_kern
from ._build import BUILD_ID
from ._glue import backward_through, register_ops, register_vmap, wants_direct_grad

ops = register_ops(_loss_kern, BUILD_ID, "cross_entropy")
_forward = ops.cross_entropy.default
_with_gradient = ops.cross_entropy_with_gradient.default
_with_gradient_in_place = ops.cross_entropy_with_gradient_.default
_scale_gradient = ops.scale_gradient_.default
_backward = ops.cross_entropy_backward.default

# As in loss_ops.c.
REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}


def cross_entropy_reference(logits, target, ignore_index, smoothing, z_weight, reduction):
    """The formula in torch's own ops."""
    logits = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    name = {number: name for name, number in REDUCTIONS.items()}[reduction]
    options = {"ignore_index": ignore_index, "label_smoothing": smoothing}
    if z_weight == 0.0:
        return F.cross_entropy(logits, target, reduction=name, **options)
    losses = F.cross_entropy(logits, target, reduction="none", **options)
    counted = target != ignore_index
    losses = losses + torch.where(counted, z_weight * logits.logsumexp(-1).square(), 0.0)
    if name == "none":
        return losses
    return losses.sum() if name == "sum" else losses.sum() / counted.sum()


def _loss_shape(logits, reduction):
    return (logits.shape[0],) if reduction == 0 else ()


@torch.library.register_fake(_forward)
def _(logits, target, ignore_index, smoothing, z_weight, reduction):
    return logits.new_empty(_loss_shape(logits, reduction), dtype=torch.float32)


@torch.library.register_fake(_with_gradient)
def _(logits, target, ignore_index, smoothing, z_weight, reduction):
    loss = logits.new_empty(_loss_shape(logits, reduction), dtype=torch.float32)
    return loss, logits.new_empty(logits.shape)


@torch.library.register_fake(_backward)
def _(grad, logits, target, ignore_index, smoothing, z_weight, reduction):
    return logits.new_empty(logits.shape)


def _setup(ctx, inputs, output):
    logits, target, *ctx.options = inputs
    ctx.save_for_backward(logits, target)


def _grads(ctx, grad):
    logits, target = ctx.saved_tensors
    if torch.is_grad_enabled():
        inputs = (logits, target, *ctx.options)
        return backward_through(cross_entropy_reference, inputs, grad)
    return _backward(grad, logits, target, *ctx.options), None, None, None, None, None


torch.library.register_autograd(_forward, _grads, setup_context=_setup)
for _op in (_forward, _backward):
    register_vmap(_op)


class _OnePass(torch.autograd.Function):
    """The gradient is made while the logits are read for the loss, and kept for one backward."""

    @staticmethod
    def forward(ctx, *inputs):
        loss, ctx.made = _with_gradient(*inputs)
        _setup(ctx, inputs, loss)
        return loss

    @staticmethod
    def backward(ctx, grad):
        made, ctx.made = ctx.made, None
        if made is None or torch.is_grad_enabled():
            return _grads(ctx, grad)
        _scale_gradient(made, grad)
        return made, None, None, None, None, None


class _InPlace(torch.autograd.Function):
    """The same with the gradient in the logits' place."""

    @staticmethod
    def forward(ctx, logits, *options):
        ctx.made = logits.detach()
        loss = _with_gradient_in_place(ctx.made, *options)
        torch.autograd.graph.increment_version(logits)
        return loss

    @staticmethod
    def backward(ctx, grad):
        made, ctx.made = ctx.made, None
        if made is None or torch.is_grad_enabled():
            raise RuntimeError(
                "cross_entropy: with in_place=True there is one backward, without create_graph"
            )
        _scale_gradient(made, grad)
        return made, None, None, None, None, None


def cross_entropy_op(logits, target, ignore_index, smoothing, z_weight, reduction, in_place=False):
    """The op, for arguments that `takes_op` accepted."""
    arguments = (logits, target, ignore_index, smoothing, z_weight, reduction)
    if reduction != 0 and wants_direct_grad(_loss_kern, logits):
        return (_InPlace if in_place and logits.is_contiguous() else _OnePass).apply(*arguments)
    return _forward(*arguments)
