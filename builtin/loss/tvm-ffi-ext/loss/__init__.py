# SPDX-License-Identifier: Apache-2.0
"""Cross entropy of tensors of any framework that has DLPack.

Losses are those of rows, float32; their sum or mean is the caller's to make. `logits` are of float32, bfloat16 or
float16, `target` is contiguous, of int64, with one dimension less; a row whose target is `ignore_index` has loss and
gradient 0. On the CPU another target that is no class is a ValueError; on a CUDA device, where that is not known before
the work is done, the row's loss and gradient are NaN. `label_smoothing` is the share of the target that is spread over
all classes, `z_weight` how much of log(sum(exp(logits)))^2 is added.
"""

from ._ops import ops

__all__ = ["cross_entropy", "cross_entropy_backward", "cross_entropy_with_gradient"]


def cross_entropy(losses, logits, target, ignore_index=-100, label_smoothing=0.0, z_weight=0.0):
    """The loss of each row."""
    ops.cross_entropy(losses, logits, target, ignore_index, label_smoothing, z_weight)


def cross_entropy_with_gradient(
    losses,
    grad_logits,
    logits,
    target,
    scale=1.0,
    ignore_index=-100,
    label_smoothing=0.0,
    z_weight=0.0,
):
    """The same and, in one pass, the gradient of `scale` times their sum. `grad_logits` may be logits."""
    ops.cross_entropy_with_gradient(
        losses, grad_logits, logits, target, scale, ignore_index, label_smoothing, z_weight
    )


def cross_entropy_backward(
    grad_logits,
    grad_losses,
    logits,
    target,
    ignore_index=-100,
    label_smoothing=0.0,
    z_weight=0.0,
):
    """The gradient of logits from those of the losses."""
    ops.cross_entropy_backward(
        grad_logits, grad_losses, logits, target, ignore_index, label_smoothing, z_weight
    )
