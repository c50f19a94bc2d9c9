# SPDX-License-Identifier: Apache-2.0
"""Cross entropy as a function."""

import torch

from ._glue import ArgumentError, DtypeError, check_float, takes_op
from ._ops import REDUCTIONS, cross_entropy_op, cross_entropy_reference


def _check(logits, target, label_smoothing, reduction):
    check_float("cross_entropy", "logits", logits)
    if reduction not in REDUCTIONS:
        raise ArgumentError(
            f"cross_entropy: reduction is {reduction!r}; 'none', 'mean' or 'sum' is needed"
        )
    if not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentError(
            f"cross_entropy: label_smoothing is {label_smoothing}; 0 to 1 is needed"
        )
    if target.dtype != torch.int64:
        raise DtypeError(f"cross_entropy: target has dtype {target.dtype}; int64 is needed")
    if logits.ndim < 1 or target.shape != logits.shape[:-1]:
        raise ArgumentError(
            f"cross_entropy: logits have shape {tuple(logits.shape)} and target "
            f"{tuple(target.shape)}; a target for each row of the last dimension is needed"
        )


def cross_entropy(
    logits,
    target,
    *,
    ignore_index=-100,
    label_smoothing=0.0,
    z_weight=0.0,
    reduction="mean",
    in_place=False,
):
    """Cross entropy of logits and class indices, optionally with a z-loss.

    Where a gradient is wanted it is made in the same pass, so that besides the logits there is one
    more tensor of their size, the gradient.

    Args:
        logits: tensor whose last dimension is that of the classes; float32, bfloat16 or float16
            on a device of the build are computed by this kernel, everything else by torch's own functions.
        target: int64 tensor with one dimension less: class indices, or `ignore_index`.
        ignore_index: rows with this target do not count; -100 by default.
        label_smoothing: the share of the target that is spread over all classes; 0 by default.
        z_weight: how much of `log(sum(exp(logits)))^2` is added to each row's loss; 0 by default.
        reduction: "mean" over the rows that count (the default), "sum", or "none".
        in_place: True lets the gradient take the memory of contiguous logits, whose values are then
            lost, so that no second tensor of their size is needed; for one backward. Without
            effect under torch.compile and with "none". False by default.

    Returns:
        A float32 tensor: a number, or with "none" of target's shape.

    Raises:
        TypeError, ValueError: an argument is of the wrong type or shape.
        RuntimeError: a target is neither a class nor `ignore_index`. On a CUDA device, where that
            is not known before the work is done, the loss and the row's gradient are NaN.

    Example:
        >>> round(loss.cross_entropy(torch.zeros(1, 4), torch.tensor([2])).item(), 4)
        1.3863
    """
    _check(logits, target, label_smoothing, reduction)
    rows = logits if logits.ndim == 2 else logits.reshape(-1, logits.shape[-1])
    flat = target.reshape(-1).contiguous()
    options = (int(ignore_index), float(label_smoothing), float(z_weight), REDUCTIONS[reduction])
    takes = takes_op(logits) and type(target) in (torch.Tensor, type(logits))
    if takes and target.device == logits.device:
        y = cross_entropy_op(rows, flat, *options, in_place)
    else:
        y = cross_entropy_reference(rows, flat, *options)
    return y.reshape(target.shape) if reduction == "none" else y
