# SPDX-License-Identifier: Apache-2.0
"""The ops of this kernel for torch: fake implementations and gradients of the C functions."""

import torch
import torch.nn.functional as F

from . import _norm_kern
from ._build import BUILD_ID
from ._glue import (
    backward_through,
    direct_function,
    register_ops,
    register_vmap,
    wants_direct_grad,
)

ops = register_ops(_norm_kern, BUILD_ID, "rms_norm")
_rms_norm = ops.rms_norm.default
_rms_norm_backward = ops.rms_norm_backward.default
_layer_norm = ops.layer_norm.default
_layer_norm_backward = ops.layer_norm_backward.default


def rms_norm_reference(x, weight, ndim, eps, cast_first):
    """The formula in torch's own ops."""
    if not cast_first:
        return F.rms_norm(x, x.shape[x.ndim - ndim :], weight, eps)
    wide = x.to(torch.float32)
    dims = tuple(range(-ndim, 0))
    wide = wide * torch.rsqrt(wide.pow(2).mean(dims, keepdim=True) + eps)
    return wide.to(x.dtype) if weight is None else weight * wide.to(x.dtype)


def layer_norm_reference(x, weight, bias, ndim, eps):
    """The formula in torch's own ops."""
    return F.layer_norm(x, x.shape[x.ndim - ndim :], weight, bias, eps)


@torch.library.register_fake(_rms_norm)
def _(x, weight, ndim, eps, cast_first):
    promotes = cast_first and weight is not None
    return x.new_empty(x.shape, dtype=weight.dtype if promotes else x.dtype)


@torch.library.register_fake(_layer_norm)
def _(x, weight, bias, ndim, eps):
    return x.new_empty(x.shape)


def _parameter_grad(x, parameter, ndim, wanted):
    dtype = x.dtype if parameter is None else parameter.dtype
    return x.new_empty(x.shape[x.ndim - ndim :] if wanted else (0,), dtype=dtype)


@torch.library.register_fake(_rms_norm_backward)
def _(grad, x, weight, ndim, eps, wants_weight):
    unwanted = _parameter_grad(x, weight, ndim, False)
    return x.new_empty(x.shape), _parameter_grad(x, weight, ndim, wants_weight), unwanted


@torch.library.register_fake(_layer_norm_backward)
def _(grad, x, weight, bias, ndim, eps, wants_weight, wants_bias):
    given = bias if weight is None else weight
    return (
        x.new_empty(x.shape),
        _parameter_grad(x, given, ndim, wants_weight),
        _parameter_grad(x, given, ndim, wants_bias),
    )


def _rms_norm_setup(ctx, inputs, output):
    x, weight, ctx.ndim, ctx.eps, ctx.cast_first = inputs
    ctx.save_for_backward(x, weight)


def _rms_norm_grads(ctx, grad):
    x, weight = ctx.saved_tensors
    if torch.is_grad_enabled():
        return backward_through(
            rms_norm_reference, (x, weight, ctx.ndim, ctx.eps, ctx.cast_first), grad
        )
    wants = ctx.needs_input_grad[1]
    dx, dw, _ = _rms_norm_backward(grad, x, weight, ctx.ndim, ctx.eps, wants)
    return dx, dw if wants else None, None, None, None


def _layer_norm_setup(ctx, inputs, output):
    x, weight, bias, ctx.ndim, ctx.eps = inputs
    ctx.save_for_backward(x, weight, bias)


def _layer_norm_grads(ctx, grad):
    x, weight, bias = ctx.saved_tensors
    if torch.is_grad_enabled():
        return backward_through(layer_norm_reference, (x, weight, bias, ctx.ndim, ctx.eps), grad)
    wants = ctx.needs_input_grad
    dx, dw, db = _layer_norm_backward(grad, x, weight, bias, ctx.ndim, ctx.eps, wants[1], wants[2])
    return dx, dw if wants[1] else None, db if wants[2] else None, None, None


torch.library.register_autograd(_rms_norm, _rms_norm_grads, setup_context=_rms_norm_setup)
torch.library.register_autograd(_layer_norm, _layer_norm_grads, setup_context=_layer_norm_setup)
for _op in (_rms_norm, _rms_norm_backward, _layer_norm, _layer_norm_backward):
    register_vmap(_op)

_DirectRMSNorm = direct_function(
    "DirectRMSNorm", _norm_kern.rms_norm, _rms_norm, _rms_norm_setup, _rms_norm_grads
)
_DirectLayerNorm = direct_function(
    "DirectLayerNorm", _norm_kern.layer_norm, _layer_norm, _layer_norm_setup, _layer_norm_grads
)


def rms_norm_op(x, weight, ndim, eps, cast_first):
    """The op, for arguments that `takes_op` accepted."""
    if weight is not None and weight.dtype != x.dtype:
        weight = weight.float()
    if wants_direct_grad(_norm_kern, x, weight):
        return _DirectRMSNorm.apply(x, weight, ndim, eps, cast_first)
    return _rms_norm(x, weight, ndim, eps, cast_first)


def layer_norm_op(x, weight, bias, ndim, eps):
    """The op, for arguments that `takes_op` accepted."""
    given = [t.dtype for t in (weight, bias) if t is not None]
    if any(dtype != x.dtype for dtype in given):
        weight = None if weight is None else weight.float()
        bias = None if bias is None else bias.float()
    if wants_direct_grad(_norm_kern, x, weight, bias):
        return _DirectLayerNorm.apply(x, weight, bias, ndim, eps)
    return _layer_norm(x, weight, bias, ndim, eps)
