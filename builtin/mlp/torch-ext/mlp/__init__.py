# SPDX-License-Identifier: Apache-2.0
"""Linear layers and gated MLPs for a few rows, and the fused activation: functions, and layers in `layers`."""

from . import layers
from .functional import gated_mlp, gelu_mul, gelu_tanh_mul, linear, silu_mul

__all__ = ["gated_mlp", "gelu_mul", "gelu_tanh_mul", "layers", "linear", "silu_mul"]
