# SPDX-License-Identifier: Apache-2.0
"""Rotary position embedding of tensors of any framework that has DLPack."""

from ._ops import ops

__all__ = ["apply_rotary"]


def apply_rotary(
    q_out, k_out, q, k, cos, sin, unsqueeze_dim=1, interleaved=False, turned=-1, transposed=False
):
    """Turns pairs of elements of q and k by angles that depend on the position.

    With x1 and x2 the two of a pair: `x1 cos - x2 sin` and `x2 cos + x1 sin`.

    Args:
        q_out, k_out: of the shapes of q and k; they may be q and k.
        q, k: tensors of 2 to 8 dimensions of float32, bfloat16 or float16, the last one contiguous.
        cos, sin: one dimension less, of q's dtype or float32; an angle for each element or each pair.
        unsqueeze_dim: the dimension of q and k that the angles lack.
        interleaved: False pairs elements i and i + turned / 2, True 2i and 2i + 1.
        turned: how many elements are turned, the others being copied; -1: as many as cos has, or all
            where that is half of them.
        transposed: True turns gradients back.

    Raises:
        TypeError, ValueError: an argument is not what is needed.
    """
    ops.apply_rotary(q_out, k_out, q, k, cos, sin, unsqueeze_dim, interleaved, turned, transposed)
