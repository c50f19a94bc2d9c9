# SPDX-License-Identifier: Apache-2.0
"""Rotary position embedding: a function, and the layer for transformers in `layers`."""

from . import layers
from .functional import apply_rotary

__all__ = ["apply_rotary", "layers"]
