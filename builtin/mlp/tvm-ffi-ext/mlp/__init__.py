# SPDX-License-Identifier: Apache-2.0
"""An activation of one tensor times another, a linear layer and a gated MLP for a few rows, of tensors of any framework
that has DLPack.

Outputs are given. All tensors of a call are of one dtype, float32, bfloat16 or float16, on one device; products
(`linear`, `gated_mlp`) are for the CPU and contiguous tensors. What is wrong with an argument is a TypeError or a
ValueError that says what is needed.
"""

from ._ops import ops

__all__ = [
    "gated_mlp",
    "gelu_mul",
    "gelu_mul_backward",
    "gelu_tanh_mul",
    "gelu_tanh_mul_backward",
    "linear",
    "silu_mul",
    "silu_mul_backward",
]


def silu_mul(out, gate, up):
    """SiLU of gate, times up."""
    ops.silu_mul(out, gate, up)


def silu_mul_backward(grad_gate, grad_up, grad, gate, up):
    """The gradients of gate and up from that of the result."""
    ops.silu_mul_backward(grad_gate, grad_up, grad, gate, up)


def gelu_mul(out, gate, up):
    """GELU of gate, times up."""
    ops.gelu_mul(out, gate, up)


def gelu_mul_backward(grad_gate, grad_up, grad, gate, up):
    """The gradients of gate and up from that of the result."""
    ops.gelu_mul_backward(grad_gate, grad_up, grad, gate, up)


def gelu_tanh_mul(out, gate, up):
    """GELU's tanh approximation of gate, times up."""
    ops.gelu_tanh_mul(out, gate, up)


def gelu_tanh_mul_backward(grad_gate, grad_up, grad, gate, up):
    """The gradients of gate and up from that of the result."""
    ops.gelu_tanh_mul_backward(grad_gate, grad_up, grad, gate, up)


def linear(out, x, weight, bias=None):
    """x @ weight.T + bias."""
    ops.linear(out, x, weight, bias)


def gated_mlp(
    out,
    hidden,
    x,
    gate_weight,
    up_weight,
    down_weight,
    gate_bias=None,
    up_bias=None,
    down_bias=None,
    activation="silu",
):
    """down(hidden) with hidden = activation(gate(x)) * up(x); "silu", "gelu" or "gelu_tanh"."""
    ops.gated_mlp(
        out,
        hidden,
        x,
        gate_weight,
        gate_bias,
        up_weight,
        up_bias,
        down_weight,
        down_bias,
        activation,
    )
