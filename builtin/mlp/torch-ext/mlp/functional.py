# SPDX-License-Identifier: Apache-2.0
"""An activation of one tensor times another, in one pass."""

from torch.compiler import is_dynamo_compiling

from . import _mlp_kern
from ._glue import ArgumentError, check_float, takes_op
from ._ops import OPS, REFERENCES


def _any_way(name, gate, up):
    check_float(name, "gate", gate)
    check_float(name, "up", up)
    if gate.shape != up.shape or gate.ndim < 1:
        raise ArgumentError(
            f"{name}: gate has shape {tuple(gate.shape)} and up {tuple(up.shape)}; one shape of a "
            "dimension or more is needed"
        )
    takes = takes_op(gate, up) and gate.dtype == up.dtype
    return (OPS if takes else REFERENCES)[name](gate, up)


def silu_mul(gate, up):
    """SiLU of `gate`, times `up`.

    Args:
        gate, up: tensors of one shape, of a dimension or more; two of float32, bfloat16 or
            float16 on the CPU are computed by this kernel, everything else by torch's own
            functions.

    Returns:
        A new contiguous tensor.

    Raises:
        TypeError: an argument is not a floating-point tensor.
        ValueError: the shapes differ.

    Example:
        >>> mlp.silu_mul(torch.tensor([100.0]), torch.tensor([3.0])).tolist()
        [300.0]
    """
    if not is_dynamo_compiling():
        y = _mlp_kern.silu_mul(gate, up)
        if y is not NotImplemented:
            return y
    return _any_way("silu_mul", gate, up)


def gelu_mul(gate, up):
    """GELU of `gate`, times `up`.

    Args:
        gate, up: tensors of one shape, of a dimension or more; two of float32, bfloat16 or
            float16 on the CPU are computed by this kernel, everything else by torch's own
            functions.

    Returns:
        A new contiguous tensor.

    Raises:
        TypeError: an argument is not a floating-point tensor.
        ValueError: the shapes differ.

    Example:
        >>> mlp.gelu_mul(torch.tensor([100.0]), torch.tensor([3.0])).tolist()
        [300.0]
    """
    if not is_dynamo_compiling():
        y = _mlp_kern.gelu_mul(gate, up)
        if y is not NotImplemented:
            return y
    return _any_way("gelu_mul", gate, up)


def gelu_tanh_mul(gate, up):
    """GELU's tanh approximation of `gate`, times `up`.

    Args:
        gate, up: tensors of one shape, of a dimension or more; two of float32, bfloat16 or
            float16 on the CPU are computed by this kernel, everything else by torch's own
            functions.

    Returns:
        A new contiguous tensor.

    Raises:
        TypeError: an argument is not a floating-point tensor.
        ValueError: the shapes differ.

    Example:
        >>> mlp.gelu_tanh_mul(torch.tensor([100.0]), torch.tensor([3.0])).tolist()
        [300.0]
    """
    if not is_dynamo_compiling():
        y = _mlp_kern.gelu_tanh_mul(gate, up)
        if y is not NotImplemented:
            return y
    return _any_way("gelu_tanh_mul", gate, up)
