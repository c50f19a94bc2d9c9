# SPDX-License-Identifier: Apache-2.0
"""register_kernel_mapping and use_kernel_mapping."""

import asyncio
import contextvars
import gc
import re
import sys
import threading
import weakref
from collections import UserDict
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

import pytest
from kernel_support import Doubled, Repo, Tripled

import kernels
from kernels import (
    CUDAProperties,
    Device,
    LayerRepository,
    Mode,
    plan,
    register_kernel_mapping,
    use_kernel_mapping,
)


def entries():
    return sorted(kernels._core.current_mapping().entries())


def mapped(name, repo=None):
    return {name: {"cpu": repo or Repo()}}


def names():
    return [entry[0] for entry in entries()]


def chosen(layer_class, mode=Mode.INFERENCE, device="cpu"):
    """The name of the repository that the mapping in force gives, or the reason why it gives none."""
    (decision,) = plan(layer_class(), mode=mode, device=device)
    return decision.repo or decision.reason


# ---- registering ----


def test_registering_extends_what_is_there():
    register_kernel_mapping(mapped("a"))
    register_kernel_mapping(mapped("b"))
    assert names() == ["a", "b"]


def test_registering_without_inheriting_erases_first():
    register_kernel_mapping(mapped("a"))
    register_kernel_mapping(mapped("b"), inherit_mapping=False)
    assert names() == ["b"]
    register_kernel_mapping({}, inherit_mapping=False)
    assert entries() == []


def test_last_repository_for_a_layer_and_device_wins(layer_class):
    register_kernel_mapping(mapped("Identity", Repo(Doubled, name="first")))
    register_kernel_mapping(
        {"Identity": {"cpu": Repo(Tripled, name="second"), "cuda": Repo(name="other")}}
    )
    assert chosen(layer_class) == "second"


def test_a_bare_repository_is_a_fallback(layer_class):
    register_kernel_mapping(mapped("Identity", Repo(Doubled, name="bare")))
    (decision,) = plan(layer_class(), mode=Mode.TRAINING | Mode.TORCH_COMPILE, device="cpu")
    assert (decision.repo, decision.repo_mode) == ("bare", Mode.FALLBACK)


def test_a_dict_of_modes_replaces_the_whole_dict(layer_class):
    register_kernel_mapping(
        {"Identity": {"cpu": {Mode.INFERENCE: Repo(name="i"), Mode.TRAINING: Repo(name="t")}}}
    )
    register_kernel_mapping({"Identity": {"cpu": {Mode.TRAINING: Repo(name="new")}}})
    assert chosen(layer_class, Mode.INFERENCE) == "new"
    register_kernel_mapping({"Identity": {"cpu": {Mode.INFERENCE: Repo(name="only")}}})
    assert chosen(layer_class, Mode.TRAINING) == "no-compatible-mode"


def test_an_empty_dict_of_modes_leaves_no_mode(layer_class):
    register_kernel_mapping(mapped("Identity", Repo(name="there")))
    register_kernel_mapping({"Identity": {"cpu": {}}})
    assert chosen(layer_class) == "no-compatible-mode"


def test_ranges_are_entries_of_their_own():
    register_kernel_mapping(
        {
            "L": {
                "cuda": Repo(),
                Device("cuda", CUDAProperties(75, 90)): Repo(),
                Device("cuda"): Repo(),
            }
        }
    )
    assert [entry[2:] for entry in entries()] == [(0, sys.maxsize), (75, 90)]


def test_other_mappings_than_dicts_are_read():
    register_kernel_mapping(MappingProxyType({"L": MappingProxyType({"cpu": Repo()})}))
    assert names() == ["L"]


MODES = {
    Mode.INFERENCE: ["i", "i+c", "t", "t+c", "f"],
    Mode.INFERENCE | Mode.TORCH_COMPILE: ["i+c", "t+c", "f"],
    Mode.TRAINING: ["t", "t+c", "f"],
    Mode.TRAINING | Mode.TORCH_COMPILE: ["t+c", "f"],
}
REGISTERED = {
    "i": Mode.INFERENCE,
    "i+c": Mode.INFERENCE | Mode.TORCH_COMPILE,
    "t": Mode.TRAINING,
    "t+c": Mode.TRAINING | Mode.TORCH_COMPILE,
    "f": Mode.FALLBACK,
}


@pytest.mark.parametrize("requested", MODES, ids=str)
def test_modes_are_searched_in_order(layer_class, requested):
    left = dict(REGISTERED)
    for expected in MODES[requested]:
        register_kernel_mapping(
            {"Identity": {"cpu": {mode: Repo(name=name) for name, mode in left.items()}}}
        )
        assert chosen(layer_class, requested) == expected
        del left[expected]
    register_kernel_mapping(
        {"Identity": {"cpu": {mode: Repo(name=name) for name, mode in left.items()}}}
    )
    assert chosen(layer_class, requested) == "no-compatible-mode"


BAD = [
    (None, TypeError),
    ("text", TypeError),
    ([("L", {})], TypeError),
    ({"L": None}, TypeError),
    ({"L": "cpu"}, TypeError),
    ({"L": Repo()}, TypeError),
    ({1: {"cpu": Repo()}}, TypeError),
    ({"L": {"cpu": None}}, TypeError),
    ({"L": {"cpu": "kernels-community/activation"}}, TypeError),
    ({"L": {"cpu": object()}}, TypeError),
    ({"L": {1: Repo()}}, TypeError),
    ({"L": {None: Repo()}}, TypeError),
    ({"L": {"cpu": {"INFERENCE": Repo()}}}, TypeError),
    ({"L": {"cpu": {4: Repo()}}}, TypeError),
    ({"L": {"cpu": {Mode.INFERENCE: None}}}, TypeError),
    ({"L": {"abacus": Repo()}}, ValueError),
    ({"L": {"": Repo()}}, ValueError),
    ({"L": {Device("abacus"): Repo()}}, ValueError),
    ({"L": {"cpu": {Mode(0): Repo()}}}, ValueError),
    ({"\ud800": {"cpu": Repo()}}, ValueError),
    ({"L\0": {"cpu": Repo()}}, ValueError),
    ({"L": {"cpu\0": Repo()}}, ValueError),
]


def name_of(mapping):
    """The same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(mapping))[:60]


@pytest.mark.parametrize(("mapping", "error"), BAD, ids=[name_of(mapping) for mapping, _ in BAD])
def test_a_malformed_mapping_is_refused_and_changes_nothing(mapping, error):
    register_kernel_mapping(mapped("before"))
    if isinstance(mapping, dict):
        mapping = {"good": {"cpu": Repo()}} | mapping
    for call in (
        lambda: register_kernel_mapping(mapping),
        lambda: register_kernel_mapping(mapping, inherit_mapping=False),
        lambda: use_kernel_mapping(mapping).__enter__(),
    ):
        with pytest.raises(error):
            call()
        assert names() == ["before"]


def test_errors_in_reading_a_mapping_come_through():
    class Failing(UserDict):
        def keys(self):
            raise RuntimeError("no keys today")

    class Odd:
        type = "cuda"

        @property
        def properties(self):
            raise RuntimeError("no properties today")

    with pytest.raises(RuntimeError, match="no keys today"):
        register_kernel_mapping(Failing())
    with pytest.raises((RuntimeError, TypeError)):
        register_kernel_mapping({"L": {Odd(): Repo()}})
    assert entries() == []


# ---- blocks ----


def test_a_block_extends_and_restores():
    register_kernel_mapping(mapped("global"))
    with use_kernel_mapping(mapped("block")):
        assert names() == ["block", "global"]
    assert names() == ["global"]


def test_a_block_without_inheriting_starts_empty():
    register_kernel_mapping(mapped("global"))
    with use_kernel_mapping(mapped("block"), inherit_mapping=False):
        assert names() == ["block"]
        with use_kernel_mapping({}, inherit_mapping=False):
            assert names() == []
        assert names() == ["block"]
    assert names() == ["global"]


def test_blocks_stack():
    with use_kernel_mapping(mapped("a")):
        with use_kernel_mapping(mapped("b")):
            with use_kernel_mapping(mapped("c"), inherit_mapping=False):
                assert names() == ["c"]
            assert names() == ["a", "b"]
        assert names() == ["a"]
    assert names() == []


def test_what_a_block_replaces_comes_back(layer_class):
    register_kernel_mapping(mapped("Identity", Repo(name="global")))
    with use_kernel_mapping(mapped("Identity", Repo(name="block"))):
        assert chosen(layer_class) == "block"
    assert chosen(layer_class) == "global"


def test_a_block_is_left_by_an_exception():
    register_kernel_mapping(mapped("global"))
    with pytest.raises(KeyError), use_kernel_mapping(mapped("block")):
        raise KeyError("inside")
    assert names() == ["global"]


def test_dicts_are_read_on_entering(layer_class):
    mapping = mapped("Identity", Repo(name="first"))
    block = use_kernel_mapping(mapping)
    mapping["Identity"]["cpu"] = Repo(name="second")
    with block:
        mapping["Identity"]["cpu"] = Repo(name="third")
        mapping["other"] = {"cpu": Repo()}
        assert chosen(layer_class) == "second"
        assert names() == ["Identity"]
    with block:
        assert chosen(layer_class) == "third"
        assert names() == ["Identity", "other"]


def test_registered_dicts_are_copied(layer_class):
    modes = {Mode.INFERENCE: Repo(name="first")}
    mapping = {"Identity": {"cpu": modes}}
    register_kernel_mapping(mapping)
    modes[Mode.INFERENCE] = Repo(name="second")
    mapping["Identity"]["cuda"] = Repo()
    assert chosen(layer_class) == "first"
    assert len(entries()) == 1


def test_registering_inside_a_block_changes_the_block_only():
    register_kernel_mapping(mapped("global"))
    with use_kernel_mapping(mapped("outer")):
        register_kernel_mapping(mapped("added"))
        with use_kernel_mapping(mapped("inner")):
            assert names() == ["added", "global", "inner", "outer"]
            register_kernel_mapping(mapped("only"), inherit_mapping=False)
            assert names() == ["only"]
        assert names() == ["added", "global", "outer"]
    assert names() == ["global"]


def test_registering_globally_is_not_seen_by_a_block_that_is_open():
    entered, registered, seen = threading.Event(), threading.Event(), []

    def block():
        with use_kernel_mapping(mapped("block")):
            entered.set()
            registered.wait(10)
            seen.append(names())
        seen.append(names())

    thread = threading.Thread(target=block)
    thread.start()
    entered.wait(10)
    register_kernel_mapping(mapped("late"))
    registered.set()
    thread.join()
    assert seen == [["block"], ["late"]]


def test_one_object_can_be_entered_again_and_within_itself():
    block = use_kernel_mapping(mapped("block"))
    for _ in range(3):
        with block:
            register_kernel_mapping(mapped("extra"))
            with block:
                assert names() == ["block", "extra"]
            assert names() == ["block", "extra"]
        assert names() == []


def test_the_block_gives_nothing_and_swallows_nothing():
    block = use_kernel_mapping({})
    assert block.__enter__() is None
    assert not block.__exit__(None, None, None)


def test_leaving_a_block_that_was_not_entered_is_an_error():
    with pytest.raises(IndexError):
        use_kernel_mapping({}).__exit__(None, None, None)


# ---- threads and tasks ----


def test_a_block_is_not_seen_by_other_threads():
    register_kernel_mapping(mapped("global"))
    with use_kernel_mapping(mapped("block")), ThreadPoolExecutor(1) as pool:
        assert pool.submit(names).result() == ["global"]
        context = contextvars.copy_context()
        assert pool.submit(context.run, names).result() == ["block", "global"]


def test_registering_in_a_thread_is_global():
    thread = threading.Thread(target=lambda: register_kernel_mapping(mapped("from a thread")))
    thread.start()
    thread.join()
    assert names() == ["from a thread"]


def test_asyncio_tasks_have_blocks_of_their_own():
    async def task(name, barrier):
        with use_kernel_mapping(mapped(name)):
            barrier.append(name)
            while len(barrier) < 3:
                await asyncio.sleep(0)
            seen = names()
            await asyncio.sleep(0)
            return seen

    async def main():
        with use_kernel_mapping(mapped("outer")):
            barrier = []
            return await asyncio.gather(*(task(name, barrier) for name in "abc"))

    assert asyncio.run(main()) == [["a", "outer"], ["b", "outer"], ["c", "outer"]]
    assert names() == []


def test_registering_within_the_block_of_another_task_is_shared_by_those_that_inherit_it():
    """A block is one mapping: tasks that were started inside it change the same one."""

    async def add():
        register_kernel_mapping(mapped("added"))

    async def main():
        with use_kernel_mapping(mapped("outer")):
            await asyncio.create_task(add())
            return names()

    assert asyncio.run(main()) == ["added", "outer"]
    assert names() == []


# ---- memory ----


def test_a_cycle_through_a_mapping_is_collected():
    def cycle():
        repo = Repo()
        repo.block = use_kernel_mapping({"L": {"cpu": repo}})
        with repo.block:
            repo.context = contextvars.copy_context()
        return weakref.ref(repo)

    gc.collect()
    gone = cycle()
    gc.collect()
    assert gone() is None


def test_a_cycle_through_an_open_block_of_a_dead_generator_is_collected():
    def steps(repo):
        with use_kernel_mapping({"L": {"cpu": repo}}):
            yield

    def cycle():
        repo = Repo()
        repo.steps = steps(repo)
        next(repo.steps)
        repo.steps.close()
        return weakref.ref(repo)

    gone = contextvars.copy_context().run(cycle)
    gc.collect()
    assert gone() is None


def test_a_repository_is_released_when_nothing_holds_it():
    repo = Repo()
    gone = weakref.ref(repo)
    register_kernel_mapping({"L": {"cpu": repo}})
    with use_kernel_mapping({"L": {"cpu": repo}}):
        del repo
    assert gone() is not None
    register_kernel_mapping({}, inherit_mapping=False)
    gc.collect()
    assert gone() is None


def test_reference_counts_stay_the_same_over_a_thousand_blocks():
    repo, name, device = Repo(), "a layer's name", Device("cuda", CUDAProperties(75, 90))
    mapping = {name: {"cpu": {Mode.TRAINING: repo}, device: repo}}

    def counts():
        gc.collect()
        return [
            sys.getrefcount(thing) for thing in (repo, name, device, mapping, Mode.TRAINING, None)
        ]

    def once():
        with use_kernel_mapping(mapping):
            register_kernel_mapping({name: {"cpu": repo}})
            kernels._core.current_mapping().modes(name, "cpu", -2)
        register_kernel_mapping(mapping, inherit_mapping=False)
        with pytest.raises(ValueError):
            register_kernel_mapping({name: {"cpu": repo, "abacus": repo}})

    once()
    before, objects = counts(), len(gc.get_objects())
    for _ in range(1000):
        once()
    after = counts()
    # None's count moves by itself, but not by hundreds.
    assert after[:-1] == before[:-1]
    assert abs(after[-1] - before[-1]) < 100
    assert len(gc.get_objects()) - objects < 100


def test_register_replaces_in_a_list_without_leaking_the_old_mapping():
    def live():
        gc.collect()
        kind = type(kernels._core.empty_mapping())
        return sum(type(thing) is kind for thing in gc.get_objects())

    before = live()
    with use_kernel_mapping(mapped("a")):
        for _ in range(100):
            register_kernel_mapping(mapped("b"))
        assert live() == before + 1
    assert live() == before


# ---- repositories ----


def test_layer_repositories_compare_by_what_they_name():
    repo = LayerRepository("org/name", "Layer", revision="main")
    assert repo == LayerRepository(repo_id="org/name", layer_name="Layer", revision="main")
    assert hash(repo) == hash(LayerRepository("org/name", "Layer", "main"))
    assert repo != LayerRepository("org/name", "Layer", version=1)
    assert repo != LayerRepository("org/name", "Other", revision="main")
    assert repo != "org/name"


def test_revision_and_version_exclude_each_other():
    with pytest.raises(
        ValueError, match="Either a revision or a version must be specified, not both"
    ):
        LayerRepository("org/name", "Layer", revision="main", version=1)


def test_repositories_take_the_forms_of_the_reference_and_of_upstream():
    for arguments in (
        {"version": 1},
        {"version": "1"},
        {"version": ">=1.0.0,<2.0.0"},
        {"revision": "abc", "trust_remote_code": True},
        {"trust_remote_code": ["org/name"], "user_agent": {"a": "b"}},
    ):
        assert (
            LayerRepository(repo_id="org/name", layer_name="Layer", **arguments).layer_name
            == "Layer"
        )


@pytest.mark.parametrize("arguments", [(1, "Layer"), ("org/name", None), (None, "Layer")])
def test_names_of_repositories_are_text(arguments):
    with pytest.raises(TypeError, match="must be text"):
        LayerRepository(*arguments)
