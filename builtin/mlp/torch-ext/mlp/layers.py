# SPDX-License-Identifier: Apache-2.0
"""Layers whose `forward` replaces that of a Llama-style MLP: `self` is then the user's module.

They read `gate_proj`, `up_proj`, `down_proj`, which are called as they are, and `act_fn` where there
is one. Between the products one pass over memory takes the place of two. An `act_fn` that no fused
function computes is called as before.
"""

from torch import nn

from .functional import gelu_mul, gelu_tanh_mul, silu_mul

__all__ = ["GeGLUMLP", "SwiGLUMLP"]

_FUSED = {
    "SiLU": silu_mul,
    "SiLUActivation": silu_mul,
    "GELUActivation": gelu_mul,
    "GELUTanh": gelu_tanh_mul,
    "NewGELUActivation": gelu_tanh_mul,
    "FastGELUActivation": gelu_tanh_mul,
}
_ACTIVATION_MODULES = ("torch.nn.modules.activation", "transformers.activations")


def _fused_for(activation, default):
    """The fused function that computes this activation, or None."""
    if activation is None:
        return default
    cls = type(activation)
    if not isinstance(activation, nn.Module) or cls.__module__ not in _ACTIVATION_MODULES:
        return None
    if cls is nn.GELU:
        return gelu_tanh_mul if activation.approximate == "tanh" else gelu_mul
    return _FUSED.get(cls.__name__)


def _forward(layer, x, default):
    activation = layer._modules.get("act_fn") or layer.__dict__.get("act_fn")
    fused = _fused_for(activation, default)
    gate, up = layer.gate_proj(x), layer.up_proj(x)
    if fused is None or gate.shape != up.shape:
        return layer.down_proj(activation(gate) * up)
    return layer.down_proj(fused(gate, up))


class SwiGLUMLP(nn.Module):
    """`down_proj(silu(gate_proj(x)) * up_proj(x))`, or with the activation that the layer has."""

    can_torch_compile = True
    has_backward = True

    def forward(self, x):
        return _forward(self, x, silu_mul)


class GeGLUMLP(nn.Module):
    """`down_proj(gelu_tanh(gate_proj(x)) * up_proj(x))`, or with the activation that the layer has."""

    can_torch_compile = True
    has_backward = True

    def forward(self, x):
        return _forward(self, x, gelu_tanh_mul)
