# SPDX-License-Identifier: Apache-2.0
"""Every hook of torch sees of a kernelized module what it saw of the original."""

import pytest
import torch
from life_support import TRAINING, assert_alike, inputs, loss_of
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
)

from kernels import unkernelize


def shapes(things):
    return [thing.shape if isinstance(thing, torch.Tensor) else thing for thing in things]


class Log:
    """Hooks that note who was called with what."""

    def __init__(self):
        self.seen = []

    def note(self, kind, *what):
        self.seen.append((kind, *what))

    def attach(self, scale):
        """To a module whose kernel names its parameters otherwise."""
        self.handles = [
            scale.register_forward_pre_hook(
                lambda m, args: self.note("pre", type(m), shapes(args))
            ),
            scale.register_forward_pre_hook(
                lambda m, args, kwargs: self.note("pre with", shapes(args), kwargs),
                with_kwargs=True,
            ),
            scale.register_forward_pre_hook(lambda m, args: self.note("first"), prepend=True),
            scale.register_forward_hook(
                lambda m, args, output: self.note("post", shapes(args), output.shape)
            ),
            scale.register_forward_hook(
                lambda m, args, kwargs, output: self.note("post with", kwargs, output.shape),
                with_kwargs=True,
            ),
            scale.register_forward_hook(
                lambda m, args, output: self.note("always", type(output)), always_call=True
            ),
            scale.register_full_backward_pre_hook(
                lambda m, grad: self.note("backward pre", shapes(grad))
            ),
            scale.register_full_backward_hook(
                lambda m, ins, outs: self.note("backward", shapes(ins), shapes(outs))
            ),
        ]

    def detach(self):
        for handle in self.handles:
            handle.remove()


def step(model):
    model.zero_grad()
    output = model(inputs())
    loss_of(output).backward()
    return output.detach()


# What one forward and backward of block 0's scale looks like.
SHAPE = torch.Size([4, 8])
KWARGS = {"factor": 2.0, "shift": 0.25}
SEEN = [
    "first", "pre", "pre with", "post", "post with", "always", "backward pre", "backward",
]  # fmt: skip


@pytest.mark.parametrize("first", ["hooks", "kernels"])
def test_hooks_of_a_module_see_what_they_saw(life, first):
    plain, ours = Log(), Log()
    original = life.model()
    plain.attach(original.blocks[0].scale)
    model = life.model()
    if first == "hooks":
        ours.attach(model.blocks[0].scale)
        life.kernelize(model, TRAINING)
    else:
        life.kernelize(model, TRAINING)
        ours.attach(model.blocks[0].scale)
    assert_alike(step(model), step(original))
    assert [entry[0] for entry in ours.seen] == SEEN
    assert ours.seen == plain.seen
    assert ours.seen[2] == ("pre with", [SHAPE], KWARGS)

    unkernelize(model)
    ours.seen.clear()
    assert torch.equal(step(model), step(original))
    assert ours.seen == plain.seen[len(SEEN) :]

    life.kernelize(model, TRAINING)
    ours.detach()
    ours.seen.clear()
    step(model)
    assert ours.seen == []


def test_hooks_may_change_arguments_and_results(life):
    def attach(model):
        scale = model.blocks[1].scale
        scale.register_forward_pre_hook(
            lambda m, args, kwargs: ((args[0] * 2,), {"factor": 3.0}), with_kwargs=True
        )
        scale.register_forward_hook(lambda m, args, output: output - 1)
        return model

    original = attach(life.model())
    assert_alike(step(attach(life.kernelized(TRAINING))), step(original))


def test_gradient_hooks_may_change_gradients(life):
    def attach(model):
        norm = model.blocks[1].norm
        norm.register_full_backward_pre_hook(lambda m, grads: tuple(g * 2 for g in grads))
        norm.register_full_backward_hook(lambda m, ins, outs: tuple(g * 3 for g in ins))
        norm.weight.register_hook(lambda grad: grad * 5)
        return model

    original, model = attach(life.model()), attach(life.kernelized(TRAINING))
    step(original), step(model)
    for ours, expected in zip(model.parameters(), original.parameters(), strict=True):
        assert_alike(ours.grad, expected.grad)


def test_a_hook_that_is_always_called_is_called_when_the_forward_fails(life):
    seen = []
    for model in (life.model(), life.kernelized()):
        for module in (model.blocks[0].scale, model.blocks[0].norm):
            module.register_forward_hook(
                lambda m, args, output: seen.append((type(m), output)), always_call=True
            )
            with pytest.raises(RuntimeError):
                module(torch.ones(3, 5))
    assert len(seen) == 4
    assert seen[:2] == seen[2:]


def test_hooks_of_all_modules_see_a_kernelized_one(life):
    def record(model):
        seen = []
        handles = [
            register_module_forward_pre_hook(lambda m, args: seen.append((type(m), shapes(args)))),
            register_module_forward_hook(lambda m, args, out: seen.append((type(m), out.shape))),
            register_module_full_backward_hook(lambda m, ins, outs: seen.append((type(m), "back"))),
        ]
        step(model)
        for handle in handles:
            handle.remove()
        return seen

    seen = record(life.kernelized(TRAINING))
    assert len(seen) == 3 * 18  # two blocks of seven modules, the last norm, the model
    assert seen == record(life.model())


def test_hooks_on_states_run_as_before(life):
    model = life.kernelized()
    seen = []
    norm = model.blocks[0].norm
    norm.register_state_dict_pre_hook(lambda *args: seen.append("before saving"))
    norm.register_load_state_dict_post_hook(lambda *args: seen.append("after loading"))
    assert list(model.state_dict()) == list(life.model().state_dict())
    model.load_state_dict(life.model().state_dict())
    assert seen == ["before saving", "after loading"]
