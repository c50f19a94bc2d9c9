# SPDX-License-Identifier: Apache-2.0
"""Gated MLPs for CPUs: the fused activation as functions, and layers in `layers`."""

from . import layers
from .functional import gelu_mul, gelu_tanh_mul, silu_mul

__all__ = ["gelu_mul", "gelu_tanh_mul", "layers", "silu_mul"]
