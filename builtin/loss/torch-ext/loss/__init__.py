# SPDX-License-Identifier: Apache-2.0
"""Cross entropy: a function, and the layer for transformers in `layers`."""

from . import layers
from .functional import cross_entropy

__all__ = ["cross_entropy", "layers"]
