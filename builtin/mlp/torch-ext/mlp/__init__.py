# SPDX-License-Identifier: Apache-2.0
"""Gated MLPs: the fused activation and the MLP as functions, and layers in `layers`."""

from . import layers
from .functional import gated_mlp, gelu_mul, gelu_tanh_mul, silu_mul

__all__ = ["gated_mlp", "gelu_mul", "gelu_tanh_mul", "layers", "silu_mul"]
