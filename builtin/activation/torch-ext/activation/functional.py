# SPDX-License-Identifier: Apache-2.0
"""Activation functions."""

import torch.nn.functional as F
from torch.compiler import is_dynamo_compiling

from . import _activation_kern
from ._glue import ArgumentError, check_float, takes_op
from ._ops import (
    gelu_op,
    gelu_tanh_op,
    gelu_tanh_reference,
    silu_and_mul_op,
    silu_and_mul_reference,
    silu_op,
)


def silu_any(x):
    """SiLU by whatever way is right for this argument."""
    check_float("silu", "the input", x)
    return silu_op(x) if takes_op(x) else F.silu(x)


def gelu_any(x):
    """GELU by whatever way is right for this argument."""
    check_float("gelu", "the input", x)
    return gelu_op(x) if takes_op(x) else F.gelu(x)


def gelu_tanh_any(x):
    """GELU's tanh approximation by whatever way is right for this argument."""
    check_float("gelu_tanh", "the input", x)
    return gelu_tanh_op(x) if takes_op(x) else gelu_tanh_reference(x)


def silu_and_mul_any(x):
    """SiLU of one half times the other by whatever way is right for this argument."""
    check_float("silu_and_mul", "the input", x)
    if x.ndim < 1 or x.shape[-1] % 2 != 0:
        raise ArgumentError(
            f"silu_and_mul: the last dimension must be even, the input has shape {tuple(x.shape)}"
        )
    return silu_and_mul_op(x) if takes_op(x) else silu_and_mul_reference(x)


def silu(x):
    """Sigmoid linear unit: `x * sigmoid(x)`.

    Args:
        x: tensor of any shape; float32, bfloat16 or float16 on the CPU are computed by this
            kernel, everything else by torch's own functions.

    Returns:
        A new tensor of x's shape, dtype and memory order.

    Raises:
        TypeError: x is not a floating-point tensor.

    Example:
        >>> activation.silu(torch.tensor([0.0, 100.0])).tolist()
        [0.0, 100.0]
    """
    if not is_dynamo_compiling():
        y = _activation_kern.silu(x)
        if y is not NotImplemented:
            return y
    return silu_any(x)


def gelu(x):
    """Gaussian error linear unit: `x * Phi(x)`, Phi being the normal distribution function.

    Args:
        x: tensor of any shape; float32, bfloat16 or float16 on the CPU are computed by this
            kernel, everything else by torch's own functions.

    Returns:
        A new tensor of x's shape, dtype and memory order.

    Raises:
        TypeError: x is not a floating-point tensor.

    Example:
        >>> activation.gelu(torch.tensor([0.0, 100.0])).tolist()
        [0.0, 100.0]
    """
    if not is_dynamo_compiling():
        y = _activation_kern.gelu(x)
        if y is not NotImplemented:
            return y
    return gelu_any(x)


def gelu_tanh(x):
    """GELU's tanh approximation: `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`.

    Args:
        x: tensor of any shape; float32, bfloat16 or float16 on the CPU are computed by this
            kernel, everything else by torch's own functions.

    Returns:
        A new tensor of x's shape, dtype and memory order.

    Raises:
        TypeError: x is not a floating-point tensor.

    Example:
        >>> activation.gelu_tanh(torch.tensor([0.0, 100.0])).tolist()
        [0.0, 100.0]
    """
    if not is_dynamo_compiling():
        y = _activation_kern.gelu_tanh(x)
        if y is not NotImplemented:
            return y
    return gelu_tanh_any(x)


def silu_and_mul(x):
    """SiLU of the first half of the last dimension, times the second half.

    Args:
        x: tensor of at least one dimension, the last of even size 2d; float32, bfloat16 or
            float16 on the CPU are computed by this kernel, everything else by torch's own
            functions.

    Returns:
        A new contiguous tensor with a last dimension of size d, of x's dtype.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: the size of the last dimension is odd, or there is none.

    Example:
        >>> activation.silu_and_mul(torch.tensor([100.0, 3.0])).tolist()
        [300.0]
    """
    if not is_dynamo_compiling():
        y = _activation_kern.silu_and_mul(x)
        if y is not NotImplemented:
            return y
    return silu_and_mul_any(x)
