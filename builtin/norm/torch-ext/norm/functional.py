# SPDX-License-Identifier: Apache-2.0
"""RMS and layer normalization as functions."""

import torch
from torch.compiler import is_dynamo_compiling

from . import _norm_kern
from ._glue import ArgumentError, check_float, takes_op
from ._ops import layer_norm_op, layer_norm_reference, rms_norm_op, rms_norm_reference

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
    if takes_op(x, weight, bias):
        return layer_norm_op(x, weight, bias, ndim, float(eps))
    return layer_norm_reference(x, weight, bias, ndim, eps)


def rms_norm(x, weight=None, eps=None, *, cast_first=False):
    """Root-mean-square normalization: `x / sqrt(mean(x^2) + eps) * weight`.

    Args:
        x: tensor of 1 to 64 dimensions; float32, bfloat16 or float16 on the CPU are computed by
            this kernel, everything else by torch's own functions.
        weight: tensor of the shape of x's last dimension or dimensions: those are normalized
            over. None (the default): no weight, over the last dimension.
        eps: added to the mean square. None (the default): float32's machine epsilon, as
            `torch.nn.functional.rms_norm` has it.
        cast_first: False (the default) rounds once, at the end, as `torch.nn.RMSNorm`; True
            rounds the normalized value to x's dtype before the weight and gives the dtype that
            the product has, as transformers' `LlamaRMSNorm`.

    Returns:
        A new contiguous tensor of x's shape and (but for `cast_first`) dtype.

    Raises:
        TypeError: an argument is not a floating-point tensor.
        ValueError: the weight does not match the last dimensions of x.

    Example:
        >>> y = norm.rms_norm(torch.tensor([[3.0, 4.0]]), torch.ones(2), 0.0)
        >>> [round(v, 4) for v in y[0].tolist()]
        [0.8485, 1.1314]
    """
    ndim = _dims_of(weight, None)
    if not is_dynamo_compiling():
        y = _norm_kern.rms_norm(x, weight, ndim, _DEFAULT_EPS if eps is None else eps, cast_first)
        if y is not NotImplemented:
            return y
    return rms_norm_any(x, weight, ndim, eps, cast_first)


def layer_norm(x, weight=None, bias=None, eps=1e-5):
    """Layer normalization: `(x - mean(x)) / sqrt(var(x) + eps) * weight + bias`.

    Args:
        x: tensor of 1 to 64 dimensions; float32, bfloat16 or float16 on the CPU are computed by
            this kernel, everything else by torch's own functions.
        weight: tensor of the shape of x's last dimension or dimensions: those are normalized
            over. None (the default): no weight.
        bias: as `weight`. Without both it is the last dimension that is normalized over.
        eps: added to the variance; 1e-5 by default, as in `torch.nn.LayerNorm`.

    Returns:
        A new contiguous tensor of x's shape and dtype.

    Raises:
        TypeError: an argument is not a floating-point tensor.
        ValueError: weight or bias do not match the last dimensions of x.

    Example:
        >>> norm.layer_norm(torch.tensor([1.0, 3.0]), eps=0.0).tolist()
        [-1.0, 1.0]
    """
    ndim = _dims_of(weight, bias)
    if not is_dynamo_compiling():
        y = _norm_kern.layer_norm(x, weight, bias, ndim, eps)
        if y is not NotImplemented:
            return y
    return layer_norm_any(x, weight, bias, ndim, eps)
