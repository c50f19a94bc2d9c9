# SPDX-License-Identifier: Apache-2.0
"""The layer that takes the place of transformers' `apply_rotary_pos_emb`.

Transformers knows one name for functions that differ: most pair the halves, with angles for all
elements or for half of them; one turns the other way. Which one it is, is found out by asking the
original with two small tensors, once; where no style agrees the original goes on doing the work.
"""

import torch
from torch import nn

from .functional import apply_rotary

__all__ = ["apply_rotary_transformers"]

_STYLES = {}  # by class of the original and size of the angles: None, or (interleaved, reversed)


def _turn(q, k, cos, sin, dim, interleaved, turns_back):
    return apply_rotary(q, k, cos, -sin if turns_back else sin, dim, interleaved=interleaved)


def _ask(cls, share):
    """The style that agrees with the original, for angles for one in `share` elements."""
    layer = cls.__new__(cls)
    nn.Module.__init__(layer)
    q = torch.arange(1.0, 17.0).reshape(1, 1, 1, 16)
    angles = torch.linspace(0.1, 0.8, 8).reshape(1, 1, 8)
    candidates = [(False, False), (False, True), (True, False), (True, True)]
    for interleaved, turns_back in candidates:
        full = angles
        if share == 1:
            full = angles.repeat_interleave(2, -1) if interleaved else torch.cat((angles,) * 2, -1)
        cos, sin = full.cos(), full.sin()
        try:
            expected, _ = layer.forward(q, q.clone(), cos, sin)
        except Exception:
            continue
        found, _ = _turn(q, q, cos, sin, 1, interleaved, turns_back)
        if expected.shape == found.shape and torch.allclose(expected, found, atol=1e-5):
            return interleaved, turns_back
    return None


@torch.compiler.assume_constant_result
def _style_of(cls, share):
    key = (cls.forward, share)
    if key not in _STYLES:
        with torch.no_grad():
            _STYLES[key] = _ask(cls, share)
    return _STYLES[key]


class apply_rotary_transformers(nn.Module):
    """For transformers' `apply_rotary_pos_emb`: turns q and k by `cos` and `sin`."""

    can_torch_compile = True
    has_backward = True

    def forward(self, q, k, cos, sin, unsqueeze_dim=1):
        original = type(self).forward
        if original is apply_rotary_transformers.forward:
            return apply_rotary(q, k, cos, sin, unsqueeze_dim)
        share = q.shape[-1] // cos.shape[-1]
        style = _style_of(type(self), share) if share in (1, 2) else None
        if style is None or q.shape[-1] != share * cos.shape[-1]:
            return original(self, q, k, cos, sin, unsqueeze_dim)
        if style == (False, False):
            return apply_rotary(q, k, cos, sin, unsqueeze_dim)
        return _turn(q, k, cos, sin, unsqueeze_dim, *style)
