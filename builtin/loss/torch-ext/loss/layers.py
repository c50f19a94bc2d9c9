# SPDX-License-Identifier: Apache-2.0
"""The layer that takes the place of transformers' `ForCausalLMLoss`."""

import torch
from torch import nn

from .functional import cross_entropy

__all__ = ["ForCausalLMLoss"]


class ForCausalLMLoss(nn.Module):
    """For transformers' function of this name: each position predicts the next label.

    Half-precision logits are not copied to float32; the arithmetic is. `label_smoothing`,
    `z_weight` and `in_place` are read from the further arguments.
    """

    can_torch_compile = True
    has_backward = True

    def forward(
        self,
        logits,
        labels,
        vocab_size,
        num_items_in_batch=None,
        ignore_index=-100,
        shift_labels=None,
        **kwargs,
    ):
        if shift_labels is None:
            labels = nn.functional.pad(labels, (0, 1), value=ignore_index)
            shift_labels = labels[..., 1:].contiguous()
        loss = cross_entropy(
            logits.view(-1, vocab_size),
            shift_labels.view(-1).to(logits.device),
            ignore_index=ignore_index,
            label_smoothing=kwargs.get("label_smoothing", 0.0),
            z_weight=kwargs.get("z_weight", 0.0),
            in_place=kwargs.get("in_place", False),
            reduction="mean" if num_items_in_batch is None else "sum",
        )
        if num_items_in_batch is None:
            return loss
        if torch.is_tensor(num_items_in_batch):
            num_items_in_batch = num_items_in_batch.to(loss.device)
        return loss / num_items_in_batch
