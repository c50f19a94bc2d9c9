# SPDX-License-Identifier: Apache-2.0
"""Activation functions: functions, and layers in `layers`."""

from . import layers
from .functional import (
    gelu,
    gelu_and_mul,
    gelu_tanh,
    gelu_tanh_and_mul,
    quick_gelu,
    silu,
    silu_and_mul,
)

__all__ = [
    "gelu",
    "gelu_and_mul",
    "gelu_tanh",
    "gelu_tanh_and_mul",
    "layers",
    "quick_gelu",
    "silu",
    "silu_and_mul",
]
