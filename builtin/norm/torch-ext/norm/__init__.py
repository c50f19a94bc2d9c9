# SPDX-License-Identifier: Apache-2.0
"""RMS and layer normalization: functions, and layers in `layers`."""

from . import layers
from .functional import (
    fused_add_layer_norm,
    fused_add_rms_norm,
    layer_norm,
    rms_norm,
    rms_norm_gated,
)

__all__ = [
    "fused_add_layer_norm",
    "fused_add_rms_norm",
    "layer_norm",
    "layers",
    "rms_norm",
    "rms_norm_gated",
]
