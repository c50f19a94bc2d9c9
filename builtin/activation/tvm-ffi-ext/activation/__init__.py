# SPDX-License-Identifier: Apache-2.0
"""Activation functions of tensors of any framework that has DLPack.

Outputs are given. All tensors of a call are of one dtype, float32, bfloat16 or float16, on one device. What is wrong
with an argument is a TypeError or a ValueError that says what is needed.

silu, gelu, gelu_tanh and quick_gelu take tensors of one shape that lie in memory alike, without gaps. silu_and_mul,
gelu_and_mul and gelu_tanh_and_mul give the activation of the first half of x's last dimension, times the second half;
rows must be contiguous and evenly spaced.
"""

from ._ops import ops

__all__ = [
    "gelu",
    "gelu_and_mul",
    "gelu_and_mul_backward",
    "gelu_backward",
    "gelu_tanh",
    "gelu_tanh_and_mul",
    "gelu_tanh_and_mul_backward",
    "gelu_tanh_backward",
    "quick_gelu",
    "quick_gelu_backward",
    "silu",
    "silu_and_mul",
    "silu_and_mul_backward",
    "silu_backward",
]


def silu(out, x):
    """SiLU of x."""
    ops.silu(out, x)


def silu_backward(grad_x, grad, x):
    """The gradient of x from that of the result."""
    ops.silu_backward(grad_x, grad, x)


def gelu(out, x):
    """GELU of x."""
    ops.gelu(out, x)


def gelu_backward(grad_x, grad, x):
    """The gradient of x from that of the result."""
    ops.gelu_backward(grad_x, grad, x)


def gelu_tanh(out, x):
    """GELU's tanh approximation of x."""
    ops.gelu_tanh(out, x)


def gelu_tanh_backward(grad_x, grad, x):
    """The gradient of x from that of the result."""
    ops.gelu_tanh_backward(grad_x, grad, x)


def quick_gelu(out, x):
    """QuickGELU of x."""
    ops.quick_gelu(out, x)


def quick_gelu_backward(grad_x, grad, x):
    """The gradient of x from that of the result."""
    ops.quick_gelu_backward(grad_x, grad, x)


def silu_and_mul(out, x):
    """SiLU of x[..., :d], times x[..., d:]."""
    ops.silu_and_mul(out, x)


def silu_and_mul_backward(grad_x, grad, x):
    """The gradient of x from that of the result."""
    ops.silu_and_mul_backward(grad_x, grad, x)


def gelu_and_mul(out, x):
    """GELU of x[..., :d], times x[..., d:]."""
    ops.gelu_and_mul(out, x)


def gelu_and_mul_backward(grad_x, grad, x):
    """The gradient of x from that of the result."""
    ops.gelu_and_mul_backward(grad_x, grad, x)


def gelu_tanh_and_mul(out, x):
    """GELU's tanh approximation of x[..., :d], times x[..., d:]."""
    ops.gelu_tanh_and_mul(out, x)


def gelu_tanh_and_mul_backward(grad_x, grad, x):
    """The gradient of x from that of the result."""
    ops.gelu_tanh_and_mul_backward(grad_x, grad, x)
