# SPDX-License-Identifier: Apache-2.0
"""Rotary position embedding as a function."""

from torch.compiler import is_dynamo_compiling

from . import _rotary_kern
from ._glue import ArgumentError, check_float, takes_op, write_out, wrote_to
from ._ops import apply_op, apply_reference


def _check(q, k, cos, sin, dim, turned):
    for argument, tensor in (("q", q), ("k", k), ("cos", cos), ("sin", sin)):
        check_float("apply_rotary", argument, tensor)
    if q.ndim < 2 or k.ndim != q.ndim or k.shape[-1] != q.shape[-1]:
        raise ArgumentError(
            f"apply_rotary: q has shape {tuple(q.shape)} and k {tuple(k.shape)}; as many "
            "dimensions, at least two, and the same last one are needed"
        )
    if turned % 2 != 0 or turned > q.shape[-1] or cos.shape[-1] not in (turned, turned // 2):
        raise ArgumentError(
            f"apply_rotary: {turned} of {q.shape[-1]} elements cannot be turned by angles of "
            f"shape {tuple(cos.shape)}"
        )
    if cos.ndim != q.ndim - 1 or not -q.ndim < dim < q.ndim - 1:
        raise ArgumentError(
            f"apply_rotary: angles of shape {tuple(cos.shape)} with unsqueeze_dim {dim} do not "
            f"lie over q of shape {tuple(q.shape)}"
        )


def apply_rotary(q, k, cos, sin, unsqueeze_dim=1, *, interleaved=False, turned=None, out=None):
    """Turns pairs of elements of q and k by angles that depend on the position.

    With x1 and x2 the two of a pair: `x1 cos - x2 sin` and `x2 cos + x1 sin`.

    Args:
        q, k: tensors of 2 to 8 dimensions, the last one that of the pairs; float32, bfloat16 or
            float16 on a device of the build are computed by this kernel, everything else by torch's own
            functions.
        cos, sin: tensors with one dimension less, of q's dtype or float32; their last dimension
            has an angle for each element, or for each pair.
        unsqueeze_dim: the dimension of q and k that the angles lack; 1 by default.
        interleaved: False (the default) pairs elements i and i + turned / 2, True 2i and 2i + 1.
        turned: how many elements are turned, from the first on; the others are copied. None (the
            default): as many as cos has, or all where that is half of them.
        out: two tensors to write the results into, q and k themselves for example; None (the
            default) makes new ones.

    Returns:
        `out`, or new tensors for q and k, of their dtype and memory order.

    Raises:
        TypeError: an argument is not a floating-point tensor.
        ValueError: the shapes do not fit.

    Example:
        >>> q, angles = torch.tensor([[1.0, 2.0]]), torch.ones(2)
        >>> rotary.apply_rotary(q, q, torch.zeros(2), angles, 0)[0].tolist()
        [[-2.0, 1.0]]
    """
    if turned is None:
        turned = cos.shape[-1]
        if turned * 2 == q.shape[-1]:
            turned *= 2
    if not is_dynamo_compiling():
        arguments = (q, k, cos, sin, unsqueeze_dim, turned, interleaved, False)
        pair = _rotary_kern.apply(*arguments, *(() if out is None else tuple(out)))
        if pair is not NotImplemented:
            return pair if out is None else tuple(wrote_to(y) for y in pair)
    _check(q, k, cos, sin, unsqueeze_dim, turned)
    dim = unsqueeze_dim % q.ndim
    takes = takes_op(q, k, cos, sin) and k.dtype == q.dtype and q.ndim <= 8
    pair = (apply_op if takes else apply_reference)(q, k, cos, sin, dim, turned, interleaved)
    return pair if out is None else tuple(map(write_out, out, pair))
