# SPDX-License-Identifier: Apache-2.0
"""Activation functions."""

import functools

from torch.compiler import is_dynamo_compiling

from . import _activation_kern
from ._glue import ArgumentError, check_float, takes_op, write_out, wrote_to
from ._ops import FLAT, GATED, OPS, REFERENCES


def any_way(name, x, out=None):
    """The function of this name by whatever way is right for this argument."""
    check_float(name, "the input", x)
    if name in GATED and (x.ndim < 1 or x.shape[-1] % 2 != 0):
        raise ArgumentError(
            f"{name}: the last dimension must be even, the input has shape {tuple(x.shape)}"
        )
    takes = takes_op(x, fuses_backward=name in FLAT)
    y = (OPS if takes else REFERENCES)[name](x)
    return y if out is None else write_out(out, y)


def _function(described):
    """The function of this name: the direct call from Python to C where that is all, or any other way."""
    name = described.__name__
    direct = getattr(_activation_kern, name)

    @functools.wraps(described)
    def function(x, *, out=None):
        if not is_dynamo_compiling():
            y = direct(x) if out is None else direct(x, out)
            if y is not NotImplemented:
                return y if out is None else wrote_to(out)
        return any_way(name, x, out)

    return function


@_function
def silu(x, *, out=None):
    """Sigmoid linear unit: `x * sigmoid(x)`.

    Args:
        x: tensor of any shape; float32, bfloat16 or float16 on a device of the build are computed by this
            kernel, everything else by torch's own functions.
        out: a tensor to write the result into; None (the default) makes a new one.

    Returns:
        `out`, or a new tensor of x's shape, dtype and memory order.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: out is not like the result.

    Example:
        >>> activation.silu(torch.tensor([0.0, 100.0])).tolist()
        [0.0, 100.0]
    """


@_function
def gelu(x, *, out=None):
    """Gaussian error linear unit: `x * Phi(x)`, Phi being the normal distribution function.

    Args:
        x: tensor of any shape; float32, bfloat16 or float16 on a device of the build are computed by this
            kernel, everything else by torch's own functions.
        out: a tensor to write the result into; None (the default) makes a new one.

    Returns:
        `out`, or a new tensor of x's shape, dtype and memory order.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: out is not like the result.

    Example:
        >>> activation.gelu(torch.tensor([0.0, 100.0])).tolist()
        [0.0, 100.0]
    """


@_function
def gelu_tanh(x, *, out=None):
    """GELU's tanh approximation: `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`.

    Args:
        x: tensor of any shape; float32, bfloat16 or float16 on a device of the build are computed by this
            kernel, everything else by torch's own functions.
        out: a tensor to write the result into; None (the default) makes a new one.

    Returns:
        `out`, or a new tensor of x's shape, dtype and memory order.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: out is not like the result.

    Example:
        >>> activation.gelu_tanh(torch.tensor([0.0, 100.0])).tolist()
        [0.0, 100.0]
    """


@_function
def quick_gelu(x, *, out=None):
    """GELU's sigmoid approximation: `x * sigmoid(1.702 x)`.

    Args:
        x: tensor of any shape; float32, bfloat16 or float16 on a device of the build are computed by this
            kernel, everything else by torch's own functions.
        out: a tensor to write the result into; None (the default) makes a new one.

    Returns:
        `out`, or a new tensor of x's shape, dtype and memory order.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: out is not like the result.

    Example:
        >>> activation.quick_gelu(torch.tensor([0.0, 100.0])).tolist()
        [0.0, 100.0]
    """


@_function
def silu_and_mul(x, *, out=None):
    """SiLU of the first half of the last dimension, times the second half.

    Args:
        x: tensor of at least one dimension, the last of even size 2d; float32, bfloat16 or
            float16 on a device of the build are computed by this kernel, everything else by torch's own
            functions.
        out: a tensor to write the result into; None (the default) makes a new one.

    Returns:
        `out`, or a new contiguous tensor with a last dimension of size d, of x's dtype.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: the size of the last dimension is odd, or there is none; out is not like the
            result.

    Example:
        >>> activation.silu_and_mul(torch.tensor([100.0, 3.0])).tolist()
        [300.0]
    """


@_function
def gelu_and_mul(x, *, out=None):
    """GELU of the first half of the last dimension, times the second half.

    Args:
        x: tensor of at least one dimension, the last of even size 2d; float32, bfloat16 or
            float16 on a device of the build are computed by this kernel, everything else by torch's own
            functions.
        out: a tensor to write the result into; None (the default) makes a new one.

    Returns:
        `out`, or a new contiguous tensor with a last dimension of size d, of x's dtype.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: the size of the last dimension is odd, or there is none; out is not like the
            result.

    Example:
        >>> activation.gelu_and_mul(torch.tensor([100.0, 3.0])).tolist()
        [300.0]
    """


@_function
def gelu_tanh_and_mul(x, *, out=None):
    """GELU's tanh approximation of the first half of the last dimension, times the second half.

    Args:
        x: tensor of at least one dimension, the last of even size 2d; float32, bfloat16 or
            float16 on a device of the build are computed by this kernel, everything else by torch's own
            functions.
        out: a tensor to write the result into; None (the default) makes a new one.

    Returns:
        `out`, or a new contiguous tensor with a last dimension of size d, of x's dtype.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: the size of the last dimension is odd, or there is none; out is not like the
            result.

    Example:
        >>> activation.gelu_tanh_and_mul(torch.tensor([100.0, 3.0])).tolist()
        [300.0]
    """
