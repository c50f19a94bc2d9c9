# SPDX-License-Identifier: Apache-2.0
"""The ops of this kernel for torch: fake implementations and gradients of the C functions."""

import torch
import torch.nn.functional as F

from . import _norm_kern
from ._build import BUILD_ID
from ._glue import (
    backward_through,
    define_gradient,
    direct_or_op,
    register_ops,
    register_vmap,
)

ops = register_ops(_norm_kern, BUILD_ID, "rms_norm")
_rms_norm = ops.rms_norm.default
_rms_norm_backward = ops.rms_norm_backward.default
_layer_norm = ops.layer_norm.default
_layer_norm_backward = ops.layer_norm_backward.default
_fused_add_rms_norm = ops.fused_add_rms_norm.default
_fused_add_layer_norm = ops.fused_add_layer_norm.default
_rms_norm_gated = ops.rms_norm_gated.default
_rms_norm_gated_backward = ops.rms_norm_gated_backward.default

# Kinds of gates, as norm_gate in norm_math.h, and torch's functions for them.
GATE_KINDS = {"silu": 1, "sigmoid": 2}
_GATES = {1: F.silu, 2: torch.sigmoid}


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


def fused_add_rms_norm_reference(x, residual, weight, ndim, eps, cast_first):
    """The formula in torch's own ops."""
    total = x + residual
    return rms_norm_reference(total, weight, ndim, eps, cast_first), total


def fused_add_layer_norm_reference(x, residual, weight, bias, ndim, eps):
    """The formula in torch's own ops."""
    total = x + residual
    return layer_norm_reference(total, weight, bias, ndim, eps), total


def rms_norm_gated_reference(x, gate, weight, ndim, eps, cast_first, kind):
    """The formula in torch's own ops."""
    wide = x if cast_first else x.float()
    wide = rms_norm_reference(wide, weight, ndim, eps, cast_first)
    return (wide * _GATES[kind](gate.float())).to(x.dtype)


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


@torch.library.register_fake(_fused_add_rms_norm)
def _(x, residual, weight, ndim, eps, cast_first):
    promotes = cast_first and weight is not None
    y = x.new_empty(x.shape, dtype=weight.dtype if promotes else x.dtype)
    return y, x.new_empty(x.shape)


@torch.library.register_fake(_fused_add_layer_norm)
def _(x, residual, weight, bias, ndim, eps):
    return x.new_empty(x.shape), x.new_empty(x.shape)


@torch.library.register_fake(_rms_norm_gated)
def _(x, gate, weight, ndim, eps, cast_first, kind):
    return x.new_empty(x.shape)


@torch.library.register_fake(_rms_norm_gated_backward)
def _(grad, x, gate, weight, ndim, eps, kind, wants_weight):
    weight_grad = _parameter_grad(x, weight, ndim, wants_weight)
    return x.new_empty(x.shape), x.new_empty(x.shape), weight_grad


@torch.library.register_fake(_rms_norm_backward)
def _(grad, x, weight, ndim, eps, wants_weight, sum_grad=None):
    unwanted = _parameter_grad(x, weight, ndim, False)
    return x.new_empty(x.shape), _parameter_grad(x, weight, ndim, wants_weight), unwanted


@torch.library.register_fake(_layer_norm_backward)
def _(grad, x, weight, bias, ndim, eps, wants_weight, wants_bias, sum_grad=None):
    given = bias if weight is None else weight
    return (
        x.new_empty(x.shape),
        _parameter_grad(x, given, ndim, wants_weight),
        _parameter_grad(x, given, ndim, wants_bias),
    )


def _rms_norm_setup(ctx, inputs, output):
    ctx.options = inputs[2:]
    ctx.save_for_backward(*inputs[:2])


def _rms_norm_grads(ctx, grad):
    x, weight = ctx.saved_tensors
    if torch.is_grad_enabled():
        return backward_through(rms_norm_reference, (x, weight, *ctx.options), grad)
    ndim, eps, _ = ctx.options
    wants = ctx.needs_input_grad[1]
    dx, dw, _ = _grads_of_rms_norm(grad, x, weight, ndim, eps, wants)
    return dx, dw if wants else None, None, None, None


def _layer_norm_setup(ctx, inputs, output):
    ctx.options = inputs[3:]
    ctx.save_for_backward(*inputs[:3])


def _layer_norm_grads(ctx, grad):
    inputs = (*ctx.saved_tensors, *ctx.options)
    if torch.is_grad_enabled():
        return backward_through(layer_norm_reference, inputs, grad)
    _, *wants, _, _ = ctx.needs_input_grad
    dx, dw, db = _grads_of_layer_norm(grad, *inputs, *wants)
    return dx, dw if wants[0] else None, db if wants[1] else None, None, None


# Of a fused addition the backward needs the sum, not what was added.


def _fused_add_rms_norm_setup(ctx, inputs, output):
    ctx.options = inputs[3:]
    ctx.save_for_backward(output[1], inputs[2])


def _fused_add_rms_norm_grads(ctx, grad, sum_grad):
    total, weight = ctx.saved_tensors
    if torch.is_grad_enabled():
        inputs = (total, weight, *ctx.options)
        dx, dw, *_ = backward_through(rms_norm_reference, inputs, grad)
        dx = dx + sum_grad
        return dx, dx, dw, None, None, None
    ndim, eps, _ = ctx.options
    wants = ctx.needs_input_grad[2]
    dx, dw, _ = _grads_of_rms_norm(grad, total, weight, ndim, eps, wants, sum_grad)
    return dx, dx, dw if wants else None, None, None, None


def _fused_add_layer_norm_setup(ctx, inputs, output):
    ctx.options = inputs[4:]
    ctx.save_for_backward(output[1], *inputs[2:4])


def _fused_add_layer_norm_grads(ctx, grad, sum_grad):
    inputs = (*ctx.saved_tensors, *ctx.options)
    if torch.is_grad_enabled():
        dx, dw, db, *_ = backward_through(layer_norm_reference, inputs, grad)
        dx = dx + sum_grad
        return dx, dx, dw, db, None, None
    wants = ctx.needs_input_grad[2:4]
    dx, dw, db = _grads_of_layer_norm(grad, *inputs, *wants, sum_grad)
    return dx, dx, dw if wants[0] else None, db if wants[1] else None, None, None


def _rms_norm_gated_setup(ctx, inputs, output):
    ctx.options = inputs[3:]
    ctx.save_for_backward(*inputs[:3])


def _rms_norm_gated_grads(ctx, grad):
    x, gate, weight = ctx.saved_tensors
    if torch.is_grad_enabled():
        return backward_through(rms_norm_gated_reference, (x, gate, weight, *ctx.options), grad)
    ndim, eps, _, kind = ctx.options
    wants = ctx.needs_input_grad[2]
    dx, dgate, dw = _grads_of_rms_norm_gated(grad, x, gate, weight, ndim, eps, kind, wants)
    return dx, dgate, dw if wants else None, None, None, None, None


def _define(name, op, setup, grads):
    return define_gradient(_norm_kern, name, op, setup, grads)


def _define_backward(name, op):
    register_vmap(op)
    return direct_or_op(getattr(_norm_kern, name), op)


_call_rms_norm = _define("rms_norm", _rms_norm, _rms_norm_setup, _rms_norm_grads)
_call_layer_norm = _define("layer_norm", _layer_norm, _layer_norm_setup, _layer_norm_grads)
_call_fused_add_rms_norm = _define(
    "fused_add_rms_norm", _fused_add_rms_norm, _fused_add_rms_norm_setup, _fused_add_rms_norm_grads
)
_call_fused_add_layer_norm = _define(
    "fused_add_layer_norm",
    _fused_add_layer_norm,
    _fused_add_layer_norm_setup,
    _fused_add_layer_norm_grads,
)
_call_rms_norm_gated = _define(
    "rms_norm_gated", _rms_norm_gated, _rms_norm_gated_setup, _rms_norm_gated_grads
)
_grads_of_rms_norm = _define_backward("rms_norm_backward", _rms_norm_backward)
_grads_of_layer_norm = _define_backward("layer_norm_backward", _layer_norm_backward)
_grads_of_rms_norm_gated = _define_backward("rms_norm_gated_backward", _rms_norm_gated_backward)


def _weight_for(x, weight):
    """The kernel takes a weight of the input's dtype or of float32."""
    return weight if weight is None or weight.dtype == x.dtype else weight.float()


def _parameters_for(x, weight, bias):
    if any(t is not None and t.dtype != x.dtype for t in (weight, bias)):
        weight = None if weight is None else weight.float()
        bias = None if bias is None else bias.float()
    return weight, bias


# These take arguments that `takes_op` accepted.


def rms_norm_op(x, weight, ndim, eps, cast_first):
    return _call_rms_norm(x, _weight_for(x, weight), ndim, eps, cast_first)


def layer_norm_op(x, weight, bias, ndim, eps):
    return _call_layer_norm(x, *_parameters_for(x, weight, bias), ndim, eps)


def fused_add_rms_norm_op(x, residual, weight, ndim, eps, cast_first):
    return _call_fused_add_rms_norm(x, residual, _weight_for(x, weight), ndim, eps, cast_first)


def fused_add_layer_norm_op(x, residual, weight, bias, ndim, eps):
    weight, bias = _parameters_for(x, weight, bias)
    return _call_fused_add_layer_norm(x, residual, weight, bias, ndim, eps)


def rms_norm_gated_op(x, gate, weight, ndim, eps, cast_first, kind):
    return _call_rms_norm_gated(x, gate, _weight_for(x, weight), ndim, eps, cast_first, kind)
