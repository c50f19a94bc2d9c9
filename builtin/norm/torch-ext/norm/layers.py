# SPDX-License-Identifier: Apache-2.0
"""Layers whose `forward` replaces that of a user's layer: `self` is then the user's module.

They hold no state and add no members, so that any kernel loader accepts them. The C functions
read the module's attributes themselves; where these are not in their usual place (parametrized,
sharded, wrapped), or more than a plain computation is asked for, they return NotImplemented.
"""

from torch import nn
from torch.compiler import is_dynamo_compiling

from ._norm_kern import (
    fused_add_layer_norm_layer,
    fused_add_rms_norm_layer,
    layer_norm_layer,
    rms_norm_gated_layer,
    rms_norm_layer,
)
from .functional import (
    fused_add_layer_norm_any,
    fused_add_rms_norm_any,
    layer_norm_any,
    rms_norm_any,
    rms_norm_gated_any,
)

__all__ = ["FusedAddLayerNorm", "FusedAddRMSNorm", "LayerNorm", "RMSNorm", "RMSNormGated"]


def _normalized_dims(layer, weight):
    shape = getattr(layer, "normalized_shape", None)
    if shape is None:
        return 1 if weight is None else weight.ndim
    return 1 if isinstance(shape, int) else len(shape)


def _original_forward(layer):
    """The forward that ours stands in for, None where the layer is one of ours."""
    forward = type(layer).forward
    return None if forward in (RMSNorm.forward, LayerNorm.forward) else forward


def _casts_first(layer, x, weight):
    """Whether the layer rounds before it multiplies by the weight.

    torch's class rounds at the end. Transformers' classes, known by their `variance_epsilon`,
    mostly round first. That shows in the result's dtype only where the weight has another dtype
    than the input, and there the original is asked, with an input of no rows.
    """
    if not hasattr(layer, "variance_epsilon"):
        return False
    original = _original_forward(layer)
    if weight is None or weight.dtype == x.dtype or original is None or x.ndim < 2:
        return True
    return original(layer, x[:0]).dtype != x.dtype


def _eps(layer):
    return layer.variance_epsilon if hasattr(layer, "variance_epsilon") else layer.eps


def _rms_norm(layer, x):
    weight = getattr(layer, "weight", None)
    ndim = _normalized_dims(layer, weight)
    return rms_norm_any(x, weight, ndim, _eps(layer), _casts_first(layer, x, weight))


def _layer_norm(layer, x):
    weight = getattr(layer, "weight", None)
    bias = getattr(layer, "bias", None)
    ndim = _normalized_dims(layer, bias if weight is None else weight)
    return layer_norm_any(x, weight, bias, ndim, _eps(layer))


def _fused_add_rms_norm(layer, x, residual):
    weight = getattr(layer, "weight", None)
    ndim = _normalized_dims(layer, weight)
    cast_first = hasattr(layer, "variance_epsilon")
    return fused_add_rms_norm_any(x, residual, weight, ndim, _eps(layer), cast_first)


def _fused_add_layer_norm(layer, x, residual):
    weight = getattr(layer, "weight", None)
    bias = getattr(layer, "bias", None)
    ndim = _normalized_dims(layer, bias if weight is None else weight)
    return fused_add_layer_norm_any(x, residual, weight, bias, ndim, _eps(layer))


def _rms_norm_gated(layer, x, gate):
    weight = getattr(layer, "weight", None)
    ndim = _normalized_dims(layer, weight)
    activation = getattr(layer, "activation", "silu")
    # Transformers' classes that gate by a sigmoid multiply by the weight before they round.
    cast_first = hasattr(layer, "variance_epsilon") and activation == "silu"
    return rms_norm_gated_any(x, gate, weight, ndim, _eps(layer), cast_first, activation)


class RMSNorm(nn.Module):
    """For `torch.nn.RMSNorm` and transformers' `LlamaRMSNorm` and its like.

    Reads `weight`, `eps` or `variance_epsilon`, and `normalized_shape` where there is one.
    """

    can_torch_compile = True
    has_backward = True

    def forward(self, hidden_states):
        if not is_dynamo_compiling():
            y = rms_norm_layer(self, hidden_states)
            if y is not NotImplemented:
                return y
        return _rms_norm(self, hidden_states)


class LayerNorm(nn.Module):
    """For `torch.nn.LayerNorm`.

    Reads `weight`, `bias`, `eps` or `variance_epsilon`, and `normalized_shape` where there is one.
    """

    can_torch_compile = True
    has_backward = True

    def forward(self, input):
        if not is_dynamo_compiling():
            y = layer_norm_layer(self, input)
            if y is not NotImplemented:
                return y
        return _layer_norm(self, input)


class FusedAddRMSNorm(nn.Module):
    """RMSNorm of the sum of two tensors; returns it and the sum. Reads what RMSNorm reads."""

    can_torch_compile = True
    has_backward = True

    def forward(self, hidden_states, residual):
        if not is_dynamo_compiling():
            y = fused_add_rms_norm_layer(self, hidden_states, residual)
            if y is not NotImplemented:
                return y
        return _fused_add_rms_norm(self, hidden_states, residual)


class FusedAddLayerNorm(nn.Module):
    """LayerNorm of the sum of two tensors; returns it and the sum. Reads what LayerNorm reads."""

    can_torch_compile = True
    has_backward = True

    def forward(self, hidden_states, residual):
        if not is_dynamo_compiling():
            y = fused_add_layer_norm_layer(self, hidden_states, residual)
            if y is not NotImplemented:
                return y
        return _fused_add_layer_norm(self, hidden_states, residual)


class RMSNormGated(nn.Module):
    """For transformers' `Qwen3NextRMSNormGated` and its like: RMSNorm times an activated gate.

    Reads what RMSNorm reads, and `activation` ("silu" or "sigmoid") where there is one.
    """

    can_torch_compile = True
    has_backward = True

    def forward(self, hidden_states, gate):
        if not is_dynamo_compiling():
            y = rms_norm_gated_layer(self, hidden_states, gate)
            if y is not NotImplemented:
                return y
        return _rms_norm_gated(self, hidden_states, gate)
