# SPDX-License-Identifier: Apache-2.0
"""Patterns and capability ranges over generated cases, against plain Python."""

import fnmatch
import re

import pytest
import torch.nn as nn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_support import Doubled, Repo

from kernels import (
    CUDAProperties,
    Device,
    Mode,
    kernelize,
    plan,
    unkernelize,
    use_kernel_forward_from_hub,
    use_kernel_mapping,
)

FEW = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@use_kernel_forward_from_hub("Property")
class Layer(nn.Module):
    def forward(self, x):
        return x


# ---- patterns ----

NAMES = st.text("ab0-!]é层", min_size=1, max_size=4)
PATTERNS = st.text("ab0.-!?*[]é层", max_size=8)


def is_match(pattern, path):
    return re.match(fnmatch.translate(pattern), path) is not None


def excluded(model, **filters):
    decisions = plan(model, mode=Mode.INFERENCE, device="cpu", **filters)
    return {
        path for decision in decisions if decision.reason == "excluded" for path in decision.paths
    }


def build(paths):
    """A model with an extensible module at each path of one or two names."""
    model = nn.Module()
    for first, second in paths:
        outer = model._modules.setdefault(first, nn.Module())
        outer._modules[second] = Layer()
    return model, {f"{first}.{second}" for first, second in paths}


@FEW
@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=4), PATTERNS)
def test_patterns_match_as_fnmatch_does(names, pattern):
    model, paths = build(names)
    matching = {path for path in paths if is_match(pattern, path)}
    assert excluded(model, exclude=pattern) == matching
    assert excluded(model, include=pattern) == paths - matching


@FEW
@given(
    st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=4),
    st.lists(PATTERNS, max_size=3),
    st.lists(PATTERNS, max_size=3),
)
def test_lists_of_patterns_are_alternatives(names, include, exclude):
    model, paths = build(names)
    kept = {path for path in paths if any(is_match(pattern, path) for pattern in include)}
    kept -= {path for path in paths if any(is_match(pattern, path) for pattern in exclude)}
    assert excluded(model, include=include, exclude=tuple(exclude)) == paths - kept


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*", "a.b", True),
        ("a.*", "a.b.c", True),
        ("a?b", "a.b", True),
        ("?", "é", True),
        ("[ab].x", "b.x", True),
        ("[!ab].x", "b.x", False),
        ("[!ab].x", "c.x", True),
        ("[a-c].x", "b.x", True),
        ("[]].x", "].x", True),
        ("[!]].x", "].x", False),
        ("[a", "[a", True),
        ("layers.[0-9]*", "layers.11", True),
        ("layers.1", "layers.11", False),
        ("LAYERS.1", "layers.1", False),
        ("", "a", False),
    ],
)
def test_patterns_by_example(pattern, path, matches):
    model = nn.Module()
    inner = model
    *above, last = path.split(".")
    for name in above:
        inner._modules[name] = nn.Module()
        inner = inner._modules[name]
    inner._modules[last] = Layer()
    assert (excluded(model, exclude=pattern) == {path}) is matches


# ---- capability ranges ----

RANGES = st.one_of(
    st.none(),
    st.tuples(st.integers(0, 130), st.integers(0, 130)).map(sorted).map(tuple),
    st.tuples(st.integers(0, 130), st.just(2**63 - 1)),
)


def smallest(ranges, capability):
    """The index of the last registered of the smallest ranges that hold the capability, or None."""
    bounds = {}
    for index, given_range in enumerate(ranges):
        bounds[given_range or (0, 2**63 - 1)] = index
    holding = [
        (high - low, index, (low, high))
        for (low, high), index in bounds.items()
        if low <= capability <= high
    ]
    if not holding:
        return None
    width = min(holding)[0]
    return {index for size, index, _ in holding if size == width}


@FEW
@given(st.lists(RANGES, max_size=8), st.integers(0, 140))
def test_the_smallest_range_wins(ranges, capability):
    model = Layer()
    stack = []
    for index, bounds in enumerate(ranges):
        device = Device("cuda", None if bounds is None else CUDAProperties(*bounds))
        stack.append(use_kernel_mapping({"Property": {device: Repo(Doubled, name=str(index))}}))
        stack[-1].__enter__()
    try:
        (decision,) = plan(model, mode=Mode.INFERENCE, device="cuda", capability=capability)
    finally:
        for block in reversed(stack):
            block.__exit__(None, None, None)
    expected = smallest(ranges, capability)
    if not ranges:
        assert decision.reason == "no-layer"
    elif expected is None:
        assert decision.reason == "no-compatible-properties"
    else:
        assert int(decision.repo) in expected


# ---- modes ----

MODES = [
    Mode.INFERENCE,
    Mode.TRAINING,
    Mode.INFERENCE | Mode.TORCH_COMPILE,
    Mode.TRAINING | Mode.TORCH_COMPILE,
]
ORDER = {
    MODES[0]: [MODES[0], MODES[2], MODES[1], MODES[3], Mode.FALLBACK],
    MODES[1]: [MODES[1], MODES[3], Mode.FALLBACK],
    MODES[2]: [MODES[2], MODES[3], Mode.FALLBACK],
    MODES[3]: [MODES[3], Mode.FALLBACK],
}


@FEW
@given(
    st.sets(st.sampled_from([*MODES, Mode.FALLBACK, Mode.TORCH_COMPILE])), st.sampled_from(MODES)
)
def test_the_first_registered_mode_in_order_wins(registered, requested):
    with use_kernel_mapping(
        {"Property": {"cpu": {mode: Repo(Doubled, name=str(mode.value)) for mode in registered}}}
    ):
        (decision,) = plan(Layer(), mode=requested, device="cpu")
    expected = next((mode for mode in ORDER[requested] if mode in registered), None)
    assert decision.repo_mode == expected
    assert decision.reason == ("mapped" if expected else "no-compatible-mode")


# ---- models ----

TREES = st.recursive(
    st.sampled_from(["layer", "other", "shared"]),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=20,
)


def plant(tree, shared):
    if tree == "layer":
        return Layer()
    if tree == "other":
        return nn.Identity()
    if tree == "shared":
        return shared
    return nn.Sequential(*[plant(part, shared) for part in tree])


@FEW
@given(TREES)
def test_any_tree_is_kernelized_wholly_and_restored_exactly(tree):
    model = plant(tree, Layer())
    layers = [module for module in model.modules() if isinstance(module, Layer)]
    before = [dict(module.__dict__) for module in model.modules()]
    with use_kernel_mapping({"Property": {"cpu": Repo(Doubled)}}):
        made = plan(model, mode=Mode.INFERENCE, device="cpu")
        kernelize(model, mode=Mode.INFERENCE, device="cpu")
    named = [path for path, module in model.named_modules() if isinstance(module, Layer)]
    assert [path for decision in made for path in decision.paths] == named
    assert [layer(1) for layer in layers] == [2] * len(layers)
    unkernelize(model)
    assert [dict(module.__dict__) for module in model.modules()] == before
