# SPDX-License-Identifier: Apache-2.0
"""RMS and layer normalization for CPUs: functions, and layers in `layers`."""

from . import layers
from .functional import layer_norm, rms_norm

__all__ = ["layer_norm", "layers", "rms_norm"]
