# SPDX-License-Identifier: Apache-2.0
"""RMS and layer normalization as functions."""

import torch
from torch.compiler import is_dynamo_compiling

from . import _norm_kern
from ._glue import ArgumentError, check_float, takes_op, write_out, wrote_to
from ._ops import (
    GATE_KINDS,
    fused_add_layer_norm_op,
    fused_add_layer_norm_reference,
    fused_add_rms_norm_op,
    fused_add_rms_norm_reference,
    layer_norm_op,
    layer_norm_reference,
    rms_norm_gated_op,
    rms_norm_gated_reference,
    rms_norm_op,
    rms_norm_reference,
)

_DEFAULT_EPS = torch.finfo(torch.float32).eps


def _check_parameter(name, argument, parameter, x, ndim):
    if parameter is None:
        return
    check_float(name, argument, parameter)
    if torch.jit.is_tracing():
        return  # torch's functions run then and check it: comparing traced sizes would warn
    expected = x.shape[x.ndim - ndim :]
    if parameter.shape != expected:
        raise ArgumentError(
            f"{name}: {argument} has shape {tuple(parameter.shape)}, but the normalized dimensions "
            f"of the input, {tuple(x.shape)}, are {tuple(expected)}"
        )


def _check(name, x, weight, bias, ndim):
    check_float(name, "the input", x)
    if not 1 <= ndim <= x.ndim:
        raise ArgumentError(
            f"{name}: {ndim} normalized dimension(s), but the input has shape {tuple(x.shape)}"
        )
    _check_parameter(name, "weight", weight, x, ndim)
    _check_parameter(name, "bias", bias, x, ndim)


def _check_like(name, argument, tensor, x):
    check_float(name, argument, tensor)
    if not torch.jit.is_tracing() and (tensor.shape != x.shape or tensor.dtype != x.dtype):
        raise ArgumentError(
            f"{name}: {argument} has shape {tuple(tensor.shape)} and dtype {tensor.dtype}; the "
            f"input's are needed, {tuple(x.shape)} and {x.dtype}"
        )


def _dims_of(weight, bias):
    given = bias if weight is None else weight
    return given.ndim if isinstance(given, torch.Tensor) else 1


def rms_norm_any(x, weight, ndim, eps, cast_first):
    """RMS normalization by whatever way is right for these arguments."""
    if eps is None:
        eps = _DEFAULT_EPS
    _check("rms_norm", x, weight, None, ndim)
    if takes_op(x, weight):
        return rms_norm_op(x, weight, ndim, float(eps), cast_first)
    return rms_norm_reference(x, weight, ndim, eps, cast_first)


def layer_norm_any(x, weight, bias, ndim, eps):
    """Layer normalization by whatever way is right for these arguments."""
    _check("layer_norm", x, weight, bias, ndim)
    if takes_op(x, weight, bias, fuses_backward=True):
        return layer_norm_op(x, weight, bias, ndim, float(eps))
    return layer_norm_reference(x, weight, bias, ndim, eps)


def fused_add_rms_norm_any(x, residual, weight, ndim, eps, cast_first):
    """Addition and RMS normalization by whatever way is right for these arguments."""
    if eps is None:
        eps = _DEFAULT_EPS
    _check("fused_add_rms_norm", x, weight, None, ndim)
    _check_like("fused_add_rms_norm", "residual", residual, x)
    if takes_op(x, residual, weight):
        return fused_add_rms_norm_op(x, residual, weight, ndim, float(eps), cast_first)
    return fused_add_rms_norm_reference(x, residual, weight, ndim, eps, cast_first)


def fused_add_layer_norm_any(x, residual, weight, bias, ndim, eps):
    """Addition and layer normalization by whatever way is right for these arguments."""
    _check("fused_add_layer_norm", x, weight, bias, ndim)
    _check_like("fused_add_layer_norm", "residual", residual, x)
    if takes_op(x, residual, weight, bias):
        return fused_add_layer_norm_op(x, residual, weight, bias, ndim, float(eps))
    return fused_add_layer_norm_reference(x, residual, weight, bias, ndim, eps)


def rms_norm_gated_any(x, gate, weight, ndim, eps, cast_first, activation):
    """Gated RMS normalization by whatever way is right for these arguments."""
    if eps is None:
        eps = _DEFAULT_EPS
    if activation not in GATE_KINDS:
        raise ArgumentError(
            f"rms_norm_gated: activation is {activation!r}; silu or sigmoid is needed"
        )
    _check("rms_norm_gated", x, weight, None, ndim)
    _check_like("rms_norm_gated", "gate", gate, x)
    arguments = (x, gate, weight, ndim, float(eps), cast_first, GATE_KINDS[activation])
    return (rms_norm_gated_op if takes_op(x, gate, weight) else rms_norm_gated_reference)(
        *arguments
    )


def rms_norm(x, weight=None, eps=None, *, cast_first=False, out=None):
    """Root-mean-square normalization: `x / sqrt(mean(x^2) + eps) * weight`.

    Args:
        x: tensor of 1 to 64 dimensions; float32, bfloat16 or float16 on a device of the build are computed by
            this kernel, everything else by torch's own functions.
        weight: tensor of the shape of x's last dimension or dimensions: those are normalized
            over. None (the default): no weight, over the last dimension.
        eps: added to the mean square. None (the default): float32's machine epsilon, as
            `torch.nn.functional.rms_norm` has it.
        cast_first: False (the default) rounds once, at the end, as `torch.nn.RMSNorm`; True
            rounds the normalized value to x's dtype before the weight and gives the dtype that
            the product has, as transformers' `LlamaRMSNorm`.
        out: a tensor to write the result into; None (the default) makes a new one.

    Returns:
        `out`, or a new contiguous tensor of x's shape and (but for `cast_first`) dtype.

    Raises:
        TypeError: an argument is not a floating-point tensor.
        ValueError: the weight does not match the last dimensions of x, or out the result.

    Example:
        >>> y = norm.rms_norm(torch.tensor([[3.0, 4.0]]), torch.ones(2), 0.0)
        >>> [round(v, 4) for v in y[0].tolist()]
        [0.8485, 1.1314]
    """
    ndim = _dims_of(weight, None)
    if not is_dynamo_compiling():
        epsilon = _DEFAULT_EPS if eps is None else eps
        y = _norm_kern.rms_norm(x, weight, ndim, epsilon, cast_first, out)
        if y is not NotImplemented:
            return y if out is None else wrote_to(out)
    y = rms_norm_any(x, weight, ndim, eps, cast_first)
    return y if out is None else write_out(out, y)


def layer_norm(x, weight=None, bias=None, eps=1e-5, *, out=None):
    """Layer normalization: `(x - mean(x)) / sqrt(var(x) + eps) * weight + bias`.

    Args:
        x: tensor of 1 to 64 dimensions; float32, bfloat16 or float16 on a device of the build are computed by
            this kernel, everything else by torch's own functions.
        weight: tensor of the shape of x's last dimension or dimensions: those are normalized
            over. None (the default): no weight.
        bias: as `weight`. Without both it is the last dimension that is normalized over.
        eps: added to the variance; 1e-5 by default, as in `torch.nn.LayerNorm`.
        out: a tensor to write the result into; None (the default) makes a new one.

    Returns:
        `out`, or a new contiguous tensor of x's shape and dtype.

    Raises:
        TypeError: an argument is not a floating-point tensor.
        ValueError: weight or bias do not match the last dimensions of x, or out the result.

    Example:
        >>> norm.layer_norm(torch.tensor([1.0, 3.0]), eps=0.0).tolist()
        [-1.0, 1.0]
    """
    ndim = _dims_of(weight, bias)
    if not is_dynamo_compiling():
        y = _norm_kern.layer_norm(x, weight, bias, ndim, eps, out)
        if y is not NotImplemented:
            return y if out is None else wrote_to(out)
    y = layer_norm_any(x, weight, bias, ndim, eps)
    return y if out is None else write_out(out, y)


def fused_add_rms_norm(x, residual, weight=None, eps=None, *, cast_first=False):
    """`rms_norm` of `x + residual`, and that sum, in one pass over memory.

    Args:
        x, weight, eps, cast_first: as for `rms_norm`.
        residual: tensor of x's shape and dtype.

    Returns:
        The normalized tensor and the sum, rounded to x's dtype; both new and contiguous.

    Raises:
        TypeError: an argument is not a floating-point tensor.
        ValueError: the weight does not match the last dimensions of x, or residual is not like x.

    Example:
        >>> y, total = norm.fused_add_rms_norm(torch.tensor([1.0, 5.0]), torch.tensor([2.0, -1.0]))
        >>> total.tolist()
        [3.0, 4.0]
    """
    ndim = _dims_of(weight, None)
    if not is_dynamo_compiling():
        epsilon = _DEFAULT_EPS if eps is None else eps
        y = _norm_kern.fused_add_rms_norm(x, residual, weight, ndim, epsilon, cast_first)
        if y is not NotImplemented:
            return y
    return fused_add_rms_norm_any(x, residual, weight, ndim, eps, cast_first)


def fused_add_layer_norm(x, residual, weight=None, bias=None, eps=1e-5):
    """`layer_norm` of `x + residual`, and that sum, in one pass over memory.

    Args:
        x, weight, bias, eps: as for `layer_norm`.
        residual: tensor of x's shape and dtype.

    Returns:
        The normalized tensor and the sum, rounded to x's dtype; both new and contiguous.

    Raises:
        TypeError: an argument is not a floating-point tensor.
        ValueError: weight or bias do not match the last dimensions of x, or residual is not like x.

    Example:
        >>> ones = torch.ones(2)
        >>> y, total = norm.fused_add_layer_norm(torch.tensor([0.0, 2.0]), ones, eps=0.0)
        >>> y.tolist(), total.tolist()
        ([-1.0, 1.0], [1.0, 3.0])
    """
    ndim = _dims_of(weight, bias)
    if not is_dynamo_compiling():
        y = _norm_kern.fused_add_layer_norm(x, residual, weight, bias, ndim, eps)
        if y is not NotImplemented:
            return y
    return fused_add_layer_norm_any(x, residual, weight, bias, ndim, eps)


def rms_norm_gated(x, gate, weight=None, eps=None, *, activation="silu", cast_first=False):
    """`rms_norm(x) * activation(gate)`.

    Args:
        x, weight, eps: as for `rms_norm`.
        gate: tensor of x's shape and dtype.
        activation: "silu" (the default) or "sigmoid".
        cast_first: False (the default) rounds once, at the end; True also rounds to x's dtype
            before the weight, and before the gate, as transformers' `Qwen3NextRMSNormGated`.

    Returns:
        A new contiguous tensor of x's shape and dtype.

    Raises:
        TypeError: an argument is not a floating-point tensor.
        ValueError: the weight does not match the last dimensions of x, gate is not like x, or
            there is no such activation.

    Example:
        >>> x, gate = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 100.0])
        >>> [round(v, 2) for v in norm.rms_norm_gated(x, gate, eps=0.0).tolist()]
        [0.0, 113.14]
    """
    ndim = _dims_of(weight, None)
    if not is_dynamo_compiling():
        epsilon, kind = _DEFAULT_EPS if eps is None else eps, GATE_KINDS.get(activation, 0)
        y = _norm_kern.rms_norm_gated(x, gate, weight, ndim, epsilon, cast_first, kind)
        if y is not NotImplemented:
            return y
    return rms_norm_gated_any(x, gate, weight, ndim, eps, cast_first, activation)
