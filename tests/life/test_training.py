# SPDX-License-Identifier: Apache-2.0
"""Training a kernelized model gives the gradients of the original."""

import pytest
import torch
from life_support import (
    ALL,
    INFERENCE,
    TOLERANCES,
    TRAINABLE,
    TRAINING,
    applied,
    assert_alike,
    inputs,
    loss_of,
)
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from kernels import explain, unkernelize


def assert_same_gradients(ours, expected):
    """Of models with bfloat16 and float16, relative to the largest: what is rounded on the way adds up."""
    for (name, mine), other in zip(ours.named_parameters(), expected.parameters(), strict=True):
        assert mine.grad is not None, name
        assert mine.grad.dtype == other.grad.dtype
        rtol, atol = TOLERANCES[other.dtype]
        scale = max(1.0, other.grad.abs().max().item())
        torch.testing.assert_close(mine.grad, other.grad, rtol=rtol, atol=atol * scale, msg=name)


def step(model, x):
    output = model(x)
    loss_of(output).backward()
    return output.detach()


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str
)
def test_gradients_are_those_of_the_original(life, dtype):
    original, model = life.model().train().to(dtype), life.kernelized(TRAINING).train().to(dtype)
    x = inputs(torch.float32).to(dtype)
    mine, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    assert_alike(step(model, mine), step(original, other))
    assert_same_gradients(model, original)
    assert_alike(mine.grad, other.grad)


def test_gradients_are_those_of_finite_differences(life):
    model = life.kernelized(TRAINING).double()
    x = inputs(rows=1).double().requires_grad_()
    assert torch.autograd.gradcheck(model, (x,))
    assert torch.autograd.gradgradcheck(model, (x,))


def test_a_kernel_without_backward_is_no_kernel_for_training(life):
    model = life.kernelized(TRAINING)
    assert applied(model) == TRAINABLE
    reasons = {path: d.reason for d in explain(model) for path in d.paths}
    assert reasons["blocks.0.gate"] == reasons["blocks.1.gate"] == "mode-unsupported"
    assert "forward" not in model.blocks[0].gate.__dict__
    # For inference it is, and then nothing flows through it.
    life.kernelize(model, INFERENCE)
    assert applied(model) == ALL
    step(model, inputs())
    assert model.blocks[0].scale.weight.grad is None
    assert model.last.weight.grad is not None


def test_switching_between_training_and_inference_is_exact(life):
    original, model = life.model(), life.model()
    for _ in range(3):
        life.kernelize(model.train(), TRAINING)
        model.zero_grad(), original.zero_grad()
        step(model, inputs()), step(original, inputs())
        assert_same_gradients(model, original)
        life.kernelize(model.eval(), INFERENCE)
        with torch.no_grad():
            assert_alike(model(inputs()), original(inputs()))
    unkernelize(model)
    with torch.no_grad():
        assert torch.equal(model(inputs()), original(inputs()))


def test_a_short_training_ends_where_the_original_ends(life):
    def trained(model):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        losses = []
        for _ in range(10):
            optimizer.zero_grad()
            loss = (model(inputs()) - 1).pow(2).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        return losses

    original, model = life.model(), life.kernelized(TRAINING)
    expected, losses = trained(original), trained(model)
    assert losses[-1] < losses[0]
    assert losses == pytest.approx(expected, rel=1e-3)
    for ours, other in zip(model.parameters(), original.parameters(), strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_trains_as_before(life, dtype):
    original, model = life.model(), life.kernelized(TRAINING)
    for one in (original, model):
        with torch.autocast("cpu", dtype=dtype):
            output = one(inputs())
        loss_of(output).backward()
    for ours, other in zip(model.parameters(), original.parameters(), strict=True):
        rtol, atol = TOLERANCES[dtype]
        torch.testing.assert_close(ours.grad, other.grad, rtol=rtol, atol=atol)


def test_frozen_layers_get_no_gradient(life):
    original, model = life.model(), life.kernelized(TRAINING)
    for one in (original, model):
        for name, parameter in one.named_parameters():
            parameter.requires_grad_("norm" in name)
        step(one, inputs())
    for ours, other in zip(model.parameters(), original.parameters(), strict=True):
        assert (ours.grad is None) == (other.grad is None)
        if ours.grad is not None:
            assert_alike(ours.grad, other.grad)


# ---- activation checkpointing ----


class Checkpointed(torch.nn.Module):
    def __init__(self, model, **how):
        super().__init__()
        self.model, self.how = model, how

    def forward(self, x):
        for block in self.model.blocks:
            x = checkpoint(block, x, **self.how)
        return self.model.last(x)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointed_blocks_have_the_same_gradients(life, use_reentrant):
    original, model = life.model(), life.kernelized(TRAINING)
    x = inputs().requires_grad_()
    step(Checkpointed(model, use_reentrant=use_reentrant), x)
    step(original, inputs().requires_grad_())
    assert_same_gradients(model, original)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointed_kernels_have_the_same_gradients(life, use_reentrant):
    """Each kernelized module by itself, with arguments by keyword."""
    for path in sorted(TRAINABLE):
        mine = life.kernelized(TRAINING).get_submodule(path)
        other = life.model().get_submodule(path)
        x, y = inputs().requires_grad_(), inputs().requires_grad_()
        checkpoint(mine, x, use_reentrant=use_reentrant).sum().backward()
        other(y).sum().backward()
        assert_alike(x.grad, y.grad)
    scale = life.kernelized(TRAINING).blocks[0].scale
    x = inputs().requires_grad_()
    checkpoint(scale, x, factor=3.0, shift=1.0, use_reentrant=False).sum().backward()
    assert_alike(x.grad, (3.0 * scale.weight).expand(4, 8).detach())


def test_a_checkpointed_sequence_has_the_same_gradients(life):
    original, model = life.model(), life.kernelized(TRAINING)
    for one in (original, model):
        x = inputs().requires_grad_()
        output = checkpoint_sequential(torch.nn.Sequential(*one.blocks), 2, x, use_reentrant=False)
        loss_of(one.last(output)).backward()
    assert_same_gradients(model, original)


def test_kernelizing_between_forward_and_recomputation_is_an_error_or_exact(life):
    """The second run of the forward meets the original: it saves as much, so gradients are the same, or torch says
    that something differs."""
    original, model = life.model(), life.kernelized(TRAINING)
    output = Checkpointed(model, use_reentrant=False)(inputs().requires_grad_())
    unkernelize(model)
    try:
        loss_of(output).backward()
    except torch.utils.checkpoint.CheckpointError as error:
        assert "Recomputed values" in str(error) or "different number of tensors" in str(error)
        return
    step(original, inputs())
    assert_same_gradients(model, original)
