# SPDX-License-Identifier: Apache-2.0
"""Layer normalization and RMSNorm of tensors of any framework that has DLPack.

Outputs are given, and contiguous. Tensors are of float32, bfloat16 or float16, on one device; weight and bias are None,
or of x's dtype or float32, and their dimensions are the normalized ones (without them the last one). Rows of x must be
contiguous and evenly spaced. What is wrong with an argument is a TypeError or a ValueError that says what is needed.

A backward computes `grad_weight` and `grad_bias` where they are not None, and for that takes a workspace, a contiguous
tensor of float32. It returns how many elements that needs; where it is None and some are needed, that is all it does.
"""

from ._ops import ops

__all__ = [
    "fused_add_layer_norm",
    "fused_add_rms_norm",
    "layer_norm",
    "layer_norm_backward",
    "rms_norm",
    "rms_norm_backward",
    "rms_norm_gated",
    "rms_norm_gated_backward",
]


def rms_norm(out, x, weight, eps=1e-6, cast_first=False):
    """x / sqrt(mean(x^2) + eps) * weight; `cast_first` rounds to x's dtype before the weight."""
    ops.rms_norm(out, x, weight, eps, cast_first)


def layer_norm(out, x, weight, bias, eps=1e-5):
    """(x - mean(x)) / sqrt(var(x) + eps) * weight + bias."""
    ops.layer_norm(out, x, weight, bias, eps)


def fused_add_rms_norm(out, sum, x, residual, weight, eps=1e-6, cast_first=False):
    """sum = x + residual, and out = rms_norm(sum). `out` may be x, and `sum` may be residual."""
    ops.fused_add_rms_norm(out, sum, x, residual, weight, eps, cast_first)


def fused_add_layer_norm(out, sum, x, residual, weight, bias, eps=1e-5):
    """sum = x + residual, and out = layer_norm(sum). `out` may be x, and `sum` may be residual."""
    ops.fused_add_layer_norm(out, sum, x, residual, weight, bias, eps)


def rms_norm_gated(out, x, gate, weight, eps=1e-6, activation="silu", cast_first=False):
    """rms_norm(x) times the activation, "silu" or "sigmoid", of gate."""
    ops.rms_norm_gated(out, x, gate, weight, eps, activation, cast_first)


def rms_norm_backward(grad_x, grad_weight, workspace, grad, x, weight, eps=1e-6, grad_sum=None):
    """The gradients of `rms_norm`, where `grad` is that of its output; returns the elements of the workspace.

    Of `fused_add_rms_norm`, where x is the sum and `grad_sum` the gradient of that: grad_x is then the gradient of both
    that were added.
    """
    return ops.rms_norm_backward(grad_x, grad_weight, workspace, grad, x, weight, eps, grad_sum)


def layer_norm_backward(
    grad_x, grad_weight, grad_bias, workspace, grad, x, weight, bias, eps=1e-5, grad_sum=None
):
    """The gradients of `layer_norm` and `fused_add_layer_norm`, as `rms_norm_backward`."""
    return ops.layer_norm_backward(
        grad_x, grad_weight, grad_bias, workspace, grad, x, weight, bias, eps, grad_sum
    )


def rms_norm_gated_backward(
    grad_x, grad_gate, grad_weight, workspace, grad, x, gate, weight, eps=1e-6, activation="silu"
):
    """The gradients of `rms_norm_gated`, as `rms_norm_backward`."""
    return ops.rms_norm_gated_backward(
        grad_x, grad_gate, grad_weight, workspace, grad, x, gate, weight, eps, activation
    )
