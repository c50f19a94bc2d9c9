# SPDX-License-Identifier: Apache-2.0
"""An activation of one tensor times another in one pass; a linear layer and a gated MLP for a few rows."""

import functools

import torch
import torch.nn.functional as F
from torch.compiler import is_dynamo_compiling

from . import _mlp_kern, _ops
from ._glue import ArgumentError, check_float, takes_op, write_out
from ._ops import KINDS, OPS, REFERENCES

# Up to here the products are as quick as memory gives the weights; beyond, torch's are quicker.
FEW_ROWS = 4
# Several bfloat16 rows with more multiplications are quicker with torch, whose kernels have BF16 instructions for them.
# In a gated MLP one call of ours is four of torch's: more rows then, and more multiplications in each product.
FEW_BF16_PRODUCTS = 2**19
FEW_BF16_MLP_ROWS = 2
FEW_BF16_MLP_PRODUCTS = 2**20


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


def _product(described):
    """The function of this name: the direct call from Python to C where that is all, or any other way."""
    name = described.__name__
    direct = getattr(_mlp_kern, name)

    @functools.wraps(described)
    def function(gate, up):
        if not is_dynamo_compiling():
            y = direct(gate, up)
            if y is not NotImplemented:
                return y
        return _any_way(name, gate, up)

    return function


@_product
def silu_mul(gate, up):
    """SiLU of `gate`, times `up`.

    Args:
        gate, up: tensors of one shape, of a dimension or more; two of float32, bfloat16 or
            float16 on a device of the build are computed by this kernel, everything else by torch's own
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


@_product
def gelu_mul(gate, up):
    """GELU of `gate`, times `up`.

    Args:
        gate, up: tensors of one shape, of a dimension or more; two of float32, bfloat16 or
            float16 on a device of the build are computed by this kernel, everything else by torch's own
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


@_product
def gelu_tanh_mul(gate, up):
    """GELU's tanh approximation of `gate`, times `up`.

    Args:
        gate, up: tensors of one shape, of a dimension or more; two of float32, bfloat16 or
            float16 on a device of the build are computed by this kernel, everything else by torch's own
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


FUSED = {"silu": silu_mul, "gelu": gelu_mul, "gelu_tanh": gelu_tanh_mul}


def _fit(x, parameters):
    """Whether weights are matrices for x, and biases vectors for them; F.linear takes more, and says
    what is wrong."""
    weights, biases = parameters[::2], parameters[1::2]
    return (
        all(weight.ndim == 2 for weight in weights)
        and x.shape[-1] == weights[0].shape[1]
        and all(
            bias is None or bias.shape == weight.shape[:1]
            for weight, bias in zip(weights, biases, strict=True)
        )
    )


def _takes_products(x, parameters):
    given = [x, *(tensor for tensor in parameters if tensor is not None)]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given):
        return False
    return (
        takes_op(*given)
        and all(tensor.dtype == x.dtype and tensor.is_contiguous() for tensor in given)
        and _fit(x, parameters)
    )


def _are_few(x):
    """Whether our own products of these rows may be the better way."""
    if x.device.type == "cuda" or torch.is_autocast_enabled("cpu"):
        return False
    return x.ndim >= 1 and x.numel() <= FEW_ROWS * x.shape[-1]


def _is_quicker_in_torch(x, weight, rows, products):
    """Whether more than so many bfloat16 rows are more than so many multiplications.

    From sizes alone, so that the number of threads does not change a bit of the result.
    """
    if x.dtype != torch.bfloat16 or x.numel() <= rows * x.shape[-1]:
        return False
    return x.numel() // x.shape[-1] * weight.numel() > products


def few_rows_mlp(x, parameters, activation):
    """The MLP in one call, or None where torch's products are the better or the only way.

    `parameters`: weight and bias or None of gate, up and down.
    """
    if not _are_few(x):
        return None
    if _is_quicker_in_torch(x, parameters[0], FEW_BF16_MLP_ROWS, FEW_BF16_MLP_PRODUCTS):
        return None
    kind = KINDS[activation]
    if not is_dynamo_compiling():
        y = _mlp_kern.gated_mlp(x, *parameters, kind)
        if y is not NotImplemented:
            return y
    return _ops.gated_mlp(x, *parameters, kind) if _takes_products(x, parameters) else None


def linear_any(x, weight, bias):
    """`torch.nn.functional.linear`, by whatever way is right for these arguments."""
    if not is_dynamo_compiling() and not torch.is_autocast_enabled("cpu"):
        y = _mlp_kern.linear(x, weight, bias, FEW_ROWS, FEW_BF16_PRODUCTS)
        if y is None:
            return F.linear(x, weight, bias)
        if y is not NotImplemented:
            return y
    if isinstance(x, torch.Tensor) and _are_few(x) and _takes_products(x, (weight, bias)):
        if not _is_quicker_in_torch(x, weight, 1, FEW_BF16_PRODUCTS):
            return _ops.linear(x, weight, bias)
    return F.linear(x, weight, bias)


def linear(x, weight, bias=None, out=None):
    """`x @ weight.T + bias`, as `torch.nn.functional.linear`.

    Args:
        x: tensor of a dimension or more. Up to 4 rows of float32, bfloat16 or float16 on the CPU are
            computed by this kernel where no gradient is wanted (several of bfloat16 up to 524,288
            multiplications); everything else by torch.
        weight: matrix with a row for each element of the result.
        bias: vector or None (the default).
        out: a tensor to write the result into; None (the default) makes a new one.

    Returns:
        `out`, or a new tensor of x's shape, but for the last dimension.

    Raises:
        RuntimeError: shapes or dtypes that torch.nn.functional.linear does not take.
        ValueError: out does not match the result.

    Example:
        >>> mlp.linear(torch.tensor([100.0]), torch.tensor([[2.0], [3.0]])).tolist()
        [200.0, 300.0]
    """
    y = linear_any(x, weight, bias)
    return y if out is None else write_out(out, y)


def gated_mlp(
    x,
    gate_weight,
    up_weight,
    down_weight,
    gate_bias=None,
    up_bias=None,
    down_bias=None,
    activation="silu",
):
    """`down(activation(gate(x)) * up(x))`, where gate, up and down are linear.

    Args:
        x: tensor of a dimension or more. Up to 4 rows of float32, bfloat16 or float16 on the CPU are
            computed by this kernel where no gradient is wanted (three or four of bfloat16 up to 1,048,576
            multiplications a product); else torch's own products are used.
        gate_weight, up_weight: matrices with a row for each hidden element.
        down_weight: matrix with a row for each element of the result.
        gate_bias, up_bias, down_bias: vectors or None.
        activation: "silu", "gelu" or "gelu_tanh".

    Returns:
        A new tensor of x's shape, but for the last dimension.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: an unknown activation.
        RuntimeError: shapes or dtypes that torch.nn.functional.linear does not take.

    Example:
        >>> one = torch.ones(1, 1)
        >>> mlp.gated_mlp(torch.tensor([100.0]), one, 3 * one, one).tolist()
        [30000.0]
    """
    check_float("gated_mlp", "x", x)
    if activation not in KINDS:
        raise ArgumentError(
            f"gated_mlp: unknown activation {activation!r}; silu, gelu or gelu_tanh is needed"
        )
    parameters = (gate_weight, gate_bias, up_weight, up_bias, down_weight, down_bias)
    y = few_rows_mlp(x, parameters, activation)
    if y is not None:
        return y
    hidden = FUSED[activation](F.linear(x, gate_weight, gate_bias), F.linear(x, up_weight, up_bias))
    return F.linear(hidden, down_weight, down_bias)
