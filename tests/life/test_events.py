# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to a kernelized model, it computes what the original would, and `unkernelize` gives that back."""

import pytest
import torch
from events import EVENTS, STAYS
from life_support import ALL, applied, assert_alike, inputs, state_of

from kernels import explain, unkernelize

# What brings no code along: the kernels come back with the next kernelize.
WITHOUT_KERNELS = {"pickle", "torch.save"}


def call(model):
    dtype = next(model.parameters()).dtype
    with torch.no_grad():
        return model(inputs(torch.float32 if dtype == torch.float64 else dtype).to(dtype))


def happen(event, model):
    torch.manual_seed(7)
    return EVENTS[event](model)


@pytest.fixture(params=EVENTS)
def event(request):
    return request.param


def test_a_kernelized_model_computes_as_before(life, event):
    expected = call(happen(event, life.model()))
    model = happen(event, life.kernelized())
    if event in WITHOUT_KERNELS:
        assert applied(model) == set()
        life.kernelize(model)
    assert_alike(call(model), expected)


def test_a_model_is_kernelized_after_it(life, event):
    expected = call(happen(event, life.model()))
    model = life.kernelize(happen(event, life.model()))
    assert_alike(call(model), expected)
    assert {decision.reason for decision in explain(model)} == {"mapped"}
    assert len(applied(model)) >= len(ALL)


def test_unkernelize_gives_back_what_the_original_would_be(life, event):
    original = happen(event, life.model())
    model = happen(event, life.kernelized())
    for _ in range(2):
        unkernelize(model)
        assert state_of(model) == state_of(original)
        assert torch.equal(call(model), call(original))
        life.kernelize(model)
        assert_alike(call(model), call(original))


def test_unkernelize_between_changes_nothing(life, event):
    original = happen(event, life.model())
    model = happen(event, unkernelize(life.kernelized()))
    assert state_of(model) == state_of(original)
    assert torch.equal(call(model), call(original))


ORDERS = [
    "kernelize enter leave",
    "enter kernelize leave",
    "kernelize enter kernelize leave",
    "kernelize enter leave unkernelize",
    "enter kernelize leave unkernelize",
    "enter kernelize unkernelize leave",
    "kernelize enter unkernelize leave",
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("stay", STAYS)
def test_what_comes_and_goes_meets_kernels_that_come_and_go(life, stay, order):
    enter, leave = STAYS[stay]
    steps = {
        "enter": enter,
        "leave": leave,
        "kernelize": life.kernelize,
        "unkernelize": unkernelize,
    }

    def through(order):
        torch.manual_seed(7)
        model = life.model()
        for step in order.split():
            model = steps[step](model)
        return model

    original, model = through("enter leave"), through(order)
    assert_alike(call(model), call(original))
    if "unkernelize" not in order:
        assert applied(model) == ALL
        unkernelize(model)
    assert applied(model) == set()
    assert state_of(model) == state_of(original)
    assert torch.equal(call(model), call(original))
