# SPDX-License-Identifier: Apache-2.0
"""Layers whose `forward` replaces that of `nn.Linear` or of a Llama-style MLP: `self` is then the user's module.

The MLPs read `gate_proj`, `up_proj`, `down_proj`, and `act_fn` where there is one. A few rows through
plain `nn.Linear` modules are computed in one call, without the modules' own. Otherwise these are
called as they are, and between the products one pass over memory takes the place of two. An
`act_fn` that no fused function computes is called as before.
"""

from torch import nn
from torch.nn.modules import module as hooks

from .functional import FUSED, few_rows_mlp, linear_any

__all__ = ["GeGLUMLP", "Linear", "SwiGLUMLP"]

_ACTIVATIONS = {
    "SiLU": "silu",
    "SiLUActivation": "silu",
    "GELUActivation": "gelu",
    "GELUTanh": "gelu_tanh",
    "NewGELUActivation": "gelu_tanh",
    "FastGELUActivation": "gelu_tanh",
}
_ACTIVATION_MODULES = ("torch.nn.modules.activation", "transformers.activations")


def _activation_of(module, default):
    """The name of what this activation computes, or None."""
    if module is None:
        return default
    cls = type(module)
    if not isinstance(module, nn.Module) or cls.__module__ not in _ACTIVATION_MODULES:
        return None
    if cls is nn.GELU:
        return "gelu_tanh" if module.approximate == "tanh" else "gelu"
    return _ACTIVATIONS.get(cls.__name__)


def _is_plain(linear):
    """Whether a call of this module is F.linear with its parameters, and nothing else."""
    forward = linear.__dict__.get("forward")
    return (
        type(linear) is nn.Linear
        and (forward is None or getattr(forward, "__func__", None) is Linear.forward)
        and not linear._forward_hooks
        and not linear._forward_pre_hooks
    )


def _parameters_of(*linears):
    """Weight and bias of each, or None where the modules must be called."""
    if hooks._global_forward_hooks or hooks._global_forward_pre_hooks:
        return None
    found = []
    for linear in linears:
        if not _is_plain(linear):
            return None
        found += [linear._parameters["weight"], linear._parameters["bias"]]
    return found


def _forward(layer, x, default):
    act_fn = layer._modules.get("act_fn") or layer.__dict__.get("act_fn")
    activation = _activation_of(act_fn, default)
    if activation is not None:
        parameters = _parameters_of(layer.gate_proj, layer.up_proj, layer.down_proj)
        y = None if parameters is None else few_rows_mlp(x, parameters, activation)
        if y is not None:
            return y
    gate, up = layer.gate_proj(x), layer.up_proj(x)
    if activation is None or gate.shape != up.shape:
        return layer.down_proj(act_fn(gate) * up)
    return layer.down_proj(FUSED[activation](gate, up))


class Linear(nn.Module):
    """For `torch.nn.Linear`; subclasses with a forward of their own compute with that one."""

    can_torch_compile = True
    has_backward = True

    def forward(self, input):
        own = type(self).forward
        if own is not nn.Linear.forward and own is not Linear.forward:
            return own(self, input)
        return linear_any(input, self.weight, self.bias)


class SwiGLUMLP(nn.Module):
    """`down_proj(silu(gate_proj(x)) * up_proj(x))`, or with the activation that the layer has."""

    can_torch_compile = True
    has_backward = True

    def forward(self, x):
        return _forward(self, x, "silu")


class GeGLUMLP(nn.Module):
    """`down_proj(gelu_tanh(gate_proj(x)) * up_proj(x))`, or with the activation that the layer has."""

    can_torch_compile = True
    has_backward = True

    def forward(self, x):
        return _forward(self, x, "gelu_tanh")
