# SPDX-License-Identifier: Apache-2.0
"""Activation functions for CPUs: functions, and layers in `layers`."""

from . import layers
from .functional import gelu, gelu_tanh, silu, silu_and_mul

__all__ = ["gelu", "gelu_tanh", "layers", "silu", "silu_and_mul"]
