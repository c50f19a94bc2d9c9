# SPDX-License-Identifier: Apache-2.0
"""Layers whose `forward` replaces that of a user's layer: `self` is then the user's module.

They hold no state and add no members, so that any kernel loader accepts them.
"""

import torch.nn.functional as F
from torch import nn
from torch.compiler import is_dynamo_compiling

from ._activation_kern import gelu_layer, silu_layer
from ._glue import ArgumentError
from .functional import (
    any_way,
    gelu_and_mul,
    gelu_tanh,
    gelu_tanh_and_mul,
    quick_gelu,
    silu_and_mul,
)

__all__ = [
    "FastGELU",
    "Gelu",
    "GeluAndMul",
    "GeluTanh",
    "GeluTanhAndMul",
    "NewGELU",
    "QuickGELU",
    "Silu",
    "SiluAndMul",
]


def _gelu(layer, x):
    approximate = getattr(layer, "approximate", "none")
    if approximate == "none":
        return any_way("gelu", x)
    if approximate == "tanh":
        return any_way("gelu_tanh", x)
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
        return any_way("silu", input)


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
    """For transformers' `GELUTanh`."""

    can_torch_compile = True
    has_backward = True

    def forward(self, input):
        return gelu_tanh(input)


class NewGELU(nn.Module):
    """For transformers' `NewGELUActivation`, which writes out the tanh approximation."""

    can_torch_compile = True
    has_backward = True

    def forward(self, input):
        return gelu_tanh(input)


class FastGELU(nn.Module):
    """For transformers' `FastGELUActivation`, which writes the same with one product less."""

    can_torch_compile = True
    has_backward = True

    def forward(self, input):
        return gelu_tanh(input)


class QuickGELU(nn.Module):
    """For transformers' `QuickGELUActivation`."""

    can_torch_compile = True
    has_backward = True

    def forward(self, input):
        return quick_gelu(input)


class SiluAndMul(nn.Module):
    """SiLU of the first half of the last dimension, times the second half."""

    can_torch_compile = True
    has_backward = True

    def forward(self, x):
        return silu_and_mul(x)


class GeluAndMul(nn.Module):
    """GELU of the first half of the last dimension, times the second half."""

    can_torch_compile = True
    has_backward = True

    def forward(self, x):
        return gelu_and_mul(x)


class GeluTanhAndMul(nn.Module):
    """GELU's tanh approximation of the first half, times the second half."""

    can_torch_compile = True
    has_backward = True

    def forward(self, x):
        return gelu_tanh_and_mul(x)
