# SPDX-License-Identifier: Apache-2.0
"""Thousands of rounds leave as many objects as one, and every reference as it was."""

import copy
import gc
import io
import pickle
import sys

import pytest
import torch
from life_support import COMPILE, INFERENCE, TRAINING, Block, Norm, Scale

from kernels import Mode, explain, kernelize, plan, unkernelize, unkernelized, use_kernel_mapping


def counts(things):
    gc.collect()
    return (
        [sys.getrefcount(thing) for thing in things],
        len(gc.get_objects()),
        sys.getrefcount(None),
    )


def assert_no_growth(once, things, rounds):
    """A few objects are allowed for: caches of the interpreter and of pytest fill at their own times."""
    for _ in range(10):
        once()
    references, objects, nones = counts(things)
    for _ in range(rounds):
        once()
    references_after, objects_after, nones_after = counts(things)
    assert references_after == references
    assert objects_after - objects < rounds // 20
    assert abs(nones_after - nones) < rounds // 20


@pytest.fixture
def block(life):
    return Block().eval()


def test_kernelize_and_unkernelize(life, block):
    modes = (INFERENCE, TRAINING, INFERENCE | COMPILE)
    life.kernelize(block)
    functions = [module.forward.__func__ for module in block.modules() if "forward" in vars(module)]
    assert len(functions) == 5

    def once():
        for mode in modes:
            life.kernelize(block, mode)
        unkernelize(block)

    assert_no_growth(once, [block, block.norm, block.scale, Norm, Scale, *functions], 1000)


def test_models_that_come_and_go(life, block):
    life.kernelize(block)
    function = block.scale.forward.__func__

    def once():
        twin = life.kernelize(copy.deepcopy(block))
        with unkernelized(twin):
            pass
        twin.itself = [twin]  # a cycle: only the collector frees it

    assert_no_growth(once, [Norm, Scale, function], 500)


def test_plans_and_explanations(life, block):
    def once():
        with use_kernel_mapping(life.mapping, inherit_mapping=False):
            made = plan(block, mode=Mode.INFERENCE, device="cpu", fetch=True)
            made.apply(block)
            str(made), made.to_json(), [decision.paths for decision in made]
        str(explain(block)), list(explain(block))

    assert_no_growth(once, [block, Norm, Scale], 500)


def test_pickles(life, block):
    life.kernelize(block)
    record = type(vars(block.norm)["_kernel_forward"])

    def once():
        file = io.BytesIO()
        torch.save(block, file)
        pickle.loads(pickle.dumps(block.norm))

    assert_no_growth(once, [block, block.norm, record], 200)


class Refusing(Scale):
    def __setattr__(self, name, value):
        if name in ("forward", "_kernel_forward"):
            raise RuntimeError("no")
        super().__setattr__(name, value)


def test_calls_that_fail(life, block):
    block.last = Refusing()
    wrong = torch.nn.Linear

    def once():
        with pytest.raises(RuntimeError, match="^no$"):
            life.kernelize(block)
        with pytest.raises(TypeError), use_kernel_mapping({"life-norm": {"cpu": wrong}}):
            pass
        with pytest.raises(ValueError):
            kernelize(block, mode=Mode.FALLBACK, device="cpu")
        with pytest.raises(TypeError):
            plan(5, mode=Mode.INFERENCE)

    assert_no_growth(once, [block, block.norm, Norm, Scale, Refusing], 500)
    assert all("forward" not in vars(module) for module in block.modules())


def test_calls_of_kernelized_layers(life, block):
    life.kernelize(block, TRAINING)
    x = torch.ones(2, 8)

    def once():
        block.scale(x, factor=2.0, shift=1.0), block.root_norm(x)
        block.act(block.norm(x)).sum().backward()

    assert_no_growth(once, [x, block.norm, block.norm.weight, block.scale.forward.__func__], 1000)


def test_memory_of_the_library_does_not_grow(life, block):
    """What the collector does not see: the library's own blocks."""
    import resource

    def once():
        life.kernelize(block)
        str(explain(block))
        unkernelize(block)

    def most():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB

    for _ in range(500):
        once()
    before = most()
    for _ in range(3000):
        once()
    assert most() - before < 2048
