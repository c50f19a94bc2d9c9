# SPDX-License-Identifier: Apache-2.0
"""Layers whose `forward` replaces that of a user's layer: `self` is then the user's module.

They hold no state and add no members, so that any kernel loader accepts them.
"""

import torch.nn.functional as F
from torch import nn
from torch.compiler import is_dynamo_compiling

from ._activation_kern import gelu_layer, silu_layer
from ._glue import ArgumentError
from .functional import gelu_any, gelu_tanh, gelu_tanh_any, silu_and_mul, silu_any

__all__ = ["Gelu", "GeluTanh", "Silu", "SiluAndMul"]


def _gelu(layer, x):
    approximate = getattr(layer, "approximate", "none")
    if approximate == "none":
        return gelu_any(x)
    if approximate == "tanh":
        return gelu_tanh_any(x)
    raise ArgumentError(f"Gelu: approximate is {approximate!r}; 'none' or 'tanh' is needed")


class Silu(nn.Module):
    """For `torch.nn.SiLU` and transformers' `SiLUActivation`.

    A layer with a true `inplace` changes its input, as before, by torch's own function.
    """

    can_torch_compile = True
    has_backward = True

    def forward(self, input):
        if not is_dynamo_compiling():
            y = silu_layer(self, input)
            if y is not NotImplemented:
                return y
        if getattr(self, "inplace", False):
            return F.silu(input, inplace=True)
        return silu_any(input)


class Gelu(nn.Module):
    """For `torch.nn.GELU` and transformers' `GELUActivation`.

    Reads `approximate` ("none" or "tanh") where there is one.
    """

    can_torch_compile = True
    has_backward = True

    def forward(self, input):
        if not is_dynamo_compiling():
            y = gelu_layer(self, input)
            if y is not NotImplemented:
                return y
        return _gelu(self, input)


class GeluTanh(nn.Module):
    """For transformers' `GELUTanh`, `NewGELUActivation` and `FastGELUActivation`."""

    can_torch_compile = True
    has_backward = True

    def forward(self, input):
        return gelu_tanh(input)


class SiluAndMul(nn.Module):
    """SiLU of the first half of the last dimension, times the second half."""

    can_torch_compile = True
    has_backward = True

    def forward(self, x):
        return silu_and_mul(x)
